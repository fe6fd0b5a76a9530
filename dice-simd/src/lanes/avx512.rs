//! AVX-512 (F, BW, CD, DQ, VL): one register of sixteen lanes, comparisons in mask registers.

use pulp::cast;
use pulp::x86::V4;
use std::arch::asm;
use std::arch::x86_64::{__m256, __m512, __m512d, __m512i, __mmask16, _CMP_GT_OQ, _MM_CMPINT_EQ};

use super::{LANES, Lanes};

/// The AVX-512 level; the token proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(pub(crate) V4);

/// Asks for the register, and leaves it as it is.
#[inline]
#[target_feature(enable = "avx512f")]
fn pin(mut x: __m512) -> __m512 {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

impl Lanes for Avx512 {
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        self.0.avx512f._mm512_set1_ps(x)
    }
    #[inline(always)]
    fn pin(self, x: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has AVX-512 F.
        unsafe { pin(x) }
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        cast(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES], x: __m512) {
        *to = cast(x);
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32, x: __m512) {
        // SAFETY: the caller vouches for sixteen f32 at `to`, aligned to 64 bytes.
        unsafe { self.0.avx512f._mm512_stream_ps(to, x) };
    }
    #[inline(always)]
    fn fence(self) {
        self.0.sse._mm_sfence();
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        self.0.avx512f._mm512_add_ps(a, b)
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        self.0.avx512f._mm512_sub_ps(a, b)
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        self.0.avx512f._mm512_mul_ps(a, b)
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        self.0.avx512f._mm512_div_ps(a, b)
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        self.0.avx512f._mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        self.0.avx512f._mm512_max_ps(a, b)
    }
    #[inline(always)]
    fn neg_abs(self, a: __m512) -> __m512 {
        self.0.avx512dq._mm512_or_ps(a, self.splat(-0.0))
    }
    #[inline(always)]
    fn low_bits_to_exponent(self, a: __m512) -> __m512 {
        cast(self.0.avx512f._mm512_slli_epi32::<23>(cast(a)))
    }

    #[inline(always)]
    fn gt(self, a: __m512, b: __m512) -> __mmask16 {
        self.0.avx512f._mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b)
    }
    #[inline(always)]
    fn select(self, m: __mmask16, a: __m512, b: __m512) -> __m512 {
        self.0.avx512f._mm512_mask_blend_ps(m, b, a)
    }
    #[inline(always)]
    fn keep(self, m: __mmask16, a: __m512) -> __m512 {
        self.0.avx512f._mm512_maskz_mov_ps(m, a)
    }
    #[inline(always)]
    fn fma_where(self, m: __mmask16, a: __m512, b: __m512, c: __m512) -> __m512 {
        self.0.avx512f._mm512_mask3_fmadd_ps(a, b, c, m)
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> __m512i {
        self.0.avx512f._mm512_set1_epi32(x)
    }
    #[inline(always)]
    fn load_i(self, from: &[i32; LANES]) -> __m512i {
        cast(*from)
    }
    #[inline(always)]
    fn store_i(self, to: &mut [i32; LANES], x: __m512i) {
        *to = cast(x);
    }
    #[inline(always)]
    fn eq(self, a: __m512i, b: __m512i) -> __mmask16 {
        self.0.avx512f._mm512_cmp_epi32_mask::<_MM_CMPINT_EQ>(a, b)
    }
    #[inline(always)]
    fn count(self, m: __mmask16, a: __m512i) -> __m512i {
        self.0.avx512f._mm512_mask_sub_epi32(a, m, a, self.splat_i(-1))
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: __m512) {
        let halves: [__m256; 2] = cast(x);
        let old: [__m512d; 2] = cast(*sums);
        let add = |i: usize| self.0.avx512f._mm512_add_pd(old[i], self.0.avx512f._mm512_cvtps_pd(halves[i]));
        *sums = cast([add(0), add(1)]);
    }
}
