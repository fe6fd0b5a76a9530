//! The logical vector that every kernel computes on: sixteen f32 lanes.
//!
//! AVX-512 holds it in one register, AVX2 in two, NEON in four, and the scalar level in an array. Whatever the registers,
//! each operation rounds each lane alike, so a kernel written over [`Lanes`] gives the same bits on all of them. One file
//! per instruction set, and nothing but instructions in it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod float_mode;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub use float_mode::DefaultFloatMode;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
pub(crate) use scalar::Scalar;

/// Lanes of a logical vector.
pub(crate) const LANES: usize = 16;

/// The operations that the kernels need. A value of an implementing type proves that the CPU has the instructions.
///
/// Comparisons with NaN are false. All methods are `#[inline(always)]`: they become instructions only inside a function
/// that is compiled for them, see [`dispatch`](crate::dispatch).
pub(crate) trait Lanes: Copy {
    /// Sixteen f32.
    type F: Copy;
    /// Sixteen i32.
    type I: Copy;
    /// Sixteen truth values.
    type M: Copy;

    fn splat(self, x: f32) -> Self::F;
    /// x, which the compiler must have at hand here. Between the steps of several computations that do not depend on each
    /// other it keeps them interleaved: left alone, the compiler finishes one before it begins the next, and the CPU, which
    /// looks only so far ahead, waits for one result after the other.
    #[inline(always)]
    fn pin(self, x: Self::F) -> Self::F {
        x
    }
    fn load(self, from: &[f32; LANES]) -> Self::F;
    fn store(self, to: &mut [f32; LANES], x: Self::F);
    /// Stores past the caches, for outputs that nobody reads soon; [`fence`](Self::fence) before others may read them.
    ///
    /// # Safety
    /// `to` is valid for writes of sixteen f32 and aligned to 64 bytes.
    unsafe fn stream(self, to: *mut f32, x: Self::F);
    /// Orders all streamed stores before whatever follows.
    fn fence(self);

    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b + c, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a > b ? a : b, so b if either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// −|a|.
    fn neg_abs(self, a: Self::F) -> Self::F;
    /// The bits of each lane shifted left by 23: what stands in the low bits becomes the exponent.
    fn low_bits_to_exponent(self, a: Self::F) -> Self::F;

    fn gt(self, a: Self::F, b: Self::F) -> Self::M;
    /// m ? a : b.
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// m ? a : +0.
    #[inline(always)]
    fn keep(self, m: Self::M, a: Self::F) -> Self::F {
        self.select(m, a, self.splat(0.0))
    }
    /// m ? a · b + c : c.
    #[inline(always)]
    fn fma_where(self, m: Self::M, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.select(m, self.fma(a, b, c), c)
    }

    fn splat_i(self, x: i32) -> Self::I;
    fn load_i(self, from: &[i32; LANES]) -> Self::I;
    fn store_i(self, to: &mut [i32; LANES], x: Self::I);
    fn eq(self, a: Self::I, b: Self::I) -> Self::M;
    /// a + 1 where m holds.
    fn count(self, m: Self::M, a: Self::I) -> Self::I;

    /// Adds each lane to its f64 sum.
    fn accumulate(self, sums: &mut [f64; LANES], x: Self::F);
}
