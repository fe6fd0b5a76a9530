//! The two kinds of arithmetic: f32, in which f32, f16 and bf16 tensors are computed with, and f64.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

/// A type to compute in, with the constants of its exponential function (see `kernel::exp`) and of its logarithm (see
/// `kernel::ln`).
pub(crate) trait Real:
    Copy
    + Default
    + Debug
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    const ZERO: Self;
    const ONE: Self;
    const HALF: Self;
    const NEG_INFINITY: Self;
    /// The NaN that outputs hold: positive and quiet. That of an operation has the sign of the CPU, or of an operand.
    const NAN: Self;
    /// The least normal number,
    const MIN_POSITIVE: Self;
    /// and how many octaves it is below 1.
    const OCTAVES_BELOW_ONE: f64;
    /// Whether kernels are compiled for the type that are nothing but faster than others, on levels that [are, too](crate::lanes::Lanes::IS_TUNED).
    const IS_TUNED: bool;
    /// Whether half-precision predictions are computed with in this type.
    const WIDENS_HALVES: bool;
    /// Slopes are kept below it, so that the mean of a finite number of them is finite.
    const GREATEST_SLOPE: f64;

    /// −K ln 2. Below it exp is +0.
    const LOWEST: Self;
    /// 1.5 · 2^(mantissa bits) + K · steps. Added to t it leaves round(t) + K · steps in the low bits of the sum.
    const MAGIC: Self;
    /// Steps / ln 2.
    const STEPS_PER_E: Self;
    /// ln 2 / steps in two parts; the second 0 where it makes no difference.
    const STEP: [Self; 2];
    /// q of exp(r) = 1 + r + r² q(r), of the least relative error on |r| ≤ half a step; highest power first.
    const POLYNOMIAL: &'static [Self];
    /// The same, of the least relative error of exp(r) − 1.
    const LESS_ONE_POLYNOMIAL: &'static [Self];

    /// ln 2,
    const LN_2: Self;
    /// and that per unit of the exponent as [`split`](Self::split) has it.
    const LN_2_PER_UNIT: Self;
    /// q of ln(1 + f) = f + f² q(f), of the least relative error on −1/4 ≤ f ≤ 1/2; highest power first.
    const LN_POLYNOMIAL: &'static [Self];

    fn from_u8(x: u8) -> Self;
    fn from_f32(x: f32) -> Self;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    /// self · b + c, rounded once.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// Itself; [`NAN`](Self::NAN) if it is one.
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "what is not equal to itself is NaN")]
    fn canonical(self) -> Self {
        if self == self { self } else { Self::NAN }
    }
    /// −|self|.
    fn neg_abs(self) -> Self;
    /// 2^(n / steps) of the n ≥ −K · steps that [`MAGIC`](Self::MAGIC) left in the low bits; +0 in the lowest octave.
    fn power(self) -> Self;
    /// The exponent n and the mantissa m of a normal number 2^n · m > 0, both exact: 3/4 ≤ m < 3/2, and n in units of the last
    /// place of 1, as it stands in the bits. Of NaN and infinity, some numbers.
    fn split(self) -> [Self; 2];
}

/// Steps per octave in f32: as many powers as a register of AVX2 holds.
const STEPS_F32: usize = 8;
/// 2^(i / 8).
pub(crate) const POWERS_F32: [f32; STEPS_F32] =
    [1.0, 1.090_507_7, 1.189_207_1, 1.296_839_6, std::f32::consts::SQRT_2, 1.542_210_8, 1.681_792_9, 1.834_008_1];
/// How far the octave of an n of f32 is from the place of an exponent,
pub(crate) const TO_EXPONENT_F32: u32 = 20;
/// and that place.
pub(crate) const EXPONENT_F32: u32 = 0x7f80_0000;
/// 2^(exponent bias − K), by which such an exponent is too low.
pub(crate) const UNIT_F32: f32 = 9_223_372_036_854_775_808.0;
pub(crate) const UNIT_F64: f64 = 8_388_608.0;
/// The least sum with [`Real::MAGIC`] of f32 that is above the lowest octave.
#[cfg(target_arch = "x86_64")]
pub(crate) const LEAST_F32: f32 = 12_582_912.0 + STEPS_F32 as f32;

/// 3/4, the least mantissa of [`Real::split`], in bits, and the bits of a sign and an exponent.
pub(crate) const LEAST_MANTISSA_F32: u32 = 0x3f40_0000;
pub(crate) const EXPONENTS_F32: u32 = 0xff80_0000;
pub(crate) const LEAST_MANTISSA_F64: u64 = 0x3fe8_0000_0000_0000;
pub(crate) const EXPONENTS_F64: u64 = 0xfff0_0000_0000_0000;

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const HALF: Self = 0.5;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
    const NAN: Self = Self::NAN;
    const MIN_POSITIVE: Self = Self::MIN_POSITIVE;
    const OCTAVES_BELOW_ONE: f64 = 126.0;
    const IS_TUNED: bool = true;
    const WIDENS_HALVES: bool = true;
    const GREATEST_SLOPE: f64 = 1e30;

    /// K = 64: no probability is ever subnormal.
    const LOWEST: Self = -44.361_42;
    const MAGIC: Self = 12_582_912.0 + (64 * STEPS_F32) as Self;
    const STEPS_PER_E: Self = std::f32::consts::LOG2_E * STEPS_F32 as Self;
    const STEP: [Self; 2] = [std::f32::consts::LN_2 / STEPS_F32 as Self, 0.0];
    /// Minimax: error 2.6e-8.
    const POLYNOMIAL: &'static [Self] = &[0.166_669_8, 0.500_064_55];
    /// Minimax: error 5.3e-9.
    const LESS_ONE_POLYNOMIAL: &'static [Self] = &[4.166_577_4e-2, 1.666_796_2e-1, 0.5];

    const LN_2: Self = std::f32::consts::LN_2;
    const LN_2_PER_UNIT: Self = std::f32::consts::LN_2 * Self::EPSILON;
    /// By Remez exchange: error 5.4e-9 after rounding.
    const LN_POLYNOMIAL: &'static [Self] = &[
        -4.508_281_5e-2,
        1.046_831_46e-1,
        -1.316_553_8e-1,
        1.447_878_33e-1,
        -1.664_683_97e-1,
        1.999_078_84e-1,
        -2.500_011_03e-1,
        3.333_345_06e-1,
        -5.0e-1,
    ];

    #[inline(always)]
    fn from_u8(x: u8) -> Self {
        x.into()
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as Self
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.into()
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn neg_abs(self) -> Self {
        -self.abs()
    }
    #[inline(always)]
    fn power(self) -> Self {
        let n = self.to_bits();
        POWERS_F32[n as usize % STEPS_F32] * UNIT_F32 * Self::from_bits((n << TO_EXPONENT_F32) & EXPONENT_F32)
    }
    #[inline(always)]
    fn split(self) -> [Self; 2] {
        let bits = self.to_bits();
        let exponent = bits.wrapping_sub(LEAST_MANTISSA_F32) & EXPONENTS_F32;
        [exponent.cast_signed() as Self, Self::from_bits(bits.wrapping_sub(exponent))]
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const HALF: Self = 0.5;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
    const NAN: Self = Self::NAN;
    const MIN_POSITIVE: Self = Self::MIN_POSITIVE;
    const OCTAVES_BELOW_ONE: f64 = 1022.0;
    const IS_TUNED: bool = false;
    const WIDENS_HALVES: bool = false;
    const GREATEST_SLOPE: f64 = 1e250;

    /// K = 1000: no probability is ever subnormal.
    const LOWEST: Self = -693.147_180_559_945_4;
    /// One step per octave: AVX2 and NEON have no look-up of f64 that would pay.
    const MAGIC: Self = 6_755_399_441_056_744.0;
    const STEPS_PER_E: Self = std::f64::consts::LOG2_E;
    /// The first part has 43 bits: its product with n is exact where multiply-add rounds twice, too.
    const STEP: [Self; 2] = [0.693_147_180_559_890_3, 5.497_923_018_708_371e-14];
    /// By Remez exchange: error 1.2e-17 after rounding.
    const POLYNOMIAL: &'static [Self] = &[
        2.500_001_883_318_737_4e-8,
        2.763_030_625_029_36e-7,
        2.755_758_680_389_532_6e-6,
        2.480_149_294_963_387e-5,
        1.984_126_950_577_377_6e-4,
        1.388_888_894_375_996_5e-3,
        8.333_333_333_494_976e-3,
        4.166_666_666_652_972_5e-2,
        1.666_666_666_666_641e-1,
        5.000_000_000_000_011e-1,
    ];
    /// Error 5.1e-17.
    const LESS_ONE_POLYNOMIAL: &'static [Self] = Self::POLYNOMIAL;

    const LN_2: Self = std::f64::consts::LN_2;
    const LN_2_PER_UNIT: Self = std::f64::consts::LN_2 * Self::EPSILON;
    /// By Remez exchange: error 1.0e-17 after rounding.
    const LN_POLYNOMIAL: &'static [Self] = &[
        8.057_088_298_176_614_1e-3,
        -2.935_450_696_025_500_6e-2,
        5.074_406_304_349_519_3e-2,
        -5.977_190_376_658_099_4e-2,
        6.087_188_142_224_836_4e-2,
        -6.249_182_673_715_303_3e-2,
        6.642_308_943_956_938_5e-2,
        -7.138_423_317_088_214_7e-2,
        7.693_477_836_296_056e-2,
        -8.333_731_587_338_713_6e-2,
        9.090_889_760_793_312_3e-2,
        -9.999_983_787_199_290_3e-2,
        1.111_111_079_669_494_9e-1,
        -1.250_000_034_903_124_8e-1,
        1.428_571_430_135_338_3e-1,
        -1.666_666_666_276_315_5e-1,
        1.999_999_999_981_685_6e-1,
        -2.500_000_000_001_957_3e-1,
        3.333_333_333_333_394_2e-1,
        -4.999_999_999_999_997_2e-1,
    ];

    #[inline(always)]
    fn from_u8(x: u8) -> Self {
        x.into()
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x.into()
    }
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn neg_abs(self) -> Self {
        -self.abs()
    }
    #[inline(always)]
    fn power(self) -> Self {
        UNIT_F64 * Self::from_bits(self.to_bits() << 52)
    }
    #[inline(always)]
    fn split(self) -> [Self; 2] {
        let bits = self.to_bits();
        let exponent = bits.wrapping_sub(LEAST_MANTISSA_F64) & EXPONENTS_F64;
        [exponent.cast_signed() as Self, Self::from_bits(bits.wrapping_sub(exponent))]
    }
}
