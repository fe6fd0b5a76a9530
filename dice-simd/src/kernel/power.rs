//! Powers of numbers from 0 to 1, as of a probability.
//!
//! The exponent is one number for a whole pass, so which way the power is computed is decided before the loop: small whole
//! exponents multiply, all others go by way of the logarithm.

use super::each::{Elementary, each};
use super::exp::exp;
use super::ln::ln;
use crate::isa::Isa;
use crate::lanes::Lanes;
use crate::real::Real;

/// r ↦ r^γ for 0 ≤ r ≤ 1 and one finite γ ≥ 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Power<R> {
    /// γ = 0: 1 of any r, NaN included.
    Zeroth,
    First,
    /// r · r,
    Second,
    /// and that times r,
    Third,
    /// and that squared.
    Fourth,
    /// exp(γ ln r), and r where r is 0. (exp is +0 where the power is below about 2^-63, in f64 2^-999; a subnormal r counts as
    /// the least normal number.)
    Any(R),
}

impl<R: Real> Power<R> {
    pub(crate) fn new(exponent: R) -> Self {
        match exponent.to_f64() {
            0.0 => Self::Zeroth,
            1.0 => Self::First,
            2.0 => Self::Second,
            3.0 => Self::Third,
            4.0 => Self::Fourth,
            _ => Self::Any(exponent),
        }
    }

    /// The power of each vector.
    #[inline(always)]
    pub(crate) fn of<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L, r: [L::F; GROUP]) -> [L::F; GROUP] {
        let exponent = match self {
            Self::Zeroth => return [lanes.splat(R::ONE); GROUP],
            Self::First => return r,
            Self::Second => return product(lanes, r, r),
            Self::Third => return product(lanes, product(lanes, r, r), r),
            Self::Fourth => {
                let square = product(lanes, r, r);
                return product(lanes, square, square);
            }
            Self::Any(exponent) => lanes.splat(exponent),
        };
        let mut powers = ln(lanes, r);
        for j in 0..GROUP {
            powers[j] = lanes.mul(powers[j], exponent);
        }
        powers = exp(lanes, powers);
        for j in 0..GROUP {
            powers[j] = lanes.select(lanes.gt(r[j], lanes.splat(R::ZERO)), powers[j], r[j]);
        }
        powers
    }
}

#[inline(always)]
fn product<L: Lanes, const GROUP: usize>(lanes: L, mut a: [L::F; GROUP], b: [L::F; GROUP]) -> [L::F; GROUP] {
    for j in 0..GROUP {
        a[j] = lanes.mul(a[j], b[j]);
    }
    a
}

impl<R: Real> Elementary<R> for Power<R> {
    #[inline(always)]
    fn of<L: Lanes<R = R>>(&self, lanes: L, r: L::F) -> L::F {
        let [power] = (*self).of(lanes, [r]);
        power
    }
}

/// r^γ of each number of `r`, all from 0 to 1 or NaN, for a finite γ = `exponent` ≥ 0, as the f32 kernels compute it on `isa`:
/// by multiplication for γ of 0, 1, 2, 3 and 4, else within 2 (1 + |ln r^γ|) ULP where it is not below 2^-63, and +0 or nearly so
/// there. (On the portable level 3 (1 + |ln r^γ|) ULP.) A subnormal r counts as the least normal number then.
///
/// # Panics
/// If the slices differ in length, or this CPU does not have `isa`.
pub fn pow_unit(isa: Isa, r: &[f32], exponent: f32, result: &mut [f32]) {
    each(isa, Power::new(exponent), r, result);
}

/// As [`pow_unit`], as the f64 kernels compute it: within 3 (1 + |ln r^γ|) ULP where it is not below 2^-999.
///
/// # Panics
/// As [`pow_unit`].
pub fn pow_unit_f64(isa: Isa, r: &[f64], exponent: f64, result: &mut [f64]) {
    each(isa, Power::new(exponent), r, result);
}
