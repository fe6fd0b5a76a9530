//! How a volume is cut.
//!
//! A tile is [`TILE_VOXELS`] consecutive voxels of one sample, all classes of them; each sample starts a new tile. Its
//! bounds, and the lane that adds a voxel, depend on the shape only: never on the instruction set, the memory layout or the
//! number of threads. Within a tile the kernels work on blocks of [`BLOCK`] voxels.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::block::BLOCK;

/// Voxels of a tile. Parts of a volume whose bounds are multiples of it merge to the bits of the whole.
pub const TILE_VOXELS: usize = 8192;

/// The tiles of a range of voxels of every sample, handed out one by one to any number of threads.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// The voxels asked for, the same of every sample, counted in the whole volume.
    voxels: Range<usize>,
    /// Where the view's first voxel lies in the whole volume.
    offset: usize,
    /// The first tile that holds some of them.
    first: usize,
    per_sample: usize,
    total: usize,
    /// Tiles that are handed out together.
    run: usize,
    next: Counter,
}

/// The next tile to hand out. Every claim writes to it: on a cache line of its own (of which some CPUs fetch two) it does not
/// take from the other threads what they only read.
#[derive(Debug)]
#[repr(align(128))]
struct Counter(AtomicUsize);

/// The tiles that one thread is given.
#[derive(Debug)]
pub(crate) struct Claims<'a> {
    tiles: &'a Tiles,
    /// Those of the last run.
    run: Range<usize>,
}

/// Some voxels of one sample; all of a tile but at the ends of the range.
#[derive(Debug, Clone)]
pub(crate) struct Tile {
    pub(crate) sample: usize,
    /// Counted in the whole volume.
    voxels: Range<usize>,
    offset: usize,
}

/// The blocks of a tile.
#[derive(Debug)]
pub(crate) struct Spans {
    tile: Tile,
    /// Where the next block begins, counted in the whole volume.
    next: usize,
}

/// The voxels of a tile that lie in one block.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) sample: usize,
    /// The first voxel, counted in the view.
    pub(crate) voxel: usize,
    /// Which places of the block they take.
    pub(crate) inside: Range<usize>,
}

impl Span {
    /// Whether the block is full.
    #[inline(always)]
    pub(crate) fn is_whole(&self) -> bool {
        self.inside.len() == BLOCK
    }

    /// The block itself, or the full one that lies `blocks` blocks after this full one.
    #[inline(always)]
    pub(crate) fn later(&self, blocks: usize) -> Self {
        Self { voxel: self.voxel + blocks * BLOCK, ..self.clone() }
    }

    /// The voxels, counted in the view.
    #[inline(always)]
    pub(crate) fn voxels(&self) -> Range<usize> {
        self.voxel..self.voxel + self.inside.len()
    }
}

impl Tiles {
    /// Tiles of the voxels `voxels` of a view whose first voxel is the voxel `offset` of the whole volume, to be handed out
    /// `run` by `run`: one after the other in memory, that is, and fewer times.
    pub(crate) fn new(samples: usize, voxels: Range<usize>, offset: usize, run: usize) -> Self {
        let voxels = voxels.start + offset..voxels.end + offset;
        let first = voxels.start / TILE_VOXELS;
        let per_sample = if voxels.is_empty() { 0 } else { voxels.end.div_ceil(TILE_VOXELS) - first };
        Self { voxels, offset, first, per_sample, total: samples * per_sample, run, next: Counter(AtomicUsize::new(0)) }
    }

    /// The number of tiles.
    pub(crate) fn len(&self) -> usize {
        self.total
    }

    /// Whether every tile was handed out.
    pub(crate) fn are_claimed(&self) -> bool {
        self.next.0.load(Ordering::Relaxed) >= self.total
    }

    /// Tiles that nobody else is given, until none is left.
    pub(crate) fn claims(&self) -> Claims<'_> {
        Claims { tiles: self, run: 0..0 }
    }

    fn tile(&self, tile: usize) -> Tile {
        let start = (self.first + tile % self.per_sample) * TILE_VOXELS;
        let voxels = start.max(self.voxels.start)..(start + TILE_VOXELS).min(self.voxels.end);
        Tile { sample: tile / self.per_sample, voxels, offset: self.offset }
    }
}

impl Iterator for Claims<'_> {
    type Item = Tile;

    #[inline]
    fn next(&mut self) -> Option<Tile> {
        let Self { tiles, run } = self;
        if run.start >= run.end {
            let start = tiles.next.0.fetch_add(tiles.run, Ordering::Relaxed);
            *run = start..(start + tiles.run).min(tiles.total);
        }
        run.next().map(|tile| tiles.tile(tile))
    }
}

impl Tile {
    /// The number of voxels.
    pub(crate) fn len(&self) -> usize {
        self.voxels.len()
    }

    /// The tile block by block.
    #[inline(always)]
    pub(crate) fn spans(&self) -> Spans {
        Spans { tile: self.clone(), next: self.voxels.start / BLOCK * BLOCK }
    }
}

impl Spans {
    /// The whole blocks from a span on.
    #[inline(always)]
    pub(crate) fn whole_blocks(&self, span: &Span) -> usize {
        (self.tile.voxels.end - self.tile.offset - span.voxel) / BLOCK
    }

    /// Leaves out so many blocks.
    #[inline(always)]
    pub(crate) fn pass(&mut self, blocks: usize) {
        self.next += blocks * BLOCK;
    }
}

impl Iterator for Spans {
    type Item = Span;

    #[inline(always)]
    fn next(&mut self) -> Option<Span> {
        let (first, Tile { sample, voxels: Range { start, end }, offset }) = (self.next, self.tile.clone());
        if first >= end {
            return None;
        }
        self.pass(1);
        let inside = start.saturating_sub(first)..(end - first).min(BLOCK);
        Some(Span { sample, voxel: first + inside.start - offset, inside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_and_blocks_cover_the_range_once() {
        for voxels in [0..0, 0..1, 0..8192, 5..8193, 8192..16384, 8191..20000, 100..100, 16384..16385] {
            for offset in [0, 1, 64, 8191, 8192, 1 << 40] {
                let tiles = Tiles::new(2, voxels.clone(), offset, 1 + offset % 3);
                let mut seen = Vec::new();
                for tile in tiles.claims() {
                    assert_eq!(tile.voxels.start / TILE_VOXELS, (tile.voxels.end - 1) / TILE_VOXELS);
                    for span in tile.spans() {
                        assert_eq!(
                            (span.voxel + offset) % BLOCK,
                            span.inside.start,
                            "a voxel has its place in the block"
                        );
                        assert_eq!(span.is_whole(), span.inside == (0..BLOCK));
                        seen.extend(span.voxels().map(|voxel| (span.sample, voxel)));
                    }
                }
                assert!(tiles.claims().next().is_none());
                let expected: Vec<_> = (0..2).flat_map(|n| voxels.clone().map(move |v| (n, v))).collect();
                assert_eq!(seen, expected);
            }
        }
    }
}
