//! Dense targets, masks, weights and parts, against formulas typed out here on an example small enough to follow: the oracle
//! of the fast passes is itself held to something.

mod common;

use common::Random;
use dice_core::loss::GeneralizedDice;
use dice_core::{
    Activation, Cotangent, Dense, Error, Group, Labels, Layout, LossHead, NonFinite, Problem, Reduction, Request,
    Statistics, Sum, Sums, Values, View, ViewMut, reference,
};

const SAMPLES: usize = 2;
const CLASSES: usize = 3;
const VOXELS: usize = 6;
const SHAPE: [usize; 3] = [SAMPLES, CLASSES, VOXELS];
const MAP: [usize; 2] = [SAMPLES, VOXELS];

/// Sums of a dozen numbers near 1, and a softmax on either side.
const ROUNDING: f64 = 1e-14;
/// Central differences with a step of 1e-6: the step squared, and the rounding of the value by the step.
const DIFFERENCE: f64 = 1e-8;

/// The example: everything at once, in plain arrays.
struct Example {
    logits: Vec<f64>,
    labels: Vec<u8>,
    soft: Vec<f64>,
    mask: Vec<u8>,
    weights: Vec<f32>,
    sample_weights: Vec<f32>,
}

impl Example {
    fn new() -> Self {
        let mut random = Random(5);
        let mut number = |low, high| random.within(low, high);
        Self {
            logits: (0..SAMPLES * CLASSES * VOXELS).map(|_| number(-2.0, 2.0)).collect(),
            labels: vec![0, 1, 2, 1, 0, 2, 2, 0, 1, 1, 2, 0],
            soft: (0..SAMPLES * CLASSES * VOXELS).map(|_| number(0.0, 1.0)).collect(),
            mask: vec![1, 1, 0, 255, 1, 1, 1, 1, 1, 0, 2, 1],
            // Of exact binary fractions, so that the product with a sample's weight is exact.
            weights: vec![1.0, 0.5, 2.0, 0.25, 0.0, 1.5, 3.0, 0.75, 1.0, 1.0, 0.125, 0.0],
            sample_weights: vec![0.5, 2.0],
        }
    }

    fn view(&self) -> View<'_, f64> {
        View::channels_first(&self.logits, &SHAPE).unwrap()
    }

    /// Every way to say which voxels count, and m of each voxel.
    fn problems(&self) -> Vec<(&'static str, Problem<'_>, Vec<f64>)> {
        let labels = View::map(&self.labels, &MAP).unwrap();
        let soft = Dense::from(View::channels_first(&self.soft, &SHAPE).unwrap());
        let mask = Some(View::map(&self.mask, &MAP).unwrap());
        let voxel_weights = Some(View::map(&self.weights, &MAP).unwrap());
        let sample_weights = Some(&self.sample_weights[..]);
        let m = |f: &dyn Fn(usize) -> f64| (0..SAMPLES * VOXELS).map(f).collect::<Vec<f64>>();
        let masked = |at: usize| if self.mask[at] == 0 { 0.0 } else { 1.0 };
        let weighted = |at: usize| f64::from(self.weights[at]) * f64::from(self.sample_weights[at / VOXELS]);
        let mut problems = Vec::new();
        for plain in [Problem::new(labels), Problem::new(soft)] {
            problems.push(("all", plain, m(&|_| 1.0)));
            problems.push(("mask", Problem { mask, ..plain }, m(&masked)));
            problems.push(("weights", Problem { voxel_weights, sample_weights, ..plain }, m(&weighted)));
            let both = Problem { mask, voxel_weights, sample_weights, ..plain };
            problems.push(("both", both, m(&|at| masked(at) * weighted(at))));
        }
        let kept = |at: usize| if self.labels[at] == 1 { 0.0 } else { masked(at) * weighted(at) };
        let ignoring = Problem { mask, voxel_weights, sample_weights, ..Problem::new(labels).ignoring(1) };
        problems.push(("ignored label too", ignoring, m(&kept)));
        problems
    }

    /// g of a problem's target.
    fn g(&self, problem: &Problem<'_>, sample: usize, class: usize, voxel: usize) -> f64 {
        if problem.target.layout().channels() == CLASSES {
            self.soft[(sample * CLASSES + class) * VOXELS + voxel]
        } else {
            f64::from(u8::from(usize::from(self.labels[sample * VOXELS + voxel]) == class))
        }
    }

    /// The logits of a voxel as probabilities, as a beginner would have them.
    fn p(&self, activation: Activation, sample: usize, voxel: usize) -> [f64; CLASSES] {
        let z: [f64; CLASSES] = std::array::from_fn(|class| self.logits[(sample * CLASSES + class) * VOXELS + voxel]);
        match activation {
            Activation::Softmax => z.map(|x| x.exp() / z.iter().map(|z| z.exp()).sum::<f64>()),
            Activation::Sigmoid => z.map(|z| 1.0 / (1.0 + (-z).exp())),
            Activation::None => z,
        }
    }
}

const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];

#[test]
fn sums_are_those_of_the_formulas() {
    let example = Example::new();
    for (what, problem, m) in example.problems() {
        for activation in ACTIVATIONS {
            let found = reference::statistics(&example.view(), &problem, &Request::overlap(activation)).unwrap();
            for sample in 0..SAMPLES {
                let group = Group::Sample(sample);
                let (mut valid, mut sums) = (0.0, [[0.0; 3]; CLASSES]);
                for voxel in 0..VOXELS {
                    let m = m[sample * VOXELS + voxel];
                    let p = example.p(activation, sample, voxel);
                    valid += m;
                    for class in 0..CLASSES {
                        let g = example.g(&problem, sample, class, voxel);
                        sums[class][0] += m * g;
                        sums[class][1] += m * p[class];
                        sums[class][2] += m * p[class] * g;
                    }
                }
                assert_eq!(found.valid_weight(group), Ok(valid), "{what}");
                for (class, sums) in sums.iter().enumerate() {
                    for (sum, expected) in Sums::OVERLAP.iter().zip(sums) {
                        let found = found.sum(group, class, 0, sum).unwrap();
                        assert!((found - expected).abs() <= ROUNDING, "{what}: {sum:?} is {found}, not {expected}");
                    }
                }
            }
        }
    }
}

/// ∂L/∂z by the chain rule over the sums, with the whole Jacobian of the activation.
#[test]
fn gradients_are_those_of_the_formulas() {
    let example = Example::new();
    let upstream = [1.5, -0.5];
    for (what, problem, m) in example.problems() {
        for activation in ACTIVATIONS {
            let loss = GeneralizedDice { activation, reduction: Reduction::None, ..GeneralizedDice::default() };
            let table = reference::statistics(&example.view(), &problem, &loss.request()).unwrap();
            let cotangent = loss.evaluate(&table).unwrap().cotangent;
            let mut found = [f64::NAN; SAMPLES * CLASSES * VOXELS];
            let mut view = ViewMut::channels_first(&mut found, &SHAPE).unwrap();
            reference::pullback(&example.view(), &problem, &cotangent, &upstream, &mut view).unwrap();
            for sample in 0..SAMPLES {
                for voxel in 0..VOXELS {
                    let p = example.p(activation, sample, voxel);
                    let m = m[sample * VOXELS + voxel];
                    // S = Σ m p and I = Σ m p g.
                    let by_p = |class: usize| {
                        let g = example.g(&problem, sample, class, voxel);
                        let by_intersection = cotangent.get(sample, class, 0, Sum::Intersection);
                        m * (cotangent.get(sample, class, 0, Sum::Prediction) + by_intersection * g)
                    };
                    for class in 0..CLASSES {
                        let by_z = |k: usize| match activation {
                            Activation::Softmax => p[k] * (if k == class { 1.0 } else { 0.0 } - p[class]),
                            _ if k != class => 0.0,
                            Activation::Sigmoid => p[k] * (1.0 - p[k]),
                            Activation::None => 1.0,
                        };
                        let expected = upstream[sample] * (0..CLASSES).map(|k| by_p(k) * by_z(k)).sum::<f64>();
                        let found = found[(sample * CLASSES + class) * VOXELS + voxel];
                        assert!((found - expected).abs() <= ROUNDING, "{what} {activation:?}: {found}, not {expected}");
                        assert!(m != 0.0 || found.to_bits() == 0, "{what}: a voxel that does not count has {found}");
                    }
                }
            }
        }
    }
}

#[test]
fn gradients_are_the_differences_of_the_value() {
    const STEP: f64 = 1e-6;
    let mut example = Example::new();
    example.logits.iter_mut().for_each(|z| *z = z.abs() / 2.0 + 0.1);
    for place in 0..example.problems().len() {
        for activation in ACTIVATIONS {
            let loss = GeneralizedDice { activation, ..GeneralizedDice::default() };
            let value = |example: &Example| {
                let (_, problem, _) = &example.problems()[place];
                loss.evaluate(&reference::statistics(&example.view(), problem, &loss.request()).unwrap())
                    .unwrap()
                    .value()
            };
            let mut gradient = [f64::NAN; SAMPLES * CLASSES * VOXELS];
            let mut view = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
            reference::value_and_grad(&example.view(), &example.problems()[place].1, &loss, &mut view).unwrap();
            for (at, gradient) in gradient.into_iter().enumerate() {
                let z = example.logits[at];
                let [more, less] = [z + STEP, z - STEP].map(|z| {
                    example.logits[at] = z;
                    value(&example)
                });
                example.logits[at] = z;
                let difference = (more - less) / (2.0 * STEP);
                assert!((gradient - difference).abs() <= DIFFERENCE, "{activation:?}: {gradient}, not {difference}");
            }
        }
    }
}

/// A dense target of zeros and ones is the labels; so are labels of every type; the order in memory says nothing.
#[test]
fn one_target_in_many_forms() {
    let example = Example::new();
    let request = &Request::overlap(Activation::Softmax);
    let run = |problem: Problem<'_>| {
        let mut gradient = [f64::NAN; SAMPLES * CLASSES * VOXELS];
        let mut view = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
        reference::value_and_grad(&example.view(), &problem, &GeneralizedDice::default(), &mut view).unwrap();
        (reference::statistics(&example.view(), &problem, request).unwrap(), gradient)
    };
    let expected = run(Problem::new(View::map(&example.labels, &MAP).unwrap()));
    macro_rules! labels {
        ($($kind:ty),*) => {$(
            let labels: Vec<$kind> = example.labels.iter().map(|&label| label.into()).collect();
            assert_eq!(run(Problem::new(Labels::from(View::map(&labels, &MAP).unwrap()))), expected);
        )*};
    }
    labels!(u16, i16, i32, i64);
    let labels: Vec<i8> = example.labels.iter().map(|&label| label as i8).collect();
    assert_eq!(run(Problem::new(Labels::from(View::map(&labels, &MAP).unwrap()))), expected);

    // [N, V, C]: the innermost axis is that of the classes.
    let hits: Vec<bool> =
        example.labels.iter().flat_map(|&label| (0..CLASSES).map(move |class| usize::from(label) == class)).collect();
    let dense = Dense::from(View::channels_last(&hits, &SHAPE).unwrap());
    assert_eq!(run(Problem::new(dense)), expected);
    let numbers: Vec<f32> = hits.iter().map(|&hit| if hit { 1.0 } else { 0.0 }).collect();
    assert_eq!(run(Problem::new(Dense::from(View::channels_last(&numbers, &SHAPE).unwrap()))), expected);
}

/// What does not count may hold anything.
#[test]
fn what_is_left_out_is_not_looked_at() {
    let clean = Example::new();
    let mut poisoned = Example::new();
    for (at, &mask) in clean.mask.iter().enumerate() {
        if mask == 0 {
            (poisoned.labels[at], poisoned.weights[at]) = (200, f32::NAN);
        }
        if mask == 0 || clean.weights[at] == 0.0 {
            poisoned.labels[at] = 200;
            for class in 0..CLASSES {
                let at = (at / VOXELS * CLASSES + class) * VOXELS + at % VOXELS;
                (poisoned.logits[at], poisoned.soft[at]) = (f64::NAN, f64::INFINITY);
            }
        }
    }
    let both = |example: &Example| {
        let problems = example.problems().into_iter().filter(|(what, ..)| *what == "both");
        let run = |problem: Problem<'_>| {
            let problem = Problem { non_finite: NonFinite::Error, ..problem };
            let mut gradient = [f64::NAN; SAMPLES * CLASSES * VOXELS];
            let mut view = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
            let loss = GeneralizedDice::default();
            let values = reference::value_and_grad(&example.view(), &problem, &loss, &mut view).unwrap();
            (values, gradient)
        };
        problems.map(|(_, problem, _)| run(problem)).collect::<Vec<_>>()
    };
    assert_eq!(both(&poisoned), both(&clean));
}

/// Samples one by one make the table and the gradient of the batch.
#[test]
fn samples_are_parts_of_a_batch() {
    let example = Example::new();
    for (what, problem, _) in example.problems() {
        let loss = GeneralizedDice { reduction: Reduction::None, ..GeneralizedDice::default() };
        let request = &loss.request();
        let whole = reference::statistics(&example.view(), &problem, request).unwrap();
        let cotangent = loss.evaluate(&whole).unwrap().cotangent;
        let upstream = [2.0, -3.0];
        let mut expected = [f64::NAN; SAMPLES * CLASSES * VOXELS];
        let mut view = ViewMut::channels_first(&mut expected, &SHAPE).unwrap();
        reference::pullback(&example.view(), &problem, &cotangent, &upstream, &mut view).unwrap();

        let mut merged = Statistics::new(SAMPLES, CLASSES, request).unwrap();
        let mut found = [f64::NAN; SAMPLES * CLASSES * VOXELS];
        for sample in [1, 0] {
            let range = sample..sample + 1;
            let logits = example.view().samples(range.clone()).unwrap();
            let problem = problem.samples(range.clone()).unwrap();
            let table = reference::statistics(&logits, &problem, request).unwrap();
            merged.merge_samples(sample, &table).unwrap();
            let mut view = ViewMut::channels_first(&mut found, &SHAPE).unwrap();
            let mut view = view.samples(range.clone()).unwrap();
            let rows = cotangent.samples(range.clone()).unwrap();
            reference::pullback(&logits, &problem, &rows, &upstream[range], &mut view).unwrap();
        }
        assert_eq!(merged, whole, "{what}");
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn tables_of_samples_go_where_they_belong() {
    let request = &Request::overlap(Activation::Softmax);
    let one = |number: f64| {
        let mut table = Statistics::new(1, 2, request).unwrap();
        table.sample_mut(0).iter_mut().for_each(|words| dice_core::accumulator::add(words, number));
        table
    };
    let mut table = Statistics::new(3, 2, request).unwrap();
    table.merge_samples(2, &one(5.0)).unwrap();
    table.merge_samples(0, &one(1.5)).unwrap();
    table.merge_samples(2, &one(0.25)).unwrap();
    table.merge_samples(3, &Statistics::new(0, 2, request).unwrap()).unwrap();
    for (sample, expected) in [1.5, 0.0, 5.25].into_iter().enumerate() {
        assert_eq!(table.valid_weight(Group::Sample(sample)), Ok(expected));
        assert_eq!(table.sum(Group::Sample(sample), 1, 0, Sum::Intersection), Ok(expected));
    }
    let before = table.clone();
    let error = table.merge_samples(3, &one(1.0)).unwrap_err();
    assert_eq!(error, Error::SampleRange { start: 3, end: 4, samples: 3 });
    assert!(table.merge_samples(usize::MAX, &one(1.0)).is_err());
    assert!(table.merge_samples(0, &Statistics::new(1, 3, request).unwrap()).is_err());
    assert!(table.merge_samples(0, &Statistics::new(1, 2, &Request::overlap(Activation::None)).unwrap()).is_err());
    assert_eq!(table, before, "untouched");
}

#[test]
fn cotangents_of_samples() {
    let request = &Request::overlap(Activation::Softmax);
    let fill = |rows: usize, values: Values| {
        let mut cotangent = Cotangent::new(request, rows, 2, values).unwrap();
        cotangent.as_mut_slice().iter_mut().enumerate().for_each(|(i, x)| *x = i as f64);
        cotangent
    };
    let several = fill(4, Values::PerGroup).samples(1..3).unwrap();
    assert_eq!((several.rows(), several.values(), several.classes()), (2, 2, 2));
    assert_eq!(several.as_slice(), &fill(4, Values::PerGroup).as_slice()[6..18]);
    let mean = fill(4, Values::One).samples(3..4).unwrap();
    assert_eq!((mean.rows(), mean.values()), (1, 1));
    assert_eq!(mean.get(0, 1, 0, Sum::Intersection), 23.0);
    // Samples that share a row keep it, however many there are.
    assert_eq!(fill(1, Values::One).samples(5..9).unwrap(), fill(1, Values::One));
    let none = fill(4, Values::PerGroup).samples(2..2).unwrap();
    assert_eq!((none.rows(), none.values()), (0, 0));
    assert_eq!(
        fill(4, Values::PerGroup).samples(3..5).unwrap_err(),
        Error::SampleRange { start: 3, end: 5, samples: 4 }
    );
}

#[test]
fn views_of_samples() {
    let data: Vec<u16> = (0..48).collect();
    let origins = |layout: &Layout| (0..layout.samples()).map(|n| layout.origin(n, 1)).collect::<Vec<_>>();
    let view = View::channels_first(&data, &[4, 2, 6]).unwrap();
    let part = view.samples(1..3).unwrap();
    assert_eq!(part.layout().dims(), [2, 2, 6]);
    assert_eq!(origins(part.layout()), [18, 30]);
    assert_eq!(origins(part.samples(1..2).unwrap().layout()), [30]);
    // Backwards, and all one.
    let flipped = View::strided(&data, &[4, 2, 6], &[-12, 6, 1], 36).unwrap();
    assert_eq!(origins(flipped.samples(2..4).unwrap().layout()), [18, 6]);
    let repeated = View::strided(&data, &[4, 2, 6], &[0, 6, 1], 12).unwrap();
    assert_eq!(origins(repeated.samples(2..4).unwrap().layout()), [18, 18]);
    assert_eq!(view.samples(4..4).unwrap().layout().samples(), 0);
    for (start, end) in [(0, 5), (4, 5), (3, 2), (usize::MAX, usize::MAX)] {
        let error = view.samples(start..end).unwrap_err();
        assert_eq!(error, Error::SampleRange { start, end, samples: 4 });
    }
}

/// The class of the greatest logit against the label, one voxel after the other.
#[test]
fn confusions_are_counts() {
    let mut example = Example::new();
    // A tie, of which the first wins, and NaN, which never does.
    (example.logits[0], example.logits[VOXELS], example.logits[2 * VOXELS]) = (0.5, 1.5, 1.5);
    example.logits[1] = f64::NAN;
    for (what, problem, m) in example.problems() {
        if problem.target.layout().channels() == CLASSES {
            assert_eq!(reference::confusion(&example.view(), &problem).unwrap_err(), Error::DenseTarget);
            continue;
        }
        let found = reference::confusion(&example.view(), &problem).unwrap();
        let mut counts = [[[0; CLASSES]; CLASSES]; SAMPLES];
        for sample in 0..SAMPLES {
            for voxel in 0..VOXELS {
                let z = |class: usize| example.logits[(sample * CLASSES + class) * VOXELS + voxel];
                let beaten = |class: usize| (0..CLASSES).any(|k| z(k) > z(class) || (z(k) == z(class) && k < class));
                let prediction = (0..CLASSES).find(|&class| !z(class).is_nan() && !beaten(class)).unwrap();
                let truth = usize::from(example.labels[sample * VOXELS + voxel]);
                counts[sample][truth][prediction] += u64::from(m[sample * VOXELS + voxel] > 0.0);
            }
        }
        assert_eq!(found.as_slice(), counts.as_flattened().as_flattened(), "{what}");
    }
}

/// Labels are compared with so many classes as an i32 holds: of more, what fits is not what was asked for.
#[test]
fn more_classes_than_a_label_map_can_have() {
    let labels = [0_u8; 4];
    let map = View::map(&labels, &[1, 4]).unwrap();
    let problem = Problem::new(map);
    let most = i32::MAX as usize;
    assert!(problem.check_map(map.layout(), most).is_ok());
    let error = problem.check_map(map.layout(), most + 1).unwrap_err();
    let (value, requirement) = (2_147_483_648.0, "at most 2147483647");
    assert_eq!(error, Error::InvalidParameter { name: "classes", value, requirement });
}
