//! AVX-512 (F, BW, CD, DQ, VL): registers of sixteen f32 or eight f64, comparisons in mask registers.

use std::arch::asm;
use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512d, __m512i, __mmask16, _CMP_GT_OQ, _CMP_NLT_UQ, _CMP_UNORD_Q, _MM_CMPINT_EQ,
    _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch,
};
use std::marker::PhantomData;

use half::{bf16, f16};
use pulp::cast;
use pulp::x86::V4;

use super::{Choice, Kernel, Lanes, OnLanes, SortedPairs, apart_by_element, bits, each, together_by_element};
use crate::block::{BLOCK, LANES, LINE};
use crate::real::{
    EXPONENTS_F32, EXPONENTS_F64, LEAST_F32, LEAST_MANTISSA_F32, LEAST_MANTISSA_F64, POWERS_F32, Real, TO_EXPONENT_F32,
    UNIT_F64,
};

/// The AVX-512 level; the token proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512<R>(V4, PhantomData<R>);

impl<R> Avx512<R> {
    /// # Panics
    /// If this CPU has no AVX-512.
    pub(crate) fn new() -> Self {
        Self(V4::try_new().expect("an engine's level is available"), PhantomData)
    }
}

impl<R> Avx512<R>
where
    Self: Lanes<R = R>,
{
    /// Runs a kernel compiled for this level.
    pub(crate) fn enter<K: Kernel<R = R>, const GROUP: usize>(self, kernel: K) -> K::Output {
        self.0.vectorize(OnLanes::<_, _, GROUP>(kernel, self))
    }
}

/// What f32 and f64 differ in by the names of the instructions only.
macro_rules! arithmetic {
    ($real:ty: $count:tt of $register:ty, $pin:ident, $set1:ident, $add:ident, $sub:ident, $mul:ident,
     $div:ident, $fmadd:ident, $max:ident, $or:ident) => {
        type R = $real;
        type F = [$register; $count];
        type I = __m512i;
        type M = __mmask16;

        const IS_TUNED: bool = true;
        #[inline(always)]
        fn call<K: Kernel<R = $real>, const GROUP: usize>(self, kernel: K) -> K::Output {
            self.enter::<K, GROUP>(kernel)
        }

        #[inline(always)]
        fn splat(self, x: $real) -> Self::F {
            [self.0.avx512f.$set1(x); $count]
        }
        #[inline(always)]
        fn pin(self, x: Self::F) -> Self::F {
            // SAFETY: the token proves that the CPU has AVX-512 F.
            each!(I in $count => unsafe { $pin(x[I]) })
        }
        #[inline(always)]
        fn load(self, from: &[$real; LANES]) -> Self::F {
            cast(*from)
        }
        #[inline(always)]
        fn prefetch(self, line: *const u8) {
            // SAFETY: a prefetch does not fault, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        }
        #[inline(always)]
        fn prefetch_to_l2(self, line: *const u8) {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) };
        }
        #[inline(always)]
        fn store(self, to: &mut [$real; LANES], x: Self::F) {
            *to = cast(x);
        }
        #[inline(always)]
        unsafe fn stream_line(self, to: *mut [u8; LINE], line: &[u8; LINE]) {
            // SAFETY: the caller vouches for a line, aligned to it.
            unsafe { self.0.avx512f._mm512_stream_ps(to.cast(), cast(*line)) };
        }
        #[inline(always)]
        unsafe fn stream_half_line(self, to: *mut [u8; LINE / 2], half: &[u8; LINE / 2]) {
            // SAFETY: the caller vouches for half a line, aligned to it.
            unsafe { self.0.avx._mm256_stream_si256(to.cast(), cast(*half)) };
        }
        #[inline(always)]
        fn fence(self) {
            self.0.sse._mm_sfence();
        }

        #[inline(always)]
        fn add(self, a: Self::F, b: Self::F) -> Self::F {
            each!(I in $count => self.0.avx512f.$add(a[I], b[I]))
        }
        #[inline(always)]
        fn sub(self, a: Self::F, b: Self::F) -> Self::F {
            each!(I in $count => self.0.avx512f.$sub(a[I], b[I]))
        }
        #[inline(always)]
        fn mul(self, a: Self::F, b: Self::F) -> Self::F {
            each!(I in $count => self.0.avx512f.$mul(a[I], b[I]))
        }
        #[inline(always)]
        fn div(self, a: Self::F, b: Self::F) -> Self::F {
            each!(I in $count => self.0.avx512f.$div(a[I], b[I]))
        }
        #[inline(always)]
        fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
            each!(I in $count => self.0.avx512f.$fmadd(a[I], b[I], c[I]))
        }
        #[inline(always)]
        fn max(self, a: Self::F, b: Self::F) -> Self::F {
            each!(I in $count => self.0.avx512f.$max(a[I], b[I]))
        }
        #[inline(always)]
        fn neg_abs(self, a: Self::F) -> Self::F {
            let sign = self.0.avx512f.$set1(-0.0);
            each!(I in $count => self.0.avx512dq.$or(a[I], sign))
        }
        type Bytes = __m512i;
        #[inline(always)]
        fn load_block(self, block: &[u8; BLOCK]) -> __m512i {
            cast(*block)
        }
        #[inline(always)]
        fn max_bytes(self, a: __m512i, b: __m512i) -> __m512i {
            self.0.avx512bw._mm512_max_epu8(a, b)
        }
        #[inline(always)]
        fn any_above(self, bytes: __m512i, limit: u8) -> bool {
            self.0.avx512bw._mm512_cmpgt_epu8_mask(bytes, self.0.avx512f._mm512_set1_epi8(limit as i8)) != 0
        }

        type B = u64;
        type T = __m512i;
        const PART_BYTES: usize = 1;
        #[inline(always)]
        fn equal_bytes(self, bytes: __m512i, byte: u8) -> u64 {
            self.0.avx512bw._mm512_cmp_epi8_mask::<_MM_CMPINT_EQ>(bytes, self.0.avx512f._mm512_set1_epi8(byte as i8))
        }
        #[inline(always)]
        fn both(self, a: u64, b: u64) -> u64 {
            a & b
        }
        #[inline(always)]
        fn tally(self) -> __m512i {
            self.0.avx512f._mm512_setzero_si512()
        }
        #[inline(always)]
        fn count(self, tally: __m512i, b: u64) -> __m512i {
            self.0.avx512bw._mm512_mask_add_epi8(tally, b, tally, self.0.avx512f._mm512_set1_epi8(1))
        }
        const LOOKS_UP: bool = true;
        #[inline(always)]
        fn look_up(self, table: &[u8; 16], places: __m512i) -> __m512i {
            let table = self.0.avx512f._mm512_broadcast_i32x4(cast(*table));
            self.0.avx512bw._mm512_shuffle_epi8(table, places)
        }
        #[inline(always)]
        fn nibbles(self, bytes: __m512i) -> [__m512i; 2] {
            let (avx512f, low) = (self.0.avx512f, self.0.avx512f._mm512_set1_epi8(15));
            let high = self.0.avx512bw._mm512_srli_epi16::<4>(bytes);
            [avx512f._mm512_and_si512(bytes, low), avx512f._mm512_and_si512(high, low)]
        }
        #[inline(always)]
        fn and(self, a: __m512i, b: __m512i) -> __m512i {
            self.0.avx512f._mm512_and_si512(a, b)
        }
        #[inline(always)]
        fn or(self, a: __m512i, b: __m512i) -> __m512i {
            self.0.avx512f._mm512_or_si512(a, b)
        }
        #[inline(always)]
        fn add_bytes(self, tally: __m512i, bytes: __m512i) -> __m512i {
            self.0.avx512bw._mm512_add_epi8(tally, bytes)
        }
        #[inline(always)]
        fn add_nibbles(self, tallies: [__m512i; 2], nibbles: __m512i) -> [__m512i; 2] {
            let [low, high] = self.nibbles(nibbles);
            [self.add_bytes(tallies[0], low), self.add_bytes(tallies[1], high)]
        }
        #[inline(always)]
        fn total(self, tally: __m512i) -> u64 {
            let sums = self.0.avx512bw._mm512_sad_epu8(tally, self.tally());
            self.0.avx512f._mm512_reduce_add_epi64(sums) as u64
        }

        #[inline(always)]
        fn sorts_pairs(self) -> bool {
            bits::available()
        }
        #[inline(always)]
        fn sort_pairs(
            self,
            sorted: &mut SortedPairs,
            truth: &[[u8; BLOCK]],
            prediction: &[[u8; BLOCK]],
            classes: usize,
        ) -> bool {
            assert!(bits::available(), "asked before");
            // SAFETY: the token and the assertion prove that the CPU has the features.
            unsafe { bits::sort_pairs(sorted, truth, prediction, classes) }
        }
        #[inline(always)]
        fn count_sorted(self, sorted: &mut SortedPairs, classes: usize) {
            assert!(bits::available(), "asked before");
            // SAFETY: the token and the assertion prove that the CPU has the features.
            unsafe { bits::count_sorted(sorted, classes) };
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
        fn load_bytes(self, from: &[u8; LANES], offset: i32) -> __m512i {
            self.0.avx512f._mm512_sub_epi32(self.0.avx512f._mm512_cvtepu8_epi32(cast(*from)), self.splat_i(offset))
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
        fn chosen(self, choice: &Choice) -> __mmask16 {
            choice.bits
        }
        #[inline(always)]
        fn select_i(self, m: __mmask16, a: __m512i, b: __m512i) -> __m512i {
            self.0.avx512f._mm512_mask_blend_epi32(m, b, a)
        }
    };
}

/// Asks for the register, and leaves it as it is.
#[inline]
#[target_feature(enable = "avx512f")]
fn pin_ps(mut x: __m512) -> __m512 {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

/// Asks for the register, and leaves it as it is.
#[inline]
#[target_feature(enable = "avx512f")]
fn pin_pd(mut x: __m512d) -> __m512d {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

/// The powers of two of an octave, twice; adding n to their exponents makes 2^(n / steps) of them.
const POWERS: [u32; LANES] = {
    let mut powers = [0; LANES];
    let mut lane = 0;
    while lane < LANES {
        // The n of MAGIC stands for 2^0; so many steps above it are in the power already.
        let step = lane % POWERS_F32.len();
        powers[lane] = POWERS_F32[step].to_bits() - ((f32::MAGIC.to_bits() + step as u32) << TO_EXPONENT_F32);
        lane += 1;
    }
    powers
};

/// Where in two registers of pairs the first numbers are, and the second ones.
const PAIRS_APART: [[i32; LANES]; 2] = {
    let mut places = [[0; LANES]; 2];
    let mut lane = 0;
    while lane < LANES {
        places[0][lane] = 2 * lane as i32;
        places[1][lane] = 2 * lane as i32 + 1;
        lane += 1;
    }
    places
};

/// Where in a register of first numbers and one of second numbers the pairs are, of the low eight voxels and of the high ones.
const PAIRS_TOGETHER: [[i32; LANES]; 2] = {
    let mut places = [[0; LANES]; 2];
    let mut lane = 0;
    while lane < LANES {
        places[0][lane] = (lane / 2 + LANES * (lane % 2)) as i32;
        places[1][lane] = places[0][lane] + LANES as i32 / 2;
        lane += 1;
    }
    places
};

/// Where in two registers of four numbers of four voxels each the first and second numbers are, and the third and fourth ones.
const FOURS_APART: [[i32; LANES]; 2] = {
    let mut places = [[0; LANES]; 2];
    let mut lane = 0;
    while lane < LANES {
        places[0][lane] = (4 * (lane % 8) + lane / 8) as i32;
        places[1][lane] = places[0][lane] + 2;
        lane += 1;
    }
    places
};

/// Where in a register of first and second numbers of eight voxels and one of third and fourth numbers the numbers of the low
/// four voxels are, and of the high ones.
const FOURS_TOGETHER: [[i32; LANES]; 2] = {
    let mut places = [[0; LANES]; 2];
    let mut lane = 0;
    while lane < LANES {
        places[0][lane] = (lane / 4 + 8 * (lane % 4)) as i32;
        places[1][lane] = places[0][lane] + 4;
        lane += 1;
    }
    places
};

/// Where in two registers, as pairs, the even quarters are, and the odd ones.
const QUARTERS_APART: [[i64; 8]; 2] = [[0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]];
/// And back.
const QUARTERS_TOGETHER: [[i64; 8]; 2] = [[0, 1, 8, 9, 2, 3, 10, 11], [4, 5, 12, 13, 6, 7, 14, 15]];

impl Lanes for Avx512<f32> {
    arithmetic! {
        f32: 1 of __m512, pin_ps, _mm512_set1_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps,
        _mm512_div_ps, _mm512_fmadd_ps, _mm512_max_ps, _mm512_or_ps
    }

    const SCALES_ALL: bool = true;
    #[inline(always)]
    fn power(self, shifted: Self::F) -> Self::F {
        let (is_power, power) = self.powers(shifted[0]);
        [self.0.avx512f._mm512_maskz_mov_ps(is_power, power)]
    }
    #[inline(always)]
    fn scale(self, u: Self::F, shifted: Self::F) -> Self::F {
        let (is_power, power) = self.powers(shifted[0]);
        [self.0.avx512f._mm512_maskz_fmadd_ps(is_power, power, u[0], power)]
    }
    #[inline(always)]
    fn scale_and_less_one(self, u: Self::F, shifted: Self::F) -> [Self::F; 2] {
        let avx512f = self.0.avx512f;
        let (is_power, power) = self.powers(shifted[0]);
        let [less_one] = self.sub(self.power(shifted), self.splat(1.0));
        [
            [avx512f._mm512_maskz_fmadd_ps(is_power, power, u[0], power)],
            [avx512f._mm512_mask3_fmadd_ps(power, u[0], less_one, is_power)],
        ]
    }
    #[inline(always)]
    fn split(self, x: Self::F) -> [Self::F; 2] {
        let avx512f = self.0.avx512f;
        let least = avx512f._mm512_set1_epi32(LEAST_MANTISSA_F32.cast_signed());
        let exponents = avx512f._mm512_set1_epi32(EXPONENTS_F32.cast_signed());
        let exponent = avx512f._mm512_and_si512(avx512f._mm512_sub_epi32(cast(x[0]), least), exponents);
        [[avx512f._mm512_cvtepi32_ps(exponent)], [cast(avx512f._mm512_sub_epi32(cast(x[0]), exponent))]]
    }

    #[inline(always)]
    fn gt(self, a: Self::F, b: Self::F) -> __mmask16 {
        self.0.avx512f._mm512_cmp_ps_mask::<_CMP_GT_OQ>(a[0], b[0])
    }
    #[inline(always)]
    fn select(self, m: __mmask16, a: Self::F, b: Self::F) -> Self::F {
        [self.0.avx512f._mm512_mask_blend_ps(m, b[0], a[0])]
    }
    #[inline(always)]
    fn canonical(self, [x]: Self::F) -> Self::F {
        let is_nan = self.0.avx512f._mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        [self.0.avx512f._mm512_mask_blend_ps(is_nan, x, self.0.avx512f._mm512_set1_ps(f32::NAN))]
    }
    #[inline(always)]
    fn keep(self, m: __mmask16, a: Self::F) -> Self::F {
        [self.0.avx512f._mm512_maskz_mov_ps(m, a[0])]
    }
    #[inline(always)]
    fn fma_where(self, m: __mmask16, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        [self.0.avx512f._mm512_mask3_fmadd_ps(a[0], b[0], c[0], m)]
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: Self::F) {
        let halves: [__m256; 2] = cast(x);
        let old: [__m512d; 2] = cast(*sums);
        *sums = cast(each!(I in 2 => self.0.avx512f._mm512_add_pd(old[I], self.0.avx512f._mm512_cvtps_pd(halves[I]))));
    }

    #[inline(always)]
    fn apart<const N: usize>(self, mut x: [Self::F; N]) -> [Self::F; N] {
        let avx512f = self.0.avx512f;
        match N {
            2 => {
                let [low, high] = [x[0][0], x[1][0]];
                let numbers = each!(I in 2 => avx512f._mm512_permutex2var_ps(low, cast(PAIRS_APART[I]), high));
                (x[0], x[1]) = ([numbers[0]], [numbers[1]]);
            }
            4 => {
                // Of two numbers, voxels 0 to 7, then 8 to 15.
                let low = each!(I in 2 => avx512f._mm512_permutex2var_ps(x[0][0], cast(FOURS_APART[I]), x[1][0]));
                let high = each!(I in 2 => avx512f._mm512_permutex2var_ps(x[2][0], cast(FOURS_APART[I]), x[3][0]));
                for pair in 0..2 {
                    x[2 * pair] = [avx512f._mm512_shuffle_f32x4::<0b01_00_01_00>(low[pair], high[pair])];
                    x[2 * pair + 1] = [avx512f._mm512_shuffle_f32x4::<0b11_10_11_10>(low[pair], high[pair])];
                }
            }
            _ => return apart_by_element(self, x),
        }
        x
    }
    #[inline(always)]
    fn together<const N: usize>(self, mut x: [Self::F; N]) -> [Self::F; N] {
        let avx512f = self.0.avx512f;
        match N {
            2 => {
                let [first, second] = [x[0][0], x[1][0]];
                let pairs = each!(I in 2 => avx512f._mm512_permutex2var_ps(first, cast(PAIRS_TOGETHER[I]), second));
                (x[0], x[1]) = ([pairs[0]], [pairs[1]]);
            }
            4 => {
                let low = each!(I in 2 => avx512f._mm512_shuffle_f32x4::<0b01_00_01_00>(x[2 * I][0], x[2 * I + 1][0]));
                let high = each!(I in 2 => avx512f._mm512_shuffle_f32x4::<0b11_10_11_10>(x[2 * I][0], x[2 * I + 1][0]));
                for (half, pair) in [low, high].into_iter().enumerate() {
                    let [first, second] = pair;
                    let fours = each!(I in 2 => avx512f._mm512_permutex2var_ps(first, cast(FOURS_TOGETHER[I]), second));
                    (x[2 * half], x[2 * half + 1]) = ([fours[0]], [fours[1]]);
                }
            }
            _ => return together_by_element(self, x),
        }
        x
    }

    const TRANSPOSES: bool = true;
    #[inline(always)]
    fn permute(self, x: Self::F, places: &[i32; LANES]) -> Self::F {
        [self.0.avx512f._mm512_permutexvar_ps(cast(*places), x[0])]
    }
    #[inline(always)]
    fn transpose(self, x: [Self::F; 4]) -> [Self::F; 4] {
        let avx512f = self.0.avx512f;
        let low = each!(I in 2 => avx512f._mm512_unpacklo_ps(x[2 * I][0], x[2 * I + 1][0]));
        let high = each!(I in 2 => avx512f._mm512_unpackhi_ps(x[2 * I][0], x[2 * I + 1][0]));
        let [low, high]: [[__m512d; 2]; 2] = cast([low, high]);
        cast([
            avx512f._mm512_unpacklo_pd(low[0], low[1]),
            avx512f._mm512_unpackhi_pd(low[0], low[1]),
            avx512f._mm512_unpacklo_pd(high[0], high[1]),
            avx512f._mm512_unpackhi_pd(high[0], high[1]),
        ])
    }
    const ZIPS_QUARTERS: bool = true;
    #[inline(always)]
    fn unzip_quarters(self, x: [Self::F; 2]) -> [Self::F; 2] {
        let [a, b]: [__m512d; 2] = cast(x);
        cast(each!(I in 2 => self.0.avx512f._mm512_permutex2var_pd(a, cast(QUARTERS_APART[I]), b)))
    }
    #[inline(always)]
    fn zip_quarters(self, x: [Self::F; 2]) -> [Self::F; 2] {
        let [a, b]: [__m512d; 2] = cast(x);
        cast(each!(I in 2 => self.0.avx512f._mm512_permutex2var_pd(a, cast(QUARTERS_TOGETHER[I]), b)))
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F {
        let bits: __m256i = cast(from.map(f16::to_bits));
        [self.0.avx512f._mm512_cvtph_ps(bits)]
    }
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F {
        let bits: __m256i = cast(from.map(bf16::to_bits));
        [cast(self.0.avx512f._mm512_slli_epi32::<16>(self.0.avx512f._mm512_cvtepu16_epi32(bits)))]
    }
    #[inline(always)]
    fn store_bf16(self, to: &mut [bf16; LANES], x: Self::F) {
        let avx512f = self.0.avx512f;
        let bits: __m512i = cast(x[0]);
        let upper = avx512f._mm512_srli_epi32::<16>(bits);
        let odd = avx512f._mm512_and_si512(upper, self.splat_i(1));
        let half = avx512f._mm512_add_epi32(odd, self.splat_i(0x7fff));
        let rounded = avx512f._mm512_srli_epi32::<16>(avx512f._mm512_add_epi32(bits, half));
        let quiet = avx512f._mm512_or_si512(upper, self.splat_i(0x40));
        let nan = avx512f._mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x[0], x[0]);
        let result = avx512f._mm512_mask_blend_epi32(nan, rounded, quiet);
        let bits: [u16; LANES] = cast(avx512f._mm512_cvtepi32_epi16(result));
        *to = bits.map(bf16::from_bits);
    }
    #[inline(always)]
    fn store_f16(self, to: &mut [f16; LANES], x: Self::F) {
        let bits: [u16; LANES] = cast(self.0.avx512f._mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x[0]));
        *to = bits.map(f16::from_bits);
    }
}

impl Avx512<f32> {
    /// Where n is not in the lowest octave, and 2^(n / steps) there.
    #[inline(always)]
    fn powers(self, shifted: __m512) -> (__mmask16, __m512) {
        let avx512f = self.0.avx512f;
        let bits = avx512f._mm512_slli_epi32::<{ TO_EXPONENT_F32 }>(cast(shifted));
        let power = avx512f._mm512_permutexvar_epi32(cast(shifted), cast(POWERS));
        let is_power = avx512f._mm512_cmp_ps_mask::<_CMP_NLT_UQ>(shifted, avx512f._mm512_set1_ps(LEAST_F32));
        (is_power, cast(avx512f._mm512_add_epi32(power, bits)))
    }
}

/// The masks of the low and the high eight lanes.
fn halves(m: __mmask16) -> [u8; 2] {
    m.to_le_bytes()
}

impl Lanes for Avx512<f64> {
    arithmetic! {
        f64: 2 of __m512d, pin_pd, _mm512_set1_pd, _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd,
        _mm512_div_pd, _mm512_fmadd_pd, _mm512_max_pd, _mm512_or_pd
    }

    #[inline(always)]
    fn power(self, shifted: Self::F) -> Self::F {
        let power = each!(I in 2 => cast(self.0.avx512f._mm512_slli_epi64::<52>(cast(shifted[I]))));
        self.mul(self.splat(UNIT_F64), power)
    }
    #[inline(always)]
    fn split(self, x: Self::F) -> [Self::F; 2] {
        let (avx512f, avx512dq) = (self.0.avx512f, self.0.avx512dq);
        let least = avx512f._mm512_set1_epi64(LEAST_MANTISSA_F64.cast_signed());
        let exponents = avx512f._mm512_set1_epi64(EXPONENTS_F64.cast_signed());
        let exponent =
            each!(I in 2 => avx512f._mm512_and_si512(avx512f._mm512_sub_epi64(cast(x[I]), least), exponents));
        [
            each!(I in 2 => avx512dq._mm512_cvtepi64_pd(exponent[I])),
            each!(I in 2 => cast(avx512f._mm512_sub_epi64(cast(x[I]), exponent[I]))),
        ]
    }

    #[inline(always)]
    fn gt(self, a: Self::F, b: Self::F) -> __mmask16 {
        u16::from_le_bytes(each!(I in 2 => self.0.avx512f._mm512_cmp_pd_mask::<_CMP_GT_OQ>(a[I], b[I])))
    }
    #[inline(always)]
    fn select(self, m: __mmask16, a: Self::F, b: Self::F) -> Self::F {
        let m = halves(m);
        each!(I in 2 => self.0.avx512f._mm512_mask_blend_pd(m[I], b[I], a[I]))
    }
    #[inline(always)]
    fn canonical(self, x: Self::F) -> Self::F {
        let nan = self.0.avx512f._mm512_set1_pd(f64::NAN);
        let is_nan = each!(I in 2 => self.0.avx512f._mm512_cmp_pd_mask::<_CMP_UNORD_Q>(x[I], x[I]));
        each!(I in 2 => self.0.avx512f._mm512_mask_blend_pd(is_nan[I], x[I], nan))
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: Self::F) {
        let old: [__m512d; 2] = cast(*sums);
        *sums = cast(self.add(old, x));
    }
}
