//! The sums of a tile, lane by lane.
//!
//! A lane adds at most 16 blocks in f32 before it is added to an f64 sum, so that adding the same number over and over, the
//! worst case for rounding, loses less than 4e-7 of it.

use dice_core::Sum;

use crate::block::{BLOCK, LANES, Row};
use crate::gather::BYTE_CLASSES;
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

    /// Adds numbers to the f64 sum.
    #[inline(always)]
    pub(super) fn add_widened<L: Lanes<R = R>>(&mut self, lanes: L, x: L::F) {
        lanes.accumulate(&mut self.tile, x);
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

/// How many voxels of a tile belong to each class, of blocks of labels in which every voxel counts alike.
#[derive(Debug, Default)]
pub(super) struct LabelCounts {
    voxels: u64,
    classes: Vec<u64>,
}

impl LabelCounts {
    /// Zeros for `classes` classes.
    pub(super) fn clear(&mut self, classes: usize) {
        fit(&mut self.classes, classes, 0);
        self.classes.fill(0);
        self.voxels = 0;
    }

    pub(super) fn classes(&self) -> usize {
        self.classes.len()
    }

    pub(super) fn voxels(&self) -> f64 {
        self.voxels as f64
    }

    pub(super) fn of(&self, class: usize) -> f64 {
        self.classes[class] as f64
    }

    /// Adds blocks of bytes; `first` is the label of channel 0. Classes that are no bytes have none.
    #[inline(always)]
    pub(super) fn add_blocks<L: Lanes>(&mut self, lanes: L, blocks: &[[u8; BLOCK]], first: i32) {
        let voxels = (blocks.len() * BLOCK) as u64;
        self.voxels += voxels;
        let mut others = voxels;
        // With as many channels as classes, what is of no other class is of the first.
        let counted = usize::from(first == 0);
        let bytes = self.classes.len().min(BYTE_CLASSES);
        for (class, total) in self.classes[..bytes].iter_mut().enumerate().skip(counted) {
            let mut tally = lanes.tally();
            for labels in blocks {
                tally = lanes.count(tally, lanes.equal_bytes(lanes.load_block(labels), (class as i32 + first) as u8));
            }
            let count = lanes.total(tally);
            *total += count;
            others -= count;
        }
        if first == 0 {
            self.classes[0] += others;
        }
    }

    /// Adds a block of channels, of which none is −1.
    #[inline(always)]
    pub(super) fn add_row(&mut self, channels: &Row<i32>) {
        self.voxels += BLOCK as u64;
        for &channel in &channels.0 {
            self.classes[channel as usize] += 1;
        }
    }
}

/// The sums of one class over a tile.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClassSums<R> {
    pub(super) prediction: LaneSum<R>,
    pub(super) intersection: LaneSum<R>,
    /// Of blocks that are weighted or dense; all others are counted.
    pub(super) target: LaneSum<R>,
}

/// The sums of a tile.
#[derive(Debug, Default)]
pub(super) struct TileSums<R> {
    pub(super) classes: Vec<ClassSums<R>>,
    /// The weights of the blocks that have some.
    pub(super) valid: LaneSum<R>,
    /// The voxels of all other blocks.
    pub(super) counts: LabelCounts,
    /// Whether a block is weighted or dense. If none is, `valid` and the targets are counts alone.
    pub(super) weighted: bool,
}

impl<R: Real> TileSums<R> {
    /// Σ m.
    pub(super) fn valid(&self) -> f64 {
        self.counts.voxels() + self.valid.total()
    }

    /// One of the sums that this tile has, or that follow from them for labels and probabilities from 0 to 1.
    pub(super) fn of(&self, class: usize, sum: Sum) -> f64 {
        let ClassSums { prediction, intersection, target } = &self.classes[class];
        let target = self.counts.of(class) + target.total();
        match sum {
            Sum::Target | Sum::TargetSquares | Sum::TargetOnes => target,
            Sum::Prediction => prediction.total(),
            Sum::Intersection => intersection.total(),
            Sum::Difference => prediction.total() + target - 2.0 * intersection.total(),
            _ => unreachable!("a plain pass takes the overlap alone"),
        }
    }

    /// Zeros for `classes` classes.
    pub(super) fn clear(&mut self, classes: usize) {
        fit(&mut self.classes, classes, ClassSums::default());
        self.classes.iter_mut().for_each(|class| *class = ClassSums::default());
        self.counts.clear(classes);
        (self.valid, self.weighted) = (LaneSum::default(), false);
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
