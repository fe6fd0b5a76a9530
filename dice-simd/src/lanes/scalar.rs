//! One lane after the other: what every other level must equal.
//!
//! Operations are functions, not inlined: sixteen times each of them in every kernel would be a fourth of the library.

use std::array::from_fn;
use std::marker::PhantomData;

use super::{Kernel, Lanes, bytes_as_arrays};
use crate::block::{BLOCK, LANES};
use crate::real::Real;

/// The scalar level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar<R>(PhantomData<R>);

impl<R> Scalar<R> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R: Real> Lanes for Scalar<R> {
    type R = R;
    type F = [R; LANES];
    type I = [i32; LANES];
    type M = [bool; LANES];
    bytes_as_arrays!();

    #[inline(never)]
    fn call<K: Kernel<R = R>, const GROUP: usize>(self, kernel: K) -> K::Output {
        kernel.run::<_, GROUP>(self)
    }

    #[inline(always)]
    fn splat(self, x: R) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[R; LANES]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn store(self, to: &mut [R; LANES], x: Self::F) {
        *to = x;
    }
    #[inline(always)]
    fn fence(self) {}

    #[inline(never)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(never)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(never)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(never)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(never)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(never)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(never)]
    fn neg_abs(self, a: Self::F) -> Self::F {
        from_fn(|i| a[i].neg_abs())
    }
    #[inline(never)]
    fn power(self, shifted: Self::F) -> Self::F {
        shifted.map(R::power)
    }
    #[inline(never)]
    fn split(self, x: Self::F) -> [Self::F; 2] {
        let parts = x.map(R::split);
        from_fn(|part| parts.map(|x| x[part]))
    }

    #[inline(never)]
    fn gt(self, a: Self::F, b: Self::F) -> Self::M {
        from_fn(|i| a[i] > b[i])
    }
    #[inline(never)]
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| if m[i] { a[i] } else { b[i] })
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
    #[inline(never)]
    fn eq(self, a: Self::I, b: Self::I) -> Self::M {
        from_fn(|i| a[i] == b[i])
    }
    #[inline(never)]
    fn select_i(self, m: Self::M, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| if m[i] { a[i] } else { b[i] })
    }

    #[inline(never)]
    fn accumulate(self, sums: &mut [f64; LANES], x: Self::F) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += x.to_f64();
        }
    }
}
