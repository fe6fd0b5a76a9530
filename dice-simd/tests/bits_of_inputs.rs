//! The same bits from every kind of input: on every level, for every way to say the same target, mask or weights, wherever the
//! tensors lie, however a volume is cut, on any number of threads. The portable level is held to its own bits.

mod common;

use common::draw::{Wish, draw};
use common::inputs::{
    AnyBits, DenseTensor, Inputs, LabelTensor, Number, TYPES, Truth, bits_of, demand_equal, with_types,
};
use common::loss::any_compound;
use common::{Level, Placed, Random, Tensor, for_any, map_of, per_level, possible, rounds};
use dice_core::half::{bf16, f16};
use dice_core::loss::GeneralizedDice;
use dice_core::{Activation, Grouping, LossHead, Problem, Reduction, Statistics, View, ViewMut};
use dice_simd::{Engine, Gradient, Isa, Serial, TILE_VOXELS};
use proptest::prelude::*;

/// Logits that are no ordinary numbers, in f32 at least.
const SPECIAL: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1e30, -1e30, 2e38, -2e38];
const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];

/// The engine whose bits those of `isa` must be.
fn oracle(isa: Isa) -> Engine<Serial> {
    let oracle = if isa.is_exact() { Isa::Scalar } else { Isa::Portable };
    Engine::serial().with_isa(oracle).unwrap()
}

fn loss(activation: Activation) -> GeneralizedDice {
    GeneralizedDice { activation, reduction: Reduction::None, ..GeneralizedDice::default() }
}

/// Random logits.
fn logits(random: &mut Random, shape: &[usize]) -> Vec<f64> {
    (0..shape.iter().product()).map(|_| random.within(-4.0, 4.0).into()).collect()
}

/// Random labels, all of them classes.
fn labels(random: &mut Random, shape: &[usize]) -> Vec<i64> {
    let known = shape[1].max(2);
    (0..map_of(shape).iter().product()).map(|_| random.below(known) as i64).collect()
}

/// Labels of one byte in a compact tensor, everything else drawn too.
fn labelled<T: Number>(seed: u64, shape: &[usize]) -> Inputs<T> {
    let mut random = Random(seed);
    Inputs::labelled(shape, &logits(&mut random, shape), &labels(&mut random, shape)).weighted(&mut random)
}

/// A map of `element` at every voxel.
fn filled<E: Copy>(shape: &[usize], element: E) -> Tensor<E> {
    let place = Placed::channels_first(&map_of(shape));
    let numbers = vec![element; place.len];
    Tensor::placed(place, &numbers, element)
}

/// Every input form, drawn at random, equals its compact form on the scalar level.
fn levels_and_layouts(level: &Level) {
    let plan = (any::<u64>(), prop::sample::select(TYPES.to_vec()));
    for_any(rounds(250, 6), plan, |(seed, types)| {
        let mut random = Random(seed);
        let classes = random.pick(&[1, 2, 3, 4, 5, 14]);
        let voxels = if classes < 5 && random.once_in(4) { rounds(8300, 500) } else { 1 + random.below(400) };
        let shape = [1 + random.below(3), classes, 1 + random.below(3), voxels];
        let target = random.pick(&["labels", "one-hot", "soft"]);
        let wish = Wish {
            target,
            target_type: match target {
                "labels" => random.pick(&LabelTensor::NAMES[usize::from(classes > 2)..]),
                _ => random.pick(&DenseTensor::NAMES[usize::from(target == "soft")..]),
            },
            mask: random.once_in(2),
            weights: random.once_in(2),
            sample_weights: random.once_in(2),
            ignored: if target == "labels" { random.pick(&["none", "a class", "no class"]) } else { "none" },
            in_place: false,
        };
        let loss = any_compound(&mut random, classes, &ACTIVATIONS, target == "labels");
        let special = random.once_in(3);
        with_types!(types, |T, G| {
            let (inputs, _) = draw::<T>(&mut random, &shape, &wish, |random| {
                if special && random.once_in(50) { random.pick(&SPECIAL) } else { random.within(-9.0, 9.0).into() }
            });
            let expected = inputs.compact().bits::<G, _>(&oracle(level.isa), &loss);
            let context = format!("{types:?} {shape:?} {wish:?} {loss:?}");
            inputs.bits::<G, _>(&level.engine(), &loss).demand(&expected, &context);
        });
    });
}
per_level!(levels_and_layouts);

/// The element type of a label says nothing.
fn types_of_labels(level: &Level) {
    fn check<T: Number>(level: &Level, classes: usize, activation: Activation) {
        let shape = [2, classes, rounds(8200, 300)];
        let bytes = labelled::<T>(1, &shape);
        let Truth::Labels(map) = &bytes.truth else { unreachable!("made of labels") };
        let expected = bytes.bits::<T, _>(&oracle(level.isa), &loss(activation));
        for name in LabelTensor::holding(classes) {
            for place in [Placed::channels_first(&map_of(&shape)), Placed::channels_first(&map_of(&shape)).behind(1)] {
                let truth = Truth::Labels(LabelTensor::new(name, place, &map.numbers(), 0));
                let found = Inputs { truth, ..bytes.clone() }.bits::<T, _>(&level.engine(), &loss(activation));
                found.demand(&expected, &format_args!("{name} of {classes}, {activation:?}"));
            }
        }
    }
    for (classes, activation) in [(1, Activation::Sigmoid), (2, Activation::Softmax), (5, Activation::Softmax)] {
        check::<f32>(level, classes, activation);
        check::<f64>(level, classes, activation);
    }
}
per_level!(types_of_labels);

/// A dense target of zeros and ones is the labels, to the last bit.
fn one_hot_is_labels(level: &Level) {
    fn check<T: Number>(level: &Level, classes: usize, activation: Activation) {
        let shape = [2, classes, rounds(8200, 300)];
        let weighted = labelled::<T>(2, &shape);
        let plain = Inputs { mask: None, weights: None, sample_weights: None, ..weighted.clone() };
        let (_, g) = plain.weights_and_targets();
        for labels in [plain, weighted] {
            let expected = labels.bits::<T, _>(&oracle(level.isa), &loss(activation));
            for name in DenseTensor::NAMES.iter().copied() {
                for place in [Placed::channels_first(&shape), Placed::channels_last(&shape)] {
                    let truth = Truth::Dense(DenseTensor::new(name, place, &g, 0.0));
                    let found = Inputs { truth, ..labels.clone() }.bits::<T, _>(&level.engine(), &loss(activation));
                    found.demand(&expected, &format_args!("{name} of {classes}, {activation:?}, {}", T::NAME));
                }
            }
        }
    }
    for (classes, activation) in [
        (1, Activation::Sigmoid),
        (2, Activation::Softmax),
        (3, Activation::None),
        (4, Activation::Softmax),
        (5, Activation::Sigmoid),
        (5, Activation::Softmax),
    ] {
        check::<f32>(level, classes, activation);
        check::<f64>(level, classes, activation);
    }
}
per_level!(one_hot_is_labels);

/// What takes nothing out and weighs by 1 is as if it were not there; and 0 is 0, by whatever it is said.
fn weights_that_say_nothing(level: &Level) {
    fn check<T: Number>(level: &Level, classes: usize, activation: Activation) {
        let shape = [3, classes, rounds(8200, 300)];
        let weighted = labelled::<T>(3, &shape);
        let plain = Inputs { mask: None, weights: None, sample_weights: None, ..weighted.clone() };
        let bits = |inputs: &Inputs<T>| inputs.bits::<T, _>(&level.engine(), &loss(activation));
        let expected = plain.bits::<T, _>(&oracle(level.isa), &loss(activation));
        let ones = [1, 255].map(|one| filled(&shape, one));
        for mask in ones {
            bits(&Inputs { mask: Some(mask), ..plain.clone() }).demand(&expected, &"a mask of ones");
        }
        bits(&Inputs { weights: Some(filled(&shape, 1.0)), ..plain.clone() }).demand(&expected, &"weights of 1");
        bits(&Inputs { sample_weights: Some(vec![1.0; 3]), ..plain.clone() }).demand(&expected, &"samples of weight 1");
        bits(&Inputs { weights: Some(filled(&shape, 4.0)), sample_weights: Some(vec![0.25; 3]), ..plain.clone() })
            .demand(&expected, &"weights whose product is 1");
        bits(&Inputs { ignored: Some(99), ..plain.clone() }).demand(&expected, &"an ignored label that is nowhere");

        // An ignored class, a mask, weights of 0 and -0: in every block, and here and there.
        let place = Placed::channels_first(&map_of(&shape));
        for is_rare in [false, true] {
            let Truth::Labels(map) = &plain.truth else { unreachable!("made of labels") };
            let mut labels = map.numbers();
            for (at, label) in labels.iter_mut().enumerate().filter(|_| is_rare) {
                *label = if at % 700 == 300 { 1 } else { *label / 2 * 2 };
            }
            let kept: Vec<bool> = labels.iter().map(|&label| label != 1).collect();
            let plain =
                Inputs { truth: Truth::Labels(LabelTensor::new("u8", place.clone(), &labels, 0)), ..plain.clone() };
            let ignoring = Inputs { ignored: Some(1), ..plain.clone() };
            let expected = ignoring.bits::<T, _>(&oracle(level.isa), &loss(activation));
            bits(&ignoring).demand(&expected, &"an ignored class");
            let mask: Vec<u8> = kept.iter().map(|&kept| kept.into()).collect();
            let mask = Tensor::placed(place.clone(), &mask, 0);
            bits(&Inputs { mask: Some(mask.clone()), ..plain.clone() }).demand(&expected, &"the same mask");
            bits(&Inputs { mask: Some(mask), ..ignoring.clone() }).demand(&expected, &"both");
            let weights: Vec<f32> =
                kept.iter().zip(0..).map(|(&kept, at)| if kept { 1.0 } else { [0.0, -0.0][at % 2] }).collect();
            let weights = Tensor::placed(place.clone(), &weights, f32::NAN);
            bits(&Inputs { weights: Some(weights), ..plain.clone() }).demand(&expected, &"weights of 0");
        }

        // A batch of which one sample weighs nothing.
        let without = Inputs { sample_weights: Some(vec![1.0, 0.0, 1.0]), ..plain.clone() };
        let mut mask = filled(&shape, 1);
        mask.data[shape[2]..2 * shape[2]].fill(0);
        let expected = Inputs { mask: Some(mask), ..plain }.bits::<T, _>(&oracle(level.isa), &loss(activation));
        bits(&without).demand(&expected, &"a sample of weight 0");
    }
    for (classes, activation) in
        [(1, Activation::Sigmoid), (2, Activation::Softmax), (3, Activation::None), (4, Activation::Softmax)]
    {
        check::<f32>(level, classes, activation);
        check::<f64>(level, classes, activation);
    }
}
per_level!(weights_that_say_nothing);

/// Any number of threads.
fn threads(level: &Level) {
    fn check<T: Number, G: Number<Arithmetic = T::Arithmetic>>(level: &Level, dense: &str) {
        // So many logits that executors are used.
        let shape = [2, 4, 20_000];
        let mut random = Random(4);
        let truth = match dense {
            "" => Truth::Labels(LabelTensor::new(
                "i16",
                Placed::channels_first(&map_of(&shape)),
                &labels(&mut random, &shape),
                0,
            )),
            name => {
                let g: Vec<f64> = (0..160_000).map(|_| random.within(0.0, 1.0).into()).collect();
                Truth::Dense(DenseTensor::new(name, Placed::channels_last(&shape), &g, 0.0))
            }
        };
        let inputs = Inputs::<T>::new(&shape, &logits(&mut random, &shape), truth).weighted(&mut random);
        let loss = loss(Activation::Softmax);
        let expected = inputs.bits::<G, _>(&oracle(level.isa), &loss);
        let check = |name: &str, found: AnyBits| found.demand(&expected, &format_args!("{name}, {}, {dense}", T::NAME));
        check("serial", inputs.bits::<G, _>(&level.engine(), &loss));
        #[cfg(feature = "rayon")]
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            check("rayon", pool.install(|| inputs.bits::<G, _>(&level.engine_on(dice_simd::Rayon), &loss)));
        }
    }
    check::<f64, f64>(level, "");
    check::<f16, f32>(level, "f64");
    if !common::emulated() {
        check::<f16, f16>(level, "u8");
        check::<bf16, bf16>(level, "");
        check::<f32, f32>(level, "f16");
        check::<f64, f64>(level, "f32");
    }
}
per_level!(threads);

/// Slabs of a volume, as tensors of their own that know where they lie, merge to the bits of the whole in any order; and so do
/// ranges. The gradients of slabs are those of the whole.
fn slabs(level: &Level) {
    fn check<T: Number>(level: &Level, cuts: &[usize], offset: usize, dense: bool) {
        let voxels = *cuts.last().unwrap();
        let shape = [2, 3, voxels];
        let labels = labelled::<T>(5, &shape);
        let truth = match dense {
            true => Truth::Dense(DenseTensor::new(
                "u8",
                Placed::channels_first(&shape),
                &labels.weights_and_targets().1,
                0.0,
            )),
            false => labels.truth.clone(),
        };
        let whole = Inputs { truth, offset, ..labels };
        let loss = loss(Activation::Softmax);
        let request = &loss.request();
        let expected = whole.bits::<T, _>(&oracle(level.isa), &loss);
        let (logits, problem) = (whole.logits.view(), whole.problem());
        let statistics = oracle(level.isa).statistics(&logits, &problem, request).unwrap();
        let cotangent = loss.evaluate(&statistics).unwrap().cotangent;
        let engine = level.engine();

        let mut tables = Vec::new();
        let mut gradient = vec![0; shape.iter().product()];
        for cut in cuts.windows(2) {
            let range = cut[0]..cut[1];
            let by_range = engine.statistics_range(&logits, &problem, request, range.clone()).unwrap();
            let part = slab(&whole, range.clone());
            let (logits, problem) = (part.logits.view(), part.problem());
            let table = engine.statistics(&logits, &problem, request).unwrap();
            assert_eq!(table, by_range, "a slab and a range");
            tables.push(table);
            let mut data = vec![T::of(7.0); part.gradient.len];
            let mut view = part.gradient.view_mut(&mut data);
            engine.pullback(&logits, &problem, &cotangent, &[1.0], &mut view).unwrap();
            for (row, bits) in bits_of(&data).chunks(range.len()).enumerate() {
                gradient[row * voxels..][range.clone()].copy_from_slice(bits);
            }
        }
        Random(6).shuffle(&mut tables);
        let mut merged = Statistics::new(2, 3, request).unwrap();
        tables.iter().for_each(|table| merged.merge(table).unwrap());
        assert_eq!(Ok(merged.as_limbs().to_vec()), expected.words, "{cuts:?}");
        demand_equal(&gradient, &expected.gradient, &format_args!("{cuts:?}"));
    }
    let tile = TILE_VOXELS;
    for dense in [false, true].into_iter().take(rounds(2, 1)) {
        let cuts = [0, tile, 3 * tile, 4 * tile, 4 * tile + 777];
        let cuts = &cuts[..rounds(5, 2)];
        check::<f32>(level, cuts, 0, dense);
        check::<f64>(level, cuts, 0, dense);
        check::<f16>(level, cuts, 5 * tile, dense);
        // The volume is itself a part of a larger one and begins amid a tile, even amid a block.
        check::<f32>(level, &[0, tile - 100, 2 * tile - 100, 2 * tile + 5], tile + 100, dense);
    }
}
per_level!(slabs);

/// The voxels `range` of every sample as compact tensors of their own.
fn slab<T: Number>(whole: &Inputs<T>, range: std::ops::Range<usize>) -> Inputs<T> {
    fn cut<E: Copy>(numbers: &[E], voxels: usize, range: &std::ops::Range<usize>) -> Vec<E> {
        numbers.chunks(voxels).flat_map(|row| row[range.clone()].to_vec()).collect()
    }
    fn cut_tensor<E: Copy>(tensor: &Tensor<E>, voxels: usize, range: &std::ops::Range<usize>) -> Tensor<E> {
        let mut shape = tensor.place.shape.clone();
        shape[2] = range.len();
        let numbers = cut(&tensor.data, voxels, range);
        Tensor::placed(Placed::channels_first(&shape), &numbers, numbers[0])
    }
    let voxels = whole.voxels();
    let logits = cut_tensor(&whole.logits, voxels, &range);
    let place = |from: &Placed| {
        let mut shape = from.shape.clone();
        shape[2] = range.len();
        Placed::channels_first(&shape)
    };
    let truth = match &whole.truth {
        Truth::Labels(it) => {
            let numbers = cut(&it.numbers(), voxels, &range);
            Truth::Labels(LabelTensor::new(it.name(), place(it.place()), &numbers, 0))
        }
        Truth::Dense(it) => {
            let numbers = cut(&it.numbers(), voxels, &range);
            Truth::Dense(DenseTensor::new(it.name(), place(it.place()), &numbers, 0.0))
        }
    };
    Inputs {
        gradient: logits.place.clone(),
        logits,
        truth,
        mask: whole.mask.as_ref().map(|mask| cut_tensor(mask, voxels, &range)),
        weights: whole.weights.as_ref().map(|weights| cut_tensor(weights, voxels, &range)),
        sample_weights: whole.sample_weights.clone(),
        ignored: whole.ignored,
        offset: whole.offset + range.start,
    }
}

/// Samples one by one, in any order.
fn samples_alone(level: &Level) {
    fn check<T: Number>(level: &Level, grouping: Grouping, reduction: Reduction, upstream: &[f64]) {
        let shape = [4, 3, rounds(9000, 300)];
        let inputs = labelled::<T>(7, &shape);
        let loss = GeneralizedDice { grouping, reduction, ..loss(Activation::Softmax) };
        let request = &loss.request();
        let (logits, problem, engine) = (inputs.logits.view(), inputs.problem(), level.engine());
        let whole = oracle(level.isa).statistics(&logits, &problem, request).unwrap();
        let cotangent = loss.evaluate(&whole).unwrap().cotangent;
        let mut expected = vec![T::of(7.0); inputs.gradient.len];
        let mut view = inputs.gradient.view_mut(&mut expected);
        oracle(level.isa).pullback(&logits, &problem, &cotangent, upstream, &mut view).unwrap();

        let mut merged = Statistics::new(4, 3, request).unwrap();
        let mut found = vec![T::of(7.0); inputs.gradient.len];
        for samples in [2..3, 0..1, 3..4, 1..2] {
            let logits = logits.samples(samples.clone()).unwrap();
            let problem: Problem<'_> = problem.samples(samples.clone()).unwrap();
            let table = engine.statistics(&logits, &problem, request).unwrap();
            merged.merge_samples(samples.start, &table).unwrap();
            let rows = cotangent.samples(samples.clone()).unwrap();
            let upstream = if upstream.len() > 1 { &upstream[samples.clone()] } else { upstream };
            let mut view = inputs.gradient.view_mut(&mut found);
            let view = view.samples(samples).unwrap();
            engine.pullback(&logits, &problem, &rows, upstream, Gradient::Overwrite(view)).unwrap();
        }
        assert_eq!(merged, whole);
        demand_equal(&bits_of(&found), &bits_of(&expected), &format_args!("{grouping:?} {reduction:?}"));
    }
    for (grouping, reduction, upstream) in [
        (Grouping::PerSample, Reduction::None, &[1.0, -2.0, 0.5, 3.0][..]),
        (Grouping::PerSample, Reduction::Mean, &[2.0]),
        (Grouping::Batch, Reduction::Mean, &[-1.0]),
    ] {
        check::<f32>(level, grouping, reduction, upstream);
        check::<f64>(level, grouping, reduction, upstream);
    }
}
per_level!(samples_alone);

/// In the place of the logits, or added to zeros, the gradient is what it is elsewhere.
fn ways_to_write(level: &Level) {
    fn check<T: Number>(level: &Level, activation: Activation, place: &Placed) {
        let inputs = labelled::<T>(8, &place.shape);
        let inputs =
            Inputs { logits: inputs.logits.moved(place.clone(), T::of(3.0)), gradient: place.clone(), ..inputs };
        let loss = loss(activation);
        let expected = inputs.bits::<T, _>(&level.engine(), &loss);
        let (logits, problem, engine) = (inputs.logits.view(), inputs.problem(), level.engine());
        let mut data = inputs.logits.data.clone();
        let mut view = place.view_mut(&mut data);
        let evaluation = engine.value_and_grad_in_place(&mut view, &problem, &loss, &[1.0]).unwrap();
        let values: Vec<u64> = evaluation.values.iter().map(|x| x.to_bits()).collect();
        assert_eq!(Ok(values), expected.values);
        let context = format!("{} {activation:?} {place:?}", T::NAME);
        demand_equal(&bits_of(&place.gather(&data)), &expected.gradient, &format_args!("in place, {context}"));

        let mut data = vec![T::of(0.0); place.len];
        let gradient = Gradient::Accumulate(place.view_mut(&mut data));
        engine.value_and_grad(&logits, &problem, &loss, &[1.0], gradient).unwrap();
        let positive = |bits: &[u64]| bits.iter().map(|&x| (f64::from_bits(x) + 0.0).to_bits()).collect::<Vec<u64>>();
        let found = positive(&bits_of(&place.gather(&data)));
        demand_equal(&found, &positive(&expected.gradient), &format_args!("onto zeros, {context}"));
    }
    for activation in ACTIVATIONS {
        for classes in [1, 2, 4, 5].into_iter().take(rounds(4, 2)) {
            let (shape, activation) = ([2, classes, 3, rounds(2800, 100)], possible(activation, classes));
            for place in [Placed::channels_first(&shape), Placed::channels_last(&shape).behind(1)] {
                check::<f32>(level, activation, &place);
                check::<f64>(level, activation, &place);
                check::<f16>(level, activation, &place);
                check::<bf16>(level, activation, &place);
            }
        }
    }
}
per_level!(ways_to_write);

/// A gradient too large for the caches is written past them, of whatever type, also in the place of the logits.
fn streamed_gradients(level: &Level) {
    // A volume that repeats a small one, whose gradient is not streamed and holds all that occurs.
    const PERIOD: usize = 1009;
    fn check<T: Number, G: Number<Arithmetic = T::Arithmetic>>(level: &Level, margin: usize, odd: usize) {
        let shape = [1, 2, PERIOD];
        let small = labelled::<T>(9, &shape);
        let small = Inputs { mask: None, weights: None, sample_weights: None, ..small };
        let loss = loss(Activation::Softmax);
        let statistics = oracle(level.isa).statistics(&small.logits.view(), &small.problem(), &loss.request()).unwrap();
        let cotangent = loss.evaluate(&statistics).unwrap().cotangent;
        let expected = small.bits::<G, _>(&oracle(level.isa), &loss).gradient;

        let voxels = (17 << 20) / (2 * size_of::<G>()) + odd;
        let in_period = |at: usize| at % voxels % PERIOD + at / voxels * PERIOD;
        let mut logits = vec![T::of(0.0); margin];
        logits.extend((0..2 * voxels).map(|at| small.logits.data[in_period(at)]));
        let map: Vec<u8> = {
            let Truth::Labels(map) = &small.truth else { unreachable!("made of labels") };
            let map = map.numbers();
            (0..voxels).map(|at| map[at % PERIOD] as u8).collect()
        };
        let problem = Problem::new(View::map(&map, &[1, voxels]).unwrap());
        let strides = [0, voxels as isize, 1];
        let shape = [1, 2, voxels];
        let check = |found: &[G], context: &str| {
            assert!(found[..margin].iter().all(|&x| x == G::of(0.0)), "nothing is written outside the view");
            let wrong = (0..2 * voxels).find(|&at| bits_of(&found[margin + at..][..1])[0] != expected[in_period(at)]);
            assert_eq!(wrong, None, "{context}: {} of {}, {voxels} voxels behind {margin}", G::NAME, T::NAME);
        };
        let mut data = vec![G::of(0.0); margin + 2 * voxels];
        let view = View::strided(&logits, &shape, &strides, margin).unwrap();
        let mut gradient = ViewMut::strided(&mut data, &shape, &strides, margin).unwrap();
        level.engine().pullback(&view, &problem, &cotangent, &[1.0], &mut gradient).unwrap();
        check(&data, "elsewhere");
        if T::NAME == G::NAME {
            let mut view = ViewMut::strided(&mut logits, &shape, &strides, margin).unwrap();
            #[cfg(feature = "rayon")]
            level.engine_on(dice_simd::Rayon).pullback_in_place(&mut view, &problem, &cotangent, &[1.0]).unwrap();
            #[cfg(not(feature = "rayon"))]
            level.engine().pullback_in_place(&mut view, &problem, &cotangent, &[1.0]).unwrap();
            let logits: Vec<G> = logits.iter().map(|&z| G::of(z.into())).collect();
            check(&logits, "in place");
        }
    }
    check::<f64, f64>(level, 1, 3);
    if !common::emulated() {
        check::<f16, f16>(level, 5, 3);
        check::<bf16, bf16>(level, 0, 0);
        check::<f16, f32>(level, 1, 0);
        check::<f64, f64>(level, 0, 0);
    }
}
per_level!(streamed_gradients);
