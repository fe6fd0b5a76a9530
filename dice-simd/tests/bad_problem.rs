//! What is refused of dense targets, masks, weights, offsets and parts, with what and where, and leaves the outputs alone.

mod common;

use common::inputs::{DenseTensor, Inputs, LabelTensor, Number, Truth, bits_of};
use common::{Level, Placed, Random, Tensor, map_of, per_level, rounds};
use dice_core::half::{bf16, f16};
use dice_core::loss::GeneralizedDice;
use dice_core::{
    Activation, Cotangent, Dims, Error, Group, LossHead, NonFinite, Problem, Reduction, Request, Statistics, Sums,
    Values, View, reference,
};
use dice_simd::Gradient;

fn softmax() -> Request {
    Request::overlap(Activation::Softmax)
}

fn loss() -> GeneralizedDice {
    GeneralizedDice { reduction: Reduction::None, ..GeneralizedDice::default() }
}

/// Two samples of a few thousand voxels, three classes, mask and weights of ones.
fn inputs<T: Number>(dense: bool) -> Inputs<T> {
    let shape = [2, 3, 5000];
    let mut random = Random(1);
    let logits: Vec<f64> = (0..30_000).map(|_| random.within(-2.0, 2.0).into()).collect();
    let labels: Vec<i64> = (0..10_000).map(|_| random.below(3) as i64).collect();
    let mut inputs = Inputs::<T>::labelled(&shape, &logits, &labels).weighted(&mut random);
    inputs.mask.as_mut().unwrap().data.fill(1);
    inputs.weights.as_mut().unwrap().data.fill(1.0);
    inputs.sample_weights = Some(vec![1.0; 2]);
    if dense {
        let g = inputs.weights_and_targets().1;
        inputs.truth = Truth::Dense(DenseTensor::new("f32", Placed::channels_first(&shape), &g, 0.0));
    }
    inputs
}

/// Demands that every way into the engine gives `error`, and writes nothing; and the same of the reference.
#[track_caller]
fn demand<T: Number>(level: &Level, inputs: &Inputs<T>, problem: &Problem<'_>, error: &Error) {
    let (logits, loss, engine) = (inputs.logits.view(), loss(), level.engine());
    assert_eq!(engine.statistics(&logits, problem, &softmax()).unwrap_err(), *error, "statistics");
    assert_eq!(engine.value(&logits, problem, &loss).unwrap_err(), *error, "value");
    assert_eq!(reference::statistics(&logits, problem, &softmax()).unwrap_err(), *error, "reference");
    let cotangent = Cotangent::new(&softmax(), 1, inputs.classes(), Values::One).unwrap();
    let mut data = vec![T::of(7.0); inputs.gradient.len];
    let place = &inputs.gradient;
    let found = engine.value_and_grad(&logits, problem, &loss, &[1.0], place.view_mut(&mut data)).map(drop);
    assert_eq!(found.unwrap_err(), *error, "the usual call");
    let gradient = Gradient::Accumulate(place.view_mut(&mut data));
    assert_eq!(
        engine.value_and_grad(&logits, problem, &loss, &[1.0], gradient).map(drop).unwrap_err(),
        *error,
        "accumulating"
    );
    if !matches!(error, Error::NonFiniteTarget { .. }) {
        let found = engine.pullback(&logits, problem, &cotangent, &[1.0], place.view_mut(&mut data));
        assert_eq!(found.unwrap_err(), *error, "a pullback on its own");
    }
    assert!(data.iter().all(|&g| g == T::of(7.0)), "nothing is written");
    let mut data = inputs.logits.data.clone();
    let mut view = inputs.logits.place.view_mut(&mut data);
    let found = engine.value_and_grad_in_place(&mut view, problem, &loss, &[1.0]).map(drop);
    assert_eq!(found.unwrap_err(), *error, "in place");
    assert!(bits_of(&data) == bits_of(&inputs.logits.data), "nothing is written");
}

fn shapes_that_do_not_fit(level: &Level) {
    let (labelled, dense) = (inputs::<f32>(false), inputs::<f64>(true));
    let misfit = |what, shape: &[usize]| {
        let (expected, found) = (Dims::new(&[2, 3, 5000]), Dims::new(shape));
        if what != "dense target" && shape.len() == 3 && shape[1] != 1 {
            return Error::MapWithChannels { what, shape: found };
        }
        Error::ShapeMismatch { what, whose: "the logits'", expected, found }
    };
    let numbers = vec![0.0_f32; 40_000];
    for shape in [&[2, 1, 5000][..], &[2, 4, 5000], &[1, 3, 5000], &[2, 3, 4999], &[2, 3, 50, 100], &[2, 3, 5000, 1]] {
        let view = View::channels_first(&numbers[..shape.iter().product()], shape).unwrap();
        let problem = Problem { target: view.into(), ..dense.problem() };
        demand(level, &dense, &problem, &misfit("dense target", shape));
    }
    let bytes = vec![1_u8; 40_000];
    for shape in [&[2, 3, 5000][..], &[1, 1, 5000], &[2, 1, 4999], &[2, 1, 50, 100], &[2, 1, 5000, 1], &[4, 1, 5000]] {
        let len = shape.iter().product();
        let mask = Some(View::channels_first(&bytes[..len], shape).unwrap());
        let error = misfit("mask", shape);
        demand(level, &labelled, &Problem { mask, ..labelled.problem() }, &error);
        demand(level, &dense, &Problem { mask, ..dense.problem() }, &error);
        let voxel_weights = Some(View::channels_first(&numbers[..len], shape).unwrap());
        let error = misfit("voxel weights", shape);
        demand(level, &labelled, &Problem { voxel_weights, ..labelled.problem() }, &error);
        demand(level, &dense, &Problem { voxel_weights, ..dense.problem() }, &error);
    }
}
per_level!(shapes_that_do_not_fit);

/// Numbers that are no weight.
const NO_WEIGHTS: [f32; 6] = [-1.0, -1e-45, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.000_001e8];

/// Compares errors whose value may be NaN.
fn is_weight_error(found: &Error, what: &str, index: u64, value: f32) -> bool {
    match found {
        Error::Weight { what: w, index: i, value: v } => {
            (*w, *i) == (what, index) && (*v == f64::from(value) || (v.is_nan() && value.is_nan()))
        }
        _ => false,
    }
}

fn sample_weights(level: &Level) {
    let (labelled, dense) = (inputs::<f32>(false), inputs::<f32>(true));
    for found in [0, 1, 3] {
        let weights = vec![1.0; found];
        let error = Error::Length { what: "sample weights", expected: 2, found };
        for inputs in [&labelled, &dense] {
            demand(level, inputs, &Problem { sample_weights: Some(&weights), ..inputs.problem() }, &error);
        }
    }
    for bad in NO_WEIGHTS {
        for (weights, index) in [([bad, bad], 0), ([1.0, bad], 1)] {
            let problem = Problem { sample_weights: Some(&weights), ..labelled.problem() };
            let error = level.engine().statistics(&labelled.logits.view(), &problem, &softmax()).unwrap_err();
            assert!(is_weight_error(&error, "sample weights", index, bad), "{error}");
            if !bad.is_nan() {
                demand(level, &labelled, &problem, &error);
            }
        }
    }
    for good in [0.0, -0.0, 1e-45, 1e8] {
        let problem = Problem { sample_weights: Some(&[good, 1.0]), ..labelled.problem() };
        assert!(level.engine().statistics(&labelled.logits.view(), &problem, &softmax()).is_ok(), "{good}");
    }
}
per_level!(sample_weights);

/// The first voxel weight that is none is named, unless its voxel is left out.
fn voxel_weights(level: &Level) {
    for clean in [inputs::<f32>(false), inputs::<f32>(true)] {
        for (i, at) in [0, 63, 64, 4991, 4999, 5000, 9999].into_iter().enumerate().step_by(rounds(1, 3)) {
            let bad = NO_WEIGHTS[i % NO_WEIGHTS.len()];
            let mut inputs = clean.clone();
            let weights = &mut inputs.weights.as_mut().unwrap().data;
            weights[at] = bad;
            weights.iter_mut().skip(at + 1).step_by(7).for_each(|weight| *weight = -3.0);
            let error = level.engine().statistics(&inputs.logits.view(), &inputs.problem(), &softmax()).unwrap_err();
            assert!(is_weight_error(&error, "voxel weights", at as u64, bad), "{error}");
            if !bad.is_nan() {
                demand(level, &inputs, &inputs.problem(), &error);
            }
            // A sample of weight 0 makes a weight no better.
            let none = Problem { sample_weights: Some(&[0.0, 0.0]), ..inputs.problem() };
            let found = level.engine().statistics(&inputs.logits.view(), &none, &softmax()).unwrap_err();
            assert!(is_weight_error(&found, "voxel weights", at as u64, bad), "{found}");
            // Of two at one voxel the weight is named, and of two voxels the first.
            if let Truth::Labels(labels) = &mut inputs.truth {
                labels.set(at, 77);
                let found =
                    level.engine().statistics(&inputs.logits.view(), &inputs.problem(), &softmax()).unwrap_err();
                assert!(is_weight_error(&found, "voxel weights", at as u64, bad), "{found}");
                if at > 0 {
                    let Truth::Labels(labels) = &mut inputs.truth else { unreachable!("seen above") };
                    labels.set(at - 1, 78);
                    let first = Error::LabelOutOfRange { index: at as u64 - 1, label: 78, classes: 3 };
                    demand(level, &inputs, &inputs.problem(), &first);
                }
            }
            inputs.mask.as_mut().unwrap().data[at.saturating_sub(1)..].fill(0);
            assert!(level.engine().statistics(&inputs.logits.view(), &inputs.problem(), &softmax()).is_ok(), "masked");
        }
        // Each is a weight, but not both together.
        let mut inputs = clean.clone();
        inputs.weights.as_mut().unwrap().data[5123] = 2e7;
        assert!(level.engine().statistics(&inputs.logits.view(), &inputs.problem(), &softmax()).is_ok());
        inputs.sample_weights = Some(vec![10.0, 10.0]);
        let error = Error::Weight { what: "voxel weights", index: 5123, value: 2e7 };
        demand(level, &inputs, &inputs.problem(), &error);
    }
}
per_level!(voxel_weights);

/// A weight of a label that is ignored is not looked at, and a voxel of weight 0 may have any label.
fn what_is_left_out_is_not_looked_at(level: &Level) {
    let mut inputs = inputs::<f32>(false);
    inputs.ignored = Some(200);
    let Truth::Labels(labels) = &mut inputs.truth else { unreachable!("made of labels") };
    labels.set(4000, 200);
    labels.set(4001, 99);
    let weights = &mut inputs.weights.as_mut().unwrap().data;
    (weights[4000], weights[4001]) = (f32::NAN, 0.0);
    for class in 0..3 {
        inputs.logits.data[class * 5000 + 4000] = f32::NAN;
        inputs.logits.data[class * 5000 + 4001] = f32::INFINITY;
    }
    let problem = Problem { non_finite: NonFinite::Error, ..inputs.problem() };
    let mut data = vec![7.0_f32; 30_000];
    let mut view = inputs.gradient.view_mut(&mut data);
    let evaluation =
        level.engine().value_and_grad(&inputs.logits.view(), &problem, &loss(), &[1.0], &mut view).unwrap();
    assert!(evaluation.value().is_finite());
    for (at, g) in data.iter().enumerate() {
        let left_out = at < 15_000 && (4000..4002).contains(&(at % 5000));
        assert_eq!(g.to_bits() == 0, left_out, "element {at} is {g}");
    }
}
per_level!(what_is_left_out_is_not_looked_at);

/// Vouched for, a weight that is none takes its voxel out of a pullback, as the field says.
fn unchecked_weights(level: &Level) {
    let mut inputs = inputs::<f32>(true);
    let cotangent =
        loss().evaluate(&reference::statistics(&inputs.logits.view(), &inputs.problem(), &softmax()).unwrap());
    inputs.weights.as_mut().unwrap().data[70] = f32::NAN;
    inputs.weights.as_mut().unwrap().data[80] = -2.0;
    let problem = Problem { labels_checked: true, ..inputs.problem() };
    let mut data = vec![7.0_f32; 30_000];
    let mut view = inputs.gradient.view_mut(&mut data);
    let (logits, cotangent) = (inputs.logits.view(), cotangent.unwrap().cotangent);
    level.engine().pullback(&logits, &problem, &cotangent, &[1.0], &mut view).unwrap();
    for (at, g) in data.iter().enumerate() {
        let left_out = at < 15_000 && [70, 80].contains(&(at % 5000));
        assert_eq!(g.to_bits() == 0, left_out, "element {at} is {g}");
    }
    assert!(level.engine().statistics(&logits, &problem, &softmax()).is_err(), "no licence for the statistics");
}
per_level!(unchecked_weights);

fn parameters(level: &Level) {
    let (labelled, dense) = (inputs::<f32>(false), inputs::<f16>(true));
    let requirement = "absent where the target is dense";
    for label in [-1, 0, 2, 255] {
        let error = Error::InvalidParameter { name: "ignore_index", value: label as f64, requirement };
        demand(level, &dense, &dense.problem().ignoring(label), &error);
    }
    let most = 1_usize << 62;
    for offset in [most + 1, usize::MAX] {
        let error = Error::Offset { offset, greatest: most };
        demand(level, &labelled, &Problem { offset, ..labelled.problem() }, &error);
        demand(level, &dense, &Problem { offset, ..dense.problem() }, &error);
    }
    let far = Problem { offset: most, ..labelled.problem() };
    let [here, there] = [&labelled.problem(), &far]
        .map(|it| level.engine().statistics(&labelled.logits.view(), it, &softmax()).unwrap());
    // 2^62 is a multiple of the tile.
    assert_eq!(here, there);
}
per_level!(parameters);

/// A value of a dense target that is not finite: on request the first is an error, else it reaches the value.
fn targets_that_are_not_finite(level: &Level) {
    fn check<T: Number>(level: &Level, name: &str) {
        let clean = inputs::<T>(true);
        let shape = clean.shape().to_vec();
        let g = clean.weights_and_targets().1;
        for (at, bad) in [(0, f64::INFINITY), (4999, f64::NAN), (5063, f64::NEG_INFINITY), (29_999, f64::INFINITY)]
            .into_iter()
            .step_by(rounds(1, 2))
        {
            for place in [Placed::channels_first(&shape), Placed::channels_last(&shape)] {
                let mut numbers = g.clone();
                numbers[at] = bad;
                // Another one behind it; and one before it, in a voxel that does not count.
                numbers[29_999] = bad;
                let mut inputs = clean.clone();
                inputs.mask.as_mut().unwrap().data[9] = 0;
                numbers[9] = f64::NAN;
                inputs.truth = Truth::Dense(DenseTensor::new(name, place, &numbers, f64::NAN));
                // The target is named before a logit.
                inputs.logits.data[3] = T::of(f64::NAN);
                let problem = Problem { non_finite: NonFinite::Error, ..inputs.problem() };
                let error = level.engine().statistics(&inputs.logits.view(), &problem, &softmax()).unwrap_err();
                let Error::NonFiniteTarget { index, value } = error else { panic!("{error}") };
                assert_eq!(index, at as u64, "{name}");
                assert_eq!((value.is_nan(), value > 0.0), (bad.is_nan(), bad > 0.0), "{name}");
                if !bad.is_nan() {
                    demand(level, &inputs, &problem, &error);
                }

                inputs.logits.data[3] = T::of(0.0);
                let found = level.engine().statistics(&inputs.logits.view(), &inputs.problem(), &softmax()).unwrap();
                let expected = reference::statistics(&inputs.logits.view(), &inputs.problem(), &softmax()).unwrap();
                let mut seen = 0;
                for sample in [0, 1].map(Group::Sample) {
                    for class in 0..3 {
                        for sum in Sums::OVERLAP.iter() {
                            let [a, b] = [&found, &expected].map(|it| it.sum(sample, class, 0, sum).unwrap());
                            let alike = if b.is_finite() {
                                a.is_finite()
                            } else {
                                a.to_bits() == b.to_bits() || b.is_nan() && a.is_nan()
                            };
                            assert!(alike, "{sum:?} of class {class}: {a}, not {b}");
                            seen += usize::from(!b.is_finite());
                        }
                    }
                }
                assert!(seen > 0);
                let value = level.engine().value(&inputs.logits.view(), &inputs.problem(), &loss()).unwrap().value();
                assert!(value.is_nan(), "{name}: {value}");
            }
        }
    }
    check::<f32>(level, "f16");
    check::<f64>(level, "f64");
    if !common::emulated() {
        check::<bf16>(level, "bf16");
        check::<f32>(level, "f32");
        check::<f16>(level, "f64");
    }
}
per_level!(targets_that_are_not_finite);

/// Parts of a batch that are not in it.
fn sample_ranges(level: &Level) {
    let inputs = inputs::<f32>(false);
    let (logits, problem) = (inputs.logits.view(), inputs.problem());
    let table = level.engine().statistics(&logits, &problem, &softmax()).unwrap();
    let cotangent = loss().evaluate(&table).unwrap().cotangent;
    let mut data = vec![0.0_f32; 30_000];
    let mut gradient = inputs.gradient.view_mut(&mut data);
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let ranges = [0..3, 2..3, 2..1, 3..3, usize::MAX - 1..usize::MAX];
    for range in ranges {
        let error = Error::SampleRange { start: range.start, end: range.end, samples: 2 };
        assert_eq!(logits.samples(range.clone()).map(drop).unwrap_err(), error);
        assert_eq!(problem.samples(range.clone()).map(drop).unwrap_err(), error);
        assert_eq!(cotangent.samples(range.clone()).map(drop).unwrap_err(), error);
        assert_eq!(gradient.samples(range.clone()).map(drop).unwrap_err(), error);
    }
    let mut whole = Statistics::new(3, 3, &softmax()).unwrap();
    for first in [2, 3, usize::MAX] {
        let error = whole.merge_samples(first, &table).unwrap_err();
        assert_eq!(error, Error::SampleRange { start: first, end: first.saturating_add(2), samples: 3 });
    }
    assert_eq!(whole, Statistics::new(3, 3, &softmax()).unwrap(), "untouched");
    // No sample at all is a batch, too.
    let (none, problem) = (logits.samples(1..1).unwrap(), problem.samples(1..1).unwrap());
    assert_eq!(
        level.engine().statistics(&none, &problem, &softmax()).unwrap(),
        Statistics::new(0, 3, &softmax()).unwrap()
    );
    let view = gradient.samples(1..1).unwrap();
    let rows = cotangent.samples(1..1).unwrap();
    level.engine().pullback(&none, &problem, &rows, &[1.0], Gradient::Overwrite(view)).unwrap();
    assert!(data.iter().all(|&g| g == 0.0), "nothing is written");
}
per_level!(sample_ranges);

/// Indices count in the logical order of the map, not in that of the memory, whatever the type.
fn indices_are_logical(level: &Level) {
    let shape = [2, 3, 6, 70];
    let map = map_of(&shape);
    let place = Placed::new(&map, &[3, 2, 1, 0], &[common::Axis::FLIPPED; 4]).behind(3);
    let mut labels = vec![1; 840];
    labels[500] = -5;
    labels[501] = -6;
    let truth = Truth::Labels(LabelTensor::new("i16", place.clone(), &labels, -7));
    let mut inputs = Inputs::<f64>::new(&shape, &vec![0.0; 2520], truth);
    let error = Error::LabelOutOfRange { index: 500, label: -5, classes: 3 };
    demand(level, &inputs, &inputs.problem(), &error);
    let mut weights = vec![1.0; 840];
    weights[333] = -0.5;
    weights[777] = -0.25;
    inputs.weights = Some(Tensor::placed(place, &weights, f32::NAN));
    let error = Error::Weight { what: "voxel weights", index: 333, value: -0.5 };
    demand(level, &inputs, &inputs.problem(), &error);
}
per_level!(indices_are_logical);
