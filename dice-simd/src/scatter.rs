//! From the one form that the kernels write to any layout.
//!
//! A gradient too large for the caches is written past them, in whole cache lines. Rows that start amid a line, as those of
//! any allocator do that puts its notes in front, go through a stage: what is left over of a block waits there for the next.

use std::marker::PhantomData;

use dice_core::{Layout, ViewMut, Walk};

use crate::dispatch::Kernel;
use crate::element::{Elements, Output};
use crate::lanes::{LANES, Lanes};
use crate::real::Real;
use crate::tile::{BLOCK, Span, VECTORS};

/// A cache line, and the alignment that streaming stores need, in bytes.
const LINE: usize = 64;
/// The most elements of a cache line: of f16 and bf16.
const MOST_WAITING: usize = LINE / 2;

/// What becomes of what an output holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is overwritten.
    Overwrite,
    /// As `Overwrite`, past the caches.
    Stream,
    /// The gradient is added to it.
    Accumulate,
}

/// An output tensor that several threads write at once, each its own voxels.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    elements: Elements,
    layout: Layout,
    walk: Walk,
    /// Voxels lie side by side: whole blocks of the right type are written in place.
    unit: bool,
    mode: Mode,
    borrowed: PhantomData<&'a mut [u8]>,
}

// SAFETY: the pointer stands for an exclusive borrow; `Sink::block` hands out parts of it, and its callers see to it that no
// two threads hold the same part.
unsafe impl Sync for Sink<'_> {}

/// The rows of one block of a [`Sink`], or a stage for them.
#[derive(Debug)]
pub(crate) struct SinkBlock<'s, R> {
    first: *mut R,
    stride: isize,
    classes: usize,
    stream: bool,
    staged: bool,
    borrowed: PhantomData<&'s mut [R]>,
}

/// One class of a block, after the values of blocks before it whose cache line is not full yet, right-aligned.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct StagedRow<R>([R; MOST_WAITING + BLOCK]);

/// Room for a block, one per thread.
#[derive(Debug)]
pub(crate) struct SinkStage<R> {
    rows: Vec<StagedRow<R>>,
    /// The sample and the voxel that the waiting values lie in front of, if there are any.
    waiting: Option<(usize, usize)>,
}

/// Calls `$body` with `$pointer` bound to the pointer of an element type that gradients may have.
macro_rules! with_output {
    ($elements:expr, $pointer:ident => $body:expr) => {
        match $elements {
            Elements::F16($pointer) => $body,
            Elements::Bf16($pointer) => $body,
            Elements::F32($pointer) => $body,
            Elements::F64($pointer) => $body,
            Elements::U8(_) => unreachable!("no gradient is written in integers"),
        }
    };
}

impl<'a> Sink<'a> {
    pub(crate) fn new<E: Output>(view: &'a mut ViewMut<'_, E>, mode: Mode) -> Self {
        let layout = *view.layout();
        Self::over(E::elements(view.data_mut().as_mut_ptr()), layout, mode)
    }

    /// A sink over elements that are read until they are written.
    pub(crate) fn over(elements: Elements, layout: Layout, mode: Mode) -> Self {
        let walk = layout.walk();
        Self { elements, layout, walk, unit: walk.uniform_stride() == Some(1), mode, borrowed: PhantomData }
    }

    pub(crate) fn stage<R: Real>(&self) -> SinkStage<R> {
        SinkStage { rows: vec![StagedRow([R::ZERO; _]); self.layout.channels()], waiting: None }
    }

    /// The rows of a block, if they can be written in place, else those of the stage, to be [`store`](Self::store)d
    /// afterwards.
    ///
    /// # Safety
    /// The voxels of the span exist, and nobody else holds a block of this sink with any of them.
    #[inline(always)]
    pub(crate) unsafe fn block<'s, R: Real>(&'s self, stage: &'s mut SinkStage<R>, span: &Span) -> SinkBlock<'s, R> {
        let classes = self.layout.channels();
        assert!(stage.rows.len() == classes, "the stage has a row per class");
        let borrowed = PhantomData;
        if self.unit
            && span.is_whole()
            && self.mode != Mode::Accumulate
            && let Some(data) = R::borrow(self.elements)
        {
            let first = data.wrapping_add(self.layout.origin(span.sample, 0) + span.voxel);
            let stride = self.layout.channel_stride();
            let aligned =
                first.addr().is_multiple_of(LINE) && (stride.unsigned_abs() * size_of::<R>()).is_multiple_of(LINE);
            let stream = self.mode == Mode::Stream;
            if aligned || !stream {
                return SinkBlock { first, stride, classes, stream, staged: false, borrowed };
            }
        }
        let first = stage.rows.as_mut_ptr().cast::<R>().wrapping_add(MOST_WAITING);
        let stride = (MOST_WAITING + BLOCK) as isize;
        SinkBlock { first, stride, classes, stream: false, staged: true, borrowed }
    }

    /// Writes a staged block to its place, but for what waits for the next block of the tile: after the last block comes
    /// [`finish`](Self::finish).
    ///
    /// # Safety
    /// As [`block`](Self::block), for this block and those before it since the last `finish`.
    #[inline(always)]
    pub(crate) unsafe fn store<L: Lanes>(&self, lanes: L, stage: &mut SinkStage<L::R>, span: &Span) {
        lanes.call(Store { sink: self, stage, span });
    }

    /// Writes what still waits.
    ///
    /// # Safety
    /// As [`store`](Self::store), for the blocks since the last call.
    #[inline(always)]
    pub(crate) unsafe fn finish<R: Real>(&self, stage: &mut SinkStage<R>) {
        if let Some((sample, voxel)) = stage.waiting.take() {
            // SAFETY: the caller's promise.
            with_output!(self.elements, data => unsafe { self.store_rest(data, stage, sample, voxel) });
        }
    }

    /// The element of a class at the voxel `voxel` of a row whose voxels lie side by side.
    fn at<E>(&self, data: *mut E, sample: usize, class: usize, voxel: usize) -> *mut E {
        data.wrapping_add(self.layout.origin(sample, class)).wrapping_add(voxel)
    }

    /// # Safety
    /// As [`finish`](Self::finish).
    #[inline(never)]
    unsafe fn store_rest<R: Real, E: Output>(&self, data: *mut E, stage: &SinkStage<R>, sample: usize, voxel: usize) {
        for (class, StagedRow(row)) in stage.rows.iter().enumerate() {
            let end = self.at(data, sample, class, voxel);
            for back in 1..=behind(end) {
                // SAFETY: a voxel of the last block stored.
                unsafe { end.wrapping_sub(back).write(E::narrow(row[MOST_WAITING - back])) };
            }
        }
    }

    /// Streams the cache lines that the block fills up and keeps the rest waiting.
    ///
    /// # Safety
    /// As [`store`](Self::store), for a whole block of voxels that lie side by side.
    #[inline(always)]
    unsafe fn store_lines<L: Lanes, E: Output>(
        &self,
        lanes: L,
        data: *mut E,
        stage: &mut SinkStage<L::R>,
        span: &Span,
    ) {
        let per_line = LINE / size_of::<E>();
        let waiting = stage.waiting == Some((span.sample, span.voxel));
        for (class, StagedRow(row)) in stage.rows.iter_mut().enumerate() {
            let to = self.at(data, span.sample, class, span.voxel);
            let behind = behind(to);
            let first_line = to.wrapping_sub(behind);
            let mut line = Line([E::narrow(L::R::ZERO); MOST_WAITING]);
            for number in 0..BLOCK / per_line {
                let start = MOST_WAITING - behind + number * per_line;
                if per_line < LANES {
                    for (to, &from) in line.0.iter_mut().zip(&row[start..start + per_line]) {
                        *to = E::narrow(from);
                    }
                } else {
                    for vector in 0..per_line / LANES {
                        let from = row[start + vector * LANES..].first_chunk().expect("inside the row");
                        let to = line.0[vector * LANES..].first_chunk_mut().expect("inside the line");
                        E::store(lanes, to, lanes.load(from));
                    }
                }
                let at = first_line.wrapping_add(number * per_line);
                if number == 0 && behind > 0 && !waiting {
                    for i in behind..per_line {
                        // SAFETY: the head of the block, whose line begins with voxels of others.
                        unsafe { at.wrapping_add(i).write(line.0[i]) };
                    }
                } else {
                    // SAFETY: a whole line of voxels that are the caller's, of this block or waiting.
                    unsafe { lanes.stream_line(at.cast(), (&raw const line).cast()) };
                }
            }
            row.copy_within(BLOCK.., 0);
        }
        stage.waiting = Some((span.sample, span.voxel + BLOCK));
    }

    /// Writes or adds a staged block.
    ///
    /// # Safety
    /// As [`block`](Self::block).
    #[inline(always)]
    unsafe fn store_block<L: Lanes, E: Output>(&self, lanes: L, data: *mut E, stage: &SinkStage<L::R>, span: &Span) {
        let add = self.mode == Mode::Accumulate;
        if self.unit && span.is_whole() {
            for (class, StagedRow(row)) in stage.rows.iter().enumerate() {
                let first = self.at(data, span.sample, class, span.voxel);
                for vector in 0..VECTORS {
                    let from = row[MOST_WAITING + vector * LANES..].first_chunk().expect("inside the row");
                    // SAFETY: the voxels and the class lie in the view, whose bounds were checked when it was made, and nobody
                    // else uses these voxels.
                    let to = unsafe { &mut *first.wrapping_add(vector * LANES).cast::<[E; LANES]>() };
                    let mut x = lanes.load(from);
                    if add {
                        x = lanes.add(E::load(lanes, to), x);
                    }
                    E::store(lanes, to, x);
                }
            }
            return;
        }
        self.walk.runs(span.voxels(), |voxel, offset, length, stride| {
            let place = MOST_WAITING + span.inside.start + voxel - span.voxel;
            for (class, StagedRow(row)) in stage.rows.iter().enumerate() {
                let first = data.wrapping_add(self.layout.origin(span.sample, class)).wrapping_offset(offset);
                for (i, &x) in row[place..place + length].iter().enumerate() {
                    let to = first.wrapping_offset(stride * i as isize);
                    // SAFETY: as above.
                    let old: L::R = if add { unsafe { to.read() }.widen() } else { L::R::ZERO };
                    // SAFETY: as above.
                    unsafe { to.write(E::narrow(if add { old + x } else { x })) };
                }
            }
        });
    }
}

/// A cache line of elements.
#[repr(align(64))]
struct Line<E>([E; MOST_WAITING]);

/// The number of elements that lie in the cache line of `to` in front of it.
fn behind<E>(to: *mut E) -> usize {
    to.addr() % LINE / size_of::<E>()
}

/// See [`Sink::store`], whose caller's promise holds for it.
struct Store<'s, R> {
    sink: &'s Sink<'s>,
    stage: &'s mut SinkStage<R>,
    span: &'s Span,
}

impl<R: Real> Kernel for Store<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { sink, stage, span } = self;
        if sink.unit && sink.mode == Mode::Stream && span.is_whole() {
            // SAFETY: the promise of the caller of `Sink::store`.
            with_output!(sink.elements, data => unsafe { sink.store_lines(lanes, data, stage, span) });
        } else {
            // SAFETY: as above.
            unsafe { sink.finish(stage) };
            // SAFETY: as above.
            with_output!(sink.elements, data => unsafe { sink.store_block(lanes, data, stage, span) });
        }
    }
}

impl<R: Real> SinkBlock<'_, R> {
    /// Whether it must be [stored](Sink::store).
    #[inline(always)]
    pub(crate) fn is_staged(&self) -> bool {
        self.staged
    }

    /// Writes one vector of the row of `class`.
    #[inline(always)]
    pub(crate) fn put<L: Lanes<R = R>>(&mut self, lanes: L, class: usize, vector: usize, x: L::F) {
        assert!(class < self.classes && vector < VECTORS, "inside the block");
        let to = self.first.wrapping_offset(class as isize * self.stride).wrapping_add(vector * LANES);
        if self.stream {
            // SAFETY: the block holds this vector exclusively, and its rows were found to be aligned.
            unsafe { lanes.stream(to, x) };
        } else {
            // SAFETY: the block holds this vector exclusively.
            lanes.store(unsafe { &mut *to.cast::<[R; LANES]>() }, x);
        }
    }
}

#[cfg(test)]
mod tests {
    use dice_core::half::{bf16, f16};

    use super::*;
    use crate::isa::Isa;
    use crate::tile::Tiles;

    /// Writes a number that tells of the voxel and the class.
    struct Count<'a, R>(&'a Sink<'a>, &'a Tiles, PhantomData<R>);

    /// Small enough for every type to hold it, and its sum with itself, exactly.
    fn number(index: usize) -> f64 {
        (index % 120 + 1) as f64
    }

    impl<R: Real> Kernel for Count<'_, R> {
        type R = R;
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
            let Self(sink, tiles, _) = self;
            let (classes, voxels) = (sink.layout.channels(), sink.layout.voxels());
            let mut stage = sink.stage();
            while let Some(tile) = tiles.claim() {
                for span in tile.spans() {
                    // SAFETY: no other thread.
                    let mut block = unsafe { sink.block(&mut stage, &span) };
                    for class in 0..classes {
                        for vector in 0..VECTORS {
                            let index = (tile.sample * classes + class) * voxels + span.voxel + vector * LANES;
                            let index = |lane: usize| (index + lane).wrapping_sub(span.inside.start);
                            let numbers = std::array::from_fn(|lane| R::from_f64(number(index(lane))));
                            block.put(lanes, class, vector, lanes.load(&numbers));
                        }
                    }
                    if block.is_staged() {
                        // SAFETY: no other thread.
                        unsafe { sink.store(lanes, &mut stage, &span) };
                    }
                }
                // SAFETY: no other thread.
                unsafe { sink.finish(&mut stage) };
            }
            lanes.fence();
        }
    }

    fn check<R: Real, E: Output>(mode: Mode) {
        let (samples, classes) = (2, 3);
        for voxels in [48, 64, 130, 8192 + 77] {
            let shape = [samples, classes, voxels];
            let len = samples * classes * voxels;
            for start in 0..LINE / size_of::<E>() {
                for (range, offset) in [(0..voxels, 0), (17..voxels - 3, 0), (0..voxels, 8192 - 40)] {
                    for isa in Isa::available() {
                        let mut data = vec![E::narrow(R::from_f64(128.0)); len + 80];
                        let strides = [(classes * voxels) as isize, voxels as isize, 1];
                        let mut view = ViewMut::strided(&mut data, &shape, &strides, start).unwrap();
                        let tiles = Tiles::new(samples, range.clone(), offset);
                        R::dispatch(isa, Count(&Sink::new(&mut view, mode), &tiles, PhantomData));
                        for (i, &value) in data.iter().enumerate() {
                            let index = i.wrapping_sub(start);
                            let inside = index < len && range.contains(&(index % voxels));
                            let before = if inside && mode != Mode::Accumulate { 0.0 } else { 128.0 };
                            let expected = before + if inside { number(index) } else { 0.0 };
                            let value = value.widen::<f64>();
                            assert_eq!(value, expected, "{isa}: element {i}, start {start}, {voxels} voxels, {mode:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_voxel_is_written_and_nothing_else_whatever_the_alignment() {
        for mode in [Mode::Overwrite, Mode::Stream, Mode::Accumulate] {
            check::<f32, f32>(mode);
            check::<f32, f16>(mode);
            check::<f32, bf16>(mode);
            check::<f64, f64>(mode);
        }
    }
}
