//! The sums of a tile for any request.

use crate::keep::fit;
use crate::kernel::sums::{LabelCounts, LaneSum};
use crate::lanes::Lanes;
use crate::real::Real;

/// The sums of a tile.
#[derive(Debug, Default)]
pub(super) struct ComposedSums<R> {
    /// Per class the columns of the request.
    pub(super) columns: Vec<LaneSum<R>>,
    /// The weights of the blocks that have some.
    pub(super) valid: LaneSum<R>,
    /// The voxels of all other blocks.
    pub(super) counts: LabelCounts,
}

impl<R: Real> ComposedSums<R> {
    /// Zeros for `classes` classes of `width` columns.
    pub(super) fn clear(&mut self, classes: usize, width: usize) {
        fit(&mut self.columns, classes * width, LaneSum::default());
        self.columns.iter_mut().for_each(|column| *column = LaneSum::default());
        self.valid = LaneSum::default();
        self.counts.clear(classes);
    }

    #[inline(always)]
    pub(super) fn widen<L: Lanes<R = R>>(&mut self, lanes: L) {
        self.columns.iter_mut().for_each(|column| column.widen(lanes));
        self.valid.widen(lanes);
    }
}
