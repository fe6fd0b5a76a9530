//! Every kind of input at once, drawn at random, against the textbook reference in f64: element types, layouts, targets, mask,
//! weights, ignored labels, parts of a volume, ways to write the gradient. What does not count holds poison.
//!
//! `cargo test -p dice-simd --test inputs -- --nocapture` prints how often each kind was drawn and the greatest errors.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use common::draw::{Wish, draw};
use common::inputs::{DenseTensor, Inputs, LabelTensor, Number, TYPES, Truth, Write, bits_of, with_types};
use common::tolerance::FLUSHED;
use common::{InputTolerance, Level, Placed, Random, Tensor, for_any, map_of, per_level, possible, rounds};
use dice_core::loss::GeneralizedDice;
use dice_core::{
    Activation, Cotangent, Group, Grouping, LossHead, Reduction, Statistics, Sum, Sums, ViewMut, reference,
};
use dice_simd::{Gradient, TILE_VOXELS};
use proptest::prelude::*;

/// A part of a prediction.
#[derive(Debug, Clone)]
enum Part {
    Whole,
    /// Voxels of every sample.
    Voxels(Range<usize>),
    /// The whole of the tensors, which are a slab of something larger.
    Slab(usize),
    Samples(Range<usize>),
}

impl Part {
    fn name(&self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Voxels(_) => "voxels",
            Self::Slab(_) => "slab",
            Self::Samples(_) => "samples",
        }
    }
}

/// What is done with one set of inputs.
#[derive(Debug)]
struct Plan {
    shape: Vec<usize>,
    wish: Wish,
    loss: GeneralizedDice,
    preset: &'static str,
    part: Part,
    write: Write,
    upstream: Vec<f64>,
}

impl Plan {
    fn new(random: &mut Random, (logits, gradient): (&str, &str)) -> Self {
        let samples = 1 + random.below(3);
        let classes = random.pick(&[1, 2, 3, 4, 5, 6, 14]);
        let spatial = match random.below(10) {
            0 => vec![],
            1..=3 => vec![1 + random.below(300)],
            4 | 5 => vec![1 + random.below(20), 1 + random.below(40)],
            6 | 7 => vec![1 + random.below(6), 1 + random.below(9), 1 + random.below(70)],
            8 => vec![2, 3, 2, 1 + random.below(9), 1 + random.below(9)],
            _ if classes < 6 => vec![rounds(2, 1), 1 + random.below(rounds(9000, 300))],
            _ => vec![64 * (1 + random.below(9))],
        };
        let voxels: usize = spatial.iter().product();
        let shape: Vec<usize> = [samples, classes].into_iter().chain(spatial).collect();

        let target = random.pick(&["labels", "labels", "one-hot", "soft"]);
        let target_type = match target {
            "labels" if classes > 2 => random.pick(&LabelTensor::NAMES[1..]),
            "labels" => random.pick(LabelTensor::NAMES),
            "soft" => random.pick(&DenseTensor::NAMES[1..]),
            _ => random.pick(DenseTensor::NAMES),
        };
        let ignored = if target == "labels" { random.pick(&["none", "a class", "no class"]) } else { "none" };
        let writes = [Write::Overwrite, Write::Accumulate, Write::InPlace];
        let write = random.pick(&writes[..if logits == gradient { 3 } else { 2 }]);
        let wish = Wish {
            target,
            target_type,
            mask: random.once_in(2),
            weights: random.once_in(2),
            sample_weights: random.once_in(2),
            ignored,
            in_place: write == Write::InPlace,
        };

        let (preset, make) = random.pick(&GeneralizedDice::PRESETS);
        let (preset, make) =
            if random.once_in(2) { ("default", GeneralizedDice::default as fn() -> _) } else { (preset, make) };
        let loss = GeneralizedDice {
            activation: possible(random.pick(&[Activation::Softmax, Activation::Sigmoid, Activation::None]), shape[1]),
            grouping: random.pick(&[Grouping::PerSample, Grouping::Batch]),
            reduction: random.pick(&[Reduction::Mean, Reduction::Sum, Reduction::None]),
            ..make()
        };
        let values = match (loss.reduction, loss.grouping) {
            (Reduction::None, Grouping::PerSample) => samples,
            _ => 1,
        };
        let upstream = match random.below(3) {
            0 => vec![1.0],
            1 => vec![f64::from(random.within(-4.0, 4.0))],
            _ => (0..values).map(|_| f64::from(random.within(-2.0, 2.0)) * voxels as f64).collect(),
        };
        let two = |random: &mut Random, below: usize| {
            let (a, b) = (random.below(below + 1), random.below(below + 1));
            a.min(b)..a.max(b)
        };
        let part = match random.below(5) {
            0 => Part::Whole,
            1 | 2 => Part::Voxels(two(random, voxels)),
            3 => Part::Slab(random.pick(&[1, 63, 64, 5000, TILE_VOXELS, 3 * TILE_VOXELS - 7, 1 << 40])),
            _ => Part::Samples(two(random, samples)),
        };
        Self { shape, wish, loss, preset, part, write, upstream }
    }
}

/// How often each kind of each dimension was drawn.
#[derive(Default)]
struct Census(BTreeMap<&'static str, BTreeMap<String, usize>>);

impl Census {
    fn note(&mut self, dimension: &'static str, kind: impl ToString) {
        *self.0.entry(dimension).or_default().entry(kind.to_string()).or_default() += 1;
    }

    fn print(&self, level: &Level) {
        let mut table = format!("inputs drawn, {}\n", level.isa);
        for (dimension, kinds) in &self.0 {
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            table += &format!("  {dimension:16} {}\n", kinds.join(", "));
        }
        eprint!("{table}");
    }
}

fn every_input(level: &Level) {
    let census = RefCell::new(Census::default());
    for_any(rounds(1000, 12), (any::<u64>(), prop::sample::select(TYPES.to_vec())), |(seed, types)| {
        let mut random = Random(seed);
        let plan = Plan::new(&mut random, types);
        let places = with_types!(types, |T, G| check::<T, G>(level, &mut random, &plan));
        let mut census = census.borrow_mut();
        census.note("logits", types.0);
        census.note("gradient", types.1);
        census.note("target", plan.wish.target);
        census.note("target type", format!("{} {}", plan.wish.target, plan.wish.target_type));
        census.note("mask", plan.wish.mask);
        census.note("voxel weights", plan.wish.weights);
        census.note("sample weights", plan.wish.sample_weights);
        census.note("ignored label", plan.wish.ignored);
        census.note("activation", format!("{:?}", plan.loss.activation));
        census.note("grouping", format!("{:?}", plan.loss.grouping));
        census.note("reduction", format!("{:?}", plan.loss.reduction));
        census.note("preset", plan.preset);
        census.note("part", plan.part.name());
        census.note("write", format!("{:?}", plan.write));
        census.note(
            "upstream",
            if plan.upstream == [1.0] {
                "1"
            } else if plan.upstream.len() == 1 {
                "one"
            } else {
                "several"
            },
        );
        census.note("classes", plan.shape[1]);
        for (dimension, place) in ["layout, logits", "layout, target", "layout, gradient"].into_iter().zip(places) {
            census.note(dimension, place);
        }
    });
    census.into_inner().print(level);
}
per_level!(every_input);

/// Sums lose most to rounding where the same number is added over and over: whole tiles of one logit, weight and target.
fn constant_weights(level: &Level) {
    fn check<T: Number>(level: &Level, random: &mut Random, activation: Activation) {
        let shape = [1, 2, TILE_VOXELS];
        let mut number = |low: f32, high: f32| f64::from(random.within(low, high));
        let logits = [number(0.0, 1.0), number(0.0, 8.0)].map(|z| vec![z; TILE_VOXELS]).concat();
        let g = vec![number(0.0, 1.0); 2 * TILE_VOXELS];
        let map = Placed::channels_first(&map_of(&shape));
        let weights = vec![number(0.0, 2.0) as f32; TILE_VOXELS];
        let truth = Truth::Dense(DenseTensor::new("f32", Placed::channels_first(&shape), &g, 0.0));
        let inputs = Inputs::<T>::new(&shape, &logits, truth);
        let inputs = Inputs { weights: Some(Tensor::placed(map, &weights, 0.0)), ..inputs };
        let loss = GeneralizedDice { activation, ..GeneralizedDice::default() };
        let mut plan = Plan::new(&mut Random(0), ("f32", "f32"));
        plan = Plan { shape: shape.to_vec(), loss, part: Part::Whole, ..plan };
        check_statistics(level, &inputs, &plan);
    }
    let mut random = Random(51);
    for _ in 0..rounds(40, 4) {
        for activation in [Activation::Softmax, Activation::Sigmoid, Activation::None] {
            check::<f32>(level, &mut random, activation);
            check::<f64>(level, &mut random, activation);
        }
    }
}
per_level!(constant_weights);

/// Labels of about 256 classes and more: bytes and others.
fn many_classes(level: &Level) {
    for (name, classes) in
        [("u8", 255), ("u8", 256), ("u8", 257), ("u8", 300), ("i64", 256), ("u16", 257), ("i32", 300)]
    {
        let shape = [1, classes, 130];
        let mut random = Random(classes as u64);
        let logits: Vec<f64> = (0..classes * 130).map(|_| random.within(-6.0, 6.0).into()).collect();
        let most = if name == "u8" { classes.min(256) } else { classes };
        let labels: Vec<i64> = (0..130).map(|voxel| (voxel * 37 % most) as i64).collect();
        let map = Placed::channels_first(&map_of(&shape));
        let truth = Truth::Labels(LabelTensor::new(name, map, &labels, 0));
        let inputs = Inputs::<f32>::new(&shape, &logits, truth);
        let plan = Plan::new(&mut random, ("f32", "f32"));
        let plan = Plan { shape: shape.to_vec(), loss: GeneralizedDice::default(), part: Part::Whole, ..plan };
        let plan = Plan { write: Write::Overwrite, upstream: vec![1.0], ..plan };
        let whole = check_statistics(level, &inputs, &plan);
        let evaluation = plan.loss.evaluate(&whole).unwrap();
        check_gradient::<f32, f32>(level, &mut random, &inputs, &plan, &evaluation.cotangent);
    }
}
per_level!(many_classes);

/// Compares statistics, value and gradient of one plan; returns the kinds of places that were drawn.
fn check<T: Number, G: Number<Arithmetic = T::Arithmetic>>(
    level: &Level,
    random: &mut Random,
    plan: &Plan,
) -> [&'static str; 3] {
    let logit = |random: &mut Random| match plan.loss.activation {
        Activation::None => random.within(0.0, 1.0).into(),
        _ => random.within(-6.0, 6.0).into(),
    };
    let (mut inputs, places) = draw::<T>(random, &plan.shape, &plan.wish, logit);
    if let Part::Slab(offset) = plan.part {
        inputs.offset = offset;
    }
    let whole = check_statistics(level, &inputs, plan);
    let evaluation = plan.loss.evaluate(&whole).unwrap();
    let found = level.engine().value(&inputs.logits.view(), &inputs.problem(), &plan.loss).unwrap();
    assert_eq!(found.values.len(), evaluation.values.len());
    let (kind, tolerance) = match T::IS_DOUBLE {
        true => ("loss, f64", InputTolerance::of(true).value),
        false => ("loss, f32", InputTolerance::of(false).value),
    };
    for (found, expected) in found.values.iter().zip(&evaluation.values) {
        level.within(kind, (found - expected).abs(), tolerance, || format!("loss {found}, not {expected}: {plan:?}"));
    }
    check_gradient::<T, G>(level, random, &inputs, plan, &evaluation.cotangent);
    places
}

/// Compares the table of the part, and returns the reference's of the whole.
fn check_statistics<T: Number>(level: &Level, inputs: &Inputs<T>, plan: &Plan) -> Statistics {
    let (logits, problem, request) = (inputs.logits.view(), inputs.problem(), &plan.loss.request());
    let whole = reference::statistics(&logits, &problem, request).unwrap();
    let engine = level.engine();
    let (first, found, expected) = match &plan.part {
        Part::Whole | Part::Slab(_) => (0, engine.statistics(&logits, &problem, request), whole.clone()),
        Part::Voxels(voxels) => {
            let expected = reference::statistics_range(&logits, &problem, request, voxels.clone()).unwrap();
            (0, engine.statistics_range(&logits, &problem, request, voxels.clone()), expected)
        }
        Part::Samples(samples) => {
            let logits = logits.samples(samples.clone()).unwrap();
            let problem = problem.samples(samples.clone()).unwrap();
            (samples.start, engine.statistics(&logits, &problem, request), whole.clone())
        }
    };
    let found = found.unwrap_or_else(|error| panic!("{error}: {plan:?}"));
    let tolerance = InputTolerance::of(T::IS_DOUBLE).sum;
    let kind = if T::IS_DOUBLE { "sums, f64, relative" } else { "sums, f32, relative" };
    // m and g are below 20 together. In f64 nothing is lost.
    let floor = if T::IS_DOUBLE { 0.0 } else { inputs.voxels() as f64 * FLUSHED * 20.0 };
    let compare = |what: &str, found: f64, expected: f64| {
        // All numbers are positive, so no sum cancels.
        let error = (found - expected).abs() - floor;
        let relative = if error > 0.0 { error / expected } else { 0.0 };
        level.within(kind, relative, tolerance, || format!("{what} is {found:e}, not {expected:e}: {plan:?}"));
    };
    for sample in 0..found.samples() {
        let (here, there) = (Group::Sample(sample), Group::Sample(first + sample));
        compare("valid weight", found.valid_weight(here).unwrap(), expected.valid_weight(there).unwrap());
        for class in 0..inputs.classes() {
            for sum in Sums::OVERLAP.iter() {
                let [a, b] =
                    [(&found, here), (&expected, there)].map(|(it, group)| it.sum(group, class, 0, sum).unwrap());
                compare(&format!("{sum:?} of class {class} of sample {sample}"), a, b);
            }
        }
    }
    whole
}

/// m times the greatest |∂L/∂p| of each voxel that counts.
fn scales<T: Number>(inputs: &Inputs<T>, cotangent: &Cotangent, upstream: &[f64]) -> Vec<Option<f64>> {
    let (m, g) = inputs.weights_and_targets();
    let (classes, voxels) = (inputs.classes(), inputs.voxels());
    let scale = |at: usize| {
        let (sample, voxel) = (at / voxels, at % voxels);
        let row = cotangent.row(sample);
        let slope = |class: usize| {
            let g = g[(sample * classes + class) * voxels + voxel];
            let outside = cotangent.get(row, class, 0, Sum::Prediction);
            let inside = outside + cotangent.get(row, class, 0, Sum::Intersection);
            outside.abs() * (1.0 - g).abs() + inside.abs() * g.abs()
        };
        let greatest = (0..classes).map(slope).fold(0.0, f64::max) * cotangent.upstream(row, 0, upstream).abs();
        (m[at] != 0.0).then_some(m[at] * greatest)
    };
    (0..m.len()).map(scale).collect()
}

fn check_gradient<T: Number, G: Number<Arithmetic = T::Arithmetic>>(
    level: &Level,
    random: &mut Random,
    inputs: &Inputs<T>,
    plan: &Plan,
    cotangent: &Cotangent,
) {
    let (classes, voxels) = (inputs.classes(), inputs.voxels());
    let (logits, problem, engine) = (inputs.logits.view(), inputs.problem(), level.engine());
    let mut expected = vec![f64::NAN; inputs.samples() * classes * voxels];
    let mut view = ViewMut::channels_first(&mut expected, &plan.shape).unwrap();
    reference::pullback(&logits, &problem, cotangent, &plan.upstream, &mut view).unwrap();

    // What the output holds before the call: the logits themselves, or numbers.
    let place = &inputs.gradient;
    let before: Vec<G> = match plan.write {
        Write::InPlace => inputs.logits.data.iter().map(|&z| G::of(z.into())).collect(),
        _ => (0..place.len).map(|_| G::of(random.within(-1.0, 1.0).into())).collect(),
    };
    let mut data = before.clone();
    let range = match &plan.part {
        Part::Voxels(voxels) => voxels.clone(),
        _ => 0..voxels,
    };
    let samples = match &plan.part {
        Part::Samples(samples) => samples.clone(),
        _ => 0..inputs.samples(),
    };
    let rows = cotangent.samples(samples.clone()).unwrap();
    let upstream = match &plan.upstream[..] {
        several if several.len() > 1 && cotangent.rows() > 1 => &several[samples.clone()],
        one => one,
    };
    // An empty list would say nothing of the upstream gradient of no sample, and one number is always allowed.
    let upstream = if upstream.is_empty() { &[1.0] } else { upstream };
    if plan.write == Write::InPlace {
        // The types of logits and gradient are one.
        let mut logits: Vec<T> = inputs.logits.data.clone();
        let mut view = place.view_mut(&mut logits);
        let mut view = view.samples(samples.clone()).unwrap();
        let problem = problem.samples(samples.clone()).unwrap();
        engine.pullback_range_in_place(&mut view, &problem, &rows, upstream, range.clone()).unwrap();
        data = logits.iter().map(|&z| G::of(z.into())).collect();
    } else {
        let mut view = place.view_mut(&mut data);
        let view = view.samples(samples.clone()).unwrap();
        let logits = logits.samples(samples.clone()).unwrap();
        let problem = problem.samples(samples.clone()).unwrap();
        let gradient = match plan.write {
            Write::Accumulate => Gradient::Accumulate(view),
            _ => Gradient::Overwrite(view),
        };
        engine.pullback_range(&logits, &problem, &rows, upstream, range.clone(), gradient).unwrap();
    }

    let scales = scales(inputs, cotangent, &plan.upstream);
    let tolerance = InputTolerance::of(T::IS_DOUBLE).gradient;
    let kind = match G::NAME {
        "f16" => "gradient, f16, beyond its rounding, relative to m max |u|",
        "bf16" => "gradient, bf16, beyond its rounding, relative to m max |u|",
        "f32" => "gradient, f32, relative to m max |u|",
        _ => "gradient, f64, relative to m max |u|",
    };
    let accumulates = plan.write == Write::Accumulate;
    let mut written = vec![false; data.len()];
    for (at, element) in place.elements().into_iter().enumerate() {
        let (sample, voxel) = (at / (classes * voxels), at % voxels);
        if !samples.contains(&sample) || !range.contains(&voxel) {
            continue;
        }
        written[element] = true;
        let (found, old): (f64, f64) = (data[element].into(), before[element].into());
        let Some(scale) = scales[sample * voxels + voxel] else {
            // Not even the sign of a zero is left to chance.
            let unchanged = if accumulates { old + 0.0 } else { 0.0 };
            assert_eq!(found.to_bits(), unchanged.to_bits(), "element {at} does not count: {plan:?}");
            continue;
        };
        let expected = expected[at] + if accumulates { old } else { 0.0 };
        let (relative, least) = G::ROUNDING;
        // A gradient as precise as the arithmetic has no rounding of its own, but for that of an addition.
        let arithmetic = if T::IS_DOUBLE { f64::ROUNDING.0 } else { f32::ROUNDING.0 };
        let own = if relative > arithmetic { relative * (1.0 + 1e-3) * expected.abs() + least } else { 0.0 };
        // The expected sum is rounded, too.
        let added = if accumulates { (arithmetic + f64::ROUNDING.0) * expected.abs() } else { 0.0 };
        let error = ((found - expected).abs() - own - added).max(0.0);
        let error = if error > 0.0 { error / scale } else { 0.0 };
        level.within(kind, error, tolerance, || {
            format!("element {at} is {found:e}, not {expected:e}, at a scale of {scale:e}: {plan:?}")
        });
    }
    let [after, before] = [&data, &before].map(|numbers| bits_of(numbers));
    let strayed = (0..data.len()).find(|&at| !written[at] && after[at] != before[at]);
    assert_eq!(strayed, None, "written outside the part: {plan:?}");
}
