//! Every loss against the textbook reference in f64, for inputs of every kind: alone and in compounds, whatever the activations
//! of the terms.
//!
//! `cargo test -p dice-simd --test family -- --nocapture` prints the greatest errors.

mod common;

use common::draw::{Wish, draw};
use common::inputs::{DenseTensor, Inputs, LabelTensor, Number, TYPES, with_types};
use common::loss::{LOSSES, any_compound, any_loss};
use common::{Level, Random, for_any, per_level, possible, rounds};
use dice_core::loss::{Compound, Focal, SoftDice};
use dice_core::{
    Activation, Cotangent, Group, LossHead, Needs, Problem, Request, Statistics, Sum, Sums, Target, View, ViewMut,
    reference,
};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];

/// Sums, relative to the sum of what is added: a lane adds 64 numbers in f32, and a power or a logarithm has its own error. Measured
/// over 18,000 draws: 6.4e-7; portable 9.7e-7.
const SUM: f64 = 2e-6;
/// A logarithm of a probability near 1 is that of a rounded sum of exponentials: absolute, per voxel.
const LOGARITHM: f64 = 4e-7;
/// Values, absolute, and relative to the value and its steepness where these are above 1. Measured: 7.9e-7.
const VALUE: f64 = 3e-6;
/// ∂L/∂z, relative to m times the sum of the absolute slopes of the voxel's group. Measured: 3.5e-7; portable
/// 5.0e-7.
const GRADIENT: f64 = 2e-6;

/// Sums, values and gradients of f64, as those of f32. Measured: 6.6e-16.
const DOUBLE: f64 = 1e-14;

/// Inputs of any kind for a loss.
fn wish(random: &mut Random, classes: usize, labels: bool) -> Wish {
    let target = if labels { "labels" } else { random.pick(&["one-hot", "soft"]) };
    Wish {
        target,
        target_type: match target {
            "labels" => random.pick(&LabelTensor::NAMES[usize::from(classes > 2)..]),
            _ => random.pick(&DenseTensor::NAMES[usize::from(target == "soft")..]),
        },
        mask: random.once_in(2),
        weights: random.once_in(2),
        sample_weights: random.once_in(2),
        ignored: if labels { random.pick(&["none", "a class", "no class"]) } else { "none" },
        in_place: false,
    }
}

/// A shape of few or many classes and voxels.
fn shape(random: &mut Random) -> [usize; 4] {
    let classes = random.pick(&[1, 2, 3, 4, 5, 14]);
    let voxels = if classes < 5 && random.once_in(8) { rounds(8300, 500) } else { 1 + random.below(400) };
    [1 + random.below(3), classes, 1 + random.below(3), voxels]
}

/// Compares the sums of two tables; `f32` ones may be off by a rounding of each logarithm.
fn check_sums(level: &Level, found: &Statistics, expected: &Statistics, is_double: bool, context: &str) {
    let request: &Request = expected.request();
    for sample in (0..expected.samples()).map(Group::Sample) {
        assert_eq!(found.voxels(sample), expected.voxels(sample), "{context}");
        let valid = expected.valid_weight(sample).unwrap();
        for class in 0..expected.classes() {
            for part in 0..request.parts() {
                for sum in request.part(part).sums.or(request.of_target()).iter() {
                    let [found, expected] = [found, expected].map(|it| it.sum(sample, class, part, sum).unwrap());
                    let logs = Sums::LOGS.contains(sum);
                    let (bound, floor) = match is_double {
                        true => (DOUBLE, DOUBLE * valid),
                        // What a difference follows from is as large as the volumes.
                        false if sum == Sum::Difference => (SUM, SUM * valid),
                        false => (SUM, if logs { LOGARITHM * valid } else { 1e-15 * valid }),
                    };
                    let error = ((found - expected).abs() - floor).max(0.0);
                    let relative = if error > 0.0 { error / expected.abs() } else { 0.0 };
                    let kind = if is_double { "sum, f64" } else { "sum, f32" };
                    level.within(kind, relative, bound, || {
                        format!("{sum:?} of class {class} is {found:e}, not {expected:e}: {context}")
                    });
                }
            }
        }
    }
}

/// Σ |∂L/∂sum · sum|.
fn steepness(statistics: &Statistics, cotangent: &Cotangent) -> f64 {
    let request = statistics.request();
    let mut total = 0.0;
    for row in 0..cotangent.rows() {
        let group = if cotangent.rows() == 1 { Group::All } else { Group::Sample(row) };
        for class in 0..statistics.classes() {
            for part in 0..request.parts() {
                for sum in request.part(part).sums.iter() {
                    let number = statistics.sum(group, class, part, sum).unwrap();
                    total += (cotangent.get(row, class, part, sum) * number).abs();
                }
            }
        }
    }
    total
}

/// Whether a probability of a voxel is its target but for a rounding: which side it lies on decides the slope by the difference.
fn touches<T: Number>(request: &Request, logits: &[T], g: &[f64]) -> bool {
    (0..request.parts()).map(|part| request.part(part)).any(|needs| {
        let mut p: Vec<f64> = logits.iter().map(|&z| z.into()).collect();
        needs.activation.apply(&mut p);
        needs.sums.contains(Sum::Difference) && p.iter().zip(g).any(|(p, g)| (p - g).abs() < 1e-5)
    })
}

/// The sum of all absolute slopes of a row, with what they may be multiplied by.
fn slopes(cotangent: &Cotangent, row: usize) -> f64 {
    let request = cotangent.request();
    let mut total = 0.0;
    for part in 0..request.parts() {
        let needs = request.part(part);
        let exponent = needs.exponents.iter().copied().fold(0.0, f64::max);
        let cost = needs.costs.iter().copied().fold(0.0, f64::max);
        // Given probabilities are above 1/20, and so are their complements.
        let steep = if needs.activation == Activation::None { 20.0 } else { 1.0 };
        for class in 0..cotangent.classes() {
            for sum in needs.sums.iter() {
                let factor = match sum {
                    Sum::PredictionSquares => 2.0,
                    Sum::Cost => cost,
                    sum if Sums::LOGS.contains(sum) => steep * (1.0 + 3.0 * exponent),
                    _ => 1.0,
                };
                total += factor * cotangent.get(row, class, part, sum).abs();
            }
        }
    }
    total
}

fn check<T: Number, G: Number<Arithmetic = T::Arithmetic>>(
    level: &Level,
    inputs: &Inputs<T>,
    loss: &dyn LossHead,
    context: &str,
) {
    let (logits, problem, engine) = (inputs.logits.view(), inputs.problem(), level.engine());
    let request = loss.request();
    let expected = reference::statistics(&logits, &problem, &request).unwrap();
    let found = engine.statistics(&logits, &problem, &request).unwrap();
    check_sums(level, &found, &expected, T::IS_DOUBLE, context);
    let evaluation = loss.evaluate(&expected).unwrap();
    let values = engine.value(&logits, &problem, loss).unwrap().values;
    assert_eq!(values.len(), evaluation.values.len(), "{context}");
    let (kind, bound) = if T::IS_DOUBLE { ("value, f64", DOUBLE) } else { ("value, f32", VALUE) };
    // By how much the value would change if every sum were another by all of itself: a ratio of differences may be steep.
    let steepness = steepness(&expected, &evaluation.cotangent);
    for (found, expected) in values.iter().zip(&evaluation.values) {
        let error = (found - expected).abs() / expected.abs().max(steepness).max(1.0);
        level.within(kind, error, bound, || format!("{found}, not {expected}: {context}"));
    }

    // One and the same cotangent.
    let cotangent = &evaluation.cotangent;
    let mut gradient = vec![f64::NAN; inputs.shape().iter().product()];
    let mut view = ViewMut::channels_first(&mut gradient, inputs.shape()).unwrap();
    reference::pullback(&logits, &problem, cotangent, &[1.5], &mut view).unwrap();
    let mut data = vec![G::of(-12_345.0); inputs.gradient.len];
    let mut view = inputs.gradient.view_mut(&mut data);
    engine.pullback(&logits, &problem, cotangent, &[1.5], &mut view).unwrap();
    let (m, g) = inputs.weights_and_targets();
    let (classes, voxels) = (inputs.classes(), inputs.voxels());
    let all_logits = inputs.logits.place.gather(&inputs.logits.data);
    let of_voxel =
        |sample: usize, voxel: usize| (0..classes).map(move |class| (sample * classes + class) * voxels + voxel);
    let excused: Vec<bool> = (0..m.len())
        .map(|at| {
            let places = || of_voxel(at / voxels, at % voxels);
            let z: Vec<T> = places().map(|place| all_logits[place]).collect();
            let g: Vec<f64> = places().map(|place| g[place]).collect();
            // Of labels only a probability of 0 or 1 touches, and there a softmax and a sigmoid have no slope.
            g.iter().any(|g| g.fract() != 0.0) && touches(&request, &z, &g)
        })
        .collect();
    let bound = if T::IS_DOUBLE { DOUBLE } else { GRADIENT };
    let kind = if T::IS_DOUBLE { "gradient, f64" } else { "gradient, f32 and halves" };
    for (at, (found, expected)) in inputs.gradient.gather(&data).into_iter().zip(gradient).enumerate() {
        let (sample, voxel) = (at / (classes * voxels), at % voxels);
        let found: f64 = found.into();
        let scale = 1.5 * m[sample * voxels + voxel] * slopes(cotangent, cotangent.row(sample));
        if scale == 0.0 {
            assert_eq!(found.to_bits(), 0, "element {at}: {context}");
            continue;
        }
        if excused[sample * voxels + voxel] {
            continue;
        }
        let (relative, least) = G::ROUNDING;
        let own = if relative > f32::ROUNDING.0 { relative * (1.0 + 1e-3) * expected.abs() + least } else { 0.0 };
        let error = ((found - expected).abs() - own).max(0.0) / scale;
        level.within(kind, error, bound, || {
            format!("element {at} is {found:e}, not {expected:e}, at a scale of {scale:e}: {context}")
        });
    }
}

/// A logit, or a probability that keeps away from 0 and 1.
fn logit(random: &mut Random, given: bool) -> f64 {
    if given { random.within(0.05, 0.95).into() } else { random.within(-6.0, 6.0).into() }
}

/// Each loss alone, with each activation.
fn every_loss(level: &Level) {
    for_any(rounds(300, 6), (any::<u64>(), prop::sample::select(TYPES.to_vec())), |(seed, types)| {
        let mut random = Random(seed);
        let name = random.pick(&LOSSES);
        let activation = random.pick(&ACTIVATIONS);
        let labels = name == "Wasserstein Dice" || random.once_in(2);
        let shape = shape(&mut random);
        let loss = any_loss(&mut random, name, shape[1], activation);
        let wish = wish(&mut random, shape[1], labels);
        let context = format!("{types:?} {shape:?} {wish:?} {loss:?}");
        with_types!(types, |T, G| {
            let given = activation == Activation::None;
            let (inputs, _) = draw::<T>(&mut random, &shape, &wish, |random| logit(random, given));
            check::<T, G>(level, &inputs, &loss, &context);
        });
    });
}
per_level!(every_loss);

/// Sums of losses, each with an activation of its own.
fn compounds(level: &Level) {
    for_any(rounds(300, 6), (any::<u64>(), prop::sample::select(TYPES.to_vec())), |(seed, types)| {
        let mut random = Random(seed);
        let labels = random.once_in(2);
        let shape = shape(&mut random);
        // Logits are no probabilities.
        let given = random.once_in(3);
        let loss = any_compound(&mut random, shape[1], &ACTIVATIONS[..if given { 3 } else { 2 }], labels);
        let wish = wish(&mut random, shape[1], labels);
        let context = format!("{types:?} {shape:?} {wish:?} {loss:?}");
        with_types!(types, |T, G| {
            let (inputs, _) = draw::<T>(&mut random, &shape, &wish, |random| logit(random, given));
            check::<T, G>(level, &inputs, &loss, &context);
        });
    });
}
per_level!(compounds);

/// Logits of any finite size, probabilities of 0 and 1: numbers, always.
fn finite_inputs_give_finite_numbers(level: &Level) {
    let mut random = Random(71);
    for round in 0..rounds(200, 10) {
        let shape = [2, random.pick(&[1, 2, 4, 5]), 100];
        let given = round % 3 == 0;
        let activations = if given { &ACTIVATIONS[2..] } else { &ACTIVATIONS[..2] };
        let labels = random.once_in(2);
        let loss: Compound = any_compound(&mut random, shape[1], activations, labels);
        let wish = Wish { ignored: "none", ..wish(&mut random, shape[1], labels) };
        let extremes = if given { [0.0, 1.0, 0.5, 1.0] } else { [1e30, -1e30, 0.0, 80.0] };
        let (inputs, _) = draw::<f32>(&mut random, &shape, &wish, |random| random.pick(&extremes));
        let mut data = vec![0.0_f32; inputs.gradient.len];
        let mut view = inputs.gradient.view_mut(&mut data);
        let found =
            level.engine().value_and_grad(&inputs.logits.view(), &inputs.problem(), &loss, &[1.0], &mut view).unwrap();
        assert!(found.values.iter().all(|value| value.is_finite()), "{:?}: {loss:?}", found.values);
        let gradient = inputs.gradient.gather(&data);
        assert!(gradient.iter().all(|x| x.is_finite()), "{loss:?}");
    }
}
per_level!(finite_inputs_give_finite_numbers);

/// A class that a logit of −∞ rules out has p ln p = 0: the gradient of a focal loss is finite, of labels as of the same dense target,
/// whether the class counts or not.
fn classes_that_are_ruled_out(level: &Level) {
    const VOXELS: usize = 70;
    let labels: Vec<u8> = (0..VOXELS).map(|voxel| (voxel % 2) as u8).collect();
    let one_hot: Vec<f32> =
        (0..2 * VOXELS).map(|place| f32::from(usize::from(labels[place % VOXELS]) == place / VOXELS)).collect();
    let logits: Vec<f32> = (0..2 * VOXELS)
        .map(|place| match (place % VOXELS % 10 < 4, place / VOXELS) {
            (true, 0) => f32::NEG_INFINITY,
            (false, class) => class as f32 - 0.3,
            _ => 0.0,
        })
        .collect();
    let focal = |exclude_background, exponents| Focal { exclude_background, exponents, ..Focal::default() };
    let shape = [1, 2, VOXELS];
    let z = View::channels_first(&logits, &shape).unwrap();
    let problems = [
        Problem::new(View::map(&labels, &[1, VOXELS]).unwrap()),
        Problem::new(Target::Dense(View::channels_first(&one_hot, &shape).unwrap().into())),
    ];
    for exclude_background in [true, false] {
        for exponents in [vec![2.0], vec![2.0, 2.0], vec![0.5]] {
            let softmax = focal(exclude_background, exponents.clone());
            let sigmoid = Focal { exponents, exclude_background, ..Focal::binary() };
            for loss in [softmax.clone().into(), sigmoid.into(), SoftDice::default() + softmax] {
                let mut expected = vec![0.0; 2 * VOXELS];
                let view = &mut ViewMut::channels_first(&mut expected, &shape).unwrap();
                reference::value_and_grad(&z, &problems[0], &loss, view).unwrap();
                for problem in &problems {
                    let mut found = vec![0.0_f32; 2 * VOXELS];
                    let view = &mut ViewMut::channels_first(&mut found, &shape).unwrap();
                    level.engine().value_and_grad(&z, problem, &loss, &[1.0], view).unwrap();
                    for (place, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
                        assert!((f64::from(found) - expected).abs() < 1e-7, "{found}, {expected} at {place}: {loss:?}");
                    }
                }
            }
        }
    }
}
per_level!(classes_that_are_ruled_out);

/// A request of no sums at all has an empty table on every level.
fn requests_without_sums(level: &Level) {
    let mut request = Request::new(&Needs::new(Activation::Softmax, Sums::NONE));
    request.add(&Needs::new(Activation::Sigmoid, Sums::NONE));
    let (logits, labels) = ([0.5_f32; 2 * 200], [1_u8; 200]);
    let z = View::channels_first(&logits, &[1, 2, 200]).unwrap();
    let problem = Problem::new(View::map(&labels, &[1, 200]).unwrap());
    let table = level.engine().statistics(&z, &problem, &request).unwrap();
    assert_eq!(table.valid_weight(Group::Sample(0)), Ok(200.0));
}
per_level!(requests_without_sums);

/// A term of the overlap has the same bits in a compound as alone, though other kernels compute it.
fn overlap_in_compounds(level: &Level) {
    let mut random = Random(72);
    for classes in [1, 2, 3, 4, 5, 14] {
        for labels in [true, false] {
            let shape = [2, classes, rounds(8300, 300)];
            let wish = Wish { ignored: "none", ..wish(&mut random, classes, labels) };
            let (inputs, _) = draw::<f32>(&mut random, &shape, &wish, |random| logit(random, false));
            let (logits, problem, engine) = (inputs.logits.view(), inputs.problem(), level.engine());
            let activation = possible(Activation::Softmax, classes);
            let plain = Request::overlap(activation);
            let mut request = plain.clone();
            let logs = Sums::NONE.with(Sum::LogInside);
            request.add(&Needs::new(activation, logs));
            request.add(&Needs::new(Activation::Sigmoid, Sums::OVERLAP));
            let expected = engine.statistics(&logits, &problem, &plain).unwrap();
            let found = engine.statistics(&logits, &problem, &request).unwrap();
            for sample in (0..2).map(Group::Sample) {
                for class in 0..classes {
                    for sum in Sums::OVERLAP.iter() {
                        let [found, expected] = [&found, &expected].map(|it| it.sum(sample, class, 0, sum).unwrap());
                        assert_eq!(found.to_bits(), expected.to_bits(), "{sum:?} of {class}: {wish:?}");
                    }
                }
            }
            // A compound with a term of factor 0 has the gradient of the other one.
            let mut alone = vec![0.0_f32; inputs.gradient.len];
            let loss = any_loss(&mut random, "generalised Dice", classes, Activation::Softmax);
            engine.value_and_grad(&logits, &problem, &loss, &[1.0], &mut inputs.gradient.view_mut(&mut alone)).unwrap();
            let mut both = alone.clone();
            let other = any_loss(&mut random, "focal", classes, Activation::Sigmoid);
            let mut compound = Compound::from(loss) + Compound::from(other);
            compound.terms[1].factor = 0.0;
            engine
                .value_and_grad(&logits, &problem, &compound, &[1.0], &mut inputs.gradient.view_mut(&mut both))
                .unwrap();
            // Zeros may differ in their sign, and the order of the steps may round otherwise.
            for (found, expected) in both.iter().zip(&alone) {
                let error = f64::from((found - expected).abs());
                level.within("gradient beside a term of factor 0", error, 1e-6, || format!("{found} {expected}"));
            }
        }
    }
}
per_level!(overlap_in_compounds);
