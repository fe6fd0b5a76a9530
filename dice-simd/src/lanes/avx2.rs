//! AVX2 with FMA and F16C: registers of eight f32 or four f64.

use std::arch::asm;
use std::arch::x86_64::{
    __m128, __m128i, __m256, __m256d, __m256i, _CMP_GT_OQ, _CMP_UNORD_Q, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch,
};
use std::marker::PhantomData;

use half::{bf16, f16};
use pulp::cast;
use pulp::x86::V3;

use super::{Kernel, Lanes, OnLanes, apart_by_element, each, together_by_element};
use crate::block::{BLOCK, LANES, LINE};
use crate::real::{
    EXPONENT_F32, EXPONENTS_F32, EXPONENTS_F64, LEAST_MANTISSA_F32, LEAST_MANTISSA_F64, POWERS_F32, TO_EXPONENT_F32,
    UNIT_F32, UNIT_F64,
};

/// The AVX2 level; the token proves that the CPU has it, and [`new`](Self::new) that it has F16C.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2<R>(V3, PhantomData<R>);

impl<R> Avx2<R> {
    /// # Panics
    /// If this CPU has no AVX2, FMA or F16C.
    pub(crate) fn new() -> Self {
        assert!(Self::is_available(), "an engine's level is available");
        Self(V3::try_new().expect("an engine's level is available"), PhantomData)
    }

    pub(crate) fn is_available() -> bool {
        V3::is_available() && is_x86_feature_detected!("f16c")
    }
}

impl<R> Avx2<R>
where
    Self: Lanes<R = R>,
{
    /// Runs a kernel compiled for this level.
    pub(crate) fn enter<K: Kernel<R = R>, const GROUP: usize>(self, kernel: K) -> K::Output {
        self.0.vectorize(OnLanes::<_, _, GROUP>(kernel, self))
    }
}

type I = [__m256i; 2];

/// What f32 and f64 differ in by the names of the instructions only.
macro_rules! arithmetic {
    ($real:ty: $count:tt of $register:ty, $pin:ident, $set1:ident, $add:ident, $sub:ident, $mul:ident,
     $div:ident, $fmadd:ident, $max:ident, $or:ident, $and:ident, $compare:ident, $blendv:ident) => {
        type R = $real;
        type F = [$register; $count];
        type I = I;
        /// All bits of a lane set, or none.
        type M = [__m256i; $count];

        const IS_TUNED: bool = true;
        #[inline(always)]
        fn call<K: Kernel<R = $real>, const GROUP: usize>(self, kernel: K) -> K::Output {
            self.enter::<K, GROUP>(kernel)
        }

        #[inline(always)]
        fn splat(self, x: $real) -> Self::F {
            [self.0.avx.$set1(x); $count]
        }
        #[inline(always)]
        fn pin(self, x: Self::F) -> Self::F {
            // SAFETY: the token proves that the CPU has AVX.
            unsafe { $pin(x) }
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
            let halves: [__m256i; 2] = cast(*line);
            // SAFETY: the caller vouches for a line, aligned to it.
            each!(R in 2 => unsafe { self.0.avx._mm256_stream_si256(to.cast::<__m256i>().wrapping_add(R), halves[R]) });
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
            each!(R in $count => self.0.avx.$add(a[R], b[R]))
        }
        #[inline(always)]
        fn sub(self, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.avx.$sub(a[R], b[R]))
        }
        #[inline(always)]
        fn mul(self, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.avx.$mul(a[R], b[R]))
        }
        #[inline(always)]
        fn div(self, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.avx.$div(a[R], b[R]))
        }
        #[inline(always)]
        fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
            each!(R in $count => self.0.fma.$fmadd(a[R], b[R], c[R]))
        }
        #[inline(always)]
        fn max(self, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.avx.$max(a[R], b[R]))
        }
        #[inline(always)]
        fn neg_abs(self, a: Self::F) -> Self::F {
            let sign = self.0.avx.$set1(-0.0);
            each!(R in $count => self.0.avx.$or(a[R], sign))
        }
        #[inline(always)]
        fn gt(self, a: Self::F, b: Self::F) -> Self::M {
            each!(R in $count => cast::<$register, __m256i>(self.0.avx.$compare::<_CMP_GT_OQ>(a[R], b[R])))
        }
        #[inline(always)]
        fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.avx.$blendv(b[R], a[R], cast(m[R])))
        }
        #[inline(always)]
        fn canonical(self, x: Self::F) -> Self::F {
            let nan = self.0.avx.$set1(<$real>::NAN);
            each!(R in $count => self.0.avx.$blendv(x[R], nan, self.0.avx.$compare::<_CMP_UNORD_Q>(x[R], x[R])))
        }
        #[inline(always)]
        fn keep(self, m: Self::M, a: Self::F) -> Self::F {
            each!(R in $count => self.0.avx.$and(cast(m[R]), a[R]))
        }

        type Bytes = I;
        #[inline(always)]
        fn load_block(self, block: &[u8; BLOCK]) -> I {
            cast(*block)
        }
        #[inline(always)]
        fn max_bytes(self, a: I, b: I) -> I {
            each!(R in 2 => self.0.avx2._mm256_max_epu8(a[R], b[R]))
        }
        #[inline(always)]
        fn any_above(self, [low, high]: I, limit: u8) -> bool {
            let (avx, avx2) = (self.0.avx, self.0.avx2);
            let above = avx2._mm256_subs_epu8(avx2._mm256_max_epu8(low, high), avx._mm256_set1_epi8(limit as i8));
            avx._mm256_testz_si256(above, above) == 0
        }

        type B = I;
        // Of both registers together, which leaves room for more of them.
        type T = __m256i;
        const PART_BYTES: usize = 2;
        #[inline(always)]
        fn equal_bytes(self, bytes: I, byte: u8) -> I {
            let byte = self.0.avx._mm256_set1_epi8(byte as i8);
            each!(R in 2 => self.0.avx2._mm256_cmpeq_epi8(bytes[R], byte))
        }
        #[inline(always)]
        fn both(self, a: I, b: I) -> I {
            each!(R in 2 => self.0.avx2._mm256_and_si256(a[R], b[R]))
        }
        #[inline(always)]
        fn tally(self) -> __m256i {
            self.0.avx._mm256_setzero_si256()
        }
        #[inline(always)]
        fn count(self, tally: __m256i, b: I) -> __m256i {
            self.0.avx2._mm256_sub_epi8(self.0.avx2._mm256_sub_epi8(tally, b[0]), b[1])
        }
        const LOOKS_UP: bool = true;
        #[inline(always)]
        fn look_up(self, table: &[u8; 16], places: I) -> I {
            let table = self.0.avx2._mm256_broadcastsi128_si256(cast(*table));
            each!(R in 2 => self.0.avx2._mm256_shuffle_epi8(table, places[R]))
        }
        #[inline(always)]
        fn nibbles(self, bytes: I) -> [I; 2] {
            let (low, avx2) = (self.0.avx._mm256_set1_epi8(15), self.0.avx2);
            [
                each!(R in 2 => avx2._mm256_and_si256(bytes[R], low)),
                each!(R in 2 => avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(bytes[R]), low)),
            ]
        }
        #[inline(always)]
        fn and(self, a: I, b: I) -> I {
            self.both(a, b)
        }
        #[inline(always)]
        fn or(self, a: I, b: I) -> I {
            each!(R in 2 => self.0.avx2._mm256_or_si256(a[R], b[R]))
        }
        #[inline(always)]
        fn add_bytes(self, tally: __m256i, bytes: I) -> __m256i {
            self.0.avx2._mm256_add_epi8(self.0.avx2._mm256_add_epi8(tally, bytes[0]), bytes[1])
        }
        #[inline(always)]
        fn add_nibbles(self, tallies: [__m256i; 2], nibbles: __m256i) -> [__m256i; 2] {
            let (low, avx2) = (self.0.avx._mm256_set1_epi8(15), self.0.avx2);
            [
                avx2._mm256_add_epi8(tallies[0], avx2._mm256_and_si256(nibbles, low)),
                avx2._mm256_add_epi8(tallies[1], avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(nibbles), low)),
            ]
        }
        #[inline(always)]
        fn total(self, tally: __m256i) -> u64 {
            let sums: [u64; 4] = cast(self.0.avx2._mm256_sad_epu8(tally, self.tally()));
            sums.iter().sum()
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
        fn load_bytes(self, from: &[u8; LANES], offset: i32) -> I {
            let (avx2, offset) = (self.0.avx2, self.0.avx._mm256_set1_epi32(offset));
            let bytes: u128 = cast(*from);
            let halves: [__m128i; 2] = [cast(bytes), cast(bytes >> 64)];
            each!(R in 2 => avx2._mm256_sub_epi32(avx2._mm256_cvtepu8_epi32(halves[R]), offset))
        }
        #[inline(always)]
        fn store_i(self, to: &mut [i32; LANES], x: I) {
            *to = cast(x);
        }
    };
}

/// Asks for the registers, and leaves them as they are.
#[inline]
#[target_feature(enable = "avx")]
fn pin_ps([mut a, mut b]: [__m256; 2]) -> [__m256; 2] {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} {1} */", inout(ymm_reg) a, inout(ymm_reg) b, options(nomem, nostack, preserves_flags)) };
    [a, b]
}

/// Asks for the registers, and leaves them as they are.
#[inline]
#[target_feature(enable = "avx")]
fn pin_pd([mut a, mut b, mut c, mut d]: [__m256d; 4]) -> [__m256d; 4] {
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {0} {1} {2} {3} */", inout(ymm_reg) a, inout(ymm_reg) b, inout(ymm_reg) c, inout(ymm_reg) d,
            options(nomem, nostack, preserves_flags));
    };
    [a, b, c, d]
}

/// Widens eight half-precision numbers. (An intrinsic would be a call: the kernels are not compiled for F16C.)
#[inline]
#[target_feature(enable = "avx")]
fn widen_f16(bits: __m128i) -> __m256 {
    let x: __m256;
    // SAFETY: `Avx2::new` found F16C.
    unsafe {
        asm!("vcvtph2ps {0}, {1}", out(ymm_reg) x, in(xmm_reg) bits, options(pure, nomem, nostack, preserves_flags));
    };
    x
}

/// Rounds to eight half-precision numbers, ties to even.
#[inline]
#[target_feature(enable = "avx")]
fn narrow_f16(x: __m256) -> __m128i {
    let bits: __m128i;
    // SAFETY: `Avx2::new` found F16C.
    unsafe {
        asm!("vcvtps2ph {0}, {1}, 0", out(xmm_reg) bits, in(ymm_reg) x, options(pure, nomem, nostack, preserves_flags));
    };
    bits
}

impl Lanes for Avx2<f32> {
    arithmetic! {
        f32: 2 of __m256, pin_ps, _mm256_set1_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps,
        _mm256_div_ps, _mm256_fmadd_ps, _mm256_max_ps, _mm256_or_ps, _mm256_and_ps, _mm256_cmp_ps, _mm256_blendv_ps
    }

    #[inline(always)]
    fn power(self, shifted: Self::F) -> Self::F {
        let (avx, avx2) = (self.0.avx, self.0.avx2);
        let exponent = avx._mm256_set1_epi32(EXPONENT_F32 as i32);
        each!(R in 2 => {
            let power = avx2._mm256_permutevar8x32_ps(cast(POWERS_F32.map(|power| power * UNIT_F32)), cast(shifted[R]));
            let bits = avx2._mm256_slli_epi32::<{ TO_EXPONENT_F32 as i32 }>(cast(shifted[R]));
            avx._mm256_mul_ps(power, cast(avx2._mm256_and_si256(bits, exponent)))
        })
    }
    #[inline(always)]
    fn split(self, x: Self::F) -> [Self::F; 2] {
        let (avx, avx2) = (self.0.avx, self.0.avx2);
        let least = avx._mm256_set1_epi32(LEAST_MANTISSA_F32.cast_signed());
        let exponents = avx._mm256_set1_epi32(EXPONENTS_F32.cast_signed());
        let exponent = each!(R in 2 => avx2._mm256_and_si256(avx2._mm256_sub_epi32(cast(x[R]), least), exponents));
        [
            each!(R in 2 => avx._mm256_cvtepi32_ps(exponent[R])),
            each!(R in 2 => cast(avx2._mm256_sub_epi32(cast(x[R]), exponent[R]))),
        ]
    }

    #[inline(always)]
    fn eq(self, a: I, b: I) -> I {
        each!(R in 2 => self.0.avx2._mm256_cmpeq_epi32(a[R], b[R]))
    }
    #[inline(always)]
    fn select_i(self, m: I, a: I, b: I) -> I {
        each!(R in 2 => self.0.avx2._mm256_blendv_epi8(b[R], a[R], m[R]))
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: Self::F) {
        let quarters: [__m128; 4] = cast(x);
        let old: [__m256d; 4] = cast(*sums);
        *sums = cast(each!(R in 4 => self.0.avx._mm256_add_pd(old[R], self.0.avx._mm256_cvtps_pd(quarters[R]))));
    }

    #[inline(always)]
    fn apart<const N: usize>(self, mut x: [Self::F; N]) -> [Self::F; N] {
        let (avx, avx2) = (self.0.avx, self.0.avx2);
        match N {
            2 => {
                let pairs = [x[0][0], x[0][1], x[1][0], x[1][1]];
                // Of each half register, so that the quarters come in the order 0, 2, 1, 3.
                let first = each!(R in 2 => avx._mm256_shuffle_ps::<0b10_00_10_00>(pairs[2 * R], pairs[2 * R + 1]));
                let second = each!(R in 2 => avx._mm256_shuffle_ps::<0b11_01_11_01>(pairs[2 * R], pairs[2 * R + 1]));
                for (x, numbers) in x.iter_mut().zip([first, second]) {
                    *x = each!(R in 2 => {
                        cast::<__m256d, __m256>(avx2._mm256_permute4x64_pd::<0b11_01_10_00>(cast(numbers[R])))
                    });
                }
            }
            4 => {
                let halves = [self.fours_apart([x[0], x[1]]), self.fours_apart([x[2], x[3]])];
                for (number, x) in x.iter_mut().enumerate() {
                    *x = each!(R in 2 => halves[R][number]);
                }
            }
            _ => return apart_by_element(self, x),
        }
        x
    }
    #[inline(always)]
    fn together<const N: usize>(self, mut x: [Self::F; N]) -> [Self::F; N] {
        match N {
            2 => {
                let (avx, first, second) = (self.0.avx, x[0], x[1]);
                for (half, x) in x.iter_mut().enumerate() {
                    let low = avx._mm256_unpacklo_ps(first[half], second[half]);
                    let high = avx._mm256_unpackhi_ps(first[half], second[half]);
                    *x = [avx._mm256_permute2f128_ps::<0x20>(low, high), avx._mm256_permute2f128_ps::<0x31>(low, high)];
                }
            }
            4 => {
                let halves = each!(R in 2 => self.fours_together([x[0][R], x[1][R], x[2][R], x[3][R]]));
                for (vector, x) in x.iter_mut().enumerate() {
                    *x = halves[vector / 2][vector % 2];
                }
            }
            _ => return together_by_element(self, x),
        }
        x
    }

    const TRANSPOSES: bool = true;
    const REGISTER: usize = LANES / 2;
    #[inline(always)]
    fn permute(self, x: Self::F, places: &[i32; LANES]) -> Self::F {
        // Of a place the instruction reads the three bits within the register.
        let places: [__m256i; 2] = cast(*places);
        each!(R in 2 => self.0.avx2._mm256_permutevar8x32_ps(x[R], places[R]))
    }
    #[inline(always)]
    fn transpose(self, x: [Self::F; 4]) -> [Self::F; 4] {
        let halves = each!(H in 2 => self.transpose_halves([x[0][H], x[1][H], x[2][H], x[3][H]]));
        each!(I in 4 => [halves[0][I], halves[1][I]])
    }
    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F {
        let bits: [__m128i; 2] = cast(from.map(f16::to_bits));
        // SAFETY: the token proves that the CPU has AVX.
        each!(R in 2 => unsafe { widen_f16(bits[R]) })
    }
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F {
        let bits: [__m128i; 2] = cast(from.map(bf16::to_bits));
        let avx2 = self.0.avx2;
        each!(R in 2 => cast(avx2._mm256_slli_epi32::<16>(avx2._mm256_cvtepu16_epi32(bits[R]))))
    }
    #[inline(always)]
    fn store_bf16(self, to: &mut [bf16; LANES], x: Self::F) {
        let avx2 = self.0.avx2;
        let halves: [__m256i; 2] = each!(R in 2 => {
            let bits: __m256i = cast(x[R]);
            let upper = avx2._mm256_srli_epi32::<16>(bits);
            let odd = avx2._mm256_and_si256(upper, self.0.avx._mm256_set1_epi32(1));
            let half = avx2._mm256_add_epi32(odd, self.0.avx._mm256_set1_epi32(0x7fff));
            let rounded = avx2._mm256_srli_epi32::<16>(avx2._mm256_add_epi32(bits, half));
            let quiet = avx2._mm256_or_si256(upper, self.0.avx._mm256_set1_epi32(0x40));
            let nan: __m256i = cast(self.0.avx._mm256_cmp_ps::<_CMP_UNORD_Q>(x[R], x[R]));
            avx2._mm256_blendv_epi8(rounded, quiet, nan)
        });
        // Packing takes quarters of both in turn.
        let packed = avx2._mm256_packus_epi32(halves[0], halves[1]);
        let bits: [u16; LANES] = cast(avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
        *to = bits.map(bf16::from_bits);
    }
    #[inline(always)]
    fn store_f16(self, to: &mut [f16; LANES], x: Self::F) {
        // SAFETY: the token proves that the CPU has AVX.
        let bits: [u16; LANES] = cast(each!(R in 2 => unsafe { narrow_f16(x[R]) }));
        *to = bits.map(f16::from_bits);
    }
}

impl Avx2<f32> {
    /// Four numbers of each of eight voxels, from voxel after voxel.
    #[inline(always)]
    fn fours_apart(self, x: [[__m256; 2]; 2]) -> [__m256; 4] {
        let avx = self.0.avx;
        let [first, second] = x;
        let even = each!(R in 2 => avx._mm256_permute2f128_ps::<0x20>(first[R], second[R]));
        let odd = each!(R in 2 => avx._mm256_permute2f128_ps::<0x31>(first[R], second[R]));
        self.transpose_halves([even[0], odd[0], even[1], odd[1]])
    }
    /// And back.
    #[inline(always)]
    fn fours_together(self, x: [__m256; 4]) -> [[__m256; 2]; 2] {
        let avx = self.0.avx;
        let x = self.transpose_halves(x);
        [
            each!(R in 2 => avx._mm256_permute2f128_ps::<0x20>(x[2 * R], x[2 * R + 1])),
            each!(R in 2 => avx._mm256_permute2f128_ps::<0x31>(x[2 * R], x[2 * R + 1])),
        ]
    }

    /// The 4 × 4 matrices that four registers are, half by half, transposed.
    #[inline(always)]
    fn transpose_halves(self, x: [__m256; 4]) -> [__m256; 4] {
        let avx = self.0.avx;
        let low = [avx._mm256_unpacklo_ps(x[0], x[1]), avx._mm256_unpacklo_ps(x[2], x[3])];
        let high = [avx._mm256_unpackhi_ps(x[0], x[1]), avx._mm256_unpackhi_ps(x[2], x[3])];
        let [low, high]: [[__m256d; 2]; 2] = cast([low, high]);
        cast([
            avx._mm256_unpacklo_pd(low[0], low[1]),
            avx._mm256_unpackhi_pd(low[0], low[1]),
            avx._mm256_unpacklo_pd(high[0], high[1]),
            avx._mm256_unpackhi_pd(high[0], high[1]),
        ])
    }
}

impl Lanes for Avx2<f64> {
    arithmetic! {
        f64: 4 of __m256d, pin_pd, _mm256_set1_pd, _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd,
        _mm256_div_pd, _mm256_fmadd_pd, _mm256_max_pd, _mm256_or_pd, _mm256_and_pd, _mm256_cmp_pd, _mm256_blendv_pd
    }

    #[inline(always)]
    fn power(self, shifted: Self::F) -> Self::F {
        let power = each!(R in 4 => cast(self.0.avx2._mm256_slli_epi64::<52>(cast(shifted[R]))));
        self.mul(self.splat(UNIT_F64), power)
    }
    #[inline(always)]
    fn split(self, x: Self::F) -> [Self::F; 2] {
        /// Keeps the exponent positive.
        const BIAS: u64 = 1 << 62;
        /// 2^104: its last place is the unit of the exponent.
        const PLACES: f64 = 20_282_409_603_651_670_423_947_251_286_016.0;
        let (avx, avx2) = (self.0.avx, self.0.avx2);
        // There is no conversion of integers of 64 bits, so the exponent becomes the last places of a number.
        let least = avx._mm256_set1_epi64x(LEAST_MANTISSA_F64.wrapping_sub(BIAS).cast_signed());
        let exponents = avx._mm256_set1_epi64x(EXPONENTS_F64.cast_signed());
        let places = avx._mm256_set1_epi64x(PLACES.to_bits().cast_signed());
        let bias = avx._mm256_set1_epi64x(BIAS.cast_signed());
        let biased = each!(R in 4 => avx2._mm256_sub_epi64(cast(x[R]), least));
        let exponent = each!(R in 4 => {
            cast(avx2._mm256_or_si256(avx2._mm256_srli_epi64::<52>(biased[R]), places))
        });
        let mantissa = each!(R in 4 => {
            let exponent = avx2._mm256_sub_epi64(avx2._mm256_and_si256(biased[R], exponents), bias);
            cast(avx2._mm256_sub_epi64(cast(x[R]), exponent))
        });
        [self.sub(exponent, self.splat(PLACES + BIAS as f64)), mantissa]
    }

    #[inline(always)]
    fn eq(self, a: I, b: I) -> Self::M {
        let equal: [__m128i; 4] = cast(each!(R in 2 => self.0.avx2._mm256_cmpeq_epi32(a[R], b[R])));
        each!(R in 4 => self.0.avx2._mm256_cvtepi32_epi64(equal[R]))
    }
    #[inline(always)]
    fn select_i(self, m: Self::M, a: I, b: I) -> I {
        // The low half of each lane of a mask is a mask for i32.
        let m: [[i64; 4]; 4] = cast(m);
        let (a, b): ([i32; LANES], [i32; LANES]) = (cast(a), cast(b));
        let m = m.as_flattened();
        cast(std::array::from_fn::<i32, LANES, _>(|i| if m[i] != 0 { a[i] } else { b[i] }))
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: Self::F) {
        let old: [__m256d; 4] = cast(*sums);
        *sums = cast(self.add(old, x));
    }
}
