//! NEON: registers of four f32 or two f64.

use std::arch::aarch64::{
    float32x4_t, float64x2_t, int32x4_t, int64x2_t, uint8x16_t, uint8x16x2_t, uint16x4_t, uint32x4_t, uint64x2_t,
};
use std::arch::asm;
use std::marker::PhantomData;

use half::{bf16, f16};
use pulp::cast;

use super::{Kernel, Lanes, OnLanes, apart_by_element, bytes_as_arrays, each, together_by_element};
use crate::block::{BLOCK, LANES};
use crate::real::{
    EXPONENT_F32, EXPONENTS_F32, EXPONENTS_F64, LEAST_MANTISSA_F32, LEAST_MANTISSA_F64, POWERS_F32, TO_EXPONENT_F32,
    UNIT_F32, UNIT_F64,
};

/// The NEON level; the token proves that the CPU has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon<R>(pulp::aarch64::Neon, PhantomData<R>);

impl<R> Neon<R> {
    /// # Panics
    /// If this CPU has no NEON.
    pub(crate) fn new() -> Self {
        Self(pulp::aarch64::Neon::try_new().expect("an engine's level is available"), PhantomData)
    }
}

impl<R> Neon<R>
where
    Self: Lanes<R = R>,
{
    /// Runs a kernel compiled for this level.
    pub(crate) fn enter<K: Kernel<R = R>, const GROUP: usize>(self, kernel: K) -> K::Output {
        pulp::Simd::vectorize(self.0, OnLanes::<_, _, GROUP>(kernel, self))
    }
}

type I = [int32x4_t; 4];

/// What f32 and f64 differ in by the names of the instructions only.
macro_rules! arithmetic {
    ($real:ty: $count:tt of $register:ty, $mask:ty, $dup:ident, $add:ident, $sub:ident, $mul:ident, $div:ident,
     $fma:ident, $neg:ident, $abs:ident, $greater:ident, $bsl:ident) => {
        type R = $real;
        type F = [$register; $count];
        type I = I;
        /// All bits of a lane set, or none.
        type M = [$mask; $count];
        bytes_as_arrays!();

        const IS_TUNED: bool = true;
        #[inline(always)]
        fn call<K: Kernel<R = $real>, const GROUP: usize>(self, kernel: K) -> K::Output {
            self.enter::<K, GROUP>(kernel)
        }

        #[inline(always)]
        fn splat(self, x: $real) -> Self::F {
            [self.0.neon.$dup(x); $count]
        }
        #[inline(always)]
        fn load(self, from: &[$real; LANES]) -> Self::F {
            cast(*from)
        }
        #[inline(always)]
        fn prefetch(self, line: *const u8) {
            // SAFETY: a prefetch does not fault, whatever the address.
            unsafe { asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, readonly, preserves_flags)) };
        }
        #[inline(always)]
        fn prefetch_to_l2(self, line: *const u8) {
            // SAFETY: as above.
            unsafe { asm!("prfm pldl2keep, [{}]", in(reg) line, options(nostack, readonly, preserves_flags)) };
        }
        #[inline(always)]
        fn store(self, to: &mut [$real; LANES], x: Self::F) {
            *to = cast(x);
        }
        #[inline(always)]
        fn fence(self) {}

        #[inline(always)]
        fn add(self, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.neon.$add(a[R], b[R]))
        }
        #[inline(always)]
        fn sub(self, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.neon.$sub(a[R], b[R]))
        }
        #[inline(always)]
        fn mul(self, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.neon.$mul(a[R], b[R]))
        }
        #[inline(always)]
        fn div(self, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.neon.$div(a[R], b[R]))
        }
        #[inline(always)]
        fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
            each!(R in $count => self.0.neon.$fma(c[R], a[R], b[R]))
        }
        #[inline(always)]
        fn max(self, a: Self::F, b: Self::F) -> Self::F {
            // FMAX would return NaN if either is NaN; the other levels return b.
            self.select(self.gt(a, b), a, b)
        }
        #[inline(always)]
        fn neg_abs(self, a: Self::F) -> Self::F {
            each!(R in $count => self.0.neon.$neg(self.0.neon.$abs(a[R])))
        }
        #[inline(always)]
        fn gt(self, a: Self::F, b: Self::F) -> Self::M {
            each!(R in $count => self.0.neon.$greater(a[R], b[R]))
        }
        #[inline(always)]
        fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F {
            each!(R in $count => self.0.neon.$bsl(m[R], a[R], b[R]))
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
    };
}

/// Widens four half-precision numbers. (The intrinsic needs an f16 type.)
#[inline(always)]
fn widen_f16(bits: uint16x4_t) -> float32x4_t {
    let x: float32x4_t;
    // SAFETY: every aarch64 CPU has it.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) x, in(vreg) bits, options(pure, nomem, nostack, preserves_flags));
    };
    x
}

/// Rounds to four half-precision numbers, ties to even.
#[inline(always)]
fn narrow_f16(x: float32x4_t) -> uint16x4_t {
    let bits: uint16x4_t;
    // SAFETY: every aarch64 CPU has it.
    unsafe {
        asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) bits, in(vreg) x, options(pure, nomem, nostack, preserves_flags));
    };
    bits
}

impl Lanes for Neon<f32> {
    arithmetic! {
        f32: 4 of float32x4_t, uint32x4_t, vdupq_n_f32, vaddq_f32, vsubq_f32, vmulq_f32, vdivq_f32, vfmaq_f32,
        vnegq_f32, vabsq_f32, vcgtq_f32, vbslq_f32
    }

    #[inline(always)]
    fn power(self, shifted: Self::F) -> Self::F {
        let neon = self.0.neon;
        let powers: uint8x16x2_t = cast(POWERS_F32.map(|power| power * UNIT_F32));
        each!(R in 4 => {
            // The places of the four bytes of a power.
            let place = neon.vandq_u32(cast(shifted[R]), neon.vdupq_n_u32(POWERS_F32.len() as u32 - 1));
            let places = neon.vmlaq_u32(neon.vdupq_n_u32(0x0302_0100), place, neon.vdupq_n_u32(0x0404_0404));
            let power: float32x4_t = cast(neon.vqtbl2q_u8(powers, cast(places)));
            let bits = neon.vshlq_n_u32::<{ TO_EXPONENT_F32 as i32 }>(cast(shifted[R]));
            neon.vmulq_f32(power, cast(neon.vandq_u32(bits, neon.vdupq_n_u32(EXPONENT_F32))))
        })
    }
    #[inline(always)]
    fn split(self, x: Self::F) -> [Self::F; 2] {
        let neon = self.0.neon;
        let (least, exponents) = (neon.vdupq_n_u32(LEAST_MANTISSA_F32), neon.vdupq_n_u32(EXPONENTS_F32));
        let exponent: [uint32x4_t; 4] = each!(R in 4 => neon.vandq_u32(neon.vsubq_u32(cast(x[R]), least), exponents));
        [
            each!(R in 4 => neon.vcvtq_f32_s32(cast(exponent[R]))),
            each!(R in 4 => cast(neon.vsubq_u32(cast(x[R]), exponent[R]))),
        ]
    }

    #[inline(always)]
    fn pin(self, x: Self::F) -> Self::F {
        let [mut a, mut b, mut c, mut d] = x;
        // SAFETY: no instruction; the registers stay as they are.
        unsafe {
            asm!("/* {0:v} {1:v} {2:v} {3:v} */", inout(vreg) a, inout(vreg) b, inout(vreg) c, inout(vreg) d,
                options(nomem, nostack, preserves_flags));
        };
        [a, b, c, d]
    }

    #[inline(always)]
    fn eq(self, a: I, b: I) -> Self::M {
        each!(R in 4 => self.0.neon.vceqq_s32(a[R], b[R]))
    }
    #[inline(always)]
    fn select_i(self, m: Self::M, a: I, b: I) -> I {
        each!(R in 4 => self.0.neon.vbslq_s32(m[R], a[R], b[R]))
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: Self::F) {
        let old: [float64x2_t; 8] = cast(*sums);
        let widened = each!(R in 4 => [
            self.0.neon.vcvt_f64_f32(self.0.neon.vget_low_f32(x[R])),
            self.0.neon.vcvt_high_f64_f32(x[R]),
        ]);
        *sums = cast(each!(R in 4 => [
            self.0.neon.vaddq_f64(old[2 * R], widened[R][0]),
            self.0.neon.vaddq_f64(old[2 * R + 1], widened[R][1]),
        ]));
    }

    #[inline(always)]
    fn apart<const N: usize>(self, mut x: [Self::F; N]) -> [Self::F; N] {
        let neon = self.0.neon;
        match N {
            2 => {
                let pairs: [[[float32x4_t; 2]; 2]; 2] = cast([x[0], x[1]]);
                let pairs = [pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1]];
                x[0] = each!(R in 4 => neon.vuzp1q_f32(pairs[R][0], pairs[R][1]));
                x[1] = each!(R in 4 => neon.vuzp2q_f32(pairs[R][0], pairs[R][1]));
            }
            4 => {
                let numbers = each!(R in 4 => self.transpose_registers(x[R]));
                for (number, x) in x.iter_mut().enumerate() {
                    *x = each!(R in 4 => numbers[R][number]);
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
                let (neon, a, b) = (self.0.neon, x[0], x[1]);
                let pairs = each!(R in 4 => [neon.vzip1q_f32(a[R], b[R]), neon.vzip2q_f32(a[R], b[R])]);
                (x[0], x[1]) = (cast([pairs[0], pairs[1]]), cast([pairs[2], pairs[3]]));
            }
            4 => {
                let voxels = each!(R in 4 => self.transpose_registers([x[0][R], x[1][R], x[2][R], x[3][R]]));
                for (x, voxels) in x.iter_mut().zip(voxels) {
                    *x = voxels;
                }
            }
            _ => return together_by_element(self, x),
        }
        x
    }

    const TRANSPOSES: bool = true;
    const REGISTER: usize = LANES / 4;
    #[inline(always)]
    fn permute(self, x: Self::F, places: &[i32; LANES]) -> Self::F {
        let bytes = places.map(|place| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| (place % 4 * 4) as u8 + byte)));
        let bytes: [uint8x16_t; 4] = cast(bytes);
        each!(R in 4 => cast(self.0.neon.vqtbl1q_u8(cast(x[R]), bytes[R])))
    }
    #[inline(always)]
    fn transpose(self, x: [Self::F; 4]) -> [Self::F; 4] {
        let quarters = each!(R in 4 => self.transpose_registers([x[0][R], x[1][R], x[2][R], x[3][R]]));
        each!(I in 4 => [quarters[0][I], quarters[1][I], quarters[2][I], quarters[3][I]])
    }
    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F {
        let bits: [uint16x4_t; 4] = cast(from.map(f16::to_bits));
        bits.map(widen_f16)
    }
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F {
        let bits: [uint16x4_t; 4] = cast(from.map(bf16::to_bits));
        each!(R in 4 => cast(self.0.neon.vshlq_n_u32::<16>(self.0.neon.vmovl_u16(bits[R]))))
    }
    #[inline(always)]
    fn store_bf16(self, to: &mut [bf16; LANES], x: Self::F) {
        let neon = self.0.neon;
        let quarters: [uint16x4_t; 4] = each!(R in 4 => {
            let bits: uint32x4_t = cast(x[R]);
            let upper = neon.vshrq_n_u32::<16>(bits);
            let odd = neon.vandq_u32(upper, neon.vdupq_n_u32(1));
            let half = neon.vaddq_u32(odd, neon.vdupq_n_u32(0x7fff));
            let rounded = neon.vshrq_n_u32::<16>(neon.vaddq_u32(bits, half));
            let quiet = neon.vorrq_u32(upper, neon.vdupq_n_u32(0x40));
            neon.vmovn_u32(neon.vbslq_u32(neon.vceqq_f32(x[R], x[R]), rounded, quiet))
        });
        let bits: [u16; LANES] = cast(quarters);
        *to = bits.map(bf16::from_bits);
    }
    #[inline(always)]
    fn store_f16(self, to: &mut [f16; LANES], x: Self::F) {
        let bits: [u16; LANES] = cast(x.map(narrow_f16));
        *to = bits.map(f16::from_bits);
    }
}

impl Neon<f32> {
    /// The 4 × 4 matrix that four registers are, transposed.
    #[inline(always)]
    fn transpose_registers(self, x: [float32x4_t; 4]) -> [float32x4_t; 4] {
        let neon = self.0.neon;
        let even = [neon.vtrn1q_f32(x[0], x[1]), neon.vtrn1q_f32(x[2], x[3])];
        let odd = [neon.vtrn2q_f32(x[0], x[1]), neon.vtrn2q_f32(x[2], x[3])];
        let [even, odd]: [[float64x2_t; 2]; 2] = cast([even, odd]);
        cast([
            neon.vtrn1q_f64(even[0], even[1]),
            neon.vtrn1q_f64(odd[0], odd[1]),
            neon.vtrn2q_f64(even[0], even[1]),
            neon.vtrn2q_f64(odd[0], odd[1]),
        ])
    }
}

impl Lanes for Neon<f64> {
    arithmetic! {
        f64: 8 of float64x2_t, uint64x2_t, vdupq_n_f64, vaddq_f64, vsubq_f64, vmulq_f64, vdivq_f64, vfmaq_f64,
        vnegq_f64, vabsq_f64, vcgtq_f64, vbslq_f64
    }

    #[inline(always)]
    fn power(self, shifted: Self::F) -> Self::F {
        let power = each!(R in 8 => cast(self.0.neon.vshlq_n_u64::<52>(cast(shifted[R]))));
        self.mul(self.splat(UNIT_F64), power)
    }
    #[inline(always)]
    fn split(self, x: Self::F) -> [Self::F; 2] {
        let neon = self.0.neon;
        let (least, exponents) = (neon.vdupq_n_u64(LEAST_MANTISSA_F64), neon.vdupq_n_u64(EXPONENTS_F64));
        let exponent: [uint64x2_t; 8] = each!(R in 8 => neon.vandq_u64(neon.vsubq_u64(cast(x[R]), least), exponents));
        [
            each!(R in 8 => neon.vcvtq_f64_s64(cast(exponent[R]))),
            each!(R in 8 => cast(neon.vsubq_u64(cast(x[R]), exponent[R]))),
        ]
    }

    #[inline(always)]
    fn eq(self, a: I, b: I) -> Self::M {
        // Sign extension widens a mask.
        let equal: [int32x4_t; 4] = each!(R in 4 => cast(self.0.neon.vceqq_s32(a[R], b[R])));
        let halves: [[int64x2_t; 2]; 4] = each!(R in 4 => [
            self.0.neon.vmovl_s32(self.0.neon.vget_low_s32(equal[R])),
            self.0.neon.vmovl_high_s32(equal[R]),
        ]);
        cast(halves)
    }
    #[inline(always)]
    fn select_i(self, m: Self::M, a: I, b: I) -> I {
        let m: [i64; LANES] = cast(m);
        let (a, b): ([i32; LANES], [i32; LANES]) = (cast(a), cast(b));
        cast(std::array::from_fn::<i32, LANES, _>(|i| if m[i] != 0 { a[i] } else { b[i] }))
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: Self::F) {
        let old: [float64x2_t; 8] = cast(*sums);
        *sums = cast(self.add(old, x));
    }
}
