//! The generalised Dice head: its gradient is the derivative of its value for every combination of options; the policy
//! for absent classes gives the numbers that it was chosen for; every corner (0/0, nothing present, one channel, no
//! sample, no voxel, non-finite logits, ignored and wrong labels, wrong parameters) has its stated result.

mod common;

use common::{Random, UNWRITTEN, Volume, bits, largest, preset, relative_error};
use dice_core::loss::{AbsentClass, ClassWeighting, Empty, GeneralizedDice, NonFiniteLoss, WeightScale};
use dice_core::{
    Activation, Cotangent, Dims, Error, Evaluation, Group, Grouping, LossHead, Needs, NonFinite, Problem, Reduction,
    Request, Statistics, Sum, Sums, Values, View, ViewMut, accumulator, reference,
};
use proptest::prelude::*;

/// Central differences of fourth order with step h: truncation h⁴/30 times a fifth derivative below 10 is 3e-13,
/// rounding 1e-16 / h is 1e-13, both against gradients of 1e-3 and more.
const STEP: f64 = 1e-3;
const DIFFERENCES: f64 = 1e-10;
/// A few roundings of a value near 1.
const ROUNDING: f64 = 1e-14;

const WEIGHTINGS: [ClassWeighting; 3] =
    [ClassWeighting::InverseSquare, ClassWeighting::Inverse, ClassWeighting::Uniform];
const POLICIES: [AbsentClass; 5] = [
    AbsentClass::LeastPresent,
    AbsentClass::MaxFinite,
    AbsentClass::Epsilon(0.05),
    AbsentClass::Regularised(0.3),
    AbsentClass::Zero,
];
const SCALES: [WeightScale; 2] = [WeightScale::RarestPresent, WeightScale::Raw];
const GROUPINGS: [Grouping; 2] = [Grouping::PerSample, Grouping::Batch];
const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

/// Every combination of the options but activation, floor and non-finite rule, for `classes` classes.
fn every_combination(classes: usize) -> Vec<GeneralizedDice> {
    let fixed = [0.5, 2.0, 0.25, 1.5, 0.75];
    let mut combinations = Vec::new();
    for exclude_background in [false, true] {
        let kept = &fixed[usize::from(exclude_background && classes > 1)..classes];
        for weighting in WEIGHTINGS.into_iter().chain([ClassWeighting::Fixed(kept.to_vec())]) {
            for absent in POLICIES {
                for scale in SCALES {
                    for grouping in GROUPINGS {
                        for reduction in REDUCTIONS {
                            for (smooth_numerator, smooth_denominator) in [(0.0, 0.0), (0.2, 0.7)] {
                                combinations.push(GeneralizedDice {
                                    weighting: weighting.clone(),
                                    absent,
                                    scale,
                                    smooth_numerator,
                                    smooth_denominator,
                                    exclude_background,
                                    grouping,
                                    reduction,
                                    ..GeneralizedDice::default()
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    combinations
}

/// Two samples, four classes: class 2 is absent from the first sample, class 3 from both.
fn lacking(activation: Activation, seed: u64) -> Volume {
    // Without an activation the prediction itself is the probability.
    let range = if activation == Activation::None { (0.05, 0.95) } else { (-2.0, 2.0) };
    let mut volume = Volume::random(&mut Random(seed), &[2, 4, 5], range, &[0]);
    volume.labels.copy_from_slice(&[0, 1, 0, 0, 1, 2, 0, 1, 2, 0]);
    volume
}

/// The gradient of Σ_i upstream_i value_i by differences of the values.
fn by_differences(volume: &Volume, loss: &GeneralizedDice, upstream: &[f64]) -> Vec<f64> {
    let mut moved = volume.clone();
    let mut objective = |place: usize, step: f64| -> f64 {
        moved.logits[place] = volume.logits[place] + step;
        let values = moved.evaluate(loss).values;
        moved.logits[place] = volume.logits[place];
        values.iter().zip(upstream.iter().cycle()).map(|(value, upstream)| value * upstream).sum()
    };
    (0..volume.logits.len())
        .map(|place| {
            let near = objective(place, STEP) - objective(place, -STEP);
            let far = objective(place, 2.0 * STEP) - objective(place, -2.0 * STEP);
            (8.0 * near - far) / (12.0 * STEP)
        })
        .collect()
}

/// Checks one loss on one volume; returns the error relative to the largest element.
fn check_gradient(volume: &Volume, loss: &GeneralizedDice) -> f64 {
    let values = volume.evaluate(loss).values.len();
    // Unequal upstream gradients show a value that is credited to another group.
    let upstream: Vec<f64> = (0..values).map(|i| 1.0 - 1.75 * i as f64).collect();
    let (_, gradient) = volume.try_run(loss, &upstream).unwrap();
    let error = relative_error(&gradient, &by_differences(volume, loss, &upstream));
    assert!(error <= DIFFERENCES, "{loss:?}: the gradient is off by {error:e} of its largest element");
    assert!(largest(&gradient) > 1e-3, "{loss:?}: too flat to tell anything, {}", largest(&gradient));
    error
}

fn gradient_of_every_combination(activation: Activation) {
    let volume = lacking(activation, 11);
    let combinations = every_combination(4);
    assert_eq!(combinations.len(), 4 * 5 * 2 * 2 * 2 * 3 * 2);
    let worst = combinations
        .into_iter()
        .map(|loss| check_gradient(&volume, &GeneralizedDice { activation, ..loss }))
        .fold(0.0, f64::max);
    println!("{activation:?}: worst error {worst:e}");
}

#[test]
fn gradient_of_every_combination_on_a_softmax() {
    gradient_of_every_combination(Activation::Softmax);
}

#[test]
fn gradient_of_every_combination_on_a_sigmoid() {
    gradient_of_every_combination(Activation::Sigmoid);
}

#[test]
fn gradient_of_every_combination_without_activation() {
    gradient_of_every_combination(Activation::None);
}

#[test]
fn gradient_above_and_below_the_floor_of_the_union() {
    let volume = lacking(Activation::Softmax, 12);
    let (mut below, mut above) = (0, 0);
    for loss in every_combination(4).into_iter().filter(|loss| loss.reduction == Reduction::None) {
        for least_union in [1.0, 2.5] {
            let loss = GeneralizedDice { least_union, ..loss.clone() };
            check_gradient(&volume, &loss);
            for row in volume.evaluate(&loss).classes.chunks(4) {
                let kept = &row[usize::from(loss.exclude_background)..];
                let floored = kept.iter().filter(|class| class.target + class.prediction < least_union).count();
                below += floored;
                above += kept.len() - floored;
            }
        }
    }
    assert!(below > 100 && above > 100, "{below} classes below the floor, {above} above");
}

#[test]
fn gradient_of_one_channel() {
    for activation in [Activation::Sigmoid, Activation::None] {
        let range = if activation == Activation::None { (0.05, 0.95) } else { (-2.0, 2.0) };
        let volume = Volume::random(&mut Random(13), &[3, 1, 2, 3], range, &[0, 1]);
        for loss in every_combination(1) {
            check_gradient(&volume, &GeneralizedDice { activation, ..loss });
        }
    }
}

/// A table of statistics for `activation`, from `[T, S, I]` per sample and class.
fn table<const C: usize>(activation: Activation, samples: &[[[f64; 3]; C]]) -> Statistics {
    let mut statistics = Statistics::new(samples.len(), C, &Request::overlap(activation)).unwrap();
    for (sample, classes) in samples.iter().enumerate() {
        let words = statistics.sample_mut(sample);
        // Each voxel belongs to some class.
        let voxels = classes.iter().map(|sums| sums[0]).sum();
        let of_no_class = [voxels; Statistics::OF_NO_CLASS];
        // Then per class the sums in the order of `Sum::ALL`: target, prediction, intersection.
        for (words, &sum) in words.iter_mut().zip(of_no_class.iter().chain(classes.as_flattened())) {
            accumulator::add(words, sum);
        }
    }
    statistics
}

fn value<const C: usize>(loss: &GeneralizedDice, samples: &[[[f64; 3]; C]]) -> f64 {
    let evaluation = loss.evaluate(&table(loss.activation, samples)).unwrap();
    assert_eq!(evaluation.values.len(), 1);
    evaluation.values[0]
}

/// Four classes that fill 90, 6, 4 and 0 % of the voxels; the prediction is 0.7 times the truth plus 0.3 times a
/// uniform guess.
fn unbalanced(voxels: f64) -> [[f64; 3]; 4] {
    [0.90, 0.06, 0.04, 0.0].map(|share| {
        let target = share * voxels;
        [target, 0.7 * target + 0.3 * voxels / 4.0, (0.7 + 0.3 / 4.0) * target]
    })
}

/// The weights of Sudre 2017 under this library's policies.
fn by_square() -> GeneralizedDice {
    GeneralizedDice { weighting: ClassWeighting::InverseSquare, ..GeneralizedDice::default() }
}

/// Why an absent class has the smallest weight of the present ones, and why weights are relative: the numbers that the
/// policies were chosen by, to all their printed digits.
#[test]
fn an_absent_class_at_two_sizes_of_the_image() {
    let raw = |absent| GeneralizedDice { absent, scale: WeightScale::Raw, ..by_square() };
    let at = |loss: &GeneralizedDice, side: f64, axes: i32| value(loss, &[unbalanced(side.powi(axes))]);
    let near = |found: f64, printed: f64, half_digit: f64| {
        assert!((found - printed).abs() <= half_digit, "{found} where {printed} is expected");
    };

    let epsilon = preset("per_sample");
    near(at(&epsilon, 28.0, 2), 0.528, 5e-4);
    near(at(&epsilon, 128.0, 3), 0.99980, 5e-6);

    let regularised = raw(AbsentClass::Regularised(1e-5));
    near(at(&regularised, 28.0, 2), 0.999_999_99, 5e-9);
    near(1.0 - at(&regularised, 128.0, 3), 2e-15, 5e-16);

    // The last three are the same at any size, also with relative weights.
    for (absent, printed, half_digit) in [
        (AbsentClass::LeastPresent, 0.52846, 5e-6),
        (AbsentClass::MaxFinite, 0.646, 5e-4),
        (AbsentClass::Zero, 0.52815, 5e-6),
    ] {
        let relative = GeneralizedDice { absent, ..by_square() };
        near(at(&raw(absent), 28.0, 2), printed, half_digit);
        for (side, axes) in [(28.0, 2), (128.0, 3), (4096.0, 3)] {
            near(at(&raw(absent), side, axes), at(&raw(absent), 28.0, 2), ROUNDING);
            near(at(&relative, side, axes), at(&raw(absent), 28.0, 2), ROUNDING);
        }
    }
    assert_eq!(GeneralizedDice::default(), GeneralizedDice { absent: AbsentClass::LeastPresent, ..Default::default() });
}

/// MONAI's smoothing of 1e-5 is absolute while its weights are 1/T²: the same picture has another loss at every size.
#[test]
fn absolute_smoothing_drifts_with_the_size_and_the_default_does_not() {
    for (side, monai) in [(32.0_f64, 0.742), (64.0, 0.693), (128.0, 0.453), (160.0, 0.329)] {
        let voxels = side.powi(3);
        // One quarter of the voxels per class, every probability 1/4.
        let uniform = [[[voxels / 4.0, voxels / 4.0, voxels / 16.0]; 4]];
        let drifted = value(&preset("monai_gdl"), &uniform);
        assert!((drifted - monai).abs() <= 5e-4, "{side}: {drifted}");
        assert_eq!(value(&GeneralizedDice::default(), &uniform), 0.75, "{side}");
    }
}

/// With relative weights smoothing counts in voxels of the rarest present class.
#[test]
fn smoothing_counts_in_voxels_of_the_rarest_class() {
    let loss = GeneralizedDice { smooth_numerator: 3.0, smooth_denominator: 5.0, ..by_square() };
    let found = value(&loss, &[[[1000.0, 900.0, 800.0], [10.0, 14.0, 6.0]]]);
    // Relative weights: (10/1000)² and 1.
    let expected = 1.0 - (2.0 * (1e-4 * 800.0 + 6.0) + 3.0) / (1e-4 * 1900.0 + 24.0 + 5.0);
    assert!((found - expected).abs() <= ROUNDING, "{found}, {expected}");
}

/// The question that this library starts from: one class absent from the batch, and the loss stands at 1 with no
/// gradient to leave it. The default and the question's answer do not.
#[test]
fn the_failure_of_the_question() {
    let side = 28;
    let voxels = side * side;
    // The first 90 % are background, the next 6 % class 1, the last 4 % class 2, and class 3 is nowhere.
    let label = |percent: usize| u8::from(percent >= 90) + u8::from(percent >= 96);
    let labels: Vec<u8> = (0..voxels).map(|v| label(v * 100 / voxels)).collect();
    let mut volume = Volume { shape: vec![1, 4, side, side], logits: vec![], labels, ignored: None };
    for class in 0..4 {
        let chance = |&label: &u8| if label == class { 0.775_f64 } else { 0.075 };
        volume.logits.extend(volume.labels.iter().map(|label| chance(label).ln()));
    }

    // The network's softmax is part of its gradient.
    let question = GeneralizedDice { activation: Activation::Softmax, ..preset("batch_pooled") };
    let (values, gradient) = volume.run(&question);
    assert!((0.999_999_98..1.0).contains(&values[0]), "{values:?}");
    let steepest = largest(&gradient);
    assert!((1e-11..1e-9).contains(&steepest), "{steepest:e}");
    println!("question: loss {}, gradient {steepest:e}", values[0]);

    for (loss, range) in
        [(GeneralizedDice::default(), 0.44..0.46), (by_square(), 0.52..0.54), (preset("per_sample"), 0.52..0.54)]
    {
        let (values, gradient) = volume.run(&loss);
        assert!(range.contains(&values[0]), "{values:?}");
        assert!(largest(&gradient) > 1e6 * steepest, "{loss:?}: {:e} against {steepest:e}", largest(&gradient));
    }
}

/// The weights of T = 16, 4, 2, 0 under every weighting, policy and scale, by hand.
#[test]
fn weights_by_hand() {
    use AbsentClass::{Epsilon, LeastPresent, MaxFinite, Regularised, Zero};
    let fixed = || ClassWeighting::Fixed(vec![3.0, 1.0, 2.0, 5.0]);
    let square = [1.0 / 256.0, 1.0 / 16.0, 1.0 / 4.0];
    let plain = [1.0 / 16.0, 1.0 / 4.0, 1.0 / 2.0];
    let with = |present: [f64; 3], absent: f64| [present[0], present[1], present[2], absent];
    let cases = [
        (ClassWeighting::InverseSquare, LeastPresent, with(square, 1.0 / 256.0), 0.25),
        (ClassWeighting::InverseSquare, MaxFinite, with(square, 0.25), 0.25),
        (ClassWeighting::InverseSquare, Epsilon(0.125), with(square, 0.125), 0.25),
        (ClassWeighting::InverseSquare, Regularised(1.0), [1.0 / 257.0, 1.0 / 17.0, 1.0 / 5.0, 1.0], 1.0 / 5.0),
        (ClassWeighting::InverseSquare, Zero, with(square, 0.0), 0.25),
        (ClassWeighting::Inverse, LeastPresent, with(plain, 1.0 / 16.0), 0.5),
        (ClassWeighting::Inverse, MaxFinite, with(plain, 0.5), 0.5),
        (ClassWeighting::Inverse, Epsilon(0.125), with(plain, 0.125), 0.5),
        (ClassWeighting::Inverse, Regularised(1.0), [1.0 / 17.0, 1.0 / 5.0, 1.0 / 3.0, 1.0], 1.0 / 3.0),
        (ClassWeighting::Inverse, Zero, with(plain, 0.0), 0.5),
    ];
    // No policy touches these.
    let untouched = POLICIES.into_iter().flat_map(|absent| {
        [(ClassWeighting::Uniform, absent, [1.0; 4], 1.0), (fixed(), absent, [3.0, 1.0, 2.0, 5.0], 3.0)]
    });
    let sums = [[16.0, 10.0, 8.0], [4.0, 5.0, 3.0], [2.0, 3.0, 1.0], [0.0, 2.0, 0.0]];
    for (weighting, absent, raw, largest_present) in cases.into_iter().chain(untouched) {
        for scale in SCALES {
            let loss = GeneralizedDice { weighting: weighting.clone(), absent, scale, ..GeneralizedDice::default() };
            let evaluation = loss.evaluate(&table(Activation::Softmax, &[sums])).unwrap();
            let divisor = if scale == WeightScale::Raw { 1.0 } else { largest_present };
            let expected = raw.map(|weight| weight / divisor);
            let found: Vec<f64> = evaluation.classes.iter().map(|class| class.weight).collect();
            assert_eq!(found, expected, "{loss:?}");

            // The value is the ratio with these weights, and the shares say where it comes from.
            let weigh = |f: fn([f64; 3]) -> f64| -> f64 { sums.iter().zip(expected).map(|(s, w)| w * f(*s)).sum() };
            let union = weigh(|[t, s, _]| t + s);
            let missed = weigh(|[t, s, i]| t + s - 2.0 * i);
            assert!((evaluation.value() - missed / union).abs() <= ROUNDING, "{loss:?}: {}", evaluation.value());
            for (class, (sums, weight)) in evaluation.classes.iter().zip(sums.iter().zip(expected)) {
                let [target, prediction, intersection] = *sums;
                assert_eq!([class.target, class.prediction, class.intersection], *sums);
                assert_eq!(class.dice, 2.0 * intersection / (target + prediction));
                let share = weight * (target + prediction - 2.0 * intersection) / missed;
                assert!((class.share - share).abs() <= ROUNDING, "{loss:?}: {class:?}");
            }
        }
    }
}

/// Without the background the weights are those of the classes that stay, and class 0 has no say at all.
#[test]
fn background_off() {
    let sums = [[0.5, 10.0, 0.25], [4.0, 5.0, 3.0], [2.0, 3.0, 1.0], [0.0, 2.0, 0.0]];
    let mut other = sums;
    other[0] = [700.0, 1.0, 0.5];
    let loss = GeneralizedDice { exclude_background: true, ..by_square() };
    let evaluation = loss.evaluate(&table(Activation::Softmax, &[sums])).unwrap();
    let weights: Vec<f64> = evaluation.classes.iter().map(|class| class.weight).collect();
    // Class 0 is the rarest and yet neither the largest nor the smallest weight comes from it.
    assert_eq!(weights, [0.0, 0.25, 1.0, 0.25]);
    assert_eq!(evaluation.classes[0].target, 0.5, "the report still tells of it");
    let moved = loss.evaluate(&table(Activation::Softmax, &[other])).unwrap();
    assert_eq!(moved.values, evaluation.values);
    assert_eq!(moved.cotangent, evaluation.cotangent);
    for sum in Sum::ALL {
        assert_eq!(evaluation.cotangent.get(0, 0, 0, sum), 0.0);
    }

    // After the activation, never before: the logit of class 0 still moves the other probabilities.
    let volume = lacking(Activation::Softmax, 14);
    let (_, gradient) = volume.run(&loss);
    assert!(largest(&gradient[..volume.voxels()]) > 1e-3);
}

#[test]
fn one_channel() {
    // T, S, I of a structure; labels 0 and 1.
    let volume = Volume {
        shape: vec![1, 1, 4],
        logits: vec![3_f64.ln(), -(3_f64.ln()), 0.0, 7_f64.ln()],
        labels: vec![1, 0, 1, 0],
        ignored: None,
    };
    // p = 3/4, 1/4, 1/2, 7/8.
    let (target, prediction, intersection) = (2.0, 2.375, 1.25);
    let loss = GeneralizedDice { activation: Activation::Sigmoid, ..GeneralizedDice::default() };
    let evaluation = volume.evaluate(&loss);
    assert!((evaluation.value() - (1.0 - 2.0 * intersection / (prediction + target))).abs() <= ROUNDING);

    // There is no background channel to leave out.
    let foreground = GeneralizedDice { exclude_background: true, ..loss.clone() };
    assert_eq!(volume.run(&foreground), volume.run(&loss));

    // A softmax over one channel is 1 everywhere: no logit would matter.
    let error = volume.try_run(&GeneralizedDice::default(), &[1.0]).unwrap_err();
    assert_eq!(error.to_string(), "a softmax over one channel is 1 whatever the logit: one channel takes a sigmoid");

    // The background may be the ignored label: then only the structure's voxels count.
    let on_structure = Volume { ignored: Some(0), ..volume };
    let (values, gradient) = on_structure.run(&loss);
    assert!((values[0] - (1.0 - 2.5 / (1.25 + 2.0))).abs() <= ROUNDING, "{values:?}");
    assert_eq!([gradient[1].to_bits(), gradient[3].to_bits()], [0, 0]);
}

#[test]
fn nothing_over_nothing_is_a_loss_of_zero_without_gradient() {
    // The kept class is neither in the target nor in the prediction, whose other logits are −∞.
    let volume = Volume {
        shape: vec![1, 2, 3],
        logits: [[0.5; 3], [f64::NEG_INFINITY; 3]].concat(),
        labels: vec![0; 3],
        ignored: None,
    };
    for loss in every_combination(2).into_iter().filter(|loss| loss.exclude_background) {
        if loss.smooth_denominator > 0.0 {
            continue;
        }
        let (values, gradient) = volume.run(&loss);
        assert_eq!(bits(&values), [0], "{loss:?}");
        assert_eq!(bits(&gradient), [0; 6], "{loss:?}");
    }
    // In a batch it counts in the mean.
    let empty = [[4.0, 4.0, 4.0], [0.0; 3]];
    let half = [[4.0, 4.0, 4.0], [2.0, 2.0, 1.0]];
    let loss = GeneralizedDice { exclude_background: true, ..GeneralizedDice::default() };
    assert_eq!(value(&loss, &[empty, half]), 0.25);
    // A denominator of 0 under a numerator above 0 is no better defined.
    let lopsided = GeneralizedDice { smooth_numerator: 1.0, ..loss };
    assert_eq!(value(&lopsided, &[empty]), 0.0);
}

/// By default false positives of a group without any kept class cost what part of its voxels they are; or the group counts as
/// nothing, or not at all.
#[test]
fn empty_groups() {
    let empty = [[9.0, 5.0, 4.0], [0.0, 3.0, 0.0], [0.0, 1.0, 0.0]];
    let half = [[4.0, 4.0, 4.0], [2.0, 2.0, 1.0], [0.0; 3]];
    let of = |empty| GeneralizedDice { exclude_background: true, empty, ..GeneralizedDice::default() };
    let claimed = 0.5 * (3.0 / 9.0 + 1.0 / 9.0);
    for (policy, alone, beside) in
        [(Empty::FalsePositives, claimed, 0.5 * (claimed + 0.5)), (Empty::Zero, 0.0, 0.25), (Empty::Skip, 0.0, 0.5)]
    {
        let loss = of(policy);
        assert!((value(&loss, &[empty]) - alone).abs() <= ROUNDING, "{policy:?}");
        assert!((value(&loss, &[empty, half]) - beside).abs() <= ROUNDING, "{policy:?}");
        let by_prediction = if policy == Empty::FalsePositives { 0.5 / 18.0 } else { 0.0 };
        let cotangent = loss.evaluate(&table(Activation::Softmax, &[empty, half])).unwrap().cotangent;
        for class in 1..3 {
            assert_eq!(cotangent.get(0, class, 0, Sum::Prediction), by_prediction, "{policy:?}");
            assert_eq!(cotangent.get(0, class, 0, Sum::Intersection), 0.0, "{policy:?}");
        }
    }
}

/// No kept class is in the target while the prediction sees some of them.
#[test]
fn no_class_present() {
    let sums = [[9.0, 5.0, 4.0], [0.0, 3.0, 0.0], [0.0, 1.0, 0.0]];
    let smooth = (0.25, 1.0);
    // Unsmoothed and smoothed. Weights 1 and 1, none and none, 1/8 and 1/8, 1/0.5 and 1/0.5, none and none: there is no
    // present class to scale them by.
    for (absent, plain, smoothed) in [
        (AbsentClass::LeastPresent, 1.0, 1.0 - 0.25 / (4.0 + 1.0)),
        (AbsentClass::MaxFinite, 0.0, 1.0 - 0.25),
        (AbsentClass::Epsilon(0.125), 1.0, 1.0 - 0.25 / (0.5 + 1.0)),
        (AbsentClass::Regularised(0.5), 1.0, 1.0 - 0.25 / (8.0 + 1.0)),
        (AbsentClass::Zero, 0.0, 1.0 - 0.25),
    ] {
        for scale in SCALES {
            let (exclude_background, empty) = (true, Empty::Ratio);
            let loss = GeneralizedDice { absent, scale, exclude_background, empty, ..GeneralizedDice::default() };
            assert_eq!(value(&loss, &[sums]), plain, "{loss:?}");
            let loss = GeneralizedDice { smooth_numerator: smooth.0, smooth_denominator: smooth.1, ..loss };
            assert!((value(&loss, &[sums]) - smoothed).abs() <= ROUNDING, "{loss:?}");
            let evaluation = loss.evaluate(&table(Activation::Softmax, &[sums])).unwrap();
            let weightless = matches!(absent, AbsentClass::MaxFinite | AbsentClass::Zero);
            let flat = evaluation.cotangent.as_slice().iter().all(|&derivative| derivative == 0.0);
            assert_eq!(flat, weightless, "{loss:?}");
        }
    }
}

#[test]
fn upstream_gradients() {
    let volume = Volume::random(&mut Random(15), &[3, 3, 4], (-2.0, 2.0), &[0, 1, 2]);
    let each = GeneralizedDice { reduction: Reduction::None, ..GeneralizedDice::default() };
    let sum = GeneralizedDice { reduction: Reduction::Sum, ..GeneralizedDice::default() };
    let mean = GeneralizedDice::default();

    let (values, gradient) = volume.run(&each);
    let (summed, summed_gradient) = volume.run(&sum);
    let (averaged, averaged_gradient) = volume.run(&mean);
    assert_eq!(values.len(), 3);
    assert!((summed[0] - values.iter().sum::<f64>()).abs() <= ROUNDING);
    assert!((averaged[0] - summed[0] / 3.0).abs() <= ROUNDING);
    assert_eq!(gradient, summed_gradient, "one upstream gradient serves all values");
    let thirds: Vec<f64> = gradient.iter().map(|x| x / 3.0).collect();
    assert!(relative_error(&averaged_gradient, &thirds) <= ROUNDING);
    assert_eq!(volume.evaluate(&each).value(), values.iter().sum::<f64>());

    // One for all, and one per value.
    let (_, scaled) = volume.try_run(&each, &[-2.0]).unwrap();
    let expected: Vec<f64> = gradient.iter().map(|x| -2.0 * x).collect();
    assert_eq!(scaled, expected);
    let (_, separate) = volume.try_run(&each, &[1.0, 0.0, -4.0]).unwrap();
    let per_sample = gradient.len() / 3;
    let factors = [1.0, 0.0, -4.0];
    let expected: Vec<f64> = gradient.iter().enumerate().map(|(i, x)| x * factors[i / per_sample]).collect();
    assert_eq!(separate, expected);
    assert!(largest(&separate[2 * per_sample..]) > 1e-3);

    // One value has one upstream gradient, also if it is a mean over three groups.
    for (loss, upstream, expected) in
        [(&each, &[1.0; 2][..], 3), (&each, &[], 3), (&mean, &[1.0; 3], 1), (&sum, &[1.0; 3], 1)]
    {
        let error = volume.try_run(loss, upstream).unwrap_err();
        assert_eq!(error, Error::Length { what: "upstream gradient", expected, found: upstream.len() });
    }
}

#[test]
fn batch_is_the_ratio_of_the_pooled_table() {
    // Not a softmax, under which the samples' unions are equal and uniform weights make the two groupings one.
    let volume = lacking(Activation::Sigmoid, 16);
    for loss in every_combination(4).into_iter().filter(|loss| loss.grouping == Grouping::Batch) {
        let loss = GeneralizedDice { activation: Activation::Sigmoid, ..loss };
        let per_sample = GeneralizedDice { grouping: Grouping::PerSample, ..loss.clone() };
        let statistics = volume.statistics(&loss);
        let batch = loss.evaluate(&statistics).unwrap();
        assert_eq!(batch, per_sample.evaluate(&statistics.pooled()).unwrap(), "{loss:?}");
        assert_eq!(batch.cotangent.rows(), 1);
        assert_ne!(batch.value(), per_sample.evaluate(&statistics).unwrap().value(), "{loss:?}");
    }
}

#[test]
fn no_samples() {
    let volume = Volume { shape: vec![0, 3, 2, 2], logits: vec![], labels: vec![], ignored: None };
    for loss in every_combination(3) {
        let (values, gradient) = volume.run(&loss);
        // One value per group, and a batch without samples is still a group: that of nothing.
        let groups = usize::from(loss.grouping == Grouping::Batch);
        assert_eq!(values.len(), if loss.reduction == Reduction::None { groups } else { 1 }, "{loss:?}");
        assert!(values.iter().all(|value| value.is_finite()), "{loss:?}: {values:?}");
        if groups == 0 || loss.smooth_denominator == 0.0 {
            assert!(values.iter().all(|&value| value == 0.0), "{loss:?}: {values:?}");
        }
        assert!(gradient.is_empty());
    }
}

#[test]
fn no_voxels() {
    let volume = Volume { shape: vec![2, 3, 4, 0], logits: vec![], labels: vec![], ignored: None };
    for loss in every_combination(3) {
        let loss = GeneralizedDice { empty: Empty::Ratio, ..loss };
        let (values, gradient) = volume.run(&loss);
        let per_group = if loss.smooth_denominator == 0.0 { 0.0 } else { 1.0 - 0.2 / 0.7 };
        let groups = if loss.grouping == Grouping::Batch { 1 } else { 2 };
        match loss.reduction {
            Reduction::None => assert_eq!(values, vec![per_group; groups], "{loss:?}"),
            Reduction::Sum => assert!((values[0] - per_group * groups as f64).abs() <= ROUNDING, "{loss:?}"),
            Reduction::Mean => assert!((values[0] - per_group).abs() <= ROUNDING, "{loss:?}"),
        }
        assert!(gradient.is_empty());
    }
    // A volume that is ignored altogether is no better.
    let ignored =
        Volume { shape: vec![1, 2, 2], logits: vec![1.0, f64::NAN, 3.0, 4.0], labels: vec![9; 2], ignored: Some(9) };
    let (values, gradient) = ignored.run(&GeneralizedDice::default());
    assert_eq!((bits(&values), bits(&gradient)), (vec![0], vec![0; 4]));
}

/// A logit of one sample that has no probability spoils that sample's value and its whole gradient, and nothing else.
#[test]
fn logits_without_a_probability_propagate() {
    let cases = [
        (Activation::Softmax, f64::NAN),
        (Activation::Softmax, f64::INFINITY),
        (Activation::Sigmoid, f64::NAN),
        (Activation::None, f64::NAN),
        (Activation::None, f64::INFINITY),
        (Activation::None, f64::NEG_INFINITY),
    ];
    for (activation, bad) in cases {
        let loss = GeneralizedDice { activation, reduction: Reduction::None, ..GeneralizedDice::default() };
        let clean = lacking(activation, 17);
        let per_sample = clean.logits.len() / 2;
        let (clean_values, clean_gradient) = clean.run(&loss);
        // A voxel whose label is the spoiled class, and one whose label is another.
        for (class, voxel) in [(1, 1), (1, 0), (3, 4)] {
            let mut volume = clean.clone();
            let place = volume.at(0, class, voxel);
            volume.logits[place] = bad;
            let (values, gradient) = volume.run(&loss);
            assert!(values[0].is_nan(), "{activation:?}, {bad} for class {class}: {values:?}");
            assert_eq!(values[1], clean_values[1]);
            assert!(gradient[..per_sample].iter().all(|x| x.is_nan()), "{activation:?}, {bad}: {gradient:?}");
            assert_eq!(gradient[per_sample..], clean_gradient[per_sample..]);

            let mean = GeneralizedDice { reduction: Reduction::Mean, ..loss.clone() };
            assert!(volume.run(&mean).0[0].is_nan());
            let zeroed = GeneralizedDice { non_finite: NonFiniteLoss::Zero, ..loss.clone() };
            let (values, gradient) = volume.run(&zeroed);
            assert_eq!(values, [0.0, clean_values[1]], "{activation:?}, {bad}");
            assert_eq!(bits(&gradient[..per_sample]), vec![0; per_sample], "{activation:?}, {bad}");
            assert_eq!(gradient[per_sample..], clean_gradient[per_sample..]);
        }
    }
    // All −∞ has no softmax either.
    let mut volume = lacking(Activation::Softmax, 17);
    for class in 0..4 {
        let place = volume.at(1, class, 2);
        volume.logits[place] = f64::NEG_INFINITY;
    }
    let (values, gradient) = volume.run(&GeneralizedDice::default());
    assert!(values[0].is_nan());
    assert!(gradient[volume.at(1, 0, 0)..].iter().all(|x| x.is_nan()));
    assert!(gradient[..volume.at(1, 0, 0)].iter().all(|x| x.is_finite()));
}

/// Infinite logits that do have a probability, and finite ones of any size, are ordinary numbers.
#[test]
fn huge_and_infinite_logits_with_a_probability() {
    let infinity = f64::INFINITY;
    for (activation, high, low) in [
        (Activation::Softmax, 1e30, -1e30),
        (Activation::Softmax, f64::MAX, f64::MIN),
        (Activation::Softmax, 0.0, -infinity),
        (Activation::Sigmoid, 1e30, -1e30),
        (Activation::Sigmoid, f64::MAX, f64::MIN),
        (Activation::Sigmoid, infinity, -infinity),
    ] {
        // Class 0 is predicted everywhere with certainty. It is right in two of three voxels: T = 2, 1; S = 3, 0; I = 2, 0.
        let volume = Volume {
            shape: vec![1, 2, 3],
            logits: [[high; 3], [low; 3]].concat(),
            labels: vec![0, 1, 0],
            ignored: None,
        };
        let loss = GeneralizedDice { activation, ..by_square() };
        let (values, gradient) = volume.run(&loss);
        // Relative weights 1/4 and 1.
        let expected = 1.0 - 2.0 * (0.25 * 2.0) / (0.25 * 5.0 + 1.0);
        assert!((values[0] - expected).abs() <= ROUNDING, "{activation:?}, {high}: {values:?}");
        assert!(gradient.iter().all(|&x| x == 0.0), "{activation:?}, {high}: {gradient:?}");
        let asked = Problem { non_finite: NonFinite::Error, ..volume.problem() };
        assert!(reference::statistics(&volume.view(), &asked, &loss.request()).is_ok(), "{activation:?}, {high}");
    }
    // Equal logits share the probability, however large they are.
    let volume = Volume { shape: vec![1, 3, 1], logits: vec![1e30, -1e30, 1e30], labels: vec![0], ignored: None };
    let statistics = volume.statistics(&GeneralizedDice::default());
    let predictions: Vec<_> =
        (0..3).map(|class| statistics.sum(Group::All, class, 0, Sum::Prediction).unwrap()).collect();
    assert_eq!(predictions, [0.5, 0.0, 0.5]);
    // Without an activation 1e30 is a volume like any other.
    let volume = Volume { shape: vec![1, 1, 2], logits: vec![1e30, -1e30], labels: vec![1, 0], ignored: None };
    let loss = GeneralizedDice { activation: Activation::None, ..GeneralizedDice::default() };
    let (values, gradient) = volume.run(&loss);
    assert!(values[0].is_finite() && gradient.iter().all(|x| x.is_finite()), "{values:?} {gradient:?}");
}

#[test]
fn the_first_logit_without_a_probability_is_reported_on_demand() {
    let clean = lacking(Activation::Softmax, 18);
    let report = |volume: &Volume, activation| {
        let asked = Problem { non_finite: NonFinite::Error, ..volume.problem() };
        reference::statistics(&volume.view(), &asked, &Request::overlap(activation))
    };
    assert!(report(&clean, Activation::Softmax).is_ok());

    // The first in the order of the logits, [N, C, spatial…]: class 1 before class 3, though at a later voxel.
    for activation in [Activation::Softmax, Activation::Sigmoid, Activation::None] {
        let mut volume = clean.clone();
        for (sample, class, voxel) in [(1, 0, 0), (0, 3, 1), (0, 1, 4)] {
            let place = volume.at(sample, class, voxel);
            volume.logits[place] = f64::NAN;
        }
        let index = volume.at(0, 1, 4) as u64;
        let error = report(&volume, activation).unwrap_err();
        assert!(
            matches!(error, Error::NonFiniteLogit { index: at, value } if at == index && value.is_nan()),
            "{error}"
        );
    }

    // A −∞ is innocent beside the +∞ that spoils its voxel.
    let mut volume = clean.clone();
    let (innocent, guilty) = (volume.at(1, 1, 3), volume.at(1, 2, 3));
    volume.logits[innocent] = f64::NEG_INFINITY;
    assert!(report(&volume, Activation::Softmax).is_ok());
    volume.logits[guilty] = f64::INFINITY;
    let blamed = Err(Error::NonFiniteLogit { index: guilty as u64, value: f64::INFINITY });
    assert_eq!(report(&volume, Activation::Softmax), blamed);
    assert!(report(&volume, Activation::Sigmoid).is_ok());
    let blamed = Err(Error::NonFiniteLogit { index: innocent as u64, value: f64::NEG_INFINITY });
    assert_eq!(report(&volume, Activation::None), blamed);

    // A voxel of nothing but −∞ starts with its class 0.
    let mut volume = clean.clone();
    for class in 0..4 {
        let place = volume.at(0, class, 2);
        volume.logits[place] = f64::NEG_INFINITY;
    }
    let blamed = Err(Error::NonFiniteLogit { index: 2, value: f64::NEG_INFINITY });
    assert_eq!(report(&volume, Activation::Softmax), blamed);

    // An ignored voxel may hold anything, and a wrong label comes first.
    volume.labels[2] = 200;
    volume.ignored = Some(200);
    assert!(report(&volume, Activation::Softmax).is_ok());
    volume.ignored = None;
    assert_eq!(report(&volume, Activation::Softmax), Err(Error::LabelOutOfRange { index: 2, label: 200, classes: 4 }));
}

/// Ignored voxels are as good as cut out of the volume, whatever their logits, and their gradient is +0.
#[test]
fn ignored_voxels_are_absent() {
    let mut random = Random(19);
    for (ignored, labels) in [(1, [0, 1, 2]), (255, [0, 255, 2]), (3, [0, 3, 2])] {
        let volume =
            Volume { ignored: Some(ignored), ..Volume::random(&mut random, &[2, 3, 20], (-2.0, 2.0), &labels) };
        let is_ignored = |sample: usize, voxel: usize| i64::from(volume.labels[sample * 20 + voxel]) == ignored;
        let left: Vec<usize> = (0..40).filter(|&i| !is_ignored(i / 20, i % 20)).collect();
        assert!((10..35).contains(&left.len()), "{}", left.len());

        for activation in [Activation::Softmax, Activation::Sigmoid, Activation::None] {
            for non_finite in [NonFiniteLoss::Propagate, NonFiniteLoss::Zero] {
                let loss = GeneralizedDice { activation, non_finite, ..GeneralizedDice::default() };
                let (values, gradient) = volume.run(&loss);

                // One sample after the other, with the ignored voxels cut out.
                for sample in 0..2 {
                    let kept: Vec<usize> = (0..20).filter(|&voxel| !is_ignored(sample, voxel)).collect();
                    let places = |class: usize| kept.iter().map(move |&voxel| (class, voxel));
                    let places: Vec<_> = (0..3).flat_map(places).collect();
                    let cut = Volume {
                        shape: vec![1, 3, kept.len()],
                        logits: places
                            .iter()
                            .map(|&(class, voxel)| volume.logits[volume.at(sample, class, voxel)])
                            .collect(),
                        labels: kept.iter().map(|&voxel| volume.labels[sample * 20 + voxel]).collect(),
                        ignored: None,
                    };
                    // Half of it, as in the mean over two samples.
                    let (_, alone) = cut.try_run(&loss, &[0.5]).unwrap();
                    let here: Vec<f64> =
                        places.iter().map(|&(class, voxel)| gradient[volume.at(sample, class, voxel)]).collect();
                    assert!(relative_error(&here, &alone) <= ROUNDING, "{ignored}, {activation:?}");
                }

                for junk in [0.0, 1e30, -1e30, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    let mut spoiled = volume.clone();
                    let places: Vec<usize> = (0..120)
                        .filter(|&place| is_ignored(place / 60, place % 20))
                        .inspect(|&place| spoiled.logits[place] = junk)
                        .collect();
                    assert_eq!(spoiled.run(&loss), (values.clone(), gradient.clone()), "{ignored}, {junk}");
                    // Neither the sign of the upstream gradient nor an overflow of the loss scale shows.
                    for upstream in [1.0, -1.0, 0.0, f64::INFINITY, f64::NAN] {
                        let (_, gradient) = spoiled.try_run(&loss, &[upstream]).unwrap();
                        assert!(places.iter().all(|&place| gradient[place].to_bits() == 0), "{junk}, {upstream}");
                    }
                }
            }
        }
    }
}

#[test]
fn parameters_that_mean_nothing_are_named() {
    let make = |change: fn(&mut GeneralizedDice, f64)| {
        move |x: f64| {
            let mut loss = GeneralizedDice::default();
            change(&mut loss, x);
            loss
        }
    };
    let at_least_zero = [
        ("smooth_numerator", make(|loss, x| loss.smooth_numerator = x)),
        ("smooth_denominator", make(|loss, x| loss.smooth_denominator = x)),
        ("least_union", make(|loss, x| loss.least_union = x)),
        ("absent epsilon", make(|loss, x| loss.absent = AbsentClass::Epsilon(x))),
        ("class weight", make(|loss, x| loss.weighting = ClassWeighting::Fixed(vec![1.0, x, 1.0]))),
    ];
    let above_zero = [("absent regularisation", make(|loss, x| loss.absent = AbsentClass::Regularised(x)))];
    let sums = [[[4.0, 4.0, 3.0], [2.0, 2.0, 1.0], [3.0, 3.0, 2.0]]];
    let statistics = table(Activation::Softmax, &sums);
    let refused = |name: &str, loss: GeneralizedDice, given: f64| {
        let mut evaluation = Evaluation::default();
        GeneralizedDice::default().evaluate_into(&statistics, &mut evaluation).unwrap();
        let before = evaluation.clone();
        let error = loss.evaluate_into(&statistics, &mut evaluation).unwrap_err();
        let Error::InvalidParameter { name: named, value, .. } = error else { panic!("{name} = {given}: {error}") };
        assert_eq!((named, value.to_bits()), (name, given.to_bits()));
        assert!(error.to_string().starts_with(&format!("{name} = {given:?}: must be ")), "{error}");
        assert_eq!(evaluation, before, "an argument error leaves the outputs untouched");
    };
    for bad in [-1e-300, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for (name, make) in &at_least_zero {
            refused(name, make(bad), bad);
        }
        for (name, make) in &above_zero {
            refused(name, make(bad), bad);
        }
    }
    refused("absent regularisation", above_zero[0].1(0.0), 0.0);
    for (name, make) in &at_least_zero {
        assert!(make(0.0).evaluate(&statistics).is_ok(), "{name} may be 0");
    }

    // One weight per kept class.
    for (exclude_background, expected) in [(false, 3), (true, 2)] {
        for found in [0, 1, 2, 3, 4] {
            let weighting = ClassWeighting::Fixed(vec![1.0; found]);
            let loss = GeneralizedDice { weighting, exclude_background, ..GeneralizedDice::default() };
            match loss.evaluate(&statistics) {
                Ok(_) => assert_eq!(found, expected),
                Err(error) => assert_eq!(error, Error::Length { what: "class weights", expected, found }),
            }
        }
    }

    // Statistics of another activation are another prediction's.
    let sigmoid = GeneralizedDice { activation: Activation::Sigmoid, ..GeneralizedDice::default() };
    let error = sigmoid.evaluate(&statistics).unwrap_err();
    assert_eq!(error, Error::OtherSums { what: "the table" });
    // So are those with other sums.
    let lean = Request::new(&Needs::new(Activation::Softmax, Sums::NONE.with(Sum::Target)));
    let error = GeneralizedDice::default().evaluate(&Statistics::new(1, 3, &lean).unwrap()).unwrap_err();
    assert_eq!(error, Error::OtherSums { what: "the table" });
}

#[test]
fn a_label_outside_the_classes_is_named_and_nothing_is_written() {
    let mut volume = Volume::random(&mut Random(20), &[2, 3, 2, 5], (-2.0, 2.0), &[0, 1, 2]);
    volume.labels[17] = 4;
    volume.labels[13] = 3;
    volume.labels[19] = 255;
    let loss = GeneralizedDice::default();
    let first = Error::LabelOutOfRange { index: 13, label: 3, classes: 3 };
    assert_eq!(volume.try_run(&loss, &[1.0]), Err(first.clone()));

    let (logits, problem) = (volume.view(), volume.problem());
    let mut gradient = vec![UNWRITTEN; volume.logits.len()];
    let mut output = ViewMut::channels_first(&mut gradient, &volume.shape).unwrap();
    let found = reference::value_and_grad(&logits, &problem, &loss, &mut output);
    assert_eq!(found, Err(first.clone()));
    // A pullback on its own looks before it writes.
    let cotangent = Cotangent::new(&loss.request(), 2, 3, Values::One).unwrap();
    assert_eq!(reference::pullback(&logits, &problem, &cotangent, &[1.0], &mut output), Err(first));
    assert!(gradient.iter().all(|&x| x == UNWRITTEN));

    // To ignore one wrong label does not excuse the next.
    volume.ignored = Some(3);
    assert_eq!(volume.try_run(&loss, &[1.0]), Err(Error::LabelOutOfRange { index: 17, label: 4, classes: 3 }));

    // One channel knows the labels 0 and 1.
    let binary = Volume { shape: vec![1, 1, 3], logits: vec![0.5; 3], labels: vec![0, 1, 2], ignored: None };
    let sigmoid = GeneralizedDice { activation: Activation::Sigmoid, ..loss };
    assert_eq!(binary.try_run(&sigmoid, &[1.0]), Err(Error::LabelOutOfRange { index: 2, label: 2, classes: 2 }));
}

#[test]
fn shapes_that_disagree() {
    let volume = Volume::random(&mut Random(21), &[2, 3, 2, 5], (-2.0, 2.0), &[0, 1, 2]);
    let loss = GeneralizedDice::default();
    let misfit = |what, shape: &[usize]| {
        let (expected, found) = (Dims::new(&volume.shape), Dims::new(shape));
        Error::ShapeMismatch { what, whose: "the logits'", expected, found }
    };
    // Other samples, other extents in either order, another rank, all of them 20 voxels or fewer.
    for shape in [&[1, 2, 5][..], &[2, 5, 2], &[2, 10], &[2, 2, 4], &[2, 2, 5, 1]] {
        let labels = vec![0; shape.iter().product()];
        let problem = Problem::new(View::map(&labels, shape).unwrap());
        let error = reference::statistics(&volume.view(), &problem, &loss.request()).unwrap_err();
        assert_eq!(error, misfit("label map", shape));
    }
    // A label map has one channel.
    let labels = vec![0; 60];
    let dense = Problem::new(View::channels_first(&labels, &volume.shape).unwrap());
    let error = reference::statistics(&volume.view(), &dense, &loss.request()).unwrap_err();
    assert_eq!(error, Error::MapWithChannels { what: "label map", shape: Dims::new(&volume.shape) });

    let cotangent = volume.evaluate(&loss).cotangent;
    for shape in [&[2, 3, 5, 2][..], &[1, 3, 2, 5], &[2, 2, 2, 5], &[2, 3, 10]] {
        let mut gradient = vec![UNWRITTEN; shape.iter().product()];
        let mut output = ViewMut::channels_first(&mut gradient, shape).unwrap();
        let error =
            reference::pullback(&volume.view(), &volume.problem(), &cotangent, &[1.0], &mut output).unwrap_err();
        assert_eq!(error, misfit("gradient", shape));
        assert!(gradient.iter().all(|&x| x == UNWRITTEN));
    }
    // The cotangent of another prediction.
    for (rows, classes, what) in [(2, 4, "classes of the cotangent"), (3, 3, "rows of the cotangent")] {
        let other = Cotangent::new(&loss.request(), rows, classes, Values::One).unwrap();
        let mut gradient = vec![UNWRITTEN; 60];
        let mut output = ViewMut::channels_first(&mut gradient, &volume.shape).unwrap();
        let error = reference::pullback(&volume.view(), &volume.problem(), &other, &[1.0], &mut output).unwrap_err();
        assert!(matches!(error, Error::StatisticsMismatch { what: named, .. } if named == what), "{error}");
        assert!(gradient.iter().all(|&x| x == UNWRITTEN));
    }
}

#[test]
fn zero_classes() {
    let volume = Volume { shape: vec![2, 0, 3], logits: vec![], labels: vec![0; 6], ignored: None };
    let refused = Error::ZeroClasses { shape: Dims::new(&[2, 0, 3]) };
    assert_eq!(volume.try_run(&GeneralizedDice::default(), &[1.0]), Err(refused));
}

/// A training loop keeps one evaluation; whatever it held before, it then holds what a new one would.
#[test]
fn buffers_are_reused_without_a_trace() {
    let three = Volume::random(&mut Random(22), &[3, 4, 5], (-2.0, 2.0), &[0, 1, 2, 3]);
    let mut poisoned = three.clone();
    poisoned.logits[0] = f64::NAN;
    let one = Volume::random(&mut Random(23), &[1, 2, 5], (-2.0, 2.0), &[0, 1]);
    let mut kept = Evaluation::default();
    for volume in [&one, &three, &poisoned, &one, &three] {
        for reduction in REDUCTIONS {
            for (grouping, exclude_background) in [(Grouping::PerSample, false), (Grouping::Batch, true)] {
                let loss = GeneralizedDice { reduction, grouping, exclude_background, ..GeneralizedDice::default() };
                let statistics = volume.statistics(&loss);
                loss.evaluate_into(&statistics, &mut kept).unwrap();
                let fresh = loss.evaluate(&statistics).unwrap();
                // NaN is not equal to itself, but its text is.
                assert_eq!(format!("{kept:?}"), format!("{fresh:?}"));
            }
        }
    }
}

/// Finite logits of any size: the tails of the exponential, ties, and numbers whose difference overflows.
fn finite_logit() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -5.0..5.0_f64,
        1 => -800.0..800.0_f64,
        1 => prop::sample::select(vec![0.0, 1e30, -1e30, f64::MAX, f64::MIN, f64::MIN_POSITIVE]),
    ]
}

proptest! {
    /// Whatever the classes present, every loss of every option lies in 0..=1 and has a finite gradient.
    #[test]
    fn finite_logits_give_finite_numbers(
        (samples, classes, voxels) in (0_usize..3, 1_usize..5, 0_usize..6),
        logits in prop::collection::vec(finite_logit(), 40),
        labels in prop::collection::vec(0_u8..5, 10),
        ignored in prop::option::of(0_i64..5),
        softmax in any::<bool>(),
        least_union in prop::sample::select(vec![0.0, 1.0]),
    ) {
        let volume = Volume {
            shape: vec![samples, classes, voxels],
            logits: logits[..samples * classes * voxels].to_vec(),
            labels: labels[..samples * voxels].iter().map(|label| label % classes.max(2) as u8).collect(),
            ignored,
        };
        let activation = if softmax && classes > 1 { Activation::Softmax } else { Activation::Sigmoid };
        let presets = GeneralizedDice::PRESETS.map(|(_, make)| make());
        for loss in every_combination(classes).into_iter().chain(presets) {
            let loss = GeneralizedDice { activation, least_union, ..loss };
            if loss.reduction == Reduction::Sum {
                continue;
            }
            let (values, gradient) = volume.run(&loss);
            let sound = values.iter().all(|value| (-ROUNDING..=1.0 + ROUNDING).contains(value));
            prop_assert!(sound, "{:?}: {:?}", loss, values);
            prop_assert!(gradient.iter().all(|x| x.is_finite()), "{:?}: {:?}", loss, gradient);
        }
    }
}
