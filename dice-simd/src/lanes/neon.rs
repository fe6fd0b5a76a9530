//! NEON: four registers of four lanes.

use pulp::cast;
use std::arch::aarch64::{float32x4_t, float64x2_t, int32x4_t, uint32x4_t};
use std::arch::asm;

use super::{LANES, Lanes};

/// The NEON level; the token proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(pub(crate) pulp::aarch64::Neon);

/// The expression for each of the four registers. (A closure would not be compiled for the instruction set.)
macro_rules! four {
    ($i:ident => $e:expr) => {{
        macro_rules! register {
            ($n:literal) => {{
                const $i: usize = $n;
                $e
            }};
        }
        [register!(0), register!(1), register!(2), register!(3)]
    }};
}

type F = [float32x4_t; 4];
type I = [int32x4_t; 4];
type M = [uint32x4_t; 4];

impl Lanes for Neon {
    type F = F;
    type I = I;
    /// All bits of a lane set, or none.
    type M = M;

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [self.0.neon.vdupq_n_f32(x); 4]
    }
    #[inline(always)]
    fn pin(self, x: F) -> F {
        let [mut a, mut b, mut c, mut d] = x;
        // SAFETY: no instruction; the registers stay as they are.
        unsafe {
            asm!("/* {0} {1} {2} {3} */", inout(vreg) a, inout(vreg) b, inout(vreg) c, inout(vreg) d,
                options(nomem, nostack, preserves_flags))
        };
        [a, b, c, d]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F {
        cast(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES], x: F) {
        *to = cast(x);
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32, x: F) {
        // SAFETY: the caller vouches for sixteen f32 at `to`. (NEON has no intrinsic for a non-temporal store.)
        unsafe { to.cast::<F>().write(x) }
    }
    #[inline(always)]
    fn fence(self) {}

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        four!(R => self.0.neon.vaddq_f32(a[R], b[R]))
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        four!(R => self.0.neon.vsubq_f32(a[R], b[R]))
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        four!(R => self.0.neon.vmulq_f32(a[R], b[R]))
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        four!(R => self.0.neon.vdivq_f32(a[R], b[R]))
    }
    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        four!(R => self.0.neon.vfmaq_f32(c[R], a[R], b[R]))
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        // FMAX would return NaN if either is NaN; the other levels return b.
        self.select(self.gt(a, b), a, b)
    }
    #[inline(always)]
    fn neg_abs(self, a: F) -> F {
        four!(R => self.0.neon.vnegq_f32(self.0.neon.vabsq_f32(a[R])))
    }
    #[inline(always)]
    fn low_bits_to_exponent(self, a: F) -> F {
        four!(R => cast::<int32x4_t, float32x4_t>(self.0.neon.vshlq_n_s32::<23>(cast(a[R]))))
    }

    #[inline(always)]
    fn gt(self, a: F, b: F) -> M {
        four!(R => self.0.neon.vcgtq_f32(a[R], b[R]))
    }
    #[inline(always)]
    fn select(self, m: M, a: F, b: F) -> F {
        four!(R => self.0.neon.vbslq_f32(m[R], a[R], b[R]))
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> I {
        [self.0.neon.vdupq_n_s32(x); 4]
    }
    #[inline(always)]
    fn load_i(self, from: &[i32; LANES]) -> I {
        cast(*from)
    }
    #[inline(always)]
    fn store_i(self, to: &mut [i32; LANES], x: I) {
        *to = cast(x);
    }
    #[inline(always)]
    fn eq(self, a: I, b: I) -> M {
        four!(R => self.0.neon.vceqq_s32(a[R], b[R]))
    }
    #[inline(always)]
    fn count(self, m: M, a: I) -> I {
        four!(R => self.0.neon.vsubq_s32(a[R], cast(m[R])))
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: F) {
        let old: [float64x2_t; 8] = cast(*sums);
        let widened = four!(R => [
            self.0.neon.vcvt_f64_f32(self.0.neon.vget_low_f32(x[R])),
            self.0.neon.vcvt_high_f64_f32(x[R]),
        ]);
        *sums = cast(four!(R => [
            self.0.neon.vaddq_f64(old[2 * R], widened[R][0]),
            self.0.neon.vaddq_f64(old[2 * R + 1], widened[R][1]),
        ]));
    }
}
