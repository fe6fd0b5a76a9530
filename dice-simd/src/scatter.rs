//! From the one form that the kernels write to any layout.
//!
//! A gradient too large for the caches is written past them, in whole cache lines. Rows that start amid a line, as those of
//! any allocator do that puts its notes in front, go through a stage: what is left over of a block waits there for the next.

use std::marker::PhantomData;
use std::ops::Range;

use dice_core::{Layout, ViewMut, Walk};

use crate::lanes::{LANES, Lanes};
use crate::tile::{BLOCK, VECTORS};

/// A cache line, and the alignment that streaming stores need, in bytes; it holds as many f32 as a vector.
const LINE: usize = 64;

/// An output tensor that several threads write at once, each its own voxels.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    data: *mut f32,
    layout: Layout,
    walk: Walk,
    /// Voxels lie side by side: whole blocks are written in place.
    unit: bool,
    /// Write past the caches.
    stream: bool,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer stands for an exclusive borrow; `Sink::block` hands out parts of it, and its callers see to it that no
// two threads hold the same part.
unsafe impl Sync for Sink<'_> {}

/// The rows of one block of a [`Sink`], or a stage for them.
#[derive(Debug)]
pub(crate) struct SinkBlock<'s> {
    rows: *mut f32,
    stride: isize,
    classes: usize,
    stream: bool,
    borrowed: PhantomData<&'s mut [f32]>,
}

/// One class of a block, after the values of blocks before it whose cache line is not full yet, right-aligned.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct StagedRow([f32; LANES + BLOCK]);

/// Room for a block, one per thread.
#[derive(Debug)]
pub(crate) struct SinkStage {
    rows: Vec<StagedRow>,
    /// The sample and the voxel that the waiting values lie in front of, if there are any.
    waiting: Option<(usize, usize)>,
}

impl SinkStage {
    pub(crate) fn new(classes: usize) -> Self {
        Self { rows: vec![StagedRow([0.0; _]); classes], waiting: None }
    }
}

/// The number of f32 that lie in the cache line of `to` in front of it.
fn behind(to: *mut f32) -> usize {
    to.addr() % LINE / size_of::<f32>()
}

impl<'a> Sink<'a> {
    pub(crate) fn new(view: &'a mut ViewMut<'_, f32>, stream: bool) -> Self {
        let layout = *view.layout();
        let walk = layout.walk();
        let unit = walk.uniform_stride() == Some(1);
        Self { data: view.data_mut().as_mut_ptr(), layout, walk, unit, stream, borrowed: PhantomData }
    }

    /// The element at `origin + offset`, which lies in the view.
    fn at(&self, origin: usize, offset: isize) -> *mut f32 {
        self.data.wrapping_add(origin).wrapping_offset(offset)
    }

    /// The rows of the block of `sample` that starts at voxel `first`, if they can be written in place, else those of the
    /// stage, to be [`store`](Self::store)d afterwards: then the second value is true.
    ///
    /// # Safety
    /// The voxels `inside` of the block exist, and nobody else holds a block of this sink with any of them.
    #[inline(always)]
    pub(crate) unsafe fn block<'s>(
        &'s self,
        stage: &'s mut SinkStage,
        sample: usize,
        first: usize,
        inside: &Range<usize>,
    ) -> (SinkBlock<'s>, bool) {
        let classes = self.layout.channels();
        assert!(stage.rows.len() >= classes, "the stage has a row per class");
        let rows = self.at(self.layout.origin(sample, 0), first as isize);
        let stride = self.layout.channel_stride();
        let aligned =
            rows.addr().is_multiple_of(LINE) && (stride.unsigned_abs() * size_of::<f32>()).is_multiple_of(LINE);
        if self.unit && inside.len() == BLOCK && (aligned || !self.stream) {
            (SinkBlock { rows, stride, classes, stream: self.stream, borrowed: PhantomData }, false)
        } else {
            let (rows, stride) = (stage.rows.as_mut_ptr().cast::<f32>().wrapping_add(LANES), (LANES + BLOCK) as isize);
            (SinkBlock { rows, stride, classes, stream: false, borrowed: PhantomData }, true)
        }
    }

    /// Writes the voxels `inside` of a staged block to their places, but for those that wait for the next block of the
    /// tile: after the last block comes [`finish`](Self::finish).
    ///
    /// # Safety
    /// As [`block`](Self::block), for this block and those before it since the last `finish`.
    #[inline(always)]
    pub(crate) unsafe fn store<L: Lanes>(
        &self,
        lanes: L,
        stage: &mut SinkStage,
        sample: usize,
        first: usize,
        inside: &Range<usize>,
    ) {
        if self.unit && self.stream && inside.len() == BLOCK {
            // SAFETY: the caller's promise.
            unsafe { self.store_lines(lanes, stage, sample, first) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.finish(stage) };
            // SAFETY: the caller's promise.
            unsafe { self.store_voxels(stage, sample, first, inside) };
        }
    }

    /// Streams the cache lines that the block fills up and keeps the rest waiting.
    ///
    /// # Safety
    /// As [`store`](Self::store), for a whole block of voxels that lie side by side.
    #[inline(always)]
    unsafe fn store_lines<L: Lanes>(&self, lanes: L, stage: &mut SinkStage, sample: usize, first: usize) {
        let waiting = stage.waiting == Some((sample, first));
        for (class, StagedRow(row)) in stage.rows[..self.layout.channels()].iter_mut().enumerate() {
            let to = self.at(self.layout.origin(sample, class), first as isize);
            let behind = behind(to);
            let lines = to.wrapping_sub(behind);
            for vector in 0..VECTORS {
                let start = LANES - behind + vector * LANES;
                let values: &[f32; LANES] = row[start..].first_chunk().expect("a row holds a line more than a block");
                if vector == 0 && behind > 0 && !waiting {
                    for i in behind..LANES {
                        // SAFETY: the head of the block, whose line begins with voxels of others.
                        unsafe { lines.wrapping_add(i).write(values[i]) };
                    }
                } else {
                    // SAFETY: a whole line of voxels that are the caller's, of this block or waiting.
                    unsafe { lanes.stream(lines.wrapping_add(vector * LANES), lanes.load(values)) };
                }
            }
            row.copy_within(BLOCK.., 0);
        }
        stage.waiting = Some((sample, first + BLOCK));
    }

    /// Writes what still waits.
    ///
    /// # Safety
    /// As [`store`](Self::store), for the blocks since the last call.
    #[inline(always)]
    pub(crate) unsafe fn finish(&self, stage: &mut SinkStage) {
        let Some((sample, voxel)) = stage.waiting.take() else { return };
        for (class, StagedRow(row)) in stage.rows[..self.layout.channels()].iter().enumerate() {
            let end = self.at(self.layout.origin(sample, class), voxel as isize);
            for back in 1..=behind(end) {
                // SAFETY: a voxel of the last block stored.
                unsafe { end.wrapping_sub(back).write(row[LANES - back]) };
            }
        }
    }

    /// Copies the voxels `inside` of a staged block one by one.
    ///
    /// # Safety
    /// As [`block`](Self::block).
    #[inline(always)]
    unsafe fn store_voxels(&self, stage: &SinkStage, sample: usize, first: usize, inside: &Range<usize>) {
        let origin = self.layout.origin(sample, 0);
        self.walk.runs(first + inside.start..first + inside.end, |voxel, offset, length, stride| {
            for (class, StagedRow(row)) in stage.rows[..self.layout.channels()].iter().enumerate() {
                let base = self.at(origin, offset + self.layout.channel_stride() * class as isize);
                for (i, &value) in row[LANES + voxel - first..][..length].iter().enumerate() {
                    // SAFETY: the voxel and the class lie in the view, whose bounds were checked when it was made, and nobody
                    // else writes this voxel.
                    unsafe { base.wrapping_offset(stride * i as isize).write(value) };
                }
            }
        });
    }
}

impl SinkBlock<'_> {
    /// Writes one vector of the row of `class`.
    #[inline(always)]
    pub(crate) fn put<L: Lanes>(&mut self, lanes: L, class: usize, vector: usize, x: L::F) {
        assert!(class < self.classes && vector < BLOCK / LANES, "inside the block");
        let to = self.rows.wrapping_offset(class as isize * self.stride + (vector * LANES) as isize);
        if self.stream {
            // SAFETY: the block holds this vector exclusively, and its rows were found to be aligned.
            unsafe { lanes.stream(to, x) };
        } else {
            // SAFETY: the block holds this vector exclusively.
            lanes.store(unsafe { &mut *to.cast::<[f32; LANES]>() }, x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{Kernel, dispatch};
    use crate::isa::Isa;
    use crate::tile::Tiles;

    /// Writes the index of each voxel of each class.
    struct Count<'a>(&'a Sink<'a>, &'a Tiles);

    impl Kernel for Count<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes, const GROUP: usize>(self, lanes: L) {
            let Self(sink, tiles) = self;
            let (classes, voxels) = (sink.layout.channels(), sink.layout.voxels());
            let mut stage = SinkStage::new(classes);
            while let Some(tile) = tiles.claim() {
                for (first, inside) in tile.blocks() {
                    // SAFETY: no other thread.
                    let (mut block, staged) = unsafe { sink.block(&mut stage, tile.sample, first, &inside) };
                    for class in 0..classes {
                        for vector in 0..VECTORS {
                            let index = (tile.sample * classes + class) * voxels + first + vector * LANES;
                            let indices: [f32; LANES] = std::array::from_fn(|lane| (index + lane) as f32);
                            block.put(lanes, class, vector, lanes.load(&indices));
                        }
                    }
                    if staged {
                        // SAFETY: no other thread.
                        unsafe { sink.store(lanes, &mut stage, tile.sample, first, &inside) };
                    }
                }
                // SAFETY: no other thread.
                unsafe { sink.finish(&mut stage) };
            }
            lanes.fence();
        }
    }

    #[test]
    fn every_voxel_is_written_and_nothing_else_whatever_the_alignment() {
        let (samples, classes) = (2, 3);
        for voxels in [48, 64, 130, 8192, 8192 + 77, 2 * 8192 + 64] {
            let shape = [samples, classes, voxels];
            let len = samples * classes * voxels;
            for start in 0..LINE / size_of::<f32>() {
                for range in [0..voxels, 17..voxels - 3] {
                    for isa in Isa::available() {
                        let mut data = vec![-1.0; len + 40];
                        let strides = [(classes * voxels) as isize, voxels as isize, 1];
                        let mut view = ViewMut::strided(&mut data, &shape, &strides, start).unwrap();
                        let tiles = Tiles::new(samples, range.clone());
                        dispatch(isa, Count(&Sink::new(&mut view, true), &tiles));
                        for (i, &value) in data.iter().enumerate() {
                            let index = i.wrapping_sub(start);
                            let inside = index < len && range.contains(&(index % voxels));
                            let expected = if inside { index as f32 } else { -1.0 };
                            assert_eq!(value, expected, "{isa}: element {i}, start {start}, {voxels} voxels");
                        }
                    }
                }
            }
        }
    }
}
