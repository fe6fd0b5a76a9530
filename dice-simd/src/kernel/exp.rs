//! exp of numbers that are not positive.

use crate::dispatch::{Kernel, dispatch};
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes};

/// −64 ln 2: below it the result is +0, so no probability is ever subnormal.
const LOWEST: f32 = -44.361_42;
/// 1.5 · 2^23 + 64. Added to t it leaves round(t) + 64 in the low bits of the sum: for t in −64..0 the exponent bits of
/// 2^(round(t) − 63), and zero for the lowest.
const MAGIC: f32 = 12_582_976.0;
/// 2^63, which the exponent bits of [`MAGIC`] leave out.
const BIAS: f32 = 9_223_372_036_854_775_808.0;
/// The polynomial of degree 6 in r with the least relative error (3e-9) on |r| ≤ ln 2 / 2 whose first two coefficients are
/// 1, by Remez exchange; highest power first, times 2^63.
const POLYNOMIAL: [f32; 7] = [
    BIAS * 1.381_454_1e-3,
    BIAS * 8.368_745e-3,
    BIAS * 4.166_839e-2,
    BIAS * 1.666_652_1e-1,
    BIAS * 4.999_999_4e-1,
    BIAS,
    BIAS,
];

/// exp(d) of each vector, for d ≤ 0: exactly 1 at 0, and +0 where the result would be below 2^-63.5.
///
/// d = n ln 2 + r with an integer n in −64..=0 and |r| ≤ ln 2 / 2; exp(d) = 2^n · exp(r). NaN gives NaN.
#[inline(always)]
pub(crate) fn exp<L: Lanes, const GROUP: usize>(lanes: L, mut d: [L::F; GROUP]) -> [L::F; GROUP] {
    let zero = [lanes.splat(0.0); GROUP];
    let (mut shifted, mut p) = (zero, zero);
    for j in 0..GROUP {
        // The constant comes first so that NaN survives.
        d[j] = lanes.max(lanes.splat(LOWEST), d[j]);
        shifted[j] = lanes.pin(lanes.fma(d[j], lanes.splat(std::f32::consts::LOG2_E), lanes.splat(MAGIC)));
    }
    for j in 0..GROUP {
        let n = lanes.sub(shifted[j], lanes.splat(MAGIC));
        d[j] = lanes.pin(lanes.fma(n, lanes.splat(-std::f32::consts::LN_2), d[j]));
        p[j] = lanes.splat(POLYNOMIAL[0]);
    }
    for coefficient in &POLYNOMIAL[1..] {
        for j in 0..GROUP {
            p[j] = lanes.pin(lanes.fma(p[j], d[j], lanes.splat(*coefficient)));
        }
    }
    for j in 0..GROUP {
        p[j] = lanes.mul(p[j], lanes.low_bits_to_exponent(shifted[j]));
    }
    p
}

/// exp of each number of `d`, all ≤ 0 or NaN, as the kernels compute it on `isa`: within 0.75 ULP on [−1, 0],
/// within 2.6 ULP down to −44, and +0 below −44.02. (On the portable level 1.05 and 35 ULP.)
///
/// # Panics
/// If the slices differ in length, or this CPU does not have `isa`.
pub fn exp_nonpositive(isa: Isa, d: &[f32], result: &mut [f32]) {
    assert_eq!(d.len(), result.len(), "one result per number");
    dispatch(isa, ExpPass { d, result });
}

struct ExpPass<'a> {
    d: &'a [f32],
    result: &'a mut [f32],
}

impl Kernel for ExpPass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes, const GROUP: usize>(self, lanes: L) {
        let (whole, rest) = self.d.as_chunks::<LANES>();
        let (whole_result, rest_result) = self.result.as_chunks_mut::<LANES>();
        for (d, result) in whole.iter().zip(whole_result) {
            let [exponential] = exp(lanes, [lanes.load(d)]);
            lanes.store(result, exponential);
        }
        let mut padded = [0.0; LANES];
        padded[..rest.len()].copy_from_slice(rest);
        let [exponential] = exp(lanes, [lanes.load(&padded)]);
        lanes.store(&mut padded, exponential);
        rest_result.copy_from_slice(&padded[..rest.len()]);
    }
}
