//! From the one form that the kernels write to any layout.

use std::marker::PhantomData;
use std::ops::Range;

use dice_core::{Layout, ViewMut, Walk};

use crate::kernel::Row;
use crate::lanes::{LANES, Lanes};
use crate::tile::BLOCK;

/// Alignment that streaming stores need, in bytes.
const STREAM_ALIGNMENT: usize = 64;

/// An output tensor that several threads write at once, each its own voxels.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    data: *mut f32,
    layout: Layout,
    walk: Walk,
    /// Voxels lie side by side: whole blocks are written in place.
    unit: bool,
    /// Write past the caches where alignment allows it.
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
        stage: &'s mut [Row],
        sample: usize,
        first: usize,
        inside: &Range<usize>,
    ) -> (SinkBlock<'s>, bool) {
        let classes = self.layout.channels();
        assert!(stage.len() >= classes, "the stage has a row per class");
        if self.unit && inside.len() == BLOCK {
            let rows = self.at(self.layout.origin(sample, 0), first as isize);
            let stride = self.layout.channel_stride();
            let aligned = rows.addr().is_multiple_of(STREAM_ALIGNMENT)
                && (stride.unsigned_abs() * size_of::<f32>()).is_multiple_of(STREAM_ALIGNMENT);
            (SinkBlock { rows, stride, classes, stream: self.stream && aligned, borrowed: PhantomData }, false)
        } else {
            let (rows, stride) = (stage.as_mut_ptr().cast(), BLOCK as isize);
            (SinkBlock { rows, stride, classes, stream: false, borrowed: PhantomData }, true)
        }
    }

    /// Copies the voxels `inside` of a staged block to their places.
    ///
    /// # Safety
    /// As [`block`](Self::block).
    #[inline(always)]
    pub(crate) unsafe fn store(&self, stage: &[Row], sample: usize, first: usize, inside: &Range<usize>) {
        let origin = self.layout.origin(sample, 0);
        self.walk.runs(first + inside.start..first + inside.end, |voxel, offset, length, stride| {
            for (class, row) in stage[..self.layout.channels()].iter().enumerate() {
                let base = self.at(origin, offset + self.layout.channel_stride() * class as isize);
                for (i, &value) in row.0[voxel - first..][..length].iter().enumerate() {
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
