//! How much of a voxel belongs to a class: g, from labels or from a dense target.

use super::Row;
use super::pullback::Slope;
use crate::gather::{ByteLabels, Rows};
use crate::lanes::Lanes;
use crate::real::Real;

/// g of a block, in the two forms that a kernel's loop is compiled for.
pub(super) trait Truth<R: Real>: Copy {
    /// x · g.
    fn part<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F;

    /// ∂L/∂p of a class: between the slope where g = 0 and that where g = 1.
    fn slope<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, slope: Slope<R>) -> L::F;
}

/// Labels: g is 0 or 1.
impl<R: Real> Truth<R> for &Row<i32> {
    #[inline(always)]
    fn part<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F {
        lanes.keep(lanes.eq(lanes.load_i(self.vector(vector)), lanes.splat_i(class as i32)), x)
    }

    #[inline(always)]
    fn slope<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, slope: Slope<R>) -> L::F {
        let is_class = lanes.eq(lanes.load_i(self.vector(vector)), lanes.splat_i(class as i32));
        lanes.select(is_class, lanes.splat(slope.inside), lanes.splat(slope.outside))
    }
}

/// The same.
impl<R: Real> Truth<R> for ByteLabels<'_> {
    #[inline(always)]
    fn part<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F {
        lanes.keep(lanes.eq(self.load(lanes, vector), lanes.splat_i(class as i32)), x)
    }

    #[inline(always)]
    fn slope<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, slope: Slope<R>) -> L::F {
        let is_class = lanes.eq(self.load(lanes, vector), lanes.splat_i(class as i32));
        lanes.select(is_class, lanes.splat(slope.inside), lanes.splat(slope.outside))
    }
}

/// A dense target. Where g is 0 or 1, the results are those of labels to the last bit.
impl<R: Real> Truth<R> for Rows<'_, R> {
    #[inline(always)]
    fn part<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F {
        lanes.mul(self.load(lanes, class, vector), x)
    }

    #[inline(always)]
    fn slope<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, slope: Slope<R>) -> L::F {
        let g = self.load(lanes, class, vector);
        let rest = lanes.mul(lanes.sub(lanes.splat(R::ONE), g), lanes.splat(slope.outside));
        lanes.fma(g, lanes.splat(slope.inside), rest)
    }
}
