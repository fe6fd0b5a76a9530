//! The sums of a tile, lane by lane.
//!
//! A lane adds at most 16 blocks in f32 before it is added to an f64 sum, so that adding the same number over and over, the
//! worst case for rounding, loses less than 4e-7 of it.

use crate::block::LANES;
use crate::keep::fit;
use crate::lanes::Lanes;
use crate::real::Real;

/// Blocks that are added in f32.
pub(super) const F32_BLOCKS: usize = 16;

/// A sum over a tile, lane by lane.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct LaneSum<R> {
    /// Of the last blocks.
    blocks: [R; LANES],
    /// Of the blocks before them.
    tile: [f64; LANES],
}

impl<R: Real> LaneSum<R> {
    #[inline(always)]
    pub(super) fn add<L: Lanes<R = R>>(&mut self, lanes: L, x: L::F) {
        let total = lanes.add(lanes.load(&self.blocks), x);
        lanes.store(&mut self.blocks, total);
    }

    /// Adds the blocks to the f64 sum.
    #[inline(always)]
    pub(super) fn widen<L: Lanes<R = R>>(&mut self, lanes: L) {
        lanes.accumulate(&mut self.tile, lanes.load(&self.blocks));
        lanes.store(&mut self.blocks, lanes.splat(R::ZERO));
    }

    /// The sum over the lanes, in the one order that all levels use, when the blocks are added.
    pub(super) fn total(&self) -> f64 {
        let mut sums = self.tile;
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                sums[i] += sums[i + width];
            }
            width /= 2;
        }
        sums[0]
    }
}

/// The sums of one class over a tile.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClassSums<R> {
    pub(super) prediction: LaneSum<R>,
    pub(super) intersection: LaneSum<R>,
    /// Of blocks that are weighted or dense.
    pub(super) target: LaneSum<R>,
    /// The voxels of all other blocks.
    pub(super) count: u64,
}

/// The sums of a tile.
#[derive(Debug, Default)]
pub(super) struct TileSums<R> {
    pub(super) classes: Vec<ClassSums<R>>,
    /// The weights of the blocks that have some.
    pub(super) valid: LaneSum<R>,
    /// The voxels of all other blocks.
    pub(super) count: usize,
    /// Whether a block is weighted or dense. If none is, `valid` and the targets are counts alone.
    pub(super) weighted: bool,
}

impl<R: Real> TileSums<R> {
    /// Zeros for `classes` classes.
    pub(super) fn clear(&mut self, classes: usize) {
        fit(&mut self.classes, classes, ClassSums::default());
        self.classes.iter_mut().for_each(|class| *class = ClassSums::default());
        (self.valid, self.count, self.weighted) = (LaneSum::default(), 0, false);
    }

    #[inline(always)]
    pub(super) fn widen<L: Lanes<R = R>>(&mut self, lanes: L, classes: usize) {
        for class in &mut self.classes[..classes] {
            class.prediction.widen(lanes);
            class.intersection.widen(lanes);
        }
        if self.weighted {
            for class in &mut self.classes[..classes] {
                class.target.widen(lanes);
            }
            self.valid.widen(lanes);
        }
    }
}
