//! The logarithm, exp − 1 and the powers of the f32 kernels, against those of f64; equal bits on the exact levels.
//!
//! By default a dense part of the arguments; all of them with
//! `cargo test --release -p dice-simd --test ln -- --ignored`.

mod common;

use common::tolerance::Elementary;
use common::{CHUNK, Level, in_chunks, per_level, rounds, unit_f32};
use dice_simd::{Isa, exp_m1_nonpositive, ln_1p_unit, ln_positive, pow_unit};

type Found = dyn Fn(Isa, &[f32], &mut [f32]) + Sync;
type Exact = dyn Fn(f64) -> f64 + Sync;

/// A function of the kernels and what it is held to.
struct Function {
    name: &'static str,
    found: Box<Found>,
    exact: Box<Exact>,
    /// What the error is measured in, by the exact result.
    unit: fn(f64) -> f64,
    bound: f64,
}

impl Function {
    fn new(
        name: &'static str,
        bound: f64,
        found: impl Fn(Isa, &[f32], &mut [f32]) + Sync + 'static,
        exact: impl Fn(f64) -> f64 + Sync + 'static,
    ) -> Self {
        Self { name, found: Box::new(found), exact: Box::new(exact), unit: unit_f32, bound }
    }

    /// Checks the function at `x`, where its results are normal numbers in f32 or zero.
    fn check(&self, level: &Level, x: &[f32]) {
        let mut found = vec![f32::NAN; x.len()];
        level.apply(&self.found, x, &mut found);
        let mut worst = (0.0, 0.0);
        for (&x, &found) in x.iter().zip(&found) {
            let exact = (self.exact)(x.into());
            if exact == 0.0 {
                assert_eq!(found, 0.0, "{} at {x:e}", self.name);
                continue;
            }
            let error = (f64::from(found) - exact).abs() / (self.unit)(exact);
            assert!(!error.is_nan(), "{} at {x:e} is {found}", self.name);
            if error > worst.0 {
                worst = (error, x);
            }
        }
        level.within(self.name, worst.0, self.bound, || format!("at {:e}", worst.1));
        self.check_bits(level, x, &found);
    }

    /// Checks that the exact levels agree.
    fn check_bits(&self, level: &Level, x: &[f32], found: &[f32]) {
        if level.isa.is_exact() && level.isa != Isa::Scalar {
            let mut scalar = vec![f32::NAN; x.len()];
            (self.found)(Isa::Scalar, x, &mut scalar);
            for ((x, found), scalar) in x.iter().zip(found).zip(&scalar) {
                let equal = found.to_bits() == scalar.to_bits() || (found.is_nan() && scalar.is_nan());
                assert!(equal, "{} at {x:e} is {found:e}, and {scalar:e} on the scalar level", self.name);
            }
        }
    }

    /// Checks it at a dense part of the numbers with bits in `range`, made by `number`, and at all numbers around `edges`.
    fn check_part(&self, level: &Level, [first, last]: [u32; 2], edges: &[f32], number: impl Fn(u32) -> f32) {
        let dense: Vec<f32> = (first..=last).step_by(rounds(997, 99_991)).map(&number).collect();
        for x in dense.chunks(CHUNK as usize) {
            self.check(level, x);
        }
        for edge in edges {
            let bits = edge.to_bits();
            let [low, high] = [bits.saturating_sub(rounds(2000, 100)), bits + rounds(2000, 100)];
            let x: Vec<f32> = (low.max(first)..=high.min(last)).map(&number).collect();
            self.check(level, &x);
        }
    }

    /// Checks it at all numbers with bits in `range`, made by `number`.
    fn check_all(&self, level: &Level, [first, last]: [u32; 2], number: impl Fn(u32) -> f32 + Sync) {
        in_chunks(last - first + 1, |range| {
            let x: Vec<f32> = range.map(|i| number(first + i)).collect();
            self.check(level, &x);
        });
    }

    /// Checks the results at `special` numbers to the bit (NaN is NaN), at every place of a vector, and in lengths that fill
    /// none.
    fn check_special(&self, level: &Level, special: &[(f32, f32)]) {
        for shift in 0..40 {
            let mut x = vec![1.0; shift];
            x.extend(special.iter().map(|(x, _)| x));
            let mut found = vec![f32::INFINITY; x.len()];
            level.apply(&self.found, &x, &mut found);
            for ((x, expected), found) in special.iter().zip(&found[shift..]) {
                let right = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
                assert!(right, "{} at {x:e} is {found:e}, not {expected:e}", self.name);
            }
            self.check_bits(level, &x, &found);
        }
        level.apply(&self.found, &[], &mut []);
    }
}

/// What the number with these bits is.
fn positive(bits: u32) -> f32 {
    f32::from_bits(bits)
}

/// And its negative.
fn negative(bits: u32) -> f32 {
    -f32::from_bits(bits)
}

/// The bits of all normal numbers, and of all numbers from 2^-126 to 1.
const NORMAL: [u32; 2] = [0x0080_0000, 0x7f7f_ffff];
const TO_ONE: [u32; 2] = [0x0080_0000, 0x3f80_0000];
/// The bits of the magnitudes of the numbers down to −44.
const TO_LOWEST: [u32; 2] = [0x0080_0000, 0x4230_0000];
/// And to −43.71, below which exp may be +0.
const TO_SURELY_NORMAL: [u32; 2] = [0x0080_0000, 0x422e_d70a];

fn ln(level: &Level) -> Function {
    Function::new("ln, ULP", Elementary::of(level.isa).ln, ln_positive, f64::ln)
}

fn ln_1p(level: &Level) -> Function {
    Function::new("ln(1 + e), ULP", Elementary::of(level.isa).ln_1p, ln_1p_unit, f64::ln_1p)
}

fn exp_m1(level: &Level) -> Function {
    let found = |isa, d: &[f32], less_one: &mut [f32]| exp_m1_nonpositive(isa, d, &mut vec![0.0; d.len()], less_one);
    Function::new("exp - 1, ULP", Elementary::of(level.isa).exp_m1, found, f64::exp_m1)
}

/// The exponential that comes with it, where it is not +0.
fn exp_beside(level: &Level) -> Function {
    let found = |isa, d: &[f32], exp: &mut [f32]| exp_m1_nonpositive(isa, d, exp, &mut vec![0.0; d.len()]);
    Function::new("exp beside exp - 1, ULP", level.tolerance().exp_far, found, f64::exp)
}

/// A power that goes by way of the logarithm: what is lost grows with it.
fn power(level: &Level, exponent: f32) -> Function {
    let found = move |isa, r: &[f32], power: &mut [f32]| pow_unit(isa, r, exponent, power);
    let exact = move |r: f64| r.powf(exponent.into());
    let unit = |power: f64| unit_f32(power) * (1.0 + power.ln().abs());
    Function { unit, ..Function::new("power, ULP per 1 + |ln|", Elementary::of(level.isa).pow, found, exact) }
}

/// Powers of two, and what lies between them and the next where mantissas begin.
fn octaves() -> Vec<f32> {
    (1..=254)
        .flat_map(|exponent| [0, 0x0040_0000].map(|mantissa| f32::from_bits((exponent << 23) | mantissa)))
        .collect()
}

/// The magnitudes around which n of the exponential is another one.
fn steps() -> Vec<f32> {
    (0..1020).map(|half| (f64::from(half) * std::f64::consts::LN_2 / 16.0) as f32).collect()
}

fn dense_part(level: &Level) {
    ln(level).check_part(level, NORMAL, &octaves(), positive);
    ln_1p(level).check_part(level, TO_ONE, &[0.5, 1.0, 1e-3, 6e-8], positive);
    exp_m1(level).check_part(level, TO_LOWEST, &steps(), negative);
    exp_beside(level).check_part(level, TO_SURELY_NORMAL, &steps(), negative);
}
per_level!(dense_part);

/// All normal numbers, and all from 0 to 1 or −44.
fn every_argument(level: &Level) {
    ln(level).check_all(level, NORMAL, positive);
    ln_1p(level).check_all(level, TO_ONE, positive);
    exp_m1(level).check_all(level, TO_LOWEST, negative);
    exp_beside(level).check_all(level, TO_SURELY_NORMAL, negative);
    for exponent in [0.5, 1.5, 2.5, 10.0] {
        power(level, exponent).check_all(level, bases(exponent), positive);
    }
}
per_level!(
    #[ignore = "exhaustive: minutes; run by the command above"]
    every_argument
);

fn special_arguments(level: &Level) {
    let nan = f32::NAN;
    // ln of the least normal number.
    let least = -87.336_55;
    let ln_at = [
        (1.0, 0.0),
        (0.0, least),
        (-0.0, least),
        (f32::MIN_POSITIVE, least),
        (1e-45, least),
        (-1.0, least),
        (f32::NEG_INFINITY, least),
        (2.0, std::f32::consts::LN_2),
        (0.5, -std::f32::consts::LN_2),
        (f32::MAX, 88.722_84),
        (f32::INFINITY, nan),
        (nan, nan),
        (-nan, nan),
    ];
    ln(level).check_special(level, &ln_at);
    let tiny = f32::from_bits(1);
    let ln_1p_at = [
        (0.0, 0.0),
        (1.0, std::f32::consts::LN_2),
        (1e-9, 1e-9),
        (f32::MIN_POSITIVE, f32::MIN_POSITIVE),
        (tiny, tiny),
        (nan, nan),
        (-nan, nan),
    ];
    ln_1p(level).check_special(level, &ln_1p_at);
    let exp_m1_at = [
        (0.0, 0.0),
        (-1e-9, -1e-9),
        (-f32::MIN_POSITIVE, -f32::MIN_POSITIVE),
        (-44.5, -1.0),
        (-1e30, -1.0),
        (f32::NEG_INFINITY, -1.0),
        (nan, nan),
        (-nan, nan),
    ];
    exp_m1(level).check_special(level, &exp_m1_at);
    let exp_at = [(0.0, 1.0), (-0.0, 1.0), (-44.5, 0.0), (f32::NEG_INFINITY, 0.0), (nan, nan), (-nan, nan)];
    exp_beside(level).check_special(level, &exp_at);
}
per_level!(special_arguments);

/// NaN of any payload stays NaN, and numbers for which the functions are not made do no harm.
fn other_arguments(level: &Level) {
    for high in (0..1 << 16).step_by(rounds(1, 97)) {
        let x: Vec<f32> = (0..3).map(|low| f32::from_bits((high << 16) | (low * 0x7fff))).collect();
        let mut found = vec![0.0; x.len()];
        level.apply(ln_positive, &x, &mut found);
        assert!(x.iter().zip(&found).all(|(x, found)| found.is_nan() == (x.is_nan() || *x == f32::INFINITY)));
        for exponent in [0.7, 3.0] {
            level.apply(|isa, r, power| pow_unit(isa, r, exponent, power), &x, &mut found);
            assert!(x.iter().zip(&found).all(|(x, found)| !x.is_nan() || found.is_nan()));
        }
        level.apply(ln_1p_unit, &x, &mut found);
        assert!(x.iter().zip(&found).all(|(x, found)| !x.is_nan() || found.is_nan()));
    }
}
per_level!(other_arguments);

/// Small whole exponents multiply.
fn whole_powers(level: &Level) {
    let r: Vec<f32> = (0..=0x3f80_0000).step_by(rounds(9973, 999_983)).map(f32::from_bits).collect();
    let by_hand: [fn(f32) -> f32; 5] = [|_| 1.0, |r| r, |r| r * r, |r| r * r * r, |r| (r * r) * (r * r)];
    for (exponent, by_hand) in by_hand.into_iter().enumerate() {
        let mut found = vec![f32::NAN; r.len()];
        level.apply(|isa, r, power| pow_unit(isa, r, exponent as f32, power), &r, &mut found);
        for (&r, found) in r.iter().zip(&found) {
            assert_eq!(found.to_bits(), by_hand(r).to_bits(), "{r:e}^{exponent}");
        }
    }
}
per_level!(whole_powers);

/// The numbers from 0 to 1 whose power is not +0.
fn bases(exponent: f32) -> [u32; 2] {
    [((-43.7 / f64::from(exponent)).exp() as f32).to_bits().max(TO_ONE[0]), TO_ONE[1]]
}

fn other_powers(level: &Level) {
    for exponent in [1e-3, 0.25, 0.5, 0.75, 1.5, 2.5, 5.0, 10.0, 1e3, 1e30] {
        let power = power(level, exponent);
        power.check_special(level, &[(0.0, 0.0), (1.0, 1.0), (f32::NAN, f32::NAN), (-f32::NAN, f32::NAN)]);
        power.check_part(level, bases(exponent), &[1.0], positive);
    }
}
per_level!(other_powers);
