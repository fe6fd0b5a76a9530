//! What is refused, with what and where, and leaves the outputs alone; and what is odd but allowed.

mod common;

use std::sync::Barrier;

use common::{Axis, Level, Placed, Random, Scene, Tensor, map_of, per_level, possible, rounds};
use dice_core::loss::GeneralizedDice;
use dice_core::{
    Activation, Cotangent, Dims, Error, Group, Grouping, LossHead, NonFinite, Problem, Reduction, Request, Statistics,
    Sum, Values, View, ViewMut, reference,
};
use dice_simd::{Engine, Executor, Isa, TILE_VOXELS, UnavailableIsa};

const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];
fn softmax() -> Request {
    Request::overlap(Activation::Softmax)
}

fn with(activation: Activation) -> GeneralizedDice {
    GeneralizedDice { activation, reduction: Reduction::None, ..GeneralizedDice::default() }
}

/// Threads that start at once.
struct Threads(usize);

impl Executor for Threads {
    fn claimants(&self) -> usize {
        self.0
    }
    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        let barrier = Barrier::new(limit);
        std::thread::scope(|scope| {
            for _ in 0..limit {
                scope.spawn(|| {
                    barrier.wait();
                    claim();
                });
            }
        });
    }
}

/// Demands that every way into the engine that reads labels gives `error`, and writes nothing.
#[track_caller]
fn demand_label_error<X: Executor>(scene: &Scene, engine: &Engine<X>, error: &Error) {
    let loss = with(possible(Activation::Softmax, scene.classes()));
    assert_eq!(scene.statistics(engine, &loss.request()).unwrap_err(), *error);
    assert_eq!(engine.value(&scene.logits.view(), &scene.problem(), &loss).unwrap_err(), *error);
    assert_eq!(scene.value_and_grad(engine, &loss).unwrap_err(), *error, "the usual call");
    let cotangent = Cotangent::new(&loss.request(), 1, scene.classes(), Values::One).unwrap();
    assert_eq!(scene.pullback(engine, &cotangent, &[1.0]).unwrap_err(), *error, "a pullback on its own");
}

/// The first impossible label is named, wherever it is and however many follow, on one thread and on several.
fn labels_out_of_range(level: &Level) {
    // Early and late in a tile, at its ends, in the last sample, in a tail; with few voxels and with many tiles.
    let late = [0, 5, TILE_VOXELS - 1, TILE_VOXELS, 3 * TILE_VOXELS + 70, 39_999, 40_000, 79_999];
    let cases: [(usize, &[usize], &[usize]); 3] = [
        (1, &[1, 2, 4, 5], &[0, 1]),
        (100, &[1, 2, 4, 5], &[0, 63, 64, 99, 100, 163, 199]),
        (40_000, &[4, 5], &late[rounds(0, 4)..]),
    ];
    for (voxels, class_counts, places) in cases {
        for &classes in class_counts {
            let clean = Scene::plain(1, &[2, classes, voxels]);
            let allowed = classes.max(2);
            for &place in places {
                let label = if place % 2 == 0 { allowed as u8 } else { 255 };
                let mut scene = clean.clone();
                scene.labels.data[place] = label;
                // Others behind it, which other threads may find sooner.
                scene.labels.data.iter_mut().skip(place + 1).step_by(777).for_each(|it| *it = 253);
                let error = Error::LabelOutOfRange { index: place as u64, label: label.into(), classes: allowed };
                demand_label_error(&scene, &level.engine(), &error);
                if voxels > 1000 {
                    demand_label_error(&scene, &level.engine_on(Threads(3)), &error);
                    #[cfg(feature = "rayon")]
                    demand_label_error(&scene, &level.engine_on(dice_simd::Rayon), &error);
                } else {
                    // One ignored label does not excuse the others.
                    demand_label_error(&scene.ignoring(254), &level.engine(), &error);
                }
            }
        }
    }
}
per_level!(labels_out_of_range);

/// An index counts in the logical order of the labels, not in that of the memory.
fn index_of_a_label_is_logical(level: &Level) {
    let shape = [2, 3, 6, 7, 70];
    for (order, axes) in [
        ([0, 2, 3, 4, 1], [Axis::FLIPPED; 5]),
        ([4, 3, 2, 1, 0], [Axis::CROPPED; 5]),
        ([0, 1, 2, 3, 4], [Axis::PLAIN, Axis::PLAIN, Axis::FLIPPED, Axis::SAMPLED, Axis::PLAIN]),
    ] {
        let mut scene = Scene::plain(2, &shape);
        scene.labels.data[4444] = 3;
        scene.labels.data[5555] = 4;
        let labels = Placed::new(&map_of(&shape), &order, &axes);
        let moved = scene.moved([Placed::channels_last(&shape), labels, Placed::channels_first(&shape)]);
        let error = Error::LabelOutOfRange { index: 4444, label: 3, classes: 3 };
        demand_label_error(&moved, &level.engine(), &error);
    }
}
per_level!(index_of_a_label_is_logical);

/// A part of a volume answers for its own labels only.
fn labels_outside_a_range(level: &Level) {
    let mut scene = Scene::plain(3, &[2, 3, 30_000]);
    scene.labels.data[20_000] = 9;
    scene.labels.data[30_000 + 100] = 8;
    let (logits, problem, engine) = (scene.logits.view(), scene.problem(), level.engine());
    let part = |range| engine.statistics_range(&logits, &problem, &softmax(), range);
    assert!(part(101..20_000).is_ok() && part(20_001..30_000).is_ok());
    let of = |index, label| Error::LabelOutOfRange { index, label, classes: 3 };
    assert_eq!(part(0..101).unwrap_err(), of(30_100, 8));
    assert_eq!(part(0..30_000).unwrap_err(), of(20_000, 9));
    let cotangent = Cotangent::new(&softmax(), 1, 3, Values::One).unwrap();
    let mut gradient = vec![7.0_f32; 2 * 3 * 30_000];
    let mut view = ViewMut::channels_first(&mut gradient, &[2, 3, 30_000]).unwrap();
    assert!(engine.pullback_range(&logits, &problem, &cotangent, &[1.0], 101..20_000, &mut view).is_ok());
    let error = engine.pullback_range(&logits, &problem, &cotangent, &[1.0], 0..101, &mut view).unwrap_err();
    assert_eq!(error, of(30_100, 8));
    assert!(gradient[..101].iter().all(|&g| g == 7.0), "untouched");
}
per_level!(labels_outside_a_range);

/// Vouched for, a label that is impossible is ignored, as the field says.
fn unchecked_labels(level: &Level) {
    let mut scene = Scene::plain(4, &[1, 3, 500]);
    scene.labels.data[70] = 200;
    let problem = Problem { labels_checked: true, ..scene.problem() };
    let loss = with(Activation::Softmax);
    let cotangent = loss.evaluate(&Scene::plain(4, &[1, 3, 500]).expected_statistics(&softmax())).unwrap().cotangent;
    let logits = scene.logits.view();
    let (_, gradient) = scene.gradient(|g| level.engine().pullback(&logits, &problem, &cotangent, &[-1.0], g)).unwrap();
    for (at, g) in gradient.iter().enumerate() {
        assert_eq!(g.to_bits() == 0, at % 500 == 70, "element {at} is {g}");
    }
    // It is no licence for the statistics.
    assert!(level.engine().statistics(&logits, &problem, &softmax()).is_err());
}
per_level!(unchecked_labels);

fn shapes_that_do_not_fit(level: &Level) {
    let engine = level.engine();
    let scene = Scene::plain(5, &[2, 3, 4, 5]);
    let (logits, cotangent) = (scene.logits.view(), Cotangent::new(&softmax(), 1, 3, Values::One).unwrap());
    let loss = with(Activation::Softmax);
    let labels = [0_u8; 1000];
    let misfit = |what, shape: &[usize]| {
        let (expected, found) = (Dims::new(&[2, 3, 4, 5]), Dims::new(shape));
        Error::ShapeMismatch { what, whose: "the logits'", expected, found }
    };
    for shape in [&[2, 4, 4][..], &[1, 4, 5], &[2, 20], &[2, 4, 5, 1], &[2, 5, 4], &[40], &[2, 0, 5]] {
        let map = View::map(&labels[..shape.iter().product()], shape).unwrap();
        let error = misfit("label map", shape);
        let problem = Problem::new(map);
        assert_eq!(engine.statistics(&logits, &problem, &softmax()).unwrap_err(), error);
        let (a, b) = (
            scene.gradient(|g| engine.value_and_grad(&logits, &problem, &loss, &[1.0], g)),
            scene.gradient(|g| engine.pullback(&logits, &problem, &cotangent, &[1.0], g)),
        );
        assert_eq!((a.unwrap_err(), b.unwrap_err()), (error.clone(), error));
    }
    let channels = View::channels_first(&labels[..120], &[2, 3, 4, 5]).unwrap();
    let error = engine.statistics(&logits, &Problem::new(channels), &softmax()).unwrap_err();
    assert_eq!(error, Error::MapWithChannels { what: "label map", shape: Dims::new(&[2, 3, 4, 5]) });

    for shape in [&[2, 3, 5, 4][..], &[2, 3, 20], &[2, 2, 4, 5], &[1, 3, 4, 5], &[2, 3, 4, 5, 1], &[2, 3, 4, 6]] {
        let gradient = Scene { gradient: Placed::channels_first(shape), ..scene.clone() };
        let error = misfit("gradient", shape);
        assert_eq!(gradient.pullback(&engine, &cotangent, &[1.0]).unwrap_err(), error);
        assert_eq!(gradient.value_and_grad(&engine, &loss).unwrap_err(), error);
    }
}
per_level!(shapes_that_do_not_fit);

fn cotangents_that_do_not_fit(level: &Level) {
    let engine = level.engine();
    let scene = Scene::plain(6, &[3, 3, 50]);
    let pullback = |cotangent: Cotangent, upstream: &[f64]| scene.pullback(&engine, &cotangent, upstream);
    let mismatch = |what, expected, found| Error::StatisticsMismatch { what, expected, found };
    let error = pullback(Cotangent::new(&softmax(), 1, 4, Values::One).unwrap(), &[1.0]).unwrap_err();
    assert_eq!(error, mismatch("classes of the cotangent", 3, 4));
    let error = pullback(Cotangent::new(&softmax(), 2, 3, Values::One).unwrap(), &[1.0]).unwrap_err();
    assert_eq!(error, mismatch("rows of the cotangent", 3, 2));
    for upstream in [&[][..], &[1.0; 2], &[1.0; 4]] {
        let error = pullback(Cotangent::new(&softmax(), 3, 3, Values::PerGroup).unwrap(), upstream).unwrap_err();
        assert_eq!(error, Error::Length { what: "upstream gradient", expected: 3, found: upstream.len() });
    }
    for upstream in [&[1.0][..], &[1.0; 3]] {
        assert!(pullback(Cotangent::new(&softmax(), 3, 3, Values::PerGroup).unwrap(), upstream).is_ok());
    }
    let statistics = scene.statistics(&engine, &softmax()).unwrap();
    assert!(with(Activation::Sigmoid).evaluate(&statistics).is_err(), "a table of another activation");
}
per_level!(cotangents_that_do_not_fit);

fn ranges_outside_a_sample(level: &Level) {
    let engine = level.engine();
    let scene = Scene::plain(7, &[2, 2, 100]);
    let (logits, problem) = (scene.logits.view(), scene.problem());
    let cotangent = Cotangent::new(&softmax(), 1, 2, Values::One).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let ranges = [0..101, 101..102, 60..50, usize::MAX - 1..usize::MAX, 0..usize::MAX];
    for range in ranges {
        let error = Error::VoxelRange { start: range.start, end: range.end, voxels: 100 };
        assert_eq!(engine.statistics_range(&logits, &problem, &softmax(), range.clone()).unwrap_err(), error);
        let pulled = scene.gradient(|g| engine.pullback_range(&logits, &problem, &cotangent, &[1.0], range.clone(), g));
        assert_eq!(pulled.unwrap_err(), error);
    }
    for empty in [0..0, 100..100, 64..64] {
        let statistics = engine.statistics_range(&logits, &problem, &softmax(), empty.clone()).unwrap();
        assert_eq!(statistics, Statistics::new(2, 2, &softmax()).unwrap());
        let mut data = vec![3.0_f32; 400];
        let mut view = ViewMut::channels_first(&mut data, &[2, 2, 100]).unwrap();
        engine.pullback_range(&logits, &problem, &cotangent, &[1.0], empty, &mut view).unwrap();
        assert!(data.iter().all(|&g| g == 3.0));
    }
}
per_level!(ranges_outside_a_sample);

fn zero_classes(level: &Level) {
    let engine = level.engine();
    let logits = View::<f32>::channels_first(&[], &[2, 0, 5]).unwrap();
    let problem = Problem::new(View::map(&[0_u8; 10], &[2, 5]).unwrap());
    let error = Error::ZeroClasses { shape: Dims::new(&[2, 0, 5]) };
    assert_eq!(engine.statistics(&logits, &problem, &softmax()).unwrap_err(), error);
    let mut gradient = ViewMut::<f32>::channels_first(&mut [], &[2, 0, 5]).unwrap();
    let cotangent = Cotangent::new(&softmax(), 1, 0, Values::One).unwrap();
    assert_eq!(engine.pullback(&logits, &problem, &cotangent, &[1.0], &mut gradient).unwrap_err(), error);
    assert_eq!(
        engine.value_and_grad(&logits, &problem, &with(Activation::Softmax), &[1.0], &mut gradient).unwrap_err(),
        error
    );
}
per_level!(zero_classes);

/// No voxel or no sample: nothing to sum, a loss of 0, nothing to write.
fn nothing_at_all(level: &Level) {
    for shape in [&[1, 2, 0][..], &[2, 3, 4, 0], &[2, 1, 0, 0, 3], &[0, 2, 5], &[0, 4, 0], &[0, 3]] {
        let scene = Scene::plain(0, &[1, shape[1], 1]);
        let empty = |shape: &[usize]| Placed { len: 0, ..Placed::channels_first(shape) };
        let scene = Scene {
            logits: Tensor { place: empty(shape), data: vec![] },
            labels: Tensor { place: empty(&map_of(shape)), data: vec![] },
            gradient: empty(shape),
            ..scene
        };
        for (_, make) in GeneralizedDice::PRESETS {
            for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
                let loss = GeneralizedDice { reduction, ..make() };
                let activation = possible(loss.activation, shape[1]);
                let is_default = loss == GeneralizedDice::default();
                let loss = GeneralizedDice { activation, ..loss };
                let statistics = scene.statistics(&level.engine(), &loss.request()).unwrap();
                assert_eq!(statistics, Statistics::new(shape[0], shape[1], &loss.request()).unwrap());
                let (evaluation, gradient) = scene.value_and_grad(&level.engine(), &loss).unwrap();
                assert_eq!(evaluation.values, loss.evaluate(&statistics).unwrap().values);
                assert!(evaluation.values.iter().all(|value| value.is_finite()), "{loss:?} {shape:?}");
                assert!(!is_default || evaluation.values == [0.0]);
                assert!(gradient.is_empty());
            }
        }
    }
}
per_level!(nothing_at_all);

/// Views check themselves when they are made: nothing that a pass could trip over comes into being.
#[test]
fn views_that_cannot_be() {
    let mut data = [0.0_f32; 60];
    let of_slice = |error: Error| matches!(error, Error::OutOfSlice { .. });
    let length = |error: Error| matches!(error, Error::Length { found: 60, .. });
    assert!(length(View::channels_first(&data, &[1, 2, 31]).unwrap_err()));
    assert!(length(View::channels_first(&data, &[1, 2, 29]).unwrap_err()));
    assert!(length(View::channels_last(&data, &[61, 1]).unwrap_err()));
    assert!(length(View::map(&data, &[2, 31]).unwrap_err()));
    assert!(of_slice(View::strided(&data, &[1, 2, 31], &[62, 31, 1], 0).unwrap_err()));
    assert!(of_slice(View::strided(&data, &[1, 2, 30], &[0, 30, -1], 28).unwrap_err()));
    assert!(View::strided(&data, &[1, 2, 30], &[0, 30, -1], 29).is_ok());
    assert!(length(ViewMut::channels_first(&mut data, &[1, 2, 31]).unwrap_err()));
    assert!(of_slice(ViewMut::strided(&mut data, &[1, 2, 31], &[62, 31, 1], 0).unwrap_err()));
    let overlaps = |error: Error| matches!(error, Error::SelfOverlap { .. });
    assert!(overlaps(ViewMut::strided(&mut data, &[1, 2, 30], &[0, 29, 1], 0).unwrap_err()));
    assert!(overlaps(ViewMut::strided(&mut data, &[2, 2, 15], &[0, 15, 1], 0).unwrap_err()));
    assert!(ViewMut::strided(&mut data, &[1, 2, 30], &[0, 1, 2], 0).is_ok());
}

/// The NaN of value and gradient are those of the reference: NaN reaches the values of its group and nothing else.
fn non_finite_logits_propagate(level: &Level) {
    const VOXELS: usize = 300;
    for activation in ACTIVATIONS {
        for classes in [1, 2, 3, 4, 5] {
            for z in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut scene = Scene::plain(8, &[3, classes, VOXELS]);
                // One class of one voxel of the sample in the middle.
                let class = classes / 2;
                scene.logits.data[(classes + class) * VOXELS + 77] = z;
                for (grouping, reduction) in [
                    (Grouping::PerSample, Reduction::None),
                    (Grouping::PerSample, Reduction::Mean),
                    (Grouping::Batch, Reduction::Mean),
                ] {
                    let activation = possible(activation, classes);
                    let loss = GeneralizedDice { grouping, reduction, ..with(activation) };
                    let expected = loss.evaluate(&scene.expected_statistics(&loss.request())).unwrap();
                    let expected_gradient = scene.expected_gradient(&expected.cotangent, &[1.0]);
                    let (found, gradient) = scene.value_and_grad(&level.engine(), &loss).unwrap();
                    let context = format!("{activation:?} {z} among {classes} classes, {grouping:?}, {reduction:?}");
                    let is_nan = |x: &f64| x.is_nan();
                    let places = |values: &[f64]| values.iter().map(is_nan).collect::<Vec<_>>();
                    assert_eq!(places(&found.values), places(&expected.values), "{context}");
                    let gradient: Vec<f64> = gradient.into_iter().map(f64::from).collect();
                    assert_eq!(places(&gradient), places(&expected_gradient), "{context}");
                    assert!(gradient.iter().all(|g| !g.is_infinite()), "{context}");
                    // What the reference says is what is meant.
                    let harmless = match activation {
                        Activation::Softmax => z == f32::NEG_INFINITY && classes > 1,
                        Activation::Sigmoid => !z.is_nan(),
                        Activation::None => false,
                    };
                    let nan = gradient.iter().filter(|g| g.is_nan()).count();
                    let rows = if grouping == Grouping::Batch { 3 } else { 1 };
                    assert_eq!(nan, if harmless { 0 } else { rows * classes * VOXELS }, "{context}");
                    assert_eq!(found.value().is_nan(), !harmless, "{context}");
                }
            }
        }
    }
}
per_level!(non_finite_logits_propagate);

/// The preset that counts a non-finite sample as 0 gives it a gradient of +0, NaN logits or not.
fn non_finite_samples_count_as_zero(level: &Level) {
    for activation in ACTIVATIONS {
        let mut scene = Scene::plain(9, &[2, 3, 200]);
        scene.logits.data[3 * 200 + 250] = f32::NAN;
        let loss = GeneralizedDice { activation, reduction: Reduction::None, ..GeneralizedDice::per_sample() };
        let (evaluation, gradient) = scene.value_and_grad(&level.engine(), &loss).unwrap();
        assert!(evaluation.values[0] != 0.0 && evaluation.values[1] == 0.0);
        assert!(gradient[..600].iter().all(|g| g.is_finite()) && gradient[..600].iter().any(|&g| g != 0.0));
        assert!(gradient[600..].iter().all(|g| g.to_bits() == 0), "{activation:?}");
    }
}
per_level!(non_finite_samples_count_as_zero);

/// On request the first logit without a probability is an error; first in the order [N, C, spatial…].
fn non_finite_logits_as_an_error(level: &Level) {
    let mut random = Random(10);
    let mut seen = 0;
    let total = rounds(60, 12);
    for round in 0..total {
        let classes = 1 + round % 5;
        let activation = possible(ACTIVATIONS[round % 3], classes);
        // Every fourth round so large that threads are used.
        let voxels = if round % 4 == 0 { 140_000 / classes } else { 1 + random.below(400) };
        let mut scene = Scene::plain(round as u64, &[2, classes, voxels]);
        for _ in 0..random.below(4) {
            let at = random.below(scene.logits.data.len());
            scene.logits.data[at] = random.pick(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        }
        if round % 7 == 0 {
            // A voxel of nothing but −∞, and one where −∞ stands before a NaN.
            let (lost, beside) = (random.below(voxels), random.below(voxels));
            (0..classes).for_each(|class| scene.logits.data[class * voxels + lost] = f32::NEG_INFINITY);
            scene.logits.data[beside] = f32::NEG_INFINITY;
            scene.logits.data[(classes - 1) * voxels + beside] = f32::NAN;
        }
        let shape = scene.shape().to_vec();
        for place in [Placed::channels_first(&shape), Placed::channels_last(&shape)] {
            let scene = scene.moved([place, scene.labels.place.clone(), scene.gradient.clone()]);
            let (logits, loss) = (scene.logits.view(), with(activation));
            let problem = Problem { non_finite: NonFinite::Error, ..scene.problem() };
            let expected = reference::statistics(&logits, &problem, &loss.request());
            let serial = level.engine().statistics(&logits, &problem, &loss.request());
            let threads = level.engine_on(Threads(3)).statistics(&logits, &problem, &loss.request());
            let index = |result: &Result<Statistics, Error>| match result {
                Ok(_) => None,
                Err(Error::NonFiniteLogit { index, value }) => Some((*index, (*value as f32).is_nan(), *value > 0.0)),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(index(&serial), index(&expected), "{activation:?} {shape:?}");
            assert_eq!(index(&threads), index(&expected), "{activation:?} {shape:?}");
            let made = scene.gradient(|g| level.engine().value_and_grad(&logits, &problem, &loss, &[1.0], g));
            assert_eq!(made.is_err(), expected.is_err(), "an error of the usual call, too, and nothing written");
            seen += usize::from(expected.is_err());
        }
    }
    assert!(seen > total / 2, "only {seen} of {total} rounds in two layouts met such a logit");
}
per_level!(non_finite_logits_as_an_error);

/// A label that is wrong is reported before a logit that is.
fn labels_before_logits(level: &Level) {
    let mut scene = Scene::plain(11, &[1, 3, 100]);
    scene.logits.data[0] = f32::NAN;
    scene.labels.data[99] = 17;
    let problem = Problem { non_finite: NonFinite::Error, ..scene.problem() };
    let error = level.engine().statistics(&scene.logits.view(), &problem, &softmax()).unwrap_err();
    assert_eq!(error, Error::LabelOutOfRange { index: 99, label: 17, classes: 3 });
}
per_level!(labels_before_logits);

/// An ignored voxel may hold anything. It adds nothing, and its gradient is +0 whatever the signs around it.
fn ignored_voxels_hold_anything(level: &Level) {
    for activation in ACTIVATIONS {
        for (classes, ignored) in [(1, 1), (2, 0), (3, 200), (4, 255), (5, 2)] {
            let voxels = 9000;
            let mut random = Random(12);
            let label = |random: &mut Random| if random.once_in(30) { ignored } else { random.below(classes) as u8 };
            let shape = [2, classes, voxels];
            let clean = Scene::new(&mut random, &shape, |r| r.within(-2.0, 2.0), label).ignoring(ignored.into());
            let mut scene = clean.clone();
            for (at, z) in scene.logits.data.iter_mut().enumerate() {
                let (sample, voxel) = (at / (classes * voxels), at % voxels);
                if scene.labels.data[sample * voxels + voxel] == ignored {
                    *z = random.pick(&[f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-40]);
                }
            }
            let loss = with(possible(activation, classes));
            let expected = clean.bits(&level.engine(), &loss);
            scene.bits(&level.engine(), &loss).demand(&expected, &format_args!("{activation:?} of {classes}"));
            let problem = Problem { non_finite: NonFinite::Error, ..scene.problem() };
            assert!(level.engine().statistics(&scene.logits.view(), &problem, &loss.request()).is_ok());
            let cotangent = loss.evaluate(&clean.expected_statistics(&loss.request())).unwrap().cotangent;
            for upstream in [1.0, -1.0, f64::INFINITY, f64::NAN] {
                let gradient = scene.pullback(&level.engine(), &cotangent, &[upstream]).unwrap();
                for (at, g) in gradient.iter().enumerate() {
                    let (sample, voxel) = (at / (classes * voxels), at % voxels);
                    if scene.labels.data[sample * voxels + voxel] == ignored {
                        assert_eq!(g.to_bits(), 0, "{activation:?}: element {at} is {g} for upstream {upstream}");
                    }
                }
            }
        }
    }
}
per_level!(ignored_voxels_hold_anything);

/// Finite logits of any size: a finite value and gradient, without an activation too.
fn huge_finite_logits(level: &Level) {
    for activation in ACTIVATIONS {
        for classes in [1, 2, 3, 4, 5] {
            for huge in [1e30, -1e30] {
                let logit = |random: &mut Random| if random.once_in(2) { huge } else { random.within(-1.0, 1.0) };
                let label = |random: &mut Random| random.below(classes.max(2)) as u8;
                let scene = Scene::new(&mut Random(13), &[2, classes, 700], logit, label);
                for (name, make) in GeneralizedDice::PRESETS {
                    let loss = GeneralizedDice { activation: possible(activation, classes), ..make() };
                    let (evaluation, gradient) = scene.value_and_grad(&level.engine(), &loss).unwrap();
                    assert!(evaluation.value().is_finite(), "{name} on {activation:?}: {}", evaluation.value());
                    assert!(gradient.iter().all(|g| g.is_finite()), "{name} on {activation:?}");
                    let statistics = scene.statistics(&level.engine(), &loss.request()).unwrap();
                    for class in 0..classes {
                        assert!(statistics.sum(Group::All, class, 0, Sum::Prediction).unwrap().is_finite());
                    }
                }
            }
        }
    }
}
per_level!(huge_finite_logits);

/// A level that this CPU lacks is an error where it is asked for.
#[test]
fn unavailable_levels() {
    let mut lacking = 0;
    for isa in Isa::ALL {
        let engine = Engine::serial().with_isa(isa);
        if isa.is_available() {
            assert_eq!(engine.unwrap().isa(), isa);
        } else {
            let error = engine.unwrap_err();
            assert_eq!(error, UnavailableIsa(isa));
            assert_eq!(error.to_string(), format!("this CPU has no {isa}"));
            lacking += 1;
        }
    }
    assert!(lacking > 0, "no CPU has NEON and AVX2");
    assert!(Isa::available().any(|isa| isa == Isa::Scalar) && Isa::available().any(|isa| isa == Isa::Portable));
}
