//! exp of numbers that are not positive.

use crate::block::LANES;
use crate::dispatch::Dispatch;
use crate::isa::Isa;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// exp(d) of each vector, for d ≤ 0: exactly 1 at 0, and +0 where d is below [`Real::LOWEST`] or nearly so.
///
/// With s steps per octave, d = n ln 2 / s + r with an integer n in −K s..=0 and |r| ≤ ln 2 / 2 s, and
/// exp(d) = 2^(n / s) · (1 + u), u = r + r² q(r). NaN gives NaN.
#[inline(always)]
pub(crate) fn exp<L: Lanes, const GROUP: usize>(lanes: L, mut d: [L::F; GROUP]) -> [L::F; GROUP] {
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
        q[j] = lanes.splat(L::R::POLYNOMIAL[0]);
    }
    for &coefficient in &L::R::POLYNOMIAL[1..] {
        for j in 0..GROUP {
            q[j] = lanes.pin(lanes.fma(q[j], d[j], lanes.splat(coefficient)));
        }
    }
    let mut exponentials = zero;
    for j in 0..GROUP {
        let u = lanes.fma(lanes.mul(d[j], d[j]), q[j], d[j]);
        exponentials[j] = lanes.scale(u, shifted[j]);
    }
    exponentials
}

/// exp of each number of `d`, all ≤ 0 or NaN, as the f32 kernels compute it on `isa`: within 1.2 ULP on [−1, 0],
/// within 3 ULP down to −43.71, and +0 below −43.72. (On the portable level 1.2 and 35 ULP.)
///
/// # Panics
/// If the slices differ in length, or this CPU does not have `isa`.
pub fn exp_nonpositive(isa: Isa, d: &[f32], result: &mut [f32]) {
    assert_eq!(d.len(), result.len(), "one result per number");
    f32::dispatch(isa, ExpPass { d, result });
}

/// As [`exp_nonpositive`], as the f64 kernels compute it: within 1 ULP on [−1, 0], within 1.1 ULP down to −692.79, and +0
/// below −692.81. (On the portable level 1.15 and 1.3 ULP.)
///
/// # Panics
/// As [`exp_nonpositive`].
pub fn exp_nonpositive_f64(isa: Isa, d: &[f64], result: &mut [f64]) {
    assert_eq!(d.len(), result.len(), "one result per number");
    f64::dispatch(isa, ExpPass { d, result });
}

struct ExpPass<'a, R> {
    d: &'a [R],
    result: &'a mut [R],
}

impl<R: Real> Kernel for ExpPass<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let (whole, rest) = self.d.as_chunks::<LANES>();
        let (whole_result, rest_result) = self.result.as_chunks_mut::<LANES>();
        for (d, result) in whole.iter().zip(whole_result) {
            let [exponential] = exp(lanes, [lanes.load(d)]);
            lanes.store(result, exponential);
        }
        let mut padded = [R::ZERO; LANES];
        padded[..rest.len()].copy_from_slice(rest);
        let [exponential] = exp(lanes, [lanes.load(&padded)]);
        lanes.store(&mut padded, exponential);
        rest_result.copy_from_slice(&padded[..rest.len()]);
    }
}
