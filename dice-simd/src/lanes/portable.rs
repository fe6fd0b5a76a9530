//! The vectors of the compile-time target, by crate `wide`: for CPUs without fused multiply-add.
//!
//! `fma` is a multiplication and an addition here, each rounded, so this level agrees with the others within a bound
//! only. (If the crate is compiled for a target that has FMA, it fuses, and the bits are those of the other levels.)

use wide::{f32x8, i32x8};

use super::{LANES, Lanes};

/// The portable level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

type F = [f32x8; 2];
type I = [i32x8; 2];

#[inline(always)]
fn halves<T: Copy>(x: &[T; LANES]) -> [[T; 8]; 2] {
    std::array::from_fn(|half| std::array::from_fn(|i| x[half * 8 + i]))
}

impl Lanes for Portable {
    type F = F;
    type I = I;
    /// All bits of a lane set, or none.
    type M = F;

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [f32x8::splat(x); 2]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F {
        halves(from).map(f32x8::from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES], x: F) {
        to[..8].copy_from_slice(x[0].as_array());
        to[8..].copy_from_slice(x[1].as_array());
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32, x: F) {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes, x);
        // SAFETY: the caller vouches for `to`.
        unsafe { to.cast::<[f32; LANES]>().write(lanes) }
    }
    #[inline(always)]
    fn fence(self) {}

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        [a[0] + b[0], a[1] + b[1]]
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        [a[0] - b[0], a[1] - b[1]]
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        [a[0] * b[0], a[1] * b[1]]
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        [a[0] / b[0], a[1] / b[1]]
    }
    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        [a[0].mul_add(b[0], c[0]), a[1].mul_add(b[1], c[1])]
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        self.select(self.gt(a, b), a, b)
    }
    #[inline(always)]
    fn neg_abs(self, a: F) -> F {
        [-a[0].abs(), -a[1].abs()]
    }
    #[inline(always)]
    fn low_bits_to_exponent(self, a: F) -> F {
        a.map(|half| {
            let shifted = half.to_array().map(|x| f32::from_bits(x.to_bits() << 23));
            f32x8::from(shifted)
        })
    }

    #[inline(always)]
    fn gt(self, a: F, b: F) -> F {
        [a[0].simd_gt(b[0]), a[1].simd_gt(b[1])]
    }
    #[inline(always)]
    fn select(self, m: F, a: F, b: F) -> F {
        [m[0].bitselect(a[0], b[0]), m[1].bitselect(a[1], b[1])]
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> I {
        [i32x8::splat(x); 2]
    }
    #[inline(always)]
    fn load_i(self, from: &[i32; LANES]) -> I {
        halves(from).map(i32x8::from)
    }
    #[inline(always)]
    fn store_i(self, to: &mut [i32; LANES], x: I) {
        to[..8].copy_from_slice(x[0].as_array());
        to[8..].copy_from_slice(x[1].as_array());
    }
    #[inline(always)]
    fn eq(self, a: I, b: I) -> F {
        let equal = |i: usize| f32x8::from(a[i].simd_eq(b[i]).to_array().map(|mask| f32::from_bits(mask as u32)));
        [equal(0), equal(1)]
    }
    #[inline(always)]
    fn count(self, m: F, a: I) -> I {
        let one = |i: usize| a[i] - i32x8::from(m[i].to_array().map(|mask| mask.to_bits() as i32));
        [one(0), one(1)]
    }

    #[inline(always)]
    fn accumulate(self, sums: &mut [f64; LANES], x: F) {
        for (sum, x) in sums.iter_mut().zip(x.iter().flat_map(|half| half.to_array())) {
            *sum += f64::from(x);
        }
    }
}
