//! What half precision costs: predictions and gradients of f16 and bf16 against the f64 passes over the same half values, and
//! which gradients vanish.
//!
//! `cargo test --release -p dice-simd --test half_precision -- --ignored --nocapture` prints the table of a volume of 256 cubed.

mod common;

use common::inputs::Number;
use common::tolerance::LOSS;
use common::{Level, Random, per_level, rounds, run_at};
use dice_core::half::{bf16, f16};
use dice_core::loss::GeneralizedDice;
use dice_core::{LossHead, Problem, Statistics, View, ViewMut};
use dice_simd::{Isa, TILE_VOXELS};

const CLASSES: usize = 4;

/// What is computed exactly of the values that a prediction of type `T` holds, and what the passes over it make of them.
#[derive(Debug, Default, Clone)]
struct Comparison {
    loss: f64,
    loss_error: f64,
    /// Relative to the greatest gradient: of a gradient of the same type, and of f32.
    gradient_error: f64,
    gradient_error_f32: f64,
    /// Elements of the gradient of the same type that are 0 although the exact ones are not, or subnormal.
    vanished: usize,
    subnormal: usize,
    /// Elements that are infinite or NaN.
    lost: usize,
    elements: usize,
}

/// A prediction that leans towards the truth, a common background and three structures, in half precision.
fn volume<T: Number>(size: usize) -> (Vec<T>, Vec<u8>) {
    let voxels = size.pow(3);
    let mut random = Random(21);
    let mut labels = vec![0; voxels];
    for label in &mut labels {
        *label = if random.once_in(8) { 1 + random.below(3) as u8 } else { 0 };
    }
    let mut logits = vec![T::of(0.0); CLASSES * voxels];
    for class in 0..CLASSES {
        for voxel in 0..voxels {
            let lean = if usize::from(labels[voxel]) == class { 2.0 } else { 0.0 };
            logits[class * voxels + voxel] = T::of(lean + f64::from(random.within(-4.0, 4.0)));
        }
    }
    (logits, labels)
}

/// Compares a volume with itself in f64, which is made slab by slab.
fn compare<T: Number<Arithmetic = f32>>(level: &Level, size: usize, upstream: f64) -> Comparison {
    let (logits, labels) = volume::<T>(size);
    let voxels = size.pow(3);
    let shape = [1, CLASSES, voxels];
    let engine = level.engine();
    let loss = GeneralizedDice::default();
    let view = View::channels_first(&logits, &shape).unwrap();
    let problem = Problem::new(View::map(&labels, &[1, voxels]).unwrap());

    let slabs = || (0..voxels).step_by(64 * TILE_VOXELS).map(|start| start..(start + 64 * TILE_VOXELS).min(voxels));
    let wide = |slab: std::ops::Range<usize>| -> Vec<f64> {
        (0..CLASSES).flat_map(|class| logits[class * voxels..][slab.clone()].iter().map(|&z| z.into())).collect()
    };
    let mut exact = Statistics::new(1, CLASSES, &loss.request()).unwrap();
    for slab in slabs() {
        let numbers = wide(slab.clone());
        let view = View::channels_first(&numbers, &[1, CLASSES, slab.len()]).unwrap();
        let map = View::map(&labels[slab.clone()], &[1, slab.len()]).unwrap();
        let problem = Problem { offset: slab.start, ..Problem::new(map) };
        exact.merge(&engine.statistics(&view, &problem, &loss.request()).unwrap()).unwrap();
    }
    let exact = loss.evaluate(&exact).unwrap();

    let mut same = vec![T::of(0.0); logits.len()];
    let found = engine.value(&view, &problem, &loss).unwrap();
    let mut gradient = ViewMut::channels_first(&mut same, &shape).unwrap();
    engine.pullback(&view, &problem, &found.cotangent, &[upstream], &mut gradient).unwrap();
    let mut single = vec![0.0_f32; logits.len()];
    let mut gradient = ViewMut::channels_first(&mut single, &shape).unwrap();
    engine.pullback(&view, &problem, &found.cotangent, &[upstream], &mut gradient).unwrap();

    let mut comparison = Comparison {
        loss: exact.value(),
        loss_error: (found.value() - exact.value()).abs(),
        elements: logits.len(),
        ..Comparison::default()
    };
    let mut greatest = 0.0_f64;
    for slab in slabs() {
        let numbers = wide(slab.clone());
        let part = [1, CLASSES, slab.len()];
        let view = View::channels_first(&numbers, &part).unwrap();
        let problem = Problem::new(View::map(&labels[slab.clone()], &[1, slab.len()]).unwrap());
        let mut numbers = vec![0.0_f64; numbers.len()];
        let mut gradient = ViewMut::channels_first(&mut numbers, &part).unwrap();
        engine.pullback(&view, &problem, &exact.cotangent, &[upstream], &mut gradient).unwrap();
        for (class, numbers) in numbers.chunks(slab.len()).enumerate() {
            for (&expected, voxel) in numbers.iter().zip(slab.clone()) {
                let at = class * voxels + voxel;
                let found: f64 = same[at].into();
                greatest = greatest.max(expected.abs());
                comparison.gradient_error = comparison.gradient_error.max((found - expected).abs());
                let error = (f64::from(single[at]) - expected).abs();
                comparison.gradient_error_f32 = comparison.gradient_error_f32.max(error);
                comparison.vanished += usize::from(found == 0.0 && expected != 0.0);
                comparison.subnormal += usize::from(found != 0.0 && found.abs() < T::LEAST_NORMAL);
                comparison.lost += usize::from(!found.is_finite());
            }
        }
    }
    comparison.gradient_error /= greatest;
    comparison.gradient_error_f32 /= greatest;
    comparison
}

/// The loss of half logits is as exact as that of single ones, and a gradient scaled by the number of voxels has no error but
/// that of its last rounding.
fn scaled_gradients(level: &Level) {
    fn check<T: Number<Arithmetic = f32>>(level: &Level, what: [&'static str; 3]) {
        let size: usize = rounds(64, 16);
        let voxels = size.pow(3) as f64;
        let found = compare::<T>(level, size, voxels);
        level.within(what[0], found.loss_error, LOSS, || format!("{found:?}"));
        // The greatest element of the gradient is about a quarter of the greatest |u|, which the tolerance is relative to.
        let arithmetic = 4.0 * level.tolerance().gradient;
        level.within(what[2], found.gradient_error_f32, arithmetic, || format!("{found:?}"));
        let bound = T::ROUNDING.0 * (1.0 + 1e-3) + arithmetic;
        level.within(what[1], found.gradient_error, bound, || format!("{found:?}"));
        assert_eq!(found.lost, 0);
        assert!(found.vanished * 100 < found.elements, "{} of {} vanish", found.vanished, found.elements);
    }
    check::<f16>(level, ["loss of f16", "gradient in f16, relative to the greatest", "gradient of f16 in f32"]);
    check::<bf16>(level, ["loss of bf16", "gradient in bf16, relative to the greatest", "gradient of bf16 in f32"]);
}
per_level!(scaled_gradients);

/// Unscaled, the gradient of a volume is about 1 / voxels, which f16 hardly has: that is what loss scaling is for. bf16 and f32
/// have it.
#[test]
fn unscaled_gradients_vanish_in_f16() {
    run_at(Isa::Scalar, "unscaled_gradients_vanish_in_f16", |level| {
        let size: usize = rounds(64, 32);
        let half = compare::<f16>(level, size, 1.0);
        assert!(half.vanished + half.subnormal > half.elements / 2, "{half:?}");
        let brain = compare::<bf16>(level, size, 1.0);
        assert_eq!((brain.vanished, brain.subnormal, brain.lost), (0, 0, 0), "{brain:?}");
    });
}

#[test]
#[ignore = "256 cubed voxels of four classes take 700 MB and, unoptimised, a minute"]
fn table_of_a_large_volume() {
    let isa = Isa::available().max().expect("the scalar level is always there");
    run_at(isa, "table_of_a_large_volume", |level| {
        let size = 256_usize;
        let mut table = format!("{size} cubed, {CLASSES} classes, {isa}\n");
        table += "type  upstream    loss      |loss error|  gradient error  in f32     vanished  subnormal\n";
        let mut row = |name: &str, upstream: f64, found: Comparison| {
            let percent = |count: usize| 100.0 * count as f64 / found.elements as f64;
            table += &format!(
                "{name:5} {upstream:10.0}  {:.6}  {:.3e}     {:.3e}       {:.3e}  {:7.3}%  {:7.3}%\n",
                found.loss,
                found.loss_error,
                found.gradient_error,
                found.gradient_error_f32,
                percent(found.vanished),
                percent(found.subnormal),
            );
            assert!(found.loss_error <= LOSS, "{found:?}");
        };
        for upstream in [size.pow(3) as f64, 1.0] {
            row("f16", upstream, compare::<f16>(level, size, upstream));
            row("bf16", upstream, compare::<bf16>(level, size, upstream));
        }
        eprint!("{table}");
    });
}
