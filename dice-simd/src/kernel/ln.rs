//! ln of positive numbers, and of 1 + e for the e of a logistic function.
//!
//! One polynomial serves both: that of ln(1 + f) on −1/4 ≤ f ≤ 1/2, an octave, to which any number is brought exactly.
//! Nothing is divided: the polynomial that would do with fewer terms after a division costs less than the division in f32,
//! and no more in f64.

use super::each::{Elementary, each};
use crate::isa::Isa;
use crate::lanes::Lanes;
use crate::real::Real;

/// ln of each vector, for normal numbers x > 0: exactly +0 at 1. Lesser numbers, and so 0, count as the least normal number: its
/// logarithm is the least result. NaN and +∞ give NaN.
///
/// x = 2^n · (1 + f), and ln x = n ln 2 + ln(1 + f).
#[inline(always)]
pub(crate) fn ln<L: Lanes, const GROUP: usize>(lanes: L, x: [L::F; GROUP]) -> [L::F; GROUP] {
    let mut exponent = x;
    let mut f = x;
    for j in 0..GROUP {
        // The constant comes first so that NaN survives,
        let x = lanes.max(lanes.splat(L::R::MIN_POSITIVE), x[j]);
        let mantissa;
        [exponent[j], mantissa] = lanes.split(x);
        // and so it does here: a mantissa is a number, whatever x is.
        let minus_one = lanes.fma(x, lanes.splat(L::R::ZERO), lanes.splat(L::R::ZERO - L::R::ONE));
        f[j] = lanes.pin(lanes.add(mantissa, minus_one));
    }
    let mut logarithms = ln_near_one(lanes, f);
    for j in 0..GROUP {
        logarithms[j] = lanes.fma(exponent[j], lanes.splat(L::R::LN_2_PER_UNIT), logarithms[j]);
    }
    logarithms
}

/// ln(1 + e) of each vector, for 0 ≤ e ≤ 1: with a small relative error however small e is, where 1 + e would be 1. NaN gives
/// NaN.
#[inline(always)]
pub(crate) fn ln_1p<L: Lanes, const GROUP: usize>(lanes: L, e: [L::F; GROUP]) -> [L::F; GROUP] {
    let half = lanes.splat(L::R::HALF);
    let mut f = e;
    for j in 0..GROUP {
        // 1 + e = 2 (1 + (e − 1) / 2), which is exact where e is not less than 1/2.
        let halved = lanes.fma(e[j], half, lanes.splat(L::R::ZERO - L::R::HALF));
        f[j] = lanes.pin(lanes.select(lanes.gt(e[j], half), halved, e[j]));
    }
    let mut logarithms = ln_near_one(lanes, f);
    for j in 0..GROUP {
        let octave = lanes.keep(lanes.gt(e[j], half), lanes.splat(L::R::LN_2));
        logarithms[j] = lanes.add(logarithms[j], octave);
    }
    logarithms
}

/// ln(1 + f) = f + f² q(f) for −1/4 ≤ f ≤ 1/2.
#[inline(always)]
fn ln_near_one<L: Lanes, const GROUP: usize>(lanes: L, f: [L::F; GROUP]) -> [L::F; GROUP] {
    let mut q = [lanes.splat(L::R::LN_POLYNOMIAL[0]); GROUP];
    for &coefficient in &L::R::LN_POLYNOMIAL[1..] {
        for j in 0..GROUP {
            q[j] = lanes.pin(lanes.fma(q[j], f[j], lanes.splat(coefficient)));
        }
    }
    for j in 0..GROUP {
        q[j] = lanes.fma(lanes.mul(f[j], f[j]), q[j], f[j]);
    }
    q
}

struct Ln;

impl<R: Real> Elementary<R> for Ln {
    #[inline(always)]
    fn of<L: Lanes<R = R>>(&self, lanes: L, x: L::F) -> L::F {
        let [logarithm] = ln(lanes, [x]);
        logarithm
    }
}

struct Ln1p;

impl<R: Real> Elementary<R> for Ln1p {
    #[inline(always)]
    fn of<L: Lanes<R = R>>(&self, lanes: L, e: L::F) -> L::F {
        let [logarithm] = ln_1p(lanes, [e]);
        logarithm
    }
}

/// ln of each number of `x`, all positive and normal or NaN, as the f32 kernels compute it on `isa`: within 1 ULP. (On the
/// portable level 1.1 ULP.) Numbers below the least normal one count as that.
///
/// # Panics
/// If the slices differ in length, or this CPU does not have `isa`.
pub fn ln_positive(isa: Isa, x: &[f32], result: &mut [f32]) {
    each(isa, Ln, x, result);
}

/// As [`ln_positive`], as the f64 kernels compute it: within 1.4 ULP. (On the portable level 1.6 ULP.)
///
/// # Panics
/// As [`ln_positive`].
pub fn ln_positive_f64(isa: Isa, x: &[f64], result: &mut [f64]) {
    each(isa, Ln, x, result);
}

/// ln(1 + e) of each number of `e`, all from 0 to 1 or NaN, as the f32 kernels compute it on `isa`: within 1 ULP, on the
/// portable level, too.
///
/// # Panics
/// As [`ln_positive`].
pub fn ln_1p_unit(isa: Isa, e: &[f32], result: &mut [f32]) {
    each(isa, Ln1p, e, result);
}

/// As [`ln_1p_unit`], as the f64 kernels compute it: within 1.4 ULP.
///
/// # Panics
/// As [`ln_positive`].
pub fn ln_1p_unit_f64(isa: Isa, e: &[f64], result: &mut [f64]) {
    each(isa, Ln1p, e, result);
}
