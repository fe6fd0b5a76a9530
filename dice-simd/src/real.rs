//! The two kinds of arithmetic: f32, in which f32, f16 and bf16 tensors are computed with, and f64.

use std::cell::Cell;
use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

use crate::dispatch::{Kernel, dispatch_to};
use crate::element::{Element, Elements};
use crate::isa::Isa;
use crate::kernel::{LogitConfusionPass, PullbackPass, StatisticsPass};
use crate::scratch::{Kept, Scratch};

/// A type to compute in, with the constants of its exponential function (see `kernel::exp`).
pub(crate) trait Real:
    Element
    + Default
    + Debug
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    const ZERO: Self;
    const ONE: Self;
    const NEG_INFINITY: Self;
    /// Whether the kernels of 2 and 4 classes are compiled apart.
    const HAS_CLASS_BUCKETS: bool;
    /// Whether half-precision predictions are computed with in this type.
    const WIDENS_HALVES: bool;
    /// Slopes are kept below it, so that the mean of a finite number of them is finite.
    const GREATEST_SLOPE: f64;

    /// Below it exp is +0.
    const LOWEST: Self;
    /// 1.5 · 2^(mantissa bits) + K. Added to t it leaves round(t) + K in the low bits of the sum: for t in −K..0 those become
    /// the exponent of 2^(round(t) + K − exponent bias), and 0 for the lowest.
    const MAGIC: Self;
    const LOG2_E: Self;
    /// ln 2 in two parts; the second 0 where it makes no difference.
    const LN_2: [Self; 2];
    /// Of the least relative error on |r| ≤ ln 2 / 2, highest power first, times 2^(exponent bias − K), which the exponent
    /// of [`MAGIC`](Self::MAGIC) leaves out.
    const POLYNOMIAL: &'static [Self];

    fn from_u8(x: u8) -> Self;
    fn from_f32(x: f32) -> Self;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    /// self · b + c, rounded once.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// −|self|.
    fn neg_abs(self) -> Self;
    /// The bits shifted left until those below the exponent are in it.
    fn low_bits_to_exponent(self) -> Self;

    /// The elements as they are, if they are of this type.
    fn borrow(elements: Elements) -> Option<*mut Self>;

    /// What the thread works with in this arithmetic.
    fn kept_scratch() -> &'static Kept<Self>;

    /// Runs `kernel` on `isa`, which this CPU must have.
    fn dispatch<K: Kernel<R = Self>>(isa: Isa, kernel: K) -> K::Output;

    // As `dispatch`, of the kernels that generic code of this crate runs: functions without a type of their own, so that they
    // are compiled here, once, and not in every crate that calls that code.
    fn claim_statistics(isa: Isa, pass: StatisticsPass<'_, '_, Self>);
    fn claim_pullback(isa: Isa, pass: PullbackPass<'_, Self>);
    fn claim_confusion(isa: Isa, pass: LogitConfusionPass<'_, '_, Self>);
}

/// The methods of [`Real`] that are spelled alike for both.
macro_rules! claims {
    () => {
        fn claim_statistics(isa: Isa, pass: StatisticsPass<'_, '_, Self>) {
            Self::dispatch(isa, pass);
        }
        fn claim_pullback(isa: Isa, pass: PullbackPass<'_, Self>) {
            Self::dispatch(isa, pass);
        }
        fn claim_confusion(isa: Isa, pass: LogitConfusionPass<'_, '_, Self>) {
            Self::dispatch(isa, pass);
        }
    };
}

/// 2^63.
const BIAS_F32: f32 = 9_223_372_036_854_775_808.0;

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
    const HAS_CLASS_BUCKETS: bool = true;
    const WIDENS_HALVES: bool = true;
    const GREATEST_SLOPE: f64 = 1e30;

    /// −64 ln 2: no probability is ever subnormal.
    const LOWEST: Self = -44.361_42;
    /// K = 64.
    const MAGIC: Self = 12_582_976.0;
    const LOG2_E: Self = std::f32::consts::LOG2_E;
    const LN_2: [Self; 2] = [std::f32::consts::LN_2, 0.0];
    /// Degree 6, by Remez exchange with the last two coefficients held at 1: error 3e-9.
    const POLYNOMIAL: &'static [Self] = &[
        BIAS_F32 * 1.381_454_1e-3,
        BIAS_F32 * 8.368_745e-3,
        BIAS_F32 * 4.166_839e-2,
        BIAS_F32 * 1.666_652_1e-1,
        BIAS_F32 * 4.999_999_4e-1,
        BIAS_F32,
        BIAS_F32,
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
    fn low_bits_to_exponent(self) -> Self {
        Self::from_bits(self.to_bits() << 23)
    }

    #[inline(always)]
    fn borrow(elements: Elements) -> Option<*mut Self> {
        if let Elements::F32(pointer) = elements { Some(pointer) } else { None }
    }

    fn kept_scratch() -> &'static Kept<Self> {
        thread_local!(static KEPT: Cell<Option<Box<Scratch<f32>>>> = const { Cell::new(None) });
        &KEPT
    }

    fn dispatch<K: Kernel<R = Self>>(isa: Isa, kernel: K) -> K::Output {
        dispatch_to!(isa, kernel, avx2: 2, avx512: 4)
    }
    claims!();
}

/// 2^23.
const BIAS_F64: f64 = 8_388_608.0;

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
    const HAS_CLASS_BUCKETS: bool = false;
    const WIDENS_HALVES: bool = false;
    const GREATEST_SLOPE: f64 = 1e250;

    /// −1000 ln 2: no probability is ever subnormal.
    const LOWEST: Self = -693.147_180_559_945_4;
    /// K = 1000.
    const MAGIC: Self = 6_755_399_441_056_744.0;
    const LOG2_E: Self = std::f64::consts::LOG2_E;
    /// The first part has 43 bits: its product with n is exact where multiply-add rounds twice, too.
    const LN_2: [Self; 2] = [0.693_147_180_559_890_3, 5.497_923_018_708_371e-14];
    /// Degree 11, by Remez exchange with the last two coefficients held at 1: error 1.2e-17 after rounding.
    const POLYNOMIAL: &'static [Self] = &[
        BIAS_F64 * 2.500_001_883_318_737_4e-8,
        BIAS_F64 * 2.763_030_625_029_36e-7,
        BIAS_F64 * 2.755_758_680_389_532_6e-6,
        BIAS_F64 * 2.480_149_294_963_387e-5,
        BIAS_F64 * 1.984_126_950_577_377_6e-4,
        BIAS_F64 * 1.388_888_894_375_996_5e-3,
        BIAS_F64 * 8.333_333_333_494_976e-3,
        BIAS_F64 * 4.166_666_666_652_972_5e-2,
        BIAS_F64 * 1.666_666_666_666_641e-1,
        BIAS_F64 * 5.000_000_000_000_011e-1,
        BIAS_F64,
        BIAS_F64,
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
    fn low_bits_to_exponent(self) -> Self {
        Self::from_bits(self.to_bits() << 52)
    }

    #[inline(always)]
    fn borrow(elements: Elements) -> Option<*mut Self> {
        if let Elements::F64(pointer) = elements { Some(pointer) } else { None }
    }

    fn kept_scratch() -> &'static Kept<Self> {
        thread_local!(static KEPT: Cell<Option<Box<Scratch<f64>>>> = const { Cell::new(None) });
        &KEPT
    }

    fn dispatch<K: Kernel<R = Self>>(isa: Isa, kernel: K) -> K::Output {
        dispatch_to!(isa, kernel, avx2: 1, avx512: 2)
    }
    claims!();
}
