//! How a volume is cut.
//!
//! A tile is [`TILE_VOXELS`] consecutive voxels of one sample, all classes of them; each sample starts a new tile. Its
//! bounds, and the lane that adds a voxel, depend on the shape only: never on the instruction set, the memory layout or the
//! number of threads. Within a tile the kernels work on blocks of [`BLOCK`] voxels.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lanes::LANES;

/// Voxels of a tile. Parts of a volume whose bounds are multiples of it merge to the bits of the whole.
pub const TILE_VOXELS: usize = 8192;

/// Vectors of a block.
pub(crate) const VECTORS: usize = 4;
/// Voxels of a block: few enough that all classes of it stay in the L1 cache.
pub(crate) const BLOCK: usize = VECTORS * LANES;

/// The tiles of a range of voxels of every sample, handed out one by one to any number of threads.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// The voxels asked for, the same of every sample.
    voxels: Range<usize>,
    /// The first tile that holds some of them.
    first: usize,
    per_sample: usize,
    total: usize,
    next: AtomicUsize,
}

/// Some voxels of one sample; all of a tile but at the ends of the range.
#[derive(Debug, Clone)]
pub(crate) struct Tile {
    pub(crate) sample: usize,
    pub(crate) voxels: Range<usize>,
}

impl Tiles {
    pub(crate) fn new(samples: usize, voxels: Range<usize>) -> Self {
        let first = voxels.start / TILE_VOXELS;
        let per_sample = if voxels.is_empty() { 0 } else { voxels.end.div_ceil(TILE_VOXELS) - first };
        Self { voxels, first, per_sample, total: samples * per_sample, next: AtomicUsize::new(0) }
    }

    /// The number of tiles.
    pub(crate) fn len(&self) -> usize {
        self.total
    }

    /// A tile that nobody else is given.
    #[inline]
    pub(crate) fn claim(&self) -> Option<Tile> {
        let tile = self.next.fetch_add(1, Ordering::Relaxed);
        (tile < self.total).then(|| {
            let start = (self.first + tile % self.per_sample) * TILE_VOXELS;
            let voxels = start.max(self.voxels.start)..(start + TILE_VOXELS).min(self.voxels.end);
            Tile { sample: tile / self.per_sample, voxels }
        })
    }
}

impl Tile {
    /// The blocks that hold voxels of the tile: the first voxel of the block, and which of its voxels belong to the tile.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let Range { start, end } = self.voxels.clone();
        (start / BLOCK * BLOCK..end).step_by(BLOCK).map(move |first| {
            let inside = start.saturating_sub(first)..(end - first).min(BLOCK);
            (first, inside)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_and_blocks_cover_the_range_once() {
        for voxels in [0..0, 0..1, 0..8192, 5..8193, 8192..16384, 8191..20000, 100..100, 16384..16385] {
            let tiles = Tiles::new(2, voxels.clone());
            let mut seen = Vec::new();
            for _ in 0..tiles.len() {
                let tile = tiles.claim().unwrap();
                assert_eq!(tile.voxels.start / TILE_VOXELS, (tile.voxels.end - 1) / TILE_VOXELS);
                for (first, inside) in tile.blocks() {
                    assert_eq!(first % BLOCK, 0);
                    seen.extend(inside.map(|i| (tile.sample, first + i)));
                }
            }
            assert!(tiles.claim().is_none());
            let expected: Vec<_> = (0..2).flat_map(|n| voxels.clone().map(move |v| (n, v))).collect();
            assert_eq!(seen, expected);
        }
    }
}
