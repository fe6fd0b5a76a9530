//! Properties that other libraries test, or whose lack their users have reported, on the presets.

mod common;
mod drawn;

use common::{Random, bits, largest, relative_error};
use dice_core::loss::{
    ClassWeighting, ClassWeights, Compound, CrossEntropy, Divisor, Focal, GeneralizedDice, Jaccard, Loss, MeanOrder,
    Options, Overlap, Pooling, SoftDice, Term, Tversky, Wasserstein, WassersteinWeighting, WeightMode,
};
use dice_core::{Activation, Group, Grouping, LossHead, Problem, Reduction, Statistics, Sum, View, reference};
use drawn::{Kind, Scene, Truth, with_costs};

/// Two ways to the same number differ by a few roundings.
const ROUNDING: f64 = 1e-14;
/// And gradients by a few more, relative to the largest element.
const OF_GRADIENTS: f64 = 1e-12;

fn scene(seed: u64, activation: Activation, kind: Kind, shape: [usize; 3]) -> Scene {
    let mut scene = Scene::of_shape(&mut Random(seed), activation, kind, shape);
    (scene.ignored, scene.mask, scene.weights, scene.sample_weights) = (None, None, None, None);
    if let Truth::Labels(labels) = &mut scene.truth {
        let classes = shape[1].max(2);
        labels.iter_mut().enumerate().for_each(|(at, label)| *label = (at * 7 % 5 % classes) as u8);
    }
    scene
}

fn run(scene: &Scene, loss: &dyn LossHead) -> (Vec<f64>, Vec<f64>) {
    scene.run(loss, &[1.0]).unwrap()
}

fn assert_same(what: &str, scene: &Scene, a: &dyn LossHead, b: &dyn LossHead) {
    let ((a, by_a), (b, by_b)) = (run(scene, a), run(scene, b));
    assert!(relative_error(&a, &b) <= ROUNDING, "{what}: {a:?}, {b:?}");
    let error = relative_error(&by_a, &by_b);
    assert!(error <= OF_GRADIENTS, "{what}: gradients differ by {error:e}");
}

/// MONAI, `test_ignore_index_losses`: logits of ignored voxels do not matter, whether the ignored label is a class or
/// not.
#[test]
fn logits_of_ignored_voxels_do_not_matter() {
    for preset in Compound::PRESETS {
        let name = preset.0;
        let (loss, activation, classes) = drawn::preset(preset);
        for ignored in [0_u8, 1, 255] {
            let mut scene = scene(1, activation, Kind::Labels, [2, classes, 11]);
            let Truth::Labels(labels) = &mut scene.truth else { unreachable!() };
            labels[3] = ignored;
            labels[15] = ignored;
            let labels = labels.clone();
            scene.ignored = Some(ignored.into());
            let (values, gradient) = run(&scene, &loss);
            for (at, z) in scene.logits.iter_mut().enumerate() {
                if labels[at / (classes * 11) * 11 + at % 11] == ignored {
                    *z = f64::from((at % 5) as u8) * 0.2;
                    assert_eq!(gradient[at].to_bits(), 0, "{name}");
                }
            }
            let (changed, by_changed) = run(&scene, &loss);
            assert_eq!((bits(&changed), bits(&by_changed)), (bits(&values), bits(&gradient)), "{name}, {ignored}");
        }
    }
}

/// Fidon, `loss_test`: of two classes with M = [[0, 1], [1, 0]] it is soft Dice of the foreground, and W is Σ |p − g|.
#[test]
fn wasserstein_of_two_classes_is_dice_of_the_foreground() {
    for samples in 1..5 {
        let scene = scene(samples as u64, Activation::Softmax, Kind::Labels, [samples, 2, 12]);
        let wasserstein = Wasserstein { costs: vec![0.0, 1.0, 1.0, 0.0], ..Wasserstein::fidon2017() };
        let options = Options {
            smooth_numerator: f64::EPSILON,
            smooth_denominator: f64::EPSILON,
            exclude_background: true,
            ..SoftDice::monai_dice().options
        };
        assert_same("mean", &scene, &wasserstein, &SoftDice { options, ..SoftDice::default() });

        let overlap =
            Jaccard { options: Options { overlap: Overlap::Difference, ..Options::default() }, ..Jaccard::default() };
        let both = wasserstein.clone() + overlap;
        let view = View::channels_first(&scene.logits, &scene.shape).unwrap();
        let statistics = reference::statistics(&view, &scene.problem(), &both.request()).unwrap();
        let of = |class: usize, sum: Sum| {
            let places = 0..statistics.request().parts();
            let part = places.into_iter().find(|&part| statistics.request().column(part, sum).is_some()).unwrap();
            statistics.sum(Group::All, class, part, sum).unwrap()
        };
        assert!((of(0, Sum::Cost) + of(1, Sum::Cost) - of(1, Sum::Difference)).abs() <= 1e-13);
    }
}

/// segmentation_models: weights that are all alike are none, and their scale does not matter.
#[test]
fn normalised_weights_have_no_scale() {
    let scene = scene(5, Activation::Softmax, Kind::Labels, [2, 3, 13]);
    let make: [fn(ClassWeights) -> Loss; 4] = [
        |class_weights| {
            let mut loss = SoftDice::smp_dice();
            loss.options.class_weights = class_weights;
            loss.into()
        },
        |class_weights| {
            let mut loss = Jaccard::smp_jaccard();
            loss.options.class_weights = class_weights;
            loss.into()
        },
        |class_weights| {
            let mut loss = Tversky::smp_tversky();
            loss.options.class_weights = class_weights;
            loss.into()
        },
        |class_weights| Focal { class_weights, ..Focal::smp_focal() }.into(),
    ];
    for make in make {
        let of = |weights: &[f64]| make(ClassWeights { weights: weights.to_vec(), mode: WeightMode::Normalise });
        assert_same("alike", &scene, &of(&[0.3, 0.3, 0.3]), &of(&[]));
        assert_same("scaled", &scene, &of(&[0.5, 1.0, 2.0]), &of(&[3.5, 7.0, 14.0]));
        assert!(scene.run(&of(&[1.0, 2.0]), &[1.0]).is_err(), "two weights of three classes");
    }
}

/// MONAI: the compounds are their parts, with every reduction and with weights of none, of each class and of all
/// classes.
#[test]
fn compounds_are_their_parts() {
    for exclude_background in [false, true] {
        for reduction in [Reduction::Mean, Reduction::Sum] {
            for weights in [vec![], vec![0.5, 2.0, 1.0], vec![3.0, 3.0, 3.0]] {
                let weights =
                    ClassWeights::new(&weights[..weights.len().saturating_sub(usize::from(exclude_background))]);
                let scene = scene(8, Activation::Softmax, Kind::Labels, [3, 3, 8]);
                let mut dice = SoftDice::monai_dice();
                dice.options.reduction = reduction;
                dice.options.exclude_background = exclude_background;
                dice.options.class_weights = weights.clone();
                let generalized = GeneralizedDice { reduction, exclude_background, ..GeneralizedDice::monai_gdl() };
                let focal = Focal { exclude_background, class_weights: weights, ..Focal::monai_focal() };
                for first in [Loss::from(dice), Loss::from(generalized)] {
                    let (of_first, by_first) = run(&scene, &first);
                    let (of_focal, by_focal) = run(&scene, &focal);
                    let terms = [Term::new(first), Term { factor: 0.5, ..Term::new(Loss::from(focal.clone())) }];
                    let (values, gradient) = run(&scene, &Compound { terms: terms.into() });
                    assert!((values[0] - of_first[0] - 0.5 * of_focal[0]).abs() <= ROUNDING * values[0].abs().max(1.0));
                    let sum: Vec<f64> = by_first.iter().zip(&by_focal).map(|(a, b)| a + 0.5 * b).collect();
                    assert!(relative_error(&gradient, &sum) <= OF_GRADIENTS);
                }
            }
        }
    }
}

/// MONAI: the focal loss of γ = 0 is binary cross-entropy.
#[test]
fn focal_of_exponent_zero_is_cross_entropy() {
    for kind in [Kind::Labels, Kind::Soft] {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            let scene = scene(9, Activation::Sigmoid, kind, [2, 3, 8]);
            let grouping = Grouping::PerSample;
            let focal = Focal { exponents: vec![0.0], grouping, reduction, ..Focal::monai_focal() };
            assert_same("γ = 0", &scene, &focal, &CrossEntropy { grouping, reduction, ..CrossEntropy::binary() });
        }
    }
}

/// MONAI, `soft_label`: without smoothing the loss is 0 where the prediction is the soft target, and only with the
/// intersection by differences.
#[test]
fn soft_labels_are_matched_by_themselves_alone() {
    let scene = scene(10, Activation::None, Kind::Soft, [2, 3, 8]);
    let Truth::Dense(target) = &scene.truth else { unreachable!() };
    let matched = Scene { logits: target.clone(), ..scene.clone() };
    let options = |overlap: Overlap| Options { activation: Activation::None, overlap, ..Options::default() };
    let make: [fn(Options) -> Loss; 3] = [
        |options| SoftDice { options, ..SoftDice::default() }.into(),
        |options| Jaccard { options, ..Jaccard::default() }.into(),
        |options| Tversky { options, ..Tversky::default() }.into(),
    ];
    for make in make {
        let (values, gradient) = run(&matched, &make(options(Overlap::Difference)));
        assert!(values[0].abs() <= ROUNDING, "{values:?}");
        assert!(largest(&gradient).is_finite());
        assert!(run(&matched, &make(options(Overlap::Product))).0[0] > 0.1);
        assert!(run(&scene, &make(options(Overlap::Difference))).0[0] > 0.1);
    }
    let generalized =
        |overlap: Overlap| GeneralizedDice { activation: Activation::None, overlap, ..GeneralizedDice::default() };
    assert!(run(&matched, &generalized(Overlap::Difference)).0[0].abs() <= ROUNDING);
    assert!(run(&matched, &generalized(Overlap::Product)).0[0] > 0.1);
}

/// nnU-Net, `__main__` of its losses: the memory-efficient form, which never has a one-hot target, gives the same; here
/// it is typed again.
#[test]
fn nnunet_memory_efficient_dice_is_the_same() {
    for (smooth, batch) in [(0.0, false), (0.0, true), (1e-5, true)] {
        let scene = scene(11, Activation::Softmax, Kind::Labels, [2, 3, 14]);
        let Truth::Labels(labels) = &scene.truth else { unreachable!() };
        let mut loss = SoftDice::nnunet_dice();
        loss.options.exclude_background = true;
        (loss.options.smooth_numerator, loss.options.smooth_denominator) = (smooth, smooth);
        loss.options.grouping = if batch { Grouping::Batch } else { Grouping::PerSample };
        let (mut scores, mut count) = (0.0, 0.0);
        let groups: Vec<Vec<usize>> = if batch { vec![vec![0, 1]] } else { vec![vec![0], vec![1]] };
        for group in groups {
            for class in 1..3 {
                let (mut intersect, mut sum_pred, mut sum_gt) = (0.0, 0.0, 0.0);
                for (sample, voxel) in group.iter().flat_map(|&sample| (0..14).map(move |voxel| (sample, voxel))) {
                    let mut p: Vec<f64> = (0..3).map(|class| scene.logits[(sample * 3 + class) * 14 + voxel]).collect();
                    Activation::Softmax.apply(&mut p);
                    sum_pred += p[class];
                    if usize::from(labels[sample * 14 + voxel]) == class {
                        intersect += p[class];
                        sum_gt += 1.0;
                    }
                }
                scores += (2.0 * intersect + smooth) / f64::max(sum_gt + sum_pred + smooth, 1e-8);
                count += 1.0;
            }
        }
        let (values, _) = run(&scene, &loss);
        assert!((values[0] + scores / count).abs() <= ROUNDING, "{values:?}, {}", -scores / count);
    }
}

/// Users of nnU-Net report that distributed training changes the loss: tables of shards of the batch merge to the bits
/// of one table, on one rank as on several.
#[test]
fn shards_of_a_batch_merge_to_the_whole() {
    for preset in Compound::PRESETS {
        let name = preset.0;
        let (loss, activation, classes) = drawn::preset(preset);
        let scene = scene(12, activation, Kind::Labels, [4, classes, 9]);
        let Truth::Labels(labels) = &scene.truth else { unreachable!() };
        let view = View::channels_first(&scene.logits, &scene.shape).unwrap();
        let whole = reference::statistics(&view, &scene.problem(), &loss.request()).unwrap();
        for shards in [vec![4], vec![2, 2], vec![1, 3], vec![1, 1, 1, 1]] {
            let mut merged = Statistics::new(4, classes, &loss.request()).unwrap();
            let mut first = 0;
            for samples in shards {
                let logits = &scene.logits[first * classes * 9..][..samples * classes * 9];
                let view = View::channels_first(logits, &[samples, classes, 9]).unwrap();
                let map = View::map(&labels[first * 9..][..samples * 9], &[samples, 9]).unwrap();
                let part = reference::statistics(&view, &Problem::new(map), &loss.request()).unwrap();
                merged.merge_samples(first, &part).unwrap();
                first += samples;
            }
            assert_eq!(merged.as_limbs(), whole.as_limbs(), "{name}");
            let (merged, whole) = (loss.evaluate(&merged).unwrap(), loss.evaluate(&whole).unwrap());
            assert_eq!((merged.values, merged.cotangent), (whole.values, whole.cotangent), "{name}");
        }
    }
}

/// kornia, `gradcheck`: logits from 0 to 1, a fifth of the labels ignored, differences in f64.
#[test]
fn kornia_gradients_with_ignored_labels() {
    let per_class = |mut loss: SoftDice, order: MeanOrder| {
        (loss.options.pooling, loss.options.order) = (Pooling::PerClass, order);
        Loss::from(loss)
    };
    let losses: [Loss; 7] = [
        SoftDice::kornia_dice().into(),
        SoftDice::kornia09_dice().into(),
        per_class(SoftDice::kornia_dice(), MeanOrder::AtOnce),
        per_class(SoftDice::kornia09_dice(), MeanOrder::ClassesFirst),
        Tversky::kornia_tversky().into(),
        Tversky::kornia09_tversky().into(),
        Focal::kornia_focal().into(),
    ];
    for loss in losses {
        let mut scene = scene(13, Activation::Softmax, Kind::Labels, [2, 3, 6]);
        let mut random = Random(13);
        scene.logits.iter_mut().for_each(|z| *z = random.within(0.0, 1.0));
        let Truth::Labels(labels) = &mut scene.truth else { unreachable!() };
        labels.iter_mut().step_by(5).for_each(|label| *label = 255);
        scene.ignored = Some(255);
        let (_, gradient) = run(&scene, &loss);
        for at in 0..gradient.len() {
            // The error of a central difference is of the order of h², and that of rounding 1e-16 / h.
            let step = 1e-5;
            let moved = |by: f64| {
                let mut logits = scene.logits.clone();
                logits[at] += by;
                scene.values(&loss, &logits)[0]
            };
            let difference = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((gradient[at] - difference).abs() <= 1e-9, "{loss:?} at {at}: {} {difference}", gradient[at]);
        }
    }
}

/// MONAI, its tests of convergence: one linear layer, Adam with a rate of 1e-3, 50 steps, the loss falls in more than
/// three of four.
#[test]
fn a_linear_layer_learns() {
    let (voxels, features) = (64, 2);
    let labels: Vec<u8> =
        (0..voxels).map(|voxel| u8::from(voxel / 8 > 2 && voxel % 8 > 3) + u8::from(voxel > 50)).collect();
    let feature = |of: usize, voxel: usize| if of == 0 { (voxel / 8) as f64 / 8.0 } else { (voxel % 8) as f64 / 8.0 };
    let mut losses: Vec<(&str, Compound)> = Compound::PRESETS
        .iter()
        .map(|preset| (preset.0, drawn::preset(preset)))
        .filter(|(_, (_, activation, _))| *activation != Activation::None)
        .map(|(name, (loss, ..))| (name, loss))
        .collect();
    let inverse = Wasserstein { weighting: WassersteinWeighting::Inverse, ..Wasserstein::monai_gwdl() };
    losses.push(("monai_gwdl, inverse", with_costs(inverse.into(), 3)));
    let simple = GeneralizedDice { weighting: ClassWeighting::Inverse, ..GeneralizedDice::monai_gdl() };
    losses.push(("monai_gdl, simple", simple.into()));
    for (name, loss) in losses {
        let mut random = Random(14);
        // Per class the weights of the features, then the bias.
        let mut parameters: Vec<f64> = (0..3 * (features + 1)).map(|_| random.within(-0.5, 0.5)).collect();
        let (mut means, mut squares) = (vec![0.0; parameters.len()], vec![0.0; parameters.len()]);
        let mut scene = Scene {
            shape: [1, 3, voxels],
            logits: vec![0.0; 3 * voxels],
            truth: Truth::Labels(labels.clone()),
            ignored: None,
            mask: None,
            weights: None,
            sample_weights: None,
        };
        let mut history = Vec::new();
        for step in 1..=50 {
            let input = |of: usize, voxel: usize| if of < features { feature(of, voxel) } else { 1.0 };
            for (at, z) in scene.logits.iter_mut().enumerate() {
                let parameters = &parameters[at / voxels * (features + 1)..][..=features];
                *z = parameters.iter().enumerate().map(|(of, parameter)| parameter * input(of, at % voxels)).sum();
            }
            let (values, gradient) = run(&scene, &loss);
            history.push(values[0]);
            for (place, parameter) in parameters.iter_mut().enumerate() {
                let (class, of) = (place / (features + 1), place % (features + 1));
                let slope: f64 = (0..voxels).map(|voxel| gradient[class * voxels + voxel] * input(of, voxel)).sum();
                means[place] = 0.9 * means[place] + 0.1 * slope;
                squares[place] = 0.999 * squares[place] + 0.001 * slope * slope;
                let mean = means[place] / (1.0 - 0.9_f64.powi(step));
                let square = squares[place] / (1.0 - 0.999_f64.powi(step));
                *parameter -= 1e-3 * mean / (square.sqrt() + 1e-8);
            }
        }
        let falls = history.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(falls * 4 > 49 * 3, "{name}: falls in {falls} of 49 steps: {history:?}");
    }
}

/// PyTorch: the mean of a dense target is over the voxels; of a one-hot target without weights that is the mean over
/// labels.
#[test]
fn cross_entropy_of_a_one_hot_target_is_that_of_its_labels() {
    let labels = scene(15, Activation::Softmax, Kind::Labels, [2, 3, 8]);
    let dense = Scene { truth: labels.one_hot(), ..labels.clone() };
    let of_voxels = CrossEntropy { divisor: Divisor::Voxels, ..CrossEntropy::default() };
    assert_eq!(run(&labels, &CrossEntropy::default()), run(&dense, &of_voxels));
}
