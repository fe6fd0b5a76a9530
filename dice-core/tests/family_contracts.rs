//! What holds for every loss of the family, whatever its options.

mod common;
mod drawn;

use common::{Random, bits, largest, relative_error};
use dice_core::loss::{
    ClassWeights, Compound, CrossEntropy, Divisor, Empty, Focal, FocalTversky, GeneralizedDice, Jaccard, Loss, Mcc,
    Options, SoftDice, Term, Transform, Tversky, Volumes, Wasserstein,
};
use dice_core::{Activation, Error, LossHead, Reduction, View, reference};
use drawn::{Kind, LOSSES, Scene, Truth, one, with_costs};

/// Two ways to the same number differ by a few roundings.
const ROUNDING: f64 = 1e-14;
const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];

/// Default losses, with costs for three classes.
fn defaults() -> Vec<(&'static str, Loss)> {
    vec![
        ("generalized", GeneralizedDice::default().into()),
        ("soft", SoftDice::default().into()),
        ("squared", SoftDice::squared().into()),
        ("jaccard", Jaccard::default().into()),
        ("tversky", Tversky::default().into()),
        ("focal tversky", FocalTversky::default().into()),
        ("mcc", Mcc::default().into()),
        ("wasserstein", Wasserstein { costs: Wasserstein::uniform_costs(3), ..Wasserstein::default() }.into()),
        ("cross-entropy", CrossEntropy::default().into()),
        ("focal", Focal::default().into()),
    ]
}

/// Probabilities of exactly 0 and 1, right and wrong; logits of ±1e30.
#[test]
fn sure_predictions_are_finite() {
    for (place, name) in LOSSES.into_iter().enumerate() {
        for activation in ACTIVATIONS {
            for round in 0..150 {
                let mut random = Random((place * 10_000 + activation as usize * 1000 + round) as u64);
                let kinds = [Kind::Labels, Kind::OneHot, Kind::Soft];
                let kind = if name == "wasserstein" { Kind::Labels } else { one(&mut random, &kinds) };
                let mut scene = Scene::draw(&mut random, activation, kind);
                let extremes: &[f64] = if activation == Activation::None {
                    &[0.0, 1.0]
                } else {
                    &[1e30, -1e30, 800.0, -800.0, 40.0, -40.0, 0.0, f64::NEG_INFINITY]
                };
                let finite = if round % 2 == 0 { extremes.len() } else { extremes.len().min(2) };
                scene.logits.iter_mut().for_each(|z| *z = one(&mut random, &extremes[..finite]));
                if round % 3 == 0 {
                    // Right, and wrong, throughout.
                    let Truth::Dense(target) = scene.one_hot() else { unreachable!() };
                    let right = round % 2 == 0;
                    let (high, low) = if activation == Activation::None { (1.0, 0.0) } else { (1e30, -1e30) };
                    scene.logits = target.iter().map(|&g| if (g > 0.5) == right { high } else { low }).collect();
                }
                let all_impossible = |voxel: usize| {
                    let [_, classes, voxels] = scene.shape;
                    let at = |class: usize| (voxel / voxels * classes + class) * voxels + voxel % voxels;
                    (0..classes).all(|class| scene.logits[at(class)] == f64::NEG_INFINITY)
                };
                if activation == Activation::Softmax && (0..scene.shape[0] * scene.shape[2]).any(all_impossible) {
                    continue;
                }
                let loss = drawn::draw(&mut random, name, activation, scene.shape[1]);
                // An impossible class that is true has an infinite cross-entropy.
                let has_infinite_log =
                    scene.logits.contains(&f64::NEG_INFINITY) && matches!(name, "focal" | "cross-entropy");
                if has_infinite_log {
                    continue;
                }
                let (values, gradient) = scene.run(&loss, &[1.0]).unwrap();
                let is_finite = values.iter().chain(&gradient).all(|x| x.is_finite());
                assert!(is_finite, "{values:?}, {gradient:?}\n{loss:?}\n{scene:?}");
            }
        }
    }
}

#[test]
fn compounds_are_the_sums_of_their_terms() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let shape = [1 + random.below(3), 2 + random.below(3), 2 + random.below(6)];
        let scene = Scene::of_shape(&mut random, Activation::Softmax, Kind::Labels, shape);
        let loss = drawn::compound(&mut random, &LOSSES, &ACTIVATIONS[..2], shape[1]);
        if loss.terms.len() == 1 {
            continue;
        }
        let (values, gradient) = scene.run(&loss, &[1.0]).unwrap();
        let (mut value, mut slopes, mut size) = (0.0, vec![0.0; gradient.len()], 0.0_f64);
        for Term { loss, transform, factor } in &loss.terms {
            let (values, gradient) = scene.run(loss, &[1.0]).unwrap();
            let (of_term, slope) = transform.apply(values[0]);
            value += factor * of_term;
            size = size.max((factor * of_term).abs());
            slopes.iter_mut().zip(&gradient).for_each(|(sum, x)| *sum += factor * slope * x);
        }
        assert!((values[0] - value).abs() <= ROUNDING * size.max(1.0), "{values:?}, {value}\n{loss:?}");
        let difference: Vec<f64> = gradient.iter().zip(&slopes).map(|(a, b)| a - b).collect();
        assert!(largest(&difference) <= 1e-13 * largest(&slopes).max(1.0), "{loss:?}");
    }
}

#[test]
fn a_factor_of_zero_leaves_the_term_out() {
    for (place, name) in LOSSES.into_iter().enumerate() {
        let mut random = Random(place as u64);
        let scene = Scene::of_shape(&mut random, Activation::Softmax, Kind::Labels, [2, 3, 7]);
        let mut loss = drawn::draw(&mut random, name, Activation::Softmax, 3);
        drawn::reduce(&mut loss, Reduction::Mean);
        let transform = Transform::Power { exponent: 0.5, least: 0.0 };
        let silent = Compound { terms: vec![Term { loss, transform, factor: 0.0 }] };
        let (values, gradient) = scene.run(&silent, &[1.0]).unwrap();
        assert_eq!(values, [0.0], "{name}");
        assert!(bits(&gradient).iter().all(|&x| x == 0), "{name}: {gradient:?}");
        let alone = scene.run(&SoftDice::default(), &[1.0]).unwrap();
        assert_eq!(scene.run(&(silent.clone() + SoftDice::default()), &[1.0]).unwrap(), alone, "{name}");
        assert_eq!(scene.run(&(SoftDice::default() + silent), &[1.0]).unwrap(), alone, "{name}");
    }
    let nothing = Compound::<Loss> { terms: Vec::new() };
    let scene = Scene::of_shape(&mut Random(1), Activation::Softmax, Kind::Labels, [2, 3, 7]);
    let (values, gradient) = scene.run(&nothing, &[1.0]).unwrap();
    assert_eq!(values, [0.0]);
    assert!(bits(&gradient).iter().all(|&x| x == 0));
}

#[test]
fn terms_of_other_values_are_refused() {
    let scene = Scene::of_shape(&mut Random(1), Activation::Softmax, Kind::Labels, [2, 3, 7]);
    let per_class = || {
        let mut loss = SoftDice::default();
        loss.options.reduction = Reduction::None;
        loss
    };
    let per_group = GeneralizedDice { reduction: Reduction::None, ..GeneralizedDice::default() };
    assert!(matches!(scene.run(&(per_class() + per_group), &[1.0]), Err(Error::StatisticsMismatch { .. })));
    assert!(matches!(scene.run(&(per_class() + Focal::default()), &[1.0]), Err(Error::StatisticsMismatch { .. })));
    assert!(scene.run(&(per_class() + 2.0 * per_class()), &[1.0]).is_ok());
}

#[test]
fn reports_say_what_the_sums_are() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let scene = Scene::draw(&mut random, Activation::Softmax, Kind::Labels);
        let name = one(&mut random, &["soft", "jaccard", "tversky", "focal tversky", "mcc", "generalized"]);
        let mut loss = drawn::draw(&mut random, name, Activation::Softmax, scene.shape[1]);
        if let Loss::SoftDice(loss) = &mut loss {
            loss.options.complement = false;
        }
        let view = View::channels_first(&scene.logits, &scene.shape).unwrap();
        let statistics = reference::statistics(&view, &scene.problem(), &loss.request()).unwrap();
        let evaluation = loss.evaluate(&statistics).unwrap();
        let classes = scene.shape[1];
        assert_eq!(evaluation.classes.len(), evaluation.cotangent.rows() * classes);
        for row in evaluation.classes.chunks(classes) {
            let total: f64 = row.iter().map(|report| report.share).sum();
            assert!(total == 0.0 || (total - 1.0).abs() < 1e-9, "{loss:?}: {row:?}");
            for report in row.iter().filter(|report| report.prediction + report.target > 0.0) {
                let dice = 2.0 * report.intersection / (report.prediction + report.target);
                assert!(report.dice == dice, "{loss:?}: {report:?}");
            }
        }
    }
}

/// Voxels that do not count have gradient +0, whatever their logits.
#[test]
fn voxels_that_do_not_count_are_not_seen() {
    for (place, name) in LOSSES.into_iter().enumerate() {
        for round in 0..30 {
            let mut random = Random((place * 100 + round) as u64);
            let mut scene = Scene::of_shape(&mut random, Activation::Softmax, Kind::Labels, [2, 3, 9]);
            let loss = drawn::draw(&mut random, name, one(&mut Random(round as u64), &ACTIVATIONS[..2]), 3);
            scene.mask = Some((0..18).map(|_| u8::from(random.below(3) > 0)).collect());
            let (values, gradient) = scene.run(&loss, &[1.0]).unwrap();
            let mask = scene.mask.clone().unwrap();
            let hidden: Vec<usize> = (0..gradient.len()).filter(|at| mask[at / 27 * 9 + at % 9] == 0).collect();
            assert!(hidden.iter().all(|&at| gradient[at].to_bits() == 0), "{loss:?}");
            for &at in &hidden {
                scene.logits[at] = one(&mut random, &[f64::NAN, f64::INFINITY, 5.0]);
            }
            let (changed, changed_gradient) = scene.run(&loss, &[1.0]).unwrap();
            assert_eq!((bits(&changed), bits(&changed_gradient)), (bits(&values), bits(&gradient)), "{loss:?}");
        }
    }
}

/// A patch of `side`³ voxels: the same picture at every resolution, of blocks of a cube of eight parts.
fn picture(side: usize, labels: impl Fn([usize; 3]) -> u8) -> Scene {
    let voxels = side * side * side;
    let part = |voxel: usize| [voxel / side / side, voxel / side % side, voxel % side].map(|at| at * 8 / side);
    let logit = |class: usize, voxel: usize| {
        let [z, y, x] = part(voxel);
        ((z * 5 + y * 3 + x * 7 + class * 11) % 13) as f64 * 0.25 - 1.5
    };
    Scene {
        shape: [1, 3, voxels],
        logits: (0..3 * voxels).map(|at| logit(at / voxels, at % voxels)).collect(),
        truth: Truth::Labels((0..voxels).map(|voxel| labels(part(voxel))).collect()),
        ignored: None,
        mask: None,
        weights: None,
        sample_weights: None,
    }
}

/// The defaults give the same picture the same loss at 8³, 16³ and 32³, and its parts the same slope: of an empty patch
/// too, where they punish false positives.
#[test]
fn defaults_do_not_depend_on_the_resolution() {
    type Labels = fn([usize; 3]) -> u8;
    let empty: Labels = |_| 0;
    let full: Labels = |[z, y, x]| if z < 2 { 1 } else { u8::from(x + y > 12) * 2 };
    for (what, labels) in [("empty", empty), ("full", full)] {
        for (name, mut loss) in defaults() {
            match &mut loss {
                Loss::GeneralizedDice(loss) => loss.exclude_background = true,
                Loss::SoftDice(loss) => loss.options.exclude_background = true,
                Loss::Jaccard(loss) => loss.options.exclude_background = true,
                Loss::Tversky(loss) => loss.options.exclude_background = true,
                Loss::FocalTversky(loss) => loss.tversky.options.exclude_background = true,
                // Its smoothing of 1e-5 voxels in each count is all that depends on the resolution.
                Loss::Mcc(loss) => (loss.options.exclude_background, loss.smoothing) = (true, 0.0),
                _ => {}
            }
            let of = |side: usize| {
                let scene = picture(side, labels);
                let (values, gradient) = scene.run(&loss, &[1.0]).unwrap();
                // The slope of one voxel of each part, times the voxels.
                let voxels = side * side * side;
                let at = |part: usize| {
                    let [z, y, x] = [part / 64, part / 8 % 8, part % 8].map(|at| at * side / 8);
                    (z * side + y) * side + x
                };
                let slopes =
                    (0..3 * 512).map(|at_part| gradient[at_part / 512 * voxels + at(at_part % 512)] * voxels as f64);
                (values, slopes.collect::<Vec<_>>())
            };
            let (values, slopes) = of(8);
            let is_per_class = !matches!(loss, Loss::CrossEntropy(_) | Loss::Focal(_));
            if what == "empty" && is_per_class {
                assert!((0.01..1.0).contains(&values[0]), "{name}: {values:?}");
                let falls = slopes[512..].iter().filter(|&&slope| slope > 0.0).count();
                assert!(falls > 800, "{name}: {falls} of 1024 voxels and classes are pushed down");
            }
            for side in [16, 32] {
                let (other, other_slopes) = of(side);
                assert!((other[0] - values[0]).abs() <= ROUNDING, "{what} {name} at {side}: {other:?}, {values:?}");
                let error = relative_error(&other_slopes, &slopes);
                assert!(error <= 1e-12, "{what} {name} at {side}: slopes are off by {error:e}");
            }
        }
    }
}

/// Policies for a class that is not there, of every loss with a ratio per class.
#[test]
fn policies_for_an_empty_class() {
    let scene = picture(8, |_| 0);
    let losses: [fn(Options) -> Loss; 4] = [
        |options| SoftDice { options, ..SoftDice::default() }.into(),
        |options| Jaccard { options, ..Jaccard::default() }.into(),
        |options| Tversky { options, ..Tversky::default() }.into(),
        |options| Mcc { options, ..Mcc::default() }.into(),
    ];
    for make in losses {
        let value = |empty: Empty, exclude_background: bool| {
            let loss = make(Options { empty, exclude_background, ..Options::default() });
            let (values, gradient) = scene.run(&loss, &[1.0]).unwrap();
            (values[0], largest(&gradient))
        };
        assert_eq!(value(Empty::Zero, true), (0.0, 0.0));
        assert_eq!(value(Empty::Skip, true), (0.0, 0.0));
        let (background, _) = value(Empty::Skip, false);
        let (with_zeros, _) = value(Empty::Zero, false);
        assert!((with_zeros - background / 3.0).abs() <= ROUNDING, "{with_zeros}, {background}");
        let (claimed, slope) = value(Empty::FalsePositives, true);
        assert!(claimed > 0.1 && slope > 0.0, "{claimed}, {slope}");
    }
}

#[test]
fn losses_that_are_others() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let activation = one(&mut random, &ACTIVATIONS);
        let kind = one(&mut random, &[Kind::Labels, Kind::Soft]);
        let scene = Scene::draw(&mut random, activation, kind);
        let options = Options {
            empty: Empty::Ratio,
            smooth_numerator: 0.5,
            smooth_denominator: 0.25,
            transform: Transform::Identity,
            ..drawn::options(&mut random, activation, scene.shape[1])
        };
        let same = |a: &dyn LossHead, b: &dyn LossHead| {
            let ((a, by_a), (b, by_b)) = (scene.run(a, &[1.0]).unwrap(), scene.run(b, &[1.0]).unwrap());
            assert!(relative_error(&a, &b) <= ROUNDING && relative_error(&by_a, &by_b) <= 1e-12, "{a:?}, {b:?}");
        };
        let halved = Options {
            smooth_numerator: 0.25,
            smooth_denominator: 0.125,
            least_denominator: 0.5 * options.least_denominator,
            ..options.clone()
        };
        let dice = SoftDice { options: options.clone(), ..SoftDice::default() };
        same(&dice, &Tversky { options: halved.clone(), ..Tversky::default() });
        let jaccard = Jaccard { options: halved.clone(), ..Jaccard::default() };
        same(&jaccard, &Jaccard { options: options.clone(), doubled: true });
        let both = Tversky { options: halved, false_positives: 1.0, false_negatives: 1.0, ..Tversky::default() };
        same(&jaccard, &both);
        let power = FocalTversky { tversky: both.clone(), exponents: vec![1.0], ..FocalTversky::default() };
        same(&both, &power);
        // With γ = 0.
        let binary = activation == Activation::Sigmoid;
        let cross_entropy = CrossEntropy { activation, binary, divisor: Divisor::Elements, ..CrossEntropy::default() };
        let focal = Focal { activation, binary, exponents: vec![0.0], divisor: Divisor::Elements, ..Focal::default() };
        same(&cross_entropy, &focal);
    }
}

/// One channel p stands for the two channels (1 − p, p).
#[test]
fn the_rest_of_one_channel_is_the_other_channel() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let one_channel = Scene::of_shape(&mut random, Activation::None, Kind::Labels, [2, 1, 6]);
        let mut two = one_channel.clone();
        two.shape[1] = 2;
        two.logits = one_channel
            .logits
            .chunks(6)
            .flat_map(|p| p.iter().map(|p| 1.0 - p).chain(p.to_vec()).collect::<Vec<_>>())
            .collect();
        let (value, gradient) = one_channel.run(&Compound::monai_unified_focal_one_channel(), &[1.0]).unwrap();
        let (expected, by_both) = two.run(&Compound::monai_unified_focal(), &[1.0]).unwrap();
        let expected_gradient: Vec<f64> =
            by_both.chunks(12).flat_map(|by| (0..6).map(|at| by[6 + at] - by[at]).collect::<Vec<_>>()).collect();
        assert!(relative_error(&value, &expected) <= ROUNDING);
        assert!(relative_error(&gradient, &expected_gradient) <= 1e-12);
    }
}

#[test]
fn parameters_are_checked() {
    let scene = Scene::of_shape(&mut Random(3), Activation::Softmax, Kind::Labels, [2, 3, 7]);
    let fails = |loss: &dyn LossHead| scene.run(loss, &[1.0]).unwrap_err();
    let weighted = |weights: Vec<f64>, exclude_background: bool| SoftDice {
        options: Options { class_weights: ClassWeights::new(weights), exclude_background, ..Options::default() },
        ..SoftDice::default()
    };
    assert!(matches!(fails(&weighted(vec![1.0; 2], false)), Error::Length { expected: 3, found: 2, .. }));
    assert!(matches!(fails(&weighted(vec![1.0; 3], true)), Error::Length { expected: 2, found: 3, .. }));
    assert!(matches!(fails(&weighted(vec![1.0, -1.0, 1.0], false)), Error::InvalidParameter { .. }));
    let of_costs = |costs: Vec<f64>| Wasserstein { costs, ..Wasserstein::monai_gwdl() };
    for length in [0, 6, 8, 10] {
        assert!(matches!(fails(&of_costs(vec![1.0; length])), Error::Length { expected: 9, .. }), "{length} costs");
    }
    assert!(matches!(fails(&of_costs(vec![-1.0; 9])), Error::InvalidParameter { .. }));
    let mut squared = SoftDice::squared();
    squared.options.complement = true;
    assert!(matches!(fails(&squared), Error::InvalidParameter { name: "complement", .. }));
    assert_eq!(squared.volumes, Volumes::Squared);
    assert!(matches!(fails(&(f64::NAN * SoftDice::default())), Error::InvalidParameter { .. }));
    let positive = |loss: Focal| Focal { positive_weights: vec![1.0; 2], ..loss };
    assert!(matches!(fails(&positive(Focal::default())), Error::InvalidParameter { .. }));
    assert!(matches!(fails(&positive(Focal::binary())), Error::Length { expected: 3, found: 2, .. }));
    let exponents = |exponents: Vec<f64>| Focal { exponents, ..Focal::default() };
    assert!(matches!(fails(&exponents(vec![1.0; 2])), Error::Length { .. }));
    assert!(matches!(fails(&exponents(vec![-1.0])), Error::InvalidParameter { .. }));
}

#[test]
fn presets_have_their_names() {
    let names: Vec<_> = Compound::PRESETS.iter().map(|(name, _)| *name).collect();
    for (place, (name, make)) in Compound::PRESETS.iter().enumerate() {
        assert_eq!(Compound::preset(name), Some(make()), "{name}");
        assert!(!names[..place].contains(name), "{name} is there twice");
    }
    for (name, make) in GeneralizedDice::PRESETS {
        assert_eq!(Compound::preset(name), Some(make().into()), "{name}");
    }
    assert_eq!(Compound::preset("monai"), None);
    // Costs are the user's alone.
    for name in ["fidon2017", "monai_gwdl"] {
        let scene = Scene::of_shape(&mut Random(3), Activation::Softmax, Kind::Labels, [2, 3, 7]);
        let loss = Compound::preset(name).unwrap();
        assert!(matches!(scene.run(&loss, &[1.0]), Err(Error::Length { what: "costs", .. })), "{name}");
        assert!(scene.run(&with_costs(loss, 3), &[1.0]).is_ok(), "{name}");
    }
}
