//! One lane after the other: what every other level must equal.

use super::{LANES, Lanes};

/// The scalar level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar;

type F = [f32; LANES];

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> F {
    std::array::from_fn(f)
}

impl Lanes for Scalar {
    type F = F;
    type I = [i32; LANES];
    type M = [bool; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F {
        *from
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES], x: F) {
        *to = x;
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32, x: F) {
        // SAFETY: the caller vouches for `to`.
        unsafe { to.cast::<F>().write(x) }
    }
    #[inline(always)]
    fn fence(self) {}

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        each(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn neg_abs(self, a: F) -> F {
        each(|i| -a[i].abs())
    }
    #[inline(always)]
    fn low_bits_to_exponent(self, a: F) -> F {
        each(|i| f32::from_bits(a[i].to_bits() << 23))
    }

    #[inline(always)]
    fn gt(self, a: F, b: F) -> Self::M {
        std::array::from_fn(|i| a[i] > b[i])
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: F, b: F) -> F {
        each(|i| if m[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        [x; LANES]
    }
    #[inline(always)]
    fn load_i(self, from: &[i32; LANES]) -> Self::I {
        *from
    }
    #[inline(always)]
    fn store_i(self, to: &mut [i32; LANES], x: Self::I) {
        *to = x;
    }
    #[inline(always)]
    fn eq(self, a: Self::I, b: Self::I) -> Self::M {
        std::array::from_fn(|i| a[i] == b[i])
    }
    #[inline(always)]
    fn count(self, m: Self::M, a: Self::I) -> Self::I {
        std::array::from_fn(|i| a[i] + i32::from(m[i]))
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: F) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += f64::from(x);
        }
    }
}
