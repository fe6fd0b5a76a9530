//! AVX2 with FMA: two registers of eight lanes.

use pulp::cast;
use pulp::x86::V3;
use std::arch::asm;
use std::arch::x86_64::{__m128, __m256, __m256d, __m256i, _CMP_GT_OQ};

use super::{LANES, Lanes};

/// The AVX2 level; the token proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(pub(crate) V3);

/// The expression for the low and the high register. (A closure would not be compiled for the instruction set.)
macro_rules! both {
    ($i:ident => $e:expr) => {{
        let low = {
            const $i: usize = 0;
            $e
        };
        let high = {
            const $i: usize = 1;
            $e
        };
        [low, high]
    }};
}

type F = [__m256; 2];
type I = [__m256i; 2];

/// Asks for both registers, and leaves them as they are.
#[inline]
#[target_feature(enable = "avx")]
fn pin([mut low, mut high]: F) -> F {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} {1} */", inout(ymm_reg) low, inout(ymm_reg) high, options(nomem, nostack, preserves_flags)) };
    [low, high]
}

impl Lanes for Avx2 {
    type F = F;
    type I = I;
    /// All bits of a lane set, or none.
    type M = I;

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [self.0.avx._mm256_set1_ps(x); 2]
    }
    #[inline(always)]
    fn pin(self, x: F) -> F {
        // SAFETY: the token proves that the CPU has AVX.
        unsafe { pin(x) }
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
        // SAFETY: the caller vouches for sixteen f32 at `to`, aligned to 64 bytes.
        unsafe { self.0.avx._mm256_stream_ps(to, x[0]) };
        // SAFETY: as above; the second eight of them, aligned to 32 bytes.
        unsafe { self.0.avx._mm256_stream_ps(to.wrapping_add(8), x[1]) };
    }
    #[inline(always)]
    fn fence(self) {
        self.0.sse._mm_sfence();
    }

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        both!(R => self.0.avx._mm256_add_ps(a[R], b[R]))
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        both!(R => self.0.avx._mm256_sub_ps(a[R], b[R]))
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        both!(R => self.0.avx._mm256_mul_ps(a[R], b[R]))
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        both!(R => self.0.avx._mm256_div_ps(a[R], b[R]))
    }
    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        both!(R => self.0.fma._mm256_fmadd_ps(a[R], b[R], c[R]))
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        both!(R => self.0.avx._mm256_max_ps(a[R], b[R]))
    }
    #[inline(always)]
    fn neg_abs(self, a: F) -> F {
        let sign = self.0.avx._mm256_set1_ps(-0.0);
        both!(R => self.0.avx._mm256_or_ps(a[R], sign))
    }
    #[inline(always)]
    fn low_bits_to_exponent(self, a: F) -> F {
        both!(R => cast::<__m256i, __m256>(self.0.avx2._mm256_slli_epi32::<23>(cast(a[R]))))
    }

    #[inline(always)]
    fn gt(self, a: F, b: F) -> I {
        both!(R => cast::<__m256, __m256i>(self.0.avx._mm256_cmp_ps::<_CMP_GT_OQ>(a[R], b[R])))
    }
    #[inline(always)]
    fn select(self, m: I, a: F, b: F) -> F {
        both!(R => self.0.avx._mm256_blendv_ps(b[R], a[R], cast(m[R])))
    }
    #[inline(always)]
    fn keep(self, m: I, a: F) -> F {
        both!(R => self.0.avx._mm256_and_ps(cast(m[R]), a[R]))
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> I {
        [self.0.avx._mm256_set1_epi32(x); 2]
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
    fn eq(self, a: I, b: I) -> I {
        both!(R => self.0.avx2._mm256_cmpeq_epi32(a[R], b[R]))
    }
    #[inline(always)]
    fn count(self, m: I, a: I) -> I {
        both!(R => self.0.avx2._mm256_sub_epi32(a[R], m[R]))
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: F) {
        let quarters: [__m128; 4] = cast(x);
        let old: [__m256d; 4] = cast(*sums);
        let add = |i: usize| self.0.avx._mm256_add_pd(old[i], self.0.avx._mm256_cvtps_pd(quarters[i]));
        *sums = cast([add(0), add(1), add(2), add(3)]);
    }
}
