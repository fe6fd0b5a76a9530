//! The same bits everywhere: statistics, values and gradient of every level with fused multiply-add, on any executor, number of
//! threads, memory layout and cut, equal those of the scalar level on one thread over a compact volume. The portable level is
//! held to the same against itself, and to a bound against the others.

mod common;

use std::sync::Barrier;
use std::time::Duration;

use common::{
    Axis, Bits, Level, Placed, Random, Scene, Tensor, bits_of_f32, demand_same, for_any, map_of, per_level, possible,
    rounds, run_at,
};
use dice_core::loss::{AbsentClass, GeneralizedDice};
use dice_core::{Activation, Group, Grouping, LossHead, Problem, Reduction, Request, Statistics, Sum, View, ViewMut};
use dice_simd::{Engine, Executor, Isa, Serial, TILE_VOXELS};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];

/// The engine whose bits those of `isa` must be.
fn oracle(isa: Isa) -> Engine<Serial> {
    let oracle = if isa.is_exact() { Isa::Scalar } else { Isa::Portable };
    Engine::serial().with_isa(oracle).unwrap()
}

fn loss(activation: Activation) -> GeneralizedDice {
    GeneralizedDice { activation, reduction: Reduction::None, ..GeneralizedDice::default() }
}

/// Several tiles of several samples, with ignored voxels, and so many logits that executors are used.
fn large_scene(classes: usize) -> Scene {
    let logit = |random: &mut Random| random.within(-5.0, 5.0);
    let label = |random: &mut Random| if random.once_in(100) { 99 } else { random.below(classes.max(2)) as u8 };
    let voxels = [140_000, 70_000, 36_000, 36_000, 30_000][classes.min(5) - 1];
    Scene::new(&mut Random(classes as u64), &[2, classes, voxels], logit, label).ignoring(99)
}

/// Runs the claimant over and over on the caller's thread.
struct Repeating;

impl Executor for Repeating {
    fn claimants(&self) -> usize {
        13
    }
    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        (0..limit).for_each(|_| claim());
    }
}

/// Runs the claimant once although it may more often.
struct Lazy;

impl Executor for Lazy {
    fn claimants(&self) -> usize {
        usize::MAX
    }
    fn run(&self, _limit: usize, claim: &(dyn Fn() + Sync)) {
        claim();
    }
}

/// Threads that start at once, or late and in reverse, and nothing on the caller's.
struct Threads {
    count: usize,
    at_once: bool,
}

impl Executor for Threads {
    fn claimants(&self) -> usize {
        self.count
    }
    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        let barrier = Barrier::new(limit);
        std::thread::scope(|scope| {
            for i in 0..limit {
                let barrier = &barrier;
                scope.spawn(move || {
                    if self.at_once {
                        barrier.wait();
                    } else {
                        std::thread::sleep(Duration::from_micros(100 * (limit - i) as u64));
                    }
                    claim();
                });
            }
        });
    }
}

/// On each executor, and on rayon's pools of several sizes.
fn executors(level: &Level) {
    let cases = [
        (2, Activation::Softmax),
        (5, Activation::Softmax),
        (1, Activation::Sigmoid),
        (3, Activation::None),
        (4, Activation::Softmax),
        (5, Activation::Sigmoid),
    ];
    for (classes, activation) in cases.into_iter().take(rounds(6, 1)) {
        let (scene, loss) = (large_scene(classes), loss(activation));
        let expected = scene.bits(&oracle(level.isa), &loss);
        let check =
            |name: &str, found: Bits| found.demand(&expected, &format_args!("{name}, {activation:?} of {classes}"));
        check("serial", scene.bits(&level.engine(), &loss));
        check("repeating", scene.bits(&level.engine_on(Repeating), &loss));
        check("lazy", scene.bits(&level.engine_on(Lazy), &loss));
        for count in [2, 5] {
            for at_once in [true, false] {
                check("threads", scene.bits(&level.engine_on(Threads { count, at_once }), &loss));
            }
        }
        let borrowed: &dyn Executor = &Threads { count: 3, at_once: true };
        check("a borrowed executor", scene.bits(&level.engine_on(borrowed), &loss));
        #[cfg(feature = "rayon")]
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| scene.bits(&level.engine_on(dice_simd::Rayon), &loss));
            check(&format!("rayon with {threads} threads"), found);
        }
    }
}
per_level!(executors);

/// Every length around the sizes that kernels are cut by, every bucket of classes, all activations; some voxels ignored.
fn lengths_and_classes(level: &Level) {
    for (i, length) in [1, 15, 16, 17, 63, 64, 65, 127, 512, 513, 4097, 8191, 8192, 8193].into_iter().enumerate() {
        for classes in [1, 2, 3, 4, 5, 14, 32, 40] {
            // On an emulator each activation in turn.
            for activation in ACTIVATIONS.into_iter().skip(rounds(0, (i + classes) % 3)).take(rounds(3, 1)) {
                let logit = |random: &mut Random| random.within(-20.0, 20.0);
                let label = |random: &mut Random| if random.once_in(50) { 99 } else { random.below(classes) as u8 };
                let mut scene = Scene::new(&mut Random(i as u64), &[1, classes, length], logit, label).ignoring(99);
                // Also whole blocks in which every voxel counts.
                scene.labels.data[length / 2..].fill(0);
                let (found, expected) = (level.engine(), oracle(level.isa));
                let activation = possible(activation, classes);
                let loss = loss(activation);
                let context = format!("{activation:?}, {classes} classes, {length} voxels");
                scene.bits(&found, &loss).demand(&scene.bits(&expected, &loss), &context);
            }
        }
    }
}
per_level!(lengths_and_classes);

/// Exact ties, zeros of both signs, huge, subnormal and non-finite logits: the levels agree on which results are NaN too.
fn special_logits(level: &Level) {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1e30,
        -1e30,
        f32::MAX,
        f32::MIN,
        1e-40,
        -1e-40,
        f32::MIN_POSITIVE,
        -44.0,
        -44.2,
        -87.5,
        88.8,
        f32::NEG_INFINITY,
        f32::INFINITY,
        f32::NAN,
        -f32::NAN,
    ];
    for finite in [true, false] {
        let logits = if finite { &special[..15] } else { &special[..] };
        for classes in [1, 2, 3, 4, 5] {
            for activation in ACTIVATIONS {
                let label = |random: &mut Random| random.below(classes.max(2)) as u8;
                let mut scene =
                    Scene::new(&mut Random(classes as u64), &[3, classes, 1500], |random| random.pick(logits), label);
                if !finite {
                    // One sample has NaN in one place only, and one none at all.
                    scene.logits.data[classes * 1500..].iter_mut().for_each(|z| *z = z.clamp(-9.0, 9.0));
                    scene
                        .logits
                        .data
                        .iter_mut()
                        .skip(classes * 1500)
                        .for_each(|z| *z = if z.is_nan() { 0.5 } else { *z });
                    scene.logits.data[classes * 1500 + 700] = f32::NAN;
                }
                let activation = possible(activation, classes);
                let loss = loss(activation);
                let expected = scene.bits(&oracle(level.isa), &loss);
                let nan = expected.gradient.iter().filter(|&&g| f32::from_bits(g).is_nan()).count();
                assert!(finite || (nan > 0 && nan < expected.gradient.len()), "the scene has NaN in some samples");
                let context = format!("{activation:?}, {classes} classes, finite {finite}");
                scene.bits(&level.engine(), &loss).demand(&expected, &context);
            }
        }
    }
}
per_level!(special_logits);

/// The same contents in other layouts, on one thread and on several.
fn layouts(level: &Level) {
    // Enough for threads; an emulator takes fewer, on one.
    let shape = rounds([2, 3, 3, 7, 1111], [2, 3, 2, 5, 211]);
    let first = [0, 1, 2, 3, 4];
    let last = [0, 2, 3, 4, 1];
    let compact = Scene::new(
        &mut Random(8),
        &shape,
        |random| random.within(-5.0, 5.0),
        |random| if random.once_in(300) { 200 } else { random.below(3) as u8 },
    )
    .ignoring(200);
    let plain = Axis::PLAIN;
    let placements: [([usize; 5], [Axis; 5]); 8] = [
        (first, [plain; 5]),
        (last, [plain; 5]),
        ([4, 3, 2, 1, 0], [plain; 5]),
        (first, [Axis::CROPPED; 5]),
        (last, [Axis::SAMPLED; 5]),
        (first, [Axis::FLIPPED; 5]),
        (first, [plain, Axis::FLIPPED, plain, plain, plain]),
        (first, [plain, plain, plain, plain, Axis::FLIPPED]),
    ];
    for activation in ACTIVATIONS {
        let loss = loss(activation);
        let expected = compact.bits(&oracle(level.isa), &loss);
        for i in 0..placements.len() {
            for (label_shift, gradient_shift) in [(0, 0), (1, 3)] {
                let place = |shift: usize, shape: &[usize], margin| {
                    let (order, axes) = &placements[(i + shift) % placements.len()];
                    Placed::new(shape, order, axes).behind(margin)
                };
                let moved = compact.moved([
                    place(0, &shape, i),
                    place(label_shift, &map_of(&shape), i + 1),
                    place(gradient_shift, &shape, i + 2),
                ]);
                let context = format!("{activation:?}, placements {i}, +{label_shift}, +{gradient_shift}");
                moved.bits(&level.engine(), &loss).demand(&expected, &context);
                let threads = Threads { count: 3, at_once: true };
                moved.bits(&level.engine_on(threads), &loss).demand(&expected, &context);
            }
        }
    }
}
per_level!(layouts);

/// Classes so few that a kernel holds whole voxels, which it reads and writes where they lie side by side.
fn few_classes_side_by_side(level: &Level) {
    for classes in [2, 4] {
        for voxels in [64, 130, rounds(20_011, 1000)] {
            let shape = [2, classes, voxels];
            let scene = Scene::plain(classes as u64, &shape);
            let loss = loss(Activation::Softmax);
            let expected = scene.bits(&oracle(level.isa), &loss);
            for logits in [Placed::channels_first(&shape), Placed::channels_last(&shape)] {
                for gradient in [Placed::channels_first(&shape), Placed::channels_last(&shape)] {
                    for margin in [0, 1] {
                        let places = [
                            logits.clone().behind(margin),
                            scene.labels.place.clone(),
                            gradient.clone().behind(margin),
                        ];
                        let context = format!("{classes} classes, {logits:?}, {gradient:?} behind {margin}");
                        scene.moved(places).bits(&level.engine(), &loss).demand(&expected, &context);
                    }
                }
            }
        }
    }
}
per_level!(few_classes_side_by_side);

/// A broadcast input is the same as its copy.
fn broadcast_inputs(level: &Level) {
    let shape = [3, 4, 5, 300];
    for axis in 0..4 {
        let mut axes = [Axis::PLAIN; 4];
        axes[axis] = Axis::REPEATED;
        for activation in ACTIVATIONS {
            let order = [0, 1, 2, 3];
            let places = [
                Placed::new(&shape, &order, &axes),
                Placed::new(&map_of(&shape), &order, &axes),
                Placed::channels_last(&shape),
            ];
            let mut random = Random(axis as u64);
            let scene = Scene::placed(&mut random, places, |r| r.within(-3.0, 3.0), |r| r.below(4) as u8);
            let expected = scene.compact().bits(&oracle(level.isa), &loss(activation));
            scene.bits(&level.engine(), &loss(activation)).demand(&expected, &format_args!("axis {axis}"));
        }
    }
}
per_level!(broadcast_inputs);

/// A gradient too large for the caches is written past them, whatever its alignment; what arrives is the same.
fn streamed_gradients(level: &Level) {
    // A volume that repeats a small one, whose gradient is too small to be streamed and holds all that occurs: blocks of which
    // every voxel counts, and others.
    const PERIOD: usize = 1009;
    fn check(level: &Level, classes: usize, voxels: usize, is_last: bool) {
        let label = |random: &mut Random| if random.once_in(200) { 50 } else { random.below(classes) as u8 };
        let small = Scene::new(&mut Random(3), &[1, classes, PERIOD], |r| r.within(-3.0, 3.0), label).ignoring(50);
        let loss = loss(Activation::Softmax);
        let cotangent = loss.evaluate(&small.expected_statistics(&loss.request())).unwrap().cotangent;
        let expected = bits_of_f32(&small.pullback(&oracle(level.isa), &cotangent, &[1.0]).unwrap());
        let shape = [1, classes, voxels];
        let place = if is_last { Placed::channels_last(&shape) } else { Placed::channels_first(&shape) };
        let in_period = |at: usize| {
            let (class, voxel) = if is_last { (at % classes, at / classes) } else { (at / voxels, at % voxels) };
            class * PERIOD + voxel % PERIOD
        };
        let data = (0..classes * voxels).map(|at| small.logits.data[in_period(at)]).collect();
        let logits = Tensor { data, place: place.clone() };
        let labels: Vec<u8> = (0..voxels).map(|at| small.labels.data[at % PERIOD]).collect();
        let problem = Problem {
            ignore_index: small.problem().ignore_index,
            ..Problem::new(View::map(&labels, &[1, voxels]).unwrap())
        };
        for margin in [1, 0, 4, 16].into_iter().take(rounds(4, 2)) {
            let place = place.clone().behind(margin);
            let mut data = vec![0.5; place.len];
            let mut view: ViewMut<'_, f32> = place.view_mut(&mut data);
            let engine = level.engine_on(Threads { count: 2, at_once: true });
            engine.pullback(&logits.view(), &problem, &cotangent, &[1.0], &mut view).unwrap();
            assert!(data[..margin].iter().all(|&x| x == 0.5), "nothing is written outside the view");
            let wrong = (0..classes * voxels).find(|&at| data[margin + at].to_bits() != expected[in_period(at)]);
            assert_eq!(wrong, None, "{classes} classes, {voxels} voxels behind {margin}, last: {is_last}");
        }
    }
    // 17 MiB; the plane of a channel is a multiple of 64 bytes, and is not.
    check(level, 2, 2_228_224, false);
    check(level, 14, 318_321, true);
    if rounds(2, 1) == 2 {
        check(level, 2, 2_228_227, false);
        check(level, 2, 2_228_227, true);
        check(level, 3, 1_485_481, true);
        check(level, 4, 1_114_113, true);
        check(level, 14, 318_321, false);
    }
}
per_level!(streamed_gradients);

/// Parts cut at tile bounds merge to the words of the whole in any order; cut anywhere, within the tolerance of the sums.
fn parts_of_statistics(level: &Level) {
    let voxels = 5 * TILE_VOXELS + 777;
    for activation in ACTIVATIONS {
        let label = |random: &mut Random| if random.once_in(9) { 50 } else { random.below(4) as u8 };
        let logit = |random: &mut Random| random.within(0.0, 1.0);
        let scene = Scene::new(&mut Random(5), &[2, 4, voxels], logit, label).ignoring(50);
        let (logits, problem) = (scene.logits.view(), scene.problem());
        let request = &Request::overlap(activation);
        let whole = oracle(level.isa).statistics(&logits, &problem, request).unwrap();
        let merged = |cuts: &[usize], random: &mut Random| {
            let engine = level.engine();
            let part = |cut: &[usize]| engine.statistics_range(&logits, &problem, request, cut[0]..cut[1]).unwrap();
            let mut parts: Vec<Statistics> = cuts.windows(2).map(part).collect();
            random.shuffle(&mut parts);
            let mut total = Statistics::new(2, 4, request).unwrap();
            parts.iter().for_each(|part| total.merge(part).unwrap());
            total
        };
        let mut random = Random(6);
        for _ in 0..8 {
            let mut cuts: Vec<usize> = (0..random.below(5)).map(|_| random.below(6) * TILE_VOXELS).collect();
            cuts.extend([0, voxels]);
            cuts.sort_unstable();
            assert_eq!(merged(&cuts, &mut random), whole, "{cuts:?}");

            let mut cuts: Vec<usize> = (0..random.below(20)).map(|_| random.below(voxels + 1)).collect();
            cuts.extend([0, 0, 1, 63, 65, 8191, 8193, voxels, voxels]);
            cuts.sort_unstable();
            let merged = merged(&cuts, &mut random);
            for sample in (0..2).map(Group::Sample) {
                assert_eq!(merged.valid_weight(sample), whole.valid_weight(sample));
                for class in 0..4 {
                    let [found, expected] = [&merged, &whole].map(|it| it.sum(sample, class, 0, Sum::Target));
                    assert_eq!(found, expected, "{cuts:?}");
                    for sum in [Sum::Prediction, Sum::Intersection] {
                        let [found, expected] = [&merged, &whole].map(|it| it.sum(sample, class, 0, sum).unwrap());
                        let error = (found - expected).abs() / expected;
                        level.within("sum cut anywhere", error, level.tolerance().sum_as_it_is, || format!("{cuts:?}"));
                    }
                }
            }
        }
    }
}
per_level!(parts_of_statistics);

/// A merge of tables of several samples through their words, as an all-reduce of `int64` makes it.
fn all_reduced_words(level: &Level) {
    let scene = large_scene(3);
    let (logits, problem) = (scene.logits.view(), scene.problem());
    let request = &Request::overlap(Activation::Softmax);
    let engine = level.engine();
    let whole = engine.statistics(&logits, &problem, request).unwrap();
    let mut sum = Statistics::new(2, 3, request).unwrap();
    for tile in (0..scene.voxels()).step_by(TILE_VOXELS) {
        let range = tile..(tile + TILE_VOXELS).min(scene.voxels());
        let part = engine.statistics_range(&logits, &problem, request, range).unwrap();
        for (into, from) in sum.as_mut_limbs().iter_mut().zip(part.as_limbs()) {
            *into += from;
        }
    }
    sum.normalise();
    assert_eq!(sum.as_limbs(), whole.as_limbs());
}
per_level!(all_reduced_words);

/// Pieces of a gradient, cut anywhere and in any order, are the whole; and a piece leaves the rest alone.
fn parts_of_gradients(level: &Level) {
    for (activation, gradient) in [
        (Activation::Softmax, Placed::channels_first(&[2, 3, 20_011])),
        (Activation::Softmax, Placed::channels_last(&[2, 3, 20_011]).behind(1)),
        (Activation::Sigmoid, Placed::channels_first(&[2, 3, 20_011]).behind(3)),
        (Activation::None, Placed::channels_last(&[2, 3, 20_011])),
    ] {
        let label = |random: &mut Random| if random.once_in(200) { 50 } else { random.below(3) as u8 };
        let scene = Scene::new(&mut Random(7), &[2, 3, 20_011], |r| r.within(-4.0, 4.0), label).ignoring(50);
        let scene = Scene { gradient, ..scene };
        let loss = loss(activation);
        let (logits, problem) = (scene.logits.view(), scene.problem());
        let cotangent = loss.evaluate(&scene.expected_statistics(&loss.request())).unwrap().cotangent;
        let upstream = [0.75, -3.0];
        let whole = scene.pullback(&oracle(level.isa), &cotangent, &upstream).unwrap();
        let mut random = Random(8);
        for _ in 0..4 {
            let mut cuts: Vec<usize> = (0..random.below(12)).map(|_| random.below(20_012)).collect();
            cuts.extend([0, 20_011]);
            cuts.sort_unstable();
            let mut pieces: Vec<_> = cuts.windows(2).map(|cut| cut[0]..cut[1]).collect();
            random.shuffle(&mut pieces);
            let engine = level.engine();
            let pullback = |pieces: &[std::ops::Range<usize>], view: &mut ViewMut<'_, f32>| {
                pieces.iter().try_for_each(|piece| {
                    engine.pullback_range(&logits, &problem, &cotangent, &upstream, piece.clone(), &mut *view)
                })
            };
            let (_, found) = scene.gradient(|view| pullback(&pieces, view)).unwrap();
            demand_same(&bits_of_f32(&found), &bits_of_f32(&whole), &format_args!("{activation:?} {pieces:?}"));

            let mut data = vec![common::UNWRITTEN; scene.gradient.len];
            pullback(&pieces[..1], &mut scene.gradient.view_mut(&mut data)).unwrap();
            let written = data.iter().filter(|&&x| x != common::UNWRITTEN).count();
            assert_eq!(written, 2 * 3 * pieces[0].len(), "a piece leaves the rest alone");
        }
    }
}
per_level!(parts_of_gradients);

/// The usual call is the three steps; a label check that was skipped changes nothing.
fn usual_call(level: &Level) {
    for classes in [4, 1, 2, 5].into_iter().take(rounds(4, 1)) {
        let scene = large_scene(classes);
        let (logits, problem) = (scene.logits.view(), scene.problem());
        for (grouping, reduction) in [
            (Grouping::PerSample, Reduction::Mean),
            (Grouping::Batch, Reduction::None),
            (Grouping::PerSample, Reduction::None),
        ] {
            let loss = loss(possible(Activation::Softmax, classes));
            let loss = GeneralizedDice { grouping, reduction, absent: AbsentClass::MaxFinite, ..loss };
            let engine = level.engine();
            let (evaluation, gradient) = scene.value_and_grad(&engine, &loss).unwrap();
            let statistics = engine.statistics(&logits, &problem, &loss.request()).unwrap();
            let in_steps = loss.evaluate(&statistics).unwrap();
            assert_eq!(evaluation, in_steps);
            assert_eq!(engine.value(&logits, &problem, &loss).unwrap(), in_steps);
            let expected = bits_of_f32(&scene.pullback(&engine, &in_steps.cotangent, &[1.0]).unwrap());
            demand_same(&bits_of_f32(&gradient), &expected, &grouping_name(grouping));
            let trusted = Problem { labels_checked: true, ..problem };
            let (_, unchecked) =
                scene.gradient(|view| engine.pullback(&logits, &trusted, &in_steps.cotangent, &[1.0], view)).unwrap();
            demand_same(&bits_of_f32(&unchecked), &expected, &grouping_name(grouping));
        }
    }
}
per_level!(usual_call);

fn grouping_name(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::PerSample => "per sample",
        Grouping::Batch => "batch",
    }
}

/// Anything: shape, layouts, labels, on threads.
fn anything(level: &Level) {
    let plan = (
        any::<u64>(),
        1_usize..4,
        1_usize..7,
        prop::collection::vec(1_usize..40, 1..4),
        prop::sample::select(ACTIVATIONS.to_vec()),
        prop::sample::select(vec![0.1_f32, 3.0, 30.0, 1e30]),
    );
    for_any(100, plan, |(seed, samples, classes, spatial, activation, size)| {
        let shape: Vec<usize> = [samples, classes].into_iter().chain(spatial).collect();
        let mut random = Random(seed);
        let place = |shape: &[usize], random: &mut Random| {
            let mut order: Vec<usize> = (0..shape.len()).collect();
            random.shuffle(&mut order);
            let axes: Vec<Axis> = shape
                .iter()
                .map(|_| random.pick(&[Axis::PLAIN, Axis::PLAIN, Axis::CROPPED, Axis::SAMPLED, Axis::FLIPPED]))
                .collect();
            Placed::new(shape, &order, &axes).behind(random.below(20))
        };
        let places = [place(&shape, &mut random), place(&map_of(&shape), &mut random), place(&shape, &mut random)];
        let label = |random: &mut Random| if random.once_in(40) { 250 } else { random.below(classes.max(2)) as u8 };
        let scene = Scene::placed(&mut random, places, |r| r.within(-size, size), label).ignoring(250);
        let loss = loss(possible(activation, classes));
        let expected = scene.compact().bits(&oracle(level.isa), &loss);
        scene.bits(&level.engine(), &loss).demand(&expected, &"anything");
    });
}
per_level!(anything);

/// The portable level, whose multiply-add rounds twice, agrees with the exact ones within its own bound.
#[test]
fn portable_agrees_within_its_bound() {
    run_at(Isa::Portable, "portable_agrees_within_its_bound", |level| {
        for classes in [1, 2, 3, 4, 14, 40] {
            for activation in ACTIVATIONS {
                let scene = Scene::plain(classes as u64, &[2, classes, 9000]);
                let activation = possible(activation, classes);
                let loss = loss(activation);
                let (portable, exact) = (level.engine(), Engine::serial().with_isa(Isa::Scalar).unwrap());
                let [found, expected] =
                    [&portable, &exact].map(|engine| scene.statistics(engine, &loss.request()).unwrap());
                for sample in (0..2).map(Group::Sample) {
                    assert_eq!(found.valid_weight(sample), expected.valid_weight(sample));
                    for class in 0..classes {
                        let sum = |table: &Statistics, sum| table.sum(sample, class, 0, sum).unwrap();
                        assert_eq!(sum(&found, Sum::Target), sum(&expected, Sum::Target));
                        for kind in [Sum::Prediction, Sum::Intersection] {
                            let (found, expected) = (sum(&found, kind), sum(&expected, kind));
                            let scale = if activation == Activation::None { 4.0 * 9000.0 } else { expected };
                            let bound = level.tolerance().sum;
                            level.within("sum", (found - expected).abs() / scale, bound, || format!("{activation:?}"));
                        }
                    }
                }
                let cotangent = loss.evaluate(&expected).unwrap().cotangent;
                let greatest = cotangent.as_slice().iter().fold(0.0_f64, |max, x| max.max(x.abs()));
                let [found, expected] =
                    [&portable, &exact].map(|engine| scene.pullback(engine, &cotangent, &[1.0]).unwrap());
                for (found, expected) in found.into_iter().zip(expected) {
                    let error = f64::from((found - expected).abs()) / greatest;
                    level.within("gradient", error, level.tolerance().gradient, || format!("{activation:?}"));
                }
            }
        }
    });
}
