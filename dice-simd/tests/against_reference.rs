//! The fast passes against the textbook reference of `dice_core` in f64, on every level: sums, loss and gradient, for every
//! length around the sizes that the kernels are cut by, every bucket of classes, activation, layout and kind of labels.

mod common;

use common::tolerance::{FLUSHED, LOSS};
use common::{Axis, Level, Placed, Random, Scene, emulated, for_any, map_of, per_level, possible, rounds};
use dice_core::loss::GeneralizedDice;
use dice_core::{Activation, Cotangent, Group, Grouping, LossHead, Reduction, Request, Sum};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];

/// Around a vector, a block, the f32 sums, a fold and a tile.
const LENGTHS: [usize; 17] = [1, 2, 15, 16, 17, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 8193];
const CLASSES: [usize; 8] = [1, 2, 3, 4, 5, 14, 32, 40];

/// Logits in −6..6, or probabilities if there is no activation.
fn logit(activation: Activation) -> impl Fn(&mut Random) -> f32 + Copy {
    move |random| match activation {
        Activation::None => random.within(0.0, 1.0),
        _ => random.within(-6.0, 6.0),
    }
}

/// A scene whose labels are drawn from `labels`.
fn scene(seed: u64, shape: &[usize], activation: Activation, labels: &[u8]) -> Scene {
    Scene::new(&mut Random(seed), shape, logit(activation), |random| random.pick(labels))
}

/// Every label that a prediction of this many classes may meet.
fn all_labels(classes: usize) -> Vec<u8> {
    (0..classes.max(2) as u8).collect()
}

fn default_with(activation: Activation) -> GeneralizedDice {
    GeneralizedDice { activation, ..GeneralizedDice::default() }
}

/// Compares the table of an engine with that of the reference. With `activation` none, sums may cancel, so their scale is the
/// sum of the absolute values.
fn check_statistics(level: &Level, scene: &Scene, activation: Activation) {
    let (tolerance, activation) = (level.tolerance(), possible(activation, scene.classes()));
    let bound = match activation {
        Activation::None => tolerance.sum_as_it_is,
        Activation::Softmax if scene.classes() > 2 => tolerance.sum,
        _ => tolerance.sum_of_two,
    };
    let request = &Request::overlap(activation);
    let found = scene.statistics(&level.engine(), request).unwrap();
    let expected = scene.expected_statistics(request);
    let scales = match activation {
        Activation::None => {
            let mut positive = scene.clone();
            positive.logits.data.iter_mut().for_each(|z| *z = z.abs());
            positive.expected_statistics(request)
        }
        _ => expected.clone(),
    };
    let context = || format!("{activation:?} {:?} ignoring {:?}", scene.logits.place, scene.ignored);
    for sample in (0..scene.samples()).map(Group::Sample) {
        assert_eq!(found.valid_weight(sample), expected.valid_weight(sample), "{}", context());
        let floor = scene.voxels() as f64 * FLUSHED;
        for class in 0..scene.classes() {
            assert_eq!(
                found.sum(sample, class, 0, Sum::Target),
                expected.sum(sample, class, 0, Sum::Target),
                "{}",
                context()
            );
            for sum in [Sum::Prediction, Sum::Intersection] {
                let [found, expected, scale] =
                    [&found, &expected, &scales].map(|it| it.sum(sample, class, 0, sum).unwrap());
                let error = (found - expected).abs() - floor;
                let relative = if error > 0.0 { error / scale } else { 0.0 };
                level.within("sum, relative", relative, bound, || {
                    format!("{sum:?} of class {class} is {found:e}, not {expected:e}: {}", context())
                });
            }
        }
    }
}

/// Compares the pullback of an engine with that of the reference, for one and the same cotangent.
fn check_gradient(level: &Level, scene: &Scene, cotangent: &Cotangent, upstream: &[f64]) {
    let found = scene.pullback(&level.engine(), cotangent, upstream).unwrap();
    let expected = scene.expected_gradient(cotangent, upstream);
    let per_sample = scene.classes() * scene.voxels();
    for sample in 0..scene.samples() {
        let row = cotangent.row(sample);
        let slope = |class| {
            let outside = cotangent.get(row, class, 0, Sum::Prediction);
            let inside = outside + cotangent.get(row, class, 0, Sum::Intersection);
            outside.abs().max(inside.abs())
        };
        let greatest = (0..scene.classes()).map(slope).fold(0.0, f64::max) * cotangent.upstream(row, 0, upstream).abs();
        let range = sample * per_sample..(sample + 1) * per_sample;
        for (at, (&found, &expected)) in found[range.clone()].iter().zip(&expected[range]).enumerate() {
            let error = (f64::from(found) - expected).abs();
            let relative = if error > 0.0 { error / greatest } else { error };
            level.within("gradient, relative to max |u|", relative, level.tolerance().gradient, || {
                let (place, gradient) = (&scene.logits.place, &scene.gradient);
                format!("element {at} of sample {sample} is {found:e}, not {expected:e}: {place:?} → {gradient:?}")
            });
        }
    }
}

/// Sums, loss and gradient of a scene.
fn check(level: &Level, scene: &Scene, loss: &GeneralizedDice) {
    let loss = &GeneralizedDice { activation: possible(loss.activation, scene.classes()), ..loss.clone() };
    check_statistics(level, scene, loss.activation);
    let expected = loss.evaluate(&scene.expected_statistics(&loss.request())).unwrap();
    let (found, _) = scene.value_and_grad(&level.engine(), loss).unwrap();
    assert_eq!(found.values.len(), expected.values.len());
    for (found, expected) in found.values.iter().zip(&expected.values) {
        level.within("loss", (found - expected).abs(), LOSS, || {
            format!("loss {found}, not {expected}: {loss:?} {:?}", scene.logits.place)
        });
    }
    check_gradient(level, scene, &expected.cotangent, &[1.0]);
}

fn every_length_and_class_count(level: &Level) {
    for (i, &length) in LENGTHS.iter().enumerate() {
        for (j, &classes) in CLASSES.iter().enumerate() {
            if emulated() && length * classes > 20_000 {
                continue;
            }
            // Short ones with each activation, long ones with each in turn.
            let activations = if length < 1000 { &ACTIVATIONS[..] } else { &ACTIVATIONS[(i + j) % 3..][..1] };
            for &activation in activations {
                let scene = scene((i * 8 + j) as u64, &[1, classes, length], activation, &all_labels(classes));
                check(level, &scene, &default_with(activation));
            }
        }
    }
}
per_level!(every_length_and_class_count);

/// Two and four classes have kernels of their own.
fn long_volumes_of_every_bucket(level: &Level) {
    for classes in [1, 2, 3, 4] {
        for activation in ACTIVATIONS {
            let scene = scene(classes as u64, &[2, classes, 5, 7, 241], activation, &all_labels(classes));
            check(level, &scene, &default_with(activation));
        }
    }
}
per_level!(long_volumes_of_every_bucket);

/// Every preset as its owner has it, and on each activation; with several samples, one of them without foreground.
fn every_preset(level: &Level) {
    for (name, make) in GeneralizedDice::PRESETS {
        for activation in ACTIVATIONS {
            for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
                let loss = GeneralizedDice { activation, reduction, ..make() };
                let mut scene = scene(17, &[3, 4, 9, 23], activation, &[0, 1, 1, 2, 3]);
                scene.labels.data[9 * 23..2 * 9 * 23].fill(0);
                check(level, &scene, &loss);
                assert_eq!(name == "batch_pooled", loss.grouping == Grouping::Batch);
            }
        }
    }
    let batch_pooled = GeneralizedDice::batch_pooled();
    assert_eq!(batch_pooled.activation, Activation::None);
    check(level, &scene(18, &[2, 3, 700], Activation::None, &[0, 1]), &batch_pooled);
}
per_level!(every_preset);

fn absent_classes(level: &Level) {
    for (classes, present) in [(2, &[1][..]), (3, &[0, 2]), (4, &[0, 1]), (5, &[4]), (14, &[0, 7, 9]), (40, &[39, 1])] {
        for activation in ACTIVATIONS {
            let scene = scene(classes as u64, &[2, classes, 1111], activation, present);
            for (_, make) in GeneralizedDice::PRESETS {
                check(level, &scene, &GeneralizedDice { activation, ..make() });
            }
        }
    }
}
per_level!(absent_classes);

fn one_label_only(level: &Level) {
    for classes in [1, 2, 3, 4, 14] {
        for label in all_labels(classes) {
            for activation in ACTIVATIONS {
                let scene = scene(u64::from(label), &[1, classes, 300], activation, &[label]);
                check(level, &scene, &default_with(activation));
            }
        }
    }
}
per_level!(one_label_only);

/// The ignored label may be a class, an impossible one, the last u8, or nowhere in the map. Whole blocks, parts of blocks, and
/// everything may be ignored.
fn ignored_labels(level: &Level) {
    for activation in ACTIVATIONS {
        for (classes, ignored) in [(1, 0), (1, 1), (1, 9), (2, 1), (3, 0), (3, 255), (4, 2), (4, 200), (5, 4), (14, 13)]
        {
            let mut labels = all_labels(classes);
            labels.push(ignored);
            for length in [33, 64, 1000, 8300] {
                let mut scene = scene(length as u64, &[2, classes, length], activation, &labels);
                let ignored_block = length / 128 * 64..(length / 128 * 64 + 64).min(length);
                scene.labels.data[ignored_block].fill(ignored);
                check(level, &scene.ignoring(i64::from(ignored)), &default_with(activation));
            }
        }
        for nowhere in [-1, -100, 77, 256, i64::MAX, i64::MIN] {
            let scene = scene(5, &[1, 3, 500], activation, &all_labels(3)).ignoring(nowhere);
            check(level, &scene, &default_with(activation));
        }
        let everything = scene(6, &[2, 3, 500], activation, &[255]).ignoring(255);
        check(level, &everything, &default_with(activation));
        let (evaluation, gradient) = everything.value_and_grad(&level.engine(), &default_with(activation)).unwrap();
        assert_eq!(evaluation.value(), 0.0);
        assert!(gradient.iter().all(|g| g.to_bits() == 0));
    }
}
per_level!(ignored_labels);

/// Every number of spatial axes, none included.
fn spatial_axes(level: &Level) {
    for spatial in [&[][..], &[333], &[9, 37], &[3, 9, 37], &[2, 3, 9, 37], &[2, 1, 3, 1, 2, 41]] {
        for classes in [1, 2, 3] {
            let shape = [&[3, classes], spatial].concat();
            for activation in ACTIVATIONS {
                check(level, &scene(3, &shape, activation, &all_labels(classes)), &default_with(activation));
            }
        }
    }
}
per_level!(spatial_axes);

/// Logits, labels and gradient laid out in every way, each differently from the others.
fn layouts(level: &Level) {
    let shape = [2, 3, 4, 5, 37];
    let first = [0, 1, 2, 3, 4];
    let last = [0, 2, 3, 4, 1];
    let reversed = [4, 3, 2, 1, 0];
    let placements: Vec<([usize; 5], [Axis; 5])> = vec![
        (first, [Axis::PLAIN; 5]),
        (last, [Axis::PLAIN; 5]),
        (reversed, [Axis::PLAIN; 5]),
        (first, [Axis::CROPPED; 5]),
        (last, [Axis::CROPPED; 5]),
        (first, [Axis::SAMPLED; 5]),
        (first, [Axis::FLIPPED; 5]),
        (last, [Axis::FLIPPED; 5]),
        (first, [Axis::PLAIN, Axis::FLIPPED, Axis::PLAIN, Axis::PLAIN, Axis::PLAIN]),
        (first, [Axis::PLAIN, Axis::PLAIN, Axis::PLAIN, Axis::PLAIN, Axis::FLIPPED]),
        (first, [Axis::REPEATED, Axis::PLAIN, Axis::PLAIN, Axis::PLAIN, Axis::PLAIN]),
        (first, [Axis::PLAIN, Axis::REPEATED, Axis::PLAIN, Axis::PLAIN, Axis::PLAIN]),
        (first, [Axis::PLAIN, Axis::PLAIN, Axis::REPEATED, Axis::CROPPED, Axis::PLAIN]),
        (first, [Axis::PLAIN, Axis::PLAIN, Axis::PLAIN, Axis::PLAIN, Axis::REPEATED]),
        (first, [Axis::REPEATED; 5]),
    ];
    for (i, (order, axes)) in placements.iter().enumerate() {
        for activation in ACTIVATIONS {
            for shift in [0, 1, 4] {
                let (label_order, label_axes) = &placements[(i + shift) % placements.len()];
                let (gradient_order, gradient_axes) = &placements[(i + 2 * shift) % placements.len()];
                // A gradient must not hold one element twice.
                let gradient_axes = gradient_axes.map(|axis| Axis { repeated: false, ..axis });
                let places = [
                    Placed::new(&shape, order, axes).behind(5),
                    Placed::new(&map_of(&shape), label_order, label_axes).behind(3),
                    Placed::new(&shape, gradient_order, &gradient_axes).behind(2),
                ];
                let mut random = Random((i * 3 + shift) as u64);
                let scene = Scene::placed(&mut random, places, logit(activation), |r| r.pick(&[0, 1, 2, 77]));
                check(level, &scene.ignoring(77), &default_with(activation));
            }
        }
    }
}
per_level!(layouts);

/// Sums lose most to rounding where the same number is added over and over. Whole tiles of one probability, for many
/// probabilities: without an activation, so that nothing but the sum is rounded, and of a softmax.
fn constant_probabilities(level: &Level) {
    let mut random = Random(1);
    for i in 0..rounds(150, 12) {
        let p = if i == 0 { 1.0 / 3.0 } else { random.within(0.0, 1.0) * 0.5_f32.powi(i % 20) };
        let constant = |value: f32| Scene::new(&mut Random(0), &[1, 2, 8192], move |_| value, |_| 0);
        check_statistics(level, &constant(p), Activation::None);
        let mut scene = constant(0.0);
        scene.logits.data[8192..].fill(random.within(-12.0, 12.0));
        check_statistics(level, &scene, Activation::Softmax);
        check_statistics(level, &scene, Activation::Sigmoid);
    }
}
per_level!(constant_probabilities);

/// Without an activation predictions may be negative and the sums cancel.
fn signed_predictions(level: &Level) {
    for classes in [1, 2, 3, 4] {
        let label = |random: &mut Random| random.below(classes.max(2)) as u8;
        let scene = Scene::new(&mut Random(9), &[2, classes, 9000], |random| random.within(-3.0, 3.0), label);
        check_statistics(level, &scene, Activation::None);
    }
}
per_level!(signed_predictions);

/// Finite logits of any size are fine: one-hot probabilities, or ties.
fn huge_logits(level: &Level) {
    for classes in [1, 2, 3, 4, 5] {
        for activation in [Activation::Softmax, Activation::Sigmoid] {
            let logit = |random: &mut Random| match random.below(4) {
                0 => 1e30,
                1 => -1e30,
                2 => random.within(-80.0, 80.0),
                _ => random.pick(&[f32::MAX, f32::MIN, 0.0, -0.0, f32::MIN_POSITIVE, 1e-40]),
            };
            let label = |random: &mut Random| random.below(classes.max(2)) as u8;
            let scene = Scene::new(&mut Random(classes as u64), &[2, classes, 1000], logit, label);
            check(level, &scene, &default_with(activation));
            let (evaluation, gradient) =
                scene.value_and_grad(&level.engine(), &default_with(possible(activation, scene.classes()))).unwrap();
            assert!(evaluation.value().is_finite() && gradient.iter().all(|g| g.is_finite()));
        }
    }
}
per_level!(huge_logits);

/// One upstream number scales the gradient; one per value scales that of its group.
fn upstream_gradients(level: &Level) {
    for activation in ACTIVATIONS {
        let scene = scene(4, &[3, 3, 400], activation, &all_labels(3));
        for grouping in [Grouping::PerSample, Grouping::Batch] {
            for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
                let loss = GeneralizedDice { grouping, reduction, ..default_with(activation) };
                let cotangent = loss.evaluate(&scene.expected_statistics(&loss.request())).unwrap().cotangent;
                for upstream in [1.0, -1.0, 0.0, 65_536.0, 1e-6] {
                    check_gradient(level, &scene, &cotangent, &[upstream]);
                }
                let per_value = [0.5, -2.0, 1e3];
                check_gradient(level, &scene, &cotangent, &per_value[..cotangent.values()]);
            }
        }
    }
}
per_level!(upstream_gradients);

/// A shape, three placements and what is in them.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    activation: Activation,
    shape: Vec<usize>,
    orders: [Vec<usize>; 3],
    axes: [Vec<Axis>; 3],
    /// Greatest size of an ordinary logit.
    size: f32,
    /// Whether ±1e30 occur.
    huge: bool,
    /// Labels that occur, as numbers to be taken modulo the classes.
    present: Vec<u8>,
    ignored: Option<u8>,
    preset: usize,
    upstream: f64,
}

impl Plan {
    fn scene(&self) -> Scene {
        let classes = self.shape[1];
        let map = map_of(&self.shape);
        let place = |i: usize, shape: &[usize]| Placed::new(shape, &self.orders[i], &self.axes[i]);
        let places = [place(0, &self.shape), place(1, &map), place(2, &self.shape)];
        let logit = |random: &mut Random| match self.activation {
            Activation::None => random.within(0.0, 1.0),
            _ if self.huge && random.once_in(4) => random.pick(&[1e30, -1e30]),
            _ => random.within(-self.size, self.size),
        };
        let label = |random: &mut Random| match self.ignored {
            Some(ignored) if random.once_in(5) => ignored,
            _ => random.pick(&self.present) % classes.max(2) as u8,
        };
        let scene = Scene::placed(&mut Random(self.seed), places, logit, label);
        Scene { ignored: self.ignored.map(i64::from), ..scene }
    }
}

fn axis(repeatable: bool) -> impl Strategy<Value = Axis> {
    let repeated = if repeatable { prop::bool::weighted(0.1).boxed() } else { Just(false).boxed() };
    (1_usize..3, 0_usize..4, any::<bool>(), repeated).prop_map(|(step, gap, flipped, repeated)| Axis {
        step,
        gap,
        flipped,
        repeated,
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let spatial = prop_oneof![
        Just(vec![]),
        prop::collection::vec(1_usize..2200, 1),
        prop::collection::vec(1_usize..50, 2),
        prop::collection::vec(1_usize..13, 3),
        prop::collection::vec(1_usize..7, 4),
    ];
    (1_usize..4, 1_usize..7, spatial).prop_flat_map(|(samples, classes, spatial)| {
        let shape: Vec<usize> = [samples, classes].into_iter().chain(spatial).collect();
        let rank = shape.len();
        let orders = [(); 3].map(|()| Just((0..rank).collect::<Vec<_>>()).prop_shuffle());
        let axes = [true, true, false].map(|repeatable| prop::collection::vec(axis(repeatable), rank));
        let activation = prop::sample::select(ACTIVATIONS.to_vec());
        let size = prop::sample::select(vec![0.0_f32, 0.01, 1.0, 8.0, 40.0]);
        let ignored = prop::option::of(prop::sample::select(vec![0_u8, 1, 2, 7, 255]));
        let contents = (any::<u64>(), activation, size, any::<bool>(), prop::collection::vec(0_u8..7, 1..6), ignored);
        let head = (0..GeneralizedDice::PRESETS.len(), prop::sample::select(vec![1.0, -3.0, 0.0, 1e4, 1e-4]));
        (Just(shape), orders, axes, contents, head).prop_map(|(shape, orders, axes, contents, (preset, upstream))| {
            let (seed, activation, size, huge, present, ignored) = contents;
            Plan { seed, activation, shape, orders, axes, size, huge, present, ignored, preset, upstream }
        })
    })
}

/// Whatever comes: shapes, orders and strides of each tensor, labels, ignored ones, huge logits, presets, upstream.
fn anything(level: &Level) {
    for_any(256, plan(), |plan| {
        let scene = plan.scene();
        let activation = possible(plan.activation, scene.classes());
        let loss = GeneralizedDice { activation, ..GeneralizedDice::PRESETS[plan.preset].1() };
        check(level, &scene, &loss);
        let cotangent = loss.evaluate(&scene.expected_statistics(&loss.request())).unwrap().cotangent;
        check_gradient(level, &scene, &cotangent, &[plan.upstream]);
    });
}
per_level!(anything);
