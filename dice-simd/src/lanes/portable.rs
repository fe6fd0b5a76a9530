//! The vectors of the compile-time target, by crate `wide`: for CPUs without fused multiply-add.
//!
//! `fma` is a multiplication and an addition here, each rounded, so this level agrees with the others within a bound
//! only. (If the crate is compiled for a target that has FMA, it fuses, and the bits are those of the other levels.)

use std::array::from_fn;
use std::marker::PhantomData;

use wide::{f32x8, f64x4, i32x8};

use super::{Kernel, Lanes, bytes_as_arrays};
use crate::block::{BLOCK, LANES};
use crate::real::Real;

/// The portable level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable<R>(PhantomData<R>);

impl<R> Portable<R> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// Sixteen lanes as `$count` vectors of `$width`.
macro_rules! portable_lanes {
    ($real:ty, $bits:ty, $vector:ty, $width:literal, $count:literal) => {
        impl Lanes for Portable<$real> {
            type R = $real;
            type F = [$vector; $count];
            type I = [i32x8; 2];
            /// All bits of a lane set, or none.
            type M = [$vector; $count];
            bytes_as_arrays!();

            #[inline(never)]
            fn call<K: Kernel<R = $real>, const GROUP: usize>(self, kernel: K) -> K::Output {
                kernel.run::<_, GROUP>(self)
            }

            #[inline(always)]
            fn splat(self, x: $real) -> Self::F {
                [<$vector>::splat(x); $count]
            }
            #[inline(always)]
            fn load(self, from: &[$real; LANES]) -> Self::F {
                from_fn(|part| <$vector>::from(from_fn::<_, $width, _>(|i| from[part * $width + i])))
            }
            #[inline(always)]
            fn store(self, to: &mut [$real; LANES], x: Self::F) {
                for part in 0..$count {
                    to[part * $width..][..$width].copy_from_slice(x[part].as_array());
                }
            }
            #[inline(always)]
            fn fence(self) {}

            #[inline(always)]
            fn add(self, a: Self::F, b: Self::F) -> Self::F {
                from_fn(|i| a[i] + b[i])
            }
            #[inline(always)]
            fn sub(self, a: Self::F, b: Self::F) -> Self::F {
                from_fn(|i| a[i] - b[i])
            }
            #[inline(always)]
            fn mul(self, a: Self::F, b: Self::F) -> Self::F {
                from_fn(|i| a[i] * b[i])
            }
            #[inline(always)]
            fn div(self, a: Self::F, b: Self::F) -> Self::F {
                from_fn(|i| a[i] / b[i])
            }
            #[inline(always)]
            fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
                from_fn(|i| a[i].mul_add(b[i], c[i]))
            }
            #[inline(always)]
            fn max(self, a: Self::F, b: Self::F) -> Self::F {
                self.select(self.gt(a, b), a, b)
            }
            #[inline(always)]
            fn neg_abs(self, a: Self::F) -> Self::F {
                a.map(|part| -part.abs())
            }
            #[inline(always)]
            fn power(self, shifted: Self::F) -> Self::F {
                shifted.map(|part| <$vector>::from(part.to_array().map(Real::power)))
            }
            #[inline(always)]
            fn split(self, x: Self::F) -> [Self::F; 2] {
                let parts = x.map(|part| part.to_array().map(Real::split));
                from_fn(|i| parts.map(|part| <$vector>::from(part.map(|x| x[i]))))
            }

            #[inline(always)]
            fn gt(self, a: Self::F, b: Self::F) -> Self::M {
                from_fn(|i| a[i].simd_gt(b[i]))
            }
            #[inline(always)]
            fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F {
                from_fn(|i| m[i].bitselect(a[i], b[i]))
            }

            #[inline(always)]
            fn splat_i(self, x: i32) -> Self::I {
                [i32x8::splat(x); 2]
            }
            #[inline(always)]
            fn load_i(self, from: &[i32; LANES]) -> Self::I {
                from_fn(|half| i32x8::from(from_fn::<_, 8, _>(|i| from[half * 8 + i])))
            }
            #[inline(always)]
            fn store_i(self, to: &mut [i32; LANES], x: Self::I) {
                for half in 0..2 {
                    to[half * 8..][..8].copy_from_slice(x[half].as_array());
                }
            }
            #[inline(always)]
            fn eq(self, a: Self::I, b: Self::I) -> Self::M {
                let equal: [[i32; 8]; 2] = from_fn(|half| a[half].simd_eq(b[half]).to_array());
                let equal = equal.as_flattened();
                // Sign extension makes a mask of any width.
                let mask = |i: usize| <$real>::from_bits(i64::from(equal[i]) as $bits);
                from_fn(|part| <$vector>::from(from_fn::<_, $width, _>(|i| mask(part * $width + i))))
            }
            #[inline(always)]
            fn select_i(self, m: Self::M, a: Self::I, b: Self::I) -> Self::I {
                let m = m.map(|part| part.to_array().map(|lane| lane.to_bits() != 0));
                let (m, a, b) = (m.as_flattened(), a.map(i32x8::to_array), b.map(i32x8::to_array));
                let (a, b) = (a.as_flattened(), b.as_flattened());
                let lane = |i: usize| if m[i] { a[i] } else { b[i] };
                from_fn(|half| i32x8::from(from_fn::<_, 8, _>(|i| lane(half * 8 + i))))
            }

            #[inline(always)]
            fn accumulate(self, sums: &mut [f64; LANES], x: Self::F) {
                for (sum, x) in sums.iter_mut().zip(x.iter().flat_map(|part| part.to_array())) {
                    *sum += f64::from(x);
                }
            }
        }
    };
}

portable_lanes!(f32, u32, f32x8, 8, 2);
portable_lanes!(f64, u64, f64x4, 4, 4);
