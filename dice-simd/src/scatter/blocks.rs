//! The blocks of an output as a kernel writes them: in place, or in a stage from which they are stored.

use std::marker::PhantomData;
use std::{ptr, slice};

use super::store::Store;
use super::{Mode, Sink, SinkStage};
use crate::block::{BLOCK, LANES, LINE, VECTORS};
use crate::element::{Element, Output};
use crate::form::{Form, few_or_many, put_parts_together, put_voxels_together};
use crate::lanes::Lanes;
use crate::real::Real;
use crate::tile::Span;

/// Blocks of a [`Sink`] that lie one after the other, to be written one after the other by a kernel that reads elements `E`.
#[derive(Debug)]
pub(crate) struct SinkBlocks<'s, R, E> {
    sink: &'s Sink<'s>,
    stage: &'s mut SinkStage<R>,
    /// Of the first block.
    span: &'s Span,
    blocks: usize,
    form: Form,
    /// Where the first block is written, if in its place: else each is staged, and [stored](Self::store) afterwards.
    in_place: Option<*mut E>,
}

/// A block as a kernel writes it: a row per class, or voxel after voxel.
#[derive(Debug)]
pub(crate) struct SinkBlock<'s, R, E> {
    /// In place or in the stage; null if these are `numbers`.
    elements: *mut E,
    /// In the rows of the stage, else null.
    numbers: *mut R,
    form: Form,
    /// Between rows.
    stride: isize,
    classes: usize,
    stream: bool,
    borrowed: PhantomData<&'s mut [R]>,
}

/// Whether elements are the numbers that are computed with.
#[inline(always)]
fn is_same<R: Element, E: Output>() -> bool {
    R::borrow(E::elements(ptr::null_mut())).is_some()
}

impl Sink<'_> {
    /// `blocks` blocks from one on, of which those behind it are whole, for a kernel of elements `E`, which can write interleaved
    /// blocks `by_voxels`: [`is_interleaved`](SinkBlocks::is_interleaved) tells whether it must.
    ///
    /// # Safety
    /// This sink has [fitted](Self::fit) the stage last. The voxels of the blocks exist, and nobody else holds a block of this
    /// sink with any of them until the tile is [finished](Self::finish).
    #[inline(always)]
    pub(crate) unsafe fn blocks<'s, R: Real, E: Output>(
        &'s self,
        stage: &'s mut SinkStage<R>,
        span: &'s Span,
        blocks: usize,
        by_voxels: bool,
    ) -> SinkBlocks<'s, R, E> {
        assert!(stage.rows.len() == self.layout.channels(), "the stage has a row per class");
        let (mut form, mut in_place) = (Form::Planes, None);
        if let Some(data) = E::borrow(self.elements)
            && span.is_whole()
            && self.mode != Mode::Accumulate
            && (self.form == Form::Planes || self.form == Form::Interleaved && by_voxels)
        {
            form = self.form;
            let first = self.run_at(data, span.sample, 0, span.voxel);
            in_place = (self.mode != Mode::Stream || self.is_aligned(first)).then_some(first);
        }
        SinkBlocks { sink: self, stage, span, blocks, form, in_place }
    }

    /// Whether a kernel can stream a block from here on as it computes it: vector by vector, that is.
    #[inline(always)]
    fn is_aligned<E>(&self, first: *mut E) -> bool {
        let classes = self.layout.channels();
        let by_vectors = match self.form {
            Form::Interleaved => few_or_many!(classes, CLASSES => CLASSES > 0, false),
            // The stride of one class may be anything.
            _ => {
                let bytes = self.layout.channel_stride().unsigned_abs().wrapping_mul(size_of::<E>());
                classes == 1 || bytes.is_multiple_of(LINE)
            }
        };
        by_vectors && first.addr().is_multiple_of(LINE)
    }
}

impl<R: Real + Output, E: Output> SinkBlocks<'_, R, E> {
    /// Whether blocks are written voxel by voxel, and not row by row.
    #[inline(always)]
    pub(crate) fn is_interleaved(&self) -> bool {
        self.form == Form::Interleaved
    }

    /// One of the blocks, to be [stored](Self::store) before the next one.
    #[inline(always)]
    pub(crate) fn block(&mut self, block: usize) -> SinkBlock<'_, R, E> {
        assert!(block < self.blocks, "one of the blocks");
        let (form, classes) = (self.form, self.sink.layout.channels());
        let (mut elements, mut numbers) = (ptr::null_mut(), ptr::null_mut::<R>());
        let (mut stride, step) = form.strides(&self.sink.layout);
        if let Some(first) = self.in_place {
            elements = first.wrapping_add(block * BLOCK * step);
        } else if self.is_in_runs() {
            elements = self.stage.runs[1..].as_mut_ptr().cast();
            if form == Form::Planes {
                stride = (self.stage.lines_per_run * LINE / size_of::<E>()) as isize;
            }
        } else {
            (numbers, stride) = (self.stage.rows.as_mut_ptr().cast(), BLOCK as isize);
            if is_same::<R, E>() {
                elements = numbers.cast();
            }
        }
        let stream = self.in_place.is_some() && self.sink.mode == Mode::Stream;
        SinkBlock { elements, numbers, form, stride, classes, stream, borrowed: PhantomData }
    }

    /// Whether a block that is staged goes to its runs at once: elements that need not be converted do.
    #[inline(always)]
    fn is_in_runs(&self) -> bool {
        self.form == self.sink.form && self.sink.is_streamed(self.span) && E::borrow(self.sink.elements).is_some()
    }

    /// Writes a block, if it is staged, to its place, but for what waits for the next block of the tile: after the last block
    /// comes [`finish`](Sink::finish).
    #[inline(always)]
    pub(crate) fn store<L: Lanes<R = R>>(&mut self, lanes: L, block: usize) {
        if self.in_place.is_none() {
            assert!(block < self.blocks, "one of the blocks");
            let (in_runs, span) = (self.is_in_runs(), &self.span.later(block));
            lanes.call::<_, 1>(Store { sink: self.sink, stage: self.stage, span, in_runs });
        }
    }
}

impl<R: Real + Output, E: Output> SinkBlock<'_, R, E> {
    /// Writes the same everywhere.
    #[inline(always)]
    pub(crate) fn fill<L: Lanes<R = R>>(&mut self, lanes: L, x: L::F) {
        for class in 0..self.classes {
            for vector in 0..VECTORS {
                self.put(lanes, class, vector, x);
            }
        }
    }

    /// Writes one vector of each of few interleaved classes.
    #[inline(always)]
    pub(crate) fn put_voxels<L: Lanes<R = R>, const CLASSES: usize>(
        &mut self,
        lanes: L,
        vector: usize,
        mut x: [L::F; CLASSES],
    ) {
        assert!(self.form == Form::Interleaved && CLASSES == self.classes && vector < VECTORS, "inside the block");
        for class in 0..x.len() {
            x[class] = lanes.canonical(x[class]);
        }
        for (place, elements) in put_voxels_together::<L, E, CLASSES>(lanes, x).into_iter().enumerate() {
            let to = self.elements.wrapping_add((vector * CLASSES + place) * LANES).cast();
            if self.stream {
                // SAFETY: the block holds these elements exclusively, and was found to be aligned.
                unsafe { E::stream(lanes, to, &elements) };
            } else {
                // SAFETY: the block holds these elements exclusively.
                unsafe { to.write(elements) };
            }
        }
    }

    /// Writes one vector of each of `N` of many interleaved classes, 4 or 8, from class `first` on.
    #[inline(always)]
    pub(crate) fn put_parts<L: Lanes<R = R>, const N: usize>(
        &mut self,
        lanes: L,
        first: usize,
        vector: usize,
        mut x: [L::F; N],
    ) {
        assert!(self.form == Form::Interleaved && vector < VECTORS, "inside the block");
        // SAFETY: the block holds all classes of its voxels exclusively.
        let block = unsafe { slice::from_raw_parts_mut(self.elements, BLOCK * self.classes) };
        for class in 0..x.len() {
            x[class] = lanes.canonical(x[class]);
        }
        put_parts_together(lanes, &mut block[vector * LANES * self.classes + first..], self.classes, x);
    }

    /// Writes one vector of the row of `class`; of an interleaved block, a part of it that is as long.
    #[inline(always)]
    pub(crate) fn put<L: Lanes<R = R>>(&mut self, lanes: L, class: usize, vector: usize, x: L::F) {
        assert!(class < self.classes && vector < VECTORS, "inside the block");
        let x = lanes.canonical(x);
        let offset = class as isize * self.stride + (vector * LANES) as isize;
        if !is_same::<R, E>() && self.elements.is_null() {
            // SAFETY: the stage has room for this vector.
            return lanes.store(unsafe { &mut *self.numbers.wrapping_offset(offset).cast::<[R; LANES]>() }, x);
        }
        let to = self.elements.wrapping_offset(offset).cast();
        if self.stream {
            let mut elements = [E::narrow(R::ZERO); LANES];
            E::store(lanes, &mut elements, x);
            // SAFETY: the block holds this vector exclusively, and its rows were found to be aligned.
            unsafe { E::stream(lanes, to, &elements) };
        } else {
            // SAFETY: the block holds this vector exclusively.
            E::store(lanes, unsafe { &mut *to }, x);
        }
    }
}
