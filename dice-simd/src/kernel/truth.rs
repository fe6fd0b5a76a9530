//! How much of a voxel belongs to a class: g, from labels or from a dense target.

use super::slope::Slope;
use crate::block::Row;
use crate::element::Element;
use crate::gather::{ByteLabels, Rows};
use crate::lanes::Lanes;
use crate::real::Real;

/// g of a block, in the two forms that a kernel's loop is compiled for.
pub(super) trait Truth<R: Real>: Copy {
    /// x · g.
    fn part<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F;

    /// Σ p g with one term more: e · r · g. Of labels it is left as it is where g is 0, whatever e is.
    fn add_product<L: Lanes<R = R>>(self, lanes: L, at: [usize; 2], e: L::F, r: L::F, sum: L::F) -> L::F;

    /// x · g, and 0 where g is 0 whatever x is.
    fn selected<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F;

    /// x · (1 − g), and 0 where g is 1 whatever x is.
    fn selected_rest<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F;

    /// ∂L/∂p of a class: between the slope where g = 0 and that where g = 1.
    fn slope<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, slope: Slope<R>) -> L::F;
}

/// The channel that each voxel belongs to.
pub(super) trait Labels: Copy {
    /// The channels of one vector.
    fn channels<L: Lanes>(self, lanes: L, vector: usize) -> L::I;

    /// Whether they are that of a class.
    #[inline(always)]
    fn are<L: Lanes>(self, lanes: L, class: usize, vector: usize) -> L::M {
        lanes.eq(self.channels(lanes, vector), lanes.splat_i(class as i32))
    }
}

impl Labels for &Row<i32> {
    #[inline(always)]
    fn channels<L: Lanes>(self, lanes: L, vector: usize) -> L::I {
        lanes.load_i(self.vector(vector))
    }
}

impl Labels for ByteLabels<'_> {
    #[inline(always)]
    fn channels<L: Lanes>(self, lanes: L, vector: usize) -> L::I {
        self.load(lanes, vector)
    }
}

/// Labels: g is 0 or 1.
impl<R: Real, T: Labels> Truth<R> for T {
    #[inline(always)]
    fn part<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F {
        lanes.keep(self.are(lanes, class, vector), x)
    }

    #[inline(always)]
    fn add_product<L: Lanes<R = R>>(self, lanes: L, [class, vector]: [usize; 2], e: L::F, r: L::F, sum: L::F) -> L::F {
        lanes.fma_where(self.are(lanes, class, vector), e, r, sum)
    }

    #[inline(always)]
    fn selected<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F {
        self.part(lanes, class, vector, x)
    }

    #[inline(always)]
    fn selected_rest<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F {
        lanes.select(self.are(lanes, class, vector), lanes.splat(R::ZERO), x)
    }

    #[inline(always)]
    fn slope<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, slope: Slope<R>) -> L::F {
        lanes.select(self.are(lanes, class, vector), lanes.splat(slope.inside), lanes.splat(slope.outside))
    }
}

/// A dense target. Where g is 0 or 1, the results are those of labels to the last bit.
impl<R: Real + Element> Truth<R> for Rows<'_, R> {
    #[inline(always)]
    fn part<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F {
        lanes.mul(self.load(lanes, class, vector), x)
    }

    #[inline(always)]
    fn add_product<L: Lanes<R = R>>(self, lanes: L, [class, vector]: [usize; 2], e: L::F, r: L::F, sum: L::F) -> L::F {
        lanes.fma(e, self.part(lanes, class, vector, r), sum)
    }

    #[inline(always)]
    fn selected<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F {
        times(lanes, self.load(lanes, class, vector), x)
    }

    #[inline(always)]
    fn selected_rest<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, x: L::F) -> L::F {
        times(lanes, lanes.sub(lanes.splat(R::ONE), self.load(lanes, class, vector)), x)
    }

    #[inline(always)]
    fn slope<L: Lanes<R = R>>(self, lanes: L, class: usize, vector: usize, slope: Slope<R>) -> L::F {
        let g = self.load(lanes, class, vector);
        let rest = lanes.mul(lanes.sub(lanes.splat(R::ONE), g), lanes.splat(slope.outside));
        lanes.fma(g, lanes.splat(slope.inside), rest)
    }
}

/// part · x, and 0 where the part is 0. One that is NaN stays.
#[inline(always)]
pub(super) fn times<L: Lanes>(lanes: L, part: L::F, x: L::F) -> L::F {
    let zero = lanes.splat(L::R::ZERO);
    let is_some = lanes.gt(zero, lanes.neg_abs(part));
    lanes.select(is_some, lanes.mul(part, x), part)
}
