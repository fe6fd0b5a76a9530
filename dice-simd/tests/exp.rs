//! The exponential that every probability is made of, against that of f64.
//!
//! By default a dense part of the arguments; all 2^32 of them with
//! `cargo test --release -p dice-simd --test exp -- --ignored`.

mod common;

use std::sync::Mutex;

use common::tolerance::TOTAL;
use common::{CHUNK, Level, Random, Scene, in_chunks, per_level, rounds, unit_f32};
use dice_core::{Activation, Group, Request, Sum};

/// Between these the result goes to +0: round(8 d / ln 2) is below −63 · 8 from −(63 + 1/16) ln 2 = −43.71159 on.
const SURELY_NORMAL: f32 = -43.71;
const SURELY_ZERO: f32 = -43.72;

/// The greatest errors so far.
#[derive(Debug, Clone, Copy, Default)]
struct Worst {
    /// In units in the last place, on [−1, 0] and on [−44, 0].
    near: (f64, f32),
    far: (f64, f32),
    /// The greatest fall where the argument rises, in units in the last place.
    fall: (f64, f32),
}

impl Worst {
    fn merge(&mut self, other: Self) {
        let greater = |a: (f64, f32), b: (f64, f32)| if b.0 > a.0 { b } else { a };
        *self = Self {
            near: greater(self.near, other.near),
            far: greater(self.far, other.far),
            fall: greater(self.fall, other.fall),
        };
    }

    fn check(self, level: &Level) {
        let tolerance = level.tolerance();
        level.within("exp on [-1, 0], ULP", self.near.0, tolerance.exp_near, || format!("at {:e}", self.near.1));
        level.within("exp on [-44, 0], ULP", self.far.0, tolerance.exp_far, || format!("at {:e}", self.far.1));
        level.within("exp falls, ULP", self.fall.0, tolerance.exp_fall, || format!("at {:e}", self.fall.1));
    }
}

/// Checks exp of the arguments, all ≤ 0 and in descending order.
fn check_descending(level: &Level, d: &[f32]) -> Worst {
    let mut found = vec![f32::NAN; d.len()];
    level.exp(d, &mut found);
    let mut worst = Worst::default();
    let mut before: Option<f32> = None;
    for (&d, &found) in d.iter().zip(&found) {
        if d < SURELY_ZERO {
            assert_eq!(found.to_bits(), 0, "exp({d:e}) is {found:e}, not +0");
            continue;
        }
        if d < SURELY_NORMAL && found.to_bits() == 0 {
            continue;
        }
        let exact = f64::from(d).exp();
        let unit = unit_f32(exact);
        let error = (f64::from(found) - exact).abs() / unit;
        assert!(!error.is_nan(), "exp({d:e}) is {found:e}");
        let fall = before.map_or(0.0, |before| f64::from(found - before) / unit);
        let near = if d >= -1.0 { error } else { 0.0 };
        worst.merge(Worst { near: (near, d), far: (error, d), fall: (fall, d) });
        before = Some(found);
    }
    worst
}

/// The bits of the negative number whose magnitude has these bits.
fn negative(magnitude: u32) -> f32 {
    f32::from_bits(1 << 31 | magnitude)
}

fn dense_part(level: &Level) {
    let mut worst = Worst::default();
    let last = 87.4_f32.to_bits();
    let arguments: Vec<f32> = (0..=last).step_by(rounds(997, 99_991)).map(negative).collect();
    for chunk in arguments.chunks(CHUNK as usize) {
        worst.merge(check_descending(level, chunk));
    }
    // Every argument around the bounds of the reduction, n + 1/2 times ln 2, around its multiples, and around the end.
    for half in 0..130 {
        let edge = (f64::from(half) * 0.5 * std::f64::consts::LN_2) as f32;
        let first = edge.to_bits().saturating_sub(rounds(2000, 100));
        let arguments: Vec<f32> = (first..first + rounds(4000, 200)).map(negative).collect();
        worst.merge(check_descending(level, &arguments));
    }
    worst.check(level);
}
per_level!(dense_part);

fn special_arguments(level: &Level) {
    let d = [
        0.0,
        -0.0,
        f32::NEG_INFINITY,
        f32::MIN,
        -1e30,
        -44.37,
        -44.361_42,
        -44.02,
        f32::NAN,
        -f32::NAN,
        -f32::MIN_POSITIVE,
        -1e-45,
        -5e-9,
    ];
    // At every place of a vector, and in lengths that fill none.
    for shift in 0..40 {
        let mut padded = vec![-1.0; shift];
        padded.extend(d);
        let mut found = vec![f32::INFINITY; padded.len()];
        level.exp(&padded, &mut found);
        for (&d, &found) in padded[shift..].iter().zip(&found[shift..]) {
            if d.is_nan() {
                assert!(found.is_nan(), "exp(NaN) is {found}");
            } else {
                let expected: f32 = if d < -44.0 { 0.0 } else { 1.0 };
                assert_eq!(found.to_bits(), expected.to_bits(), "exp({d:e}) is {found:e}");
            }
        }
    }
    level.exp(&[], &mut []);
}
per_level!(special_arguments);

/// The worst of all chunks of `0..count`.
fn in_parallel(count: u32, check: impl Fn(std::ops::Range<u32>) -> Worst + Sync) -> Worst {
    let worst = Mutex::new(Worst::default());
    in_chunks(count, |range| {
        let found = check(range);
        worst.lock().unwrap().merge(found);
    });
    worst.into_inner().unwrap()
}

/// All 2^32 bit patterns: negative numbers and zeros within their bounds, NaN stays NaN, positive numbers, for which exp is not
/// made, do no harm.
fn every_argument(level: &Level) {
    let infinity = f32::INFINITY.to_bits();
    let worst = in_parallel(infinity + 1, |magnitudes| {
        let d: Vec<f32> = magnitudes.map(negative).collect();
        check_descending(level, &d)
    });
    worst.check(level);
    for sign in [0, 1 << 31] {
        in_parallel((1 << 31) - infinity - 1, |payloads| {
            let d: Vec<f32> = payloads.map(|payload| f32::from_bits(sign | (infinity + 1 + payload))).collect();
            let mut found = vec![0.0; d.len()];
            level.exp(&d, &mut found);
            assert!(d.iter().all(|d| d.is_nan()) && found.iter().all(|found| found.is_nan()), "NaN stays NaN");
            Worst::default()
        });
    }
    in_parallel(infinity + 1, |magnitudes| {
        let d: Vec<f32> = magnitudes.map(f32::from_bits).collect();
        level.exp(&d, &mut vec![0.0; d.len()]);
        Worst::default()
    });
}
per_level!(
    #[ignore = "exhaustive: minutes; run by the command in docs/benchmarks.md"]
    every_argument
);

/// A sample of one voxel has S = p, so the table of many such samples holds the probabilities as the kernels compute them.
fn probabilities(level: &Level) {
    let samples = rounds(600, 40);
    for activation in [Activation::Softmax, Activation::Sigmoid] {
        // One channel takes a sigmoid.
        let least = if activation == Activation::Softmax { 1 } else { 0 };
        for &classes in &[1, 2, 3, 4, 5, 14, 32, 40][least..] {
            for size in [0.01, 1.0, 10.0, 50.0] {
                let mut random = Random(classes as u64);
                let scene = Scene::new(&mut random, &[samples, classes, 1], |r| r.within(-size, size), |_| 0);
                let request = &Request::overlap(activation);
                let found = scene.statistics(&level.engine(), request).unwrap();
                let expected = scene.expected_statistics(request);
                for sample in 0..samples {
                    let mut total = 0.0;
                    for class in 0..classes {
                        let p = |table: &dice_core::Statistics| {
                            table.sum(Group::Sample(sample), class, 0, Sum::Prediction).unwrap()
                        };
                        let (p, expected) = (p(&found), p(&expected));
                        assert!((0.0..=1.0).contains(&p), "a probability of {p}");
                        level.within("|p - p_ref|", (p - expected).abs(), level.tolerance().probability, || {
                            format!("{activation:?} of {classes} classes: {p} instead of {expected}")
                        });
                        total += p;
                    }
                    if activation == Activation::Softmax {
                        level.within("|sum of p - 1|", (total - 1.0).abs(), TOTAL, || {
                            format!("{classes} classes: {total}")
                        });
                    }
                }
            }
        }
    }
}
per_level!(probabilities);
