//! exp of numbers that are not positive, and exp − 1.

use super::each::{Elementary, each};
use crate::isa::Isa;
use crate::lanes::Lanes;
use crate::real::Real;

/// exp(d) of each vector, for d ≤ 0: exactly 1 at 0, and +0 where d is below [`Real::LOWEST`] or nearly so.
///
/// With s steps per octave, d = n ln 2 / s + r with an integer n in −K s..=0 and |r| ≤ ln 2 / 2 s, and
/// exp(d) = 2^(n / s) · (1 + u), u = r + r² q(r). NaN gives NaN.
#[inline(always)]
pub(crate) fn exp<L: Lanes, const GROUP: usize>(lanes: L, d: [L::F; GROUP]) -> [L::F; GROUP] {
    let Parts { r, q, shifted } = parts(lanes, d, L::R::POLYNOMIAL);
    let mut exponentials = r;
    for j in 0..GROUP {
        let u = lanes.fma(lanes.mul(r[j], r[j]), q[j], r[j]);
        exponentials[j] = lanes.scale(u, shifted[j]);
    }
    exponentials
}

/// exp(d), and exp(d) − 1 with a small relative error, however small d is; +0 and −1 where [`exp`] is +0.
///
/// It takes the same way with a polynomial that is as good for u as for 1 + u: in f32 a term more, so that the bits of exp(d)
/// are not those of [`exp`].
#[inline(always)]
pub(crate) fn exp_and_less_one<L: Lanes, const GROUP: usize>(lanes: L, d: [L::F; GROUP]) -> [[L::F; GROUP]; 2] {
    let Parts { r, q, shifted } = parts(lanes, d, L::R::LESS_ONE_POLYNOMIAL);
    let mut results = [r; 2];
    for j in 0..GROUP {
        let u = lanes.fma(lanes.mul(r[j], r[j]), q[j], r[j]);
        [results[0][j], results[1][j]] = lanes.scale_and_less_one(u, shifted[j]);
    }
    results
}

/// What [`exp`] makes of its argument: r, q(r), and n as [`Real::MAGIC`] leaves it.
struct Parts<F, const GROUP: usize> {
    r: [F; GROUP],
    q: [F; GROUP],
    shifted: [F; GROUP],
}

#[inline(always)]
fn parts<L: Lanes, const GROUP: usize>(lanes: L, mut d: [L::F; GROUP], polynomial: &[L::R]) -> Parts<L::F, GROUP> {
    let zero = [lanes.splat(L::R::ZERO); GROUP];
    let (mut shifted, mut q) = (zero, zero);
    let [step, rest_of_step] = L::R::STEP;
    for j in 0..GROUP {
        if !L::SCALES_ALL {
            // The constant comes first so that NaN survives.
            d[j] = lanes.max(lanes.splat(L::R::LOWEST), d[j]);
        }
        shifted[j] = lanes.pin(lanes.fma(d[j], lanes.splat(L::R::STEPS_PER_E), lanes.splat(L::R::MAGIC)));
    }
    for j in 0..GROUP {
        let n = lanes.sub(shifted[j], lanes.splat(L::R::MAGIC));
        d[j] = lanes.pin(lanes.fma(n, lanes.splat(L::R::ZERO - step), d[j]));
        if rest_of_step > L::R::ZERO {
            d[j] = lanes.fma(n, lanes.splat(L::R::ZERO - rest_of_step), d[j]);
        }
        q[j] = lanes.splat(polynomial[0]);
    }
    for &coefficient in &polynomial[1..] {
        for j in 0..GROUP {
            q[j] = lanes.pin(lanes.fma(q[j], d[j], lanes.splat(coefficient)));
        }
    }
    Parts { r: d, q, shifted }
}

struct Exp;

impl<R: Real> Elementary<R> for Exp {
    #[inline(always)]
    fn of<L: Lanes<R = R>>(&self, lanes: L, d: L::F) -> L::F {
        let [exponential] = exp(lanes, [d]);
        exponential
    }
}

/// One of the two results.
struct ExpAndLessOne<const RESULT: usize>;

impl<R: Real, const RESULT: usize> Elementary<R> for ExpAndLessOne<RESULT> {
    #[inline(always)]
    fn of<L: Lanes<R = R>>(&self, lanes: L, d: L::F) -> L::F {
        let [result] = exp_and_less_one(lanes, [d])[RESULT];
        result
    }
}

/// exp of each number of `d`, all ≤ 0 or NaN, as the f32 kernels compute it on `isa`: within 1.2 ULP on [−1, 0],
/// within 3 ULP down to −43.71, and +0 below −43.72. (On the portable level 1.2 and 35 ULP.)
///
/// # Panics
/// If the slices differ in length, or this CPU does not have `isa`.
pub fn exp_nonpositive(isa: Isa, d: &[f32], result: &mut [f32]) {
    each(isa, Exp, d, result);
}

/// As [`exp_nonpositive`], as the f64 kernels compute it: within 1 ULP on [−1, 0], within 1.1 ULP down to −692.79, and +0
/// below −692.81. (On the portable level 1.15 and 1.3 ULP.)
///
/// # Panics
/// As [`exp_nonpositive`].
pub fn exp_nonpositive_f64(isa: Isa, d: &[f64], result: &mut [f64]) {
    each(isa, Exp, d, result);
}

/// exp and exp − 1 of each number of `d`, all ≤ 0 or NaN, as the f32 kernels compute them together:
/// exp − 1 within 2.7 ULP (on the portable level 3 ULP), exp within the bounds of [`exp_nonpositive`].
///
/// # Panics
/// As [`exp_nonpositive`].
pub fn exp_m1_nonpositive(isa: Isa, d: &[f32], exponential: &mut [f32], less_one: &mut [f32]) {
    each(isa, ExpAndLessOne::<0>, d, exponential);
    each(isa, ExpAndLessOne::<1>, d, less_one);
}

/// As [`exp_m1_nonpositive`], as the f64 kernels compute them: exp − 1 within 1.3 ULP, exp to the bits of
/// [`exp_nonpositive_f64`].
///
/// # Panics
/// As [`exp_nonpositive`].
pub fn exp_m1_nonpositive_f64(isa: Isa, d: &[f64], exponential: &mut [f64], less_one: &mut [f64]) {
    each(isa, ExpAndLessOne::<0>, d, exponential);
    each(isa, ExpAndLessOne::<1>, d, less_one);
}
