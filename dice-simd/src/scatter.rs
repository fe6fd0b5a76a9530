//! From the one form that the kernels write to any layout.
//!
//! A gradient too large for the caches is written past them, in whole cache lines. Memory that starts amid a line, as that of
//! any allocator does that puts its notes in front, is written from a stage: what is left over of a block waits there for the
//! next.

use std::marker::PhantomData;
use std::{ptr, slice};

use dice_core::{Layout, ViewMut, Walk};

use crate::dispatch::Kernel;
use crate::element::{Element, Elements, Output};
use crate::form::{Form, interleave};
use crate::kernel::Row;
use crate::lanes::{LANES, Lanes};
use crate::real::Real;
use crate::scratch::fit;
use crate::tile::{BLOCK, Span, VECTORS};

/// A cache line, and the alignment that streaming stores need, in bytes.
const LINE: usize = 64;

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
    form: Form,
    mode: Mode,
    borrowed: PhantomData<&'a mut [u8]>,
}

// SAFETY: the pointer stands for an exclusive borrow; `Sink::block` hands out parts of it, and its callers see to it that no
// two threads hold the same part.
unsafe impl Sync for Sink<'_> {}

/// The rows of one block of a [`Sink`] of elements `E`, or a stage for them.
#[derive(Debug)]
pub(crate) struct SinkBlock<'s, R, E> {
    /// In place; or in the stage, if elements are numbers.
    elements: *mut E,
    /// In the stage.
    numbers: *mut R,
    stride: isize,
    classes: usize,
    /// How many blocks can be written like this one: itself, and those [behind](Self::behind) it, `step` elements apart.
    blocks: usize,
    step: usize,
    stream: bool,
    staged: bool,
    borrowed: PhantomData<&'s mut [R]>,
}

/// Room for a block, one per thread.
#[derive(Debug, Default)]
pub(crate) struct SinkStage<R> {
    /// What the kernel writes to, a row per class.
    rows: Vec<Row<R>>,
    interleaved: Vec<R>,
    /// The elements of a block that lie side by side in memory, run after run: a run per class, or one of all classes. Each
    /// begins with a line of which the last elements are those of blocks before, whose cache line is not full yet.
    runs: Vec<Line>,
    lines_per_run: usize,
    /// The sample and the voxel that the waiting elements lie in front of, if there are any.
    waiting: Option<(usize, usize)>,
}

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

impl<R> SinkStage<R> {
    pub(crate) fn classes(&self) -> usize {
        self.rows.len()
    }

    /// The bytes of a run.
    fn run(&mut self, run: usize) -> *mut u8 {
        self.runs[run * self.lines_per_run..][..self.lines_per_run].as_mut_ptr().cast()
    }
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
        Self { elements, layout, walk, form: Form::of(&layout, &walk), mode, borrowed: PhantomData }
    }

    /// Makes room for a block.
    pub(crate) fn fit<R: Real>(&self, stage: &mut SinkStage<R>) {
        let classes = self.layout.channels();
        let (runs, length) = self.runs();
        let interleaved = if self.form == Form::Interleaved { length } else { 0 };
        let lines = 1 + with_output!(self.elements, data => length * size_of_pointee(data)).div_ceil(LINE);
        let all_lines = if self.mode == Mode::Stream { runs * lines } else { 0 };
        fit(&mut stage.rows, classes, Row::default());
        fit(&mut stage.interleaved, interleaved, R::ZERO);
        fit(&mut stage.runs, all_lines, Line([0.0; LANES]));
        (stage.lines_per_run, stage.waiting) = (lines, None);
    }

    /// How many runs of numbers a whole block is in memory, and their length; none if it is scattered.
    fn runs(&self) -> (usize, usize) {
        match self.form {
            Form::Planes => (self.layout.channels(), BLOCK),
            Form::Interleaved => (1, BLOCK * self.layout.channels()),
            Form::Scattered => (0, 0),
        }
    }

    /// Where a run begins, `voxel` voxels into the sample.
    fn run_at<E>(&self, data: *mut E, sample: usize, run: usize, voxel: usize) -> *mut E {
        let (_, length) = self.runs();
        data.wrapping_add(self.layout.origin(sample, run)).wrapping_add(voxel * (length / BLOCK))
    }

    /// Where the numbers of a block begin that lie in this form and can be written in place, and how far apart classes are.
    #[inline(always)]
    fn in_place<E: Output>(&self, span: &Span, form: Form) -> Option<(*mut E, isize)> {
        let data = E::borrow(self.elements)?;
        if self.form != form || !span.is_whole() || self.mode == Mode::Accumulate {
            return None;
        }
        let (stride, step) = form.strides(&self.layout);
        let first = data.wrapping_add(self.layout.origin(span.sample, 0) + span.voxel * step);
        let aligned =
            first.addr().is_multiple_of(LINE) && (stride.unsigned_abs() * size_of::<E>()).is_multiple_of(LINE);
        (aligned || self.mode != Mode::Stream).then_some((first, stride))
    }

    /// Whether the numbers of a block are interleaved and can be written in place.
    #[inline(always)]
    pub(crate) fn takes_voxels(&self, span: &Span) -> bool {
        with_output!(self.elements, data => self.in_place_of(data, span, Form::Interleaved).is_some())
    }

    #[inline(always)]
    fn in_place_of<E: Output>(&self, _: *mut E, span: &Span, form: Form) -> Option<(*mut E, isize)> {
        self.in_place(span, form)
    }

    /// The elements of the output.
    pub(crate) fn elements(&self) -> Elements {
        self.elements
    }

    /// The rows of `blocks` blocks from one on, if they are of `E` and can be written in place, else those of the stage, for one
    /// block, to be [`store`](Self::store)d afterwards. With `by_voxels`, if the sink [takes them](Self::takes_voxels), numbers
    /// are put by [`SinkBlock::put_voxels`], or are all alike.
    ///
    /// # Safety
    /// The voxels of the span exist, and those of `blocks - 1` whole blocks behind it, and nobody else holds a block of this sink
    /// with any of them.
    #[inline(always)]
    pub(crate) unsafe fn block<'s, R: Real, E: Output>(
        &'s self,
        stage: &'s mut SinkStage<R>,
        span: &Span,
        blocks: usize,
        by_voxels: bool,
    ) -> SinkBlock<'s, R, E> {
        let classes = self.layout.channels();
        assert!(stage.rows.len() == classes, "the stage has a row per class");
        let borrowed = PhantomData;
        let form = if by_voxels { Form::Interleaved } else { Form::Planes };
        if let Some((elements, stride)) = self.in_place(span, form) {
            let (numbers, stream) = (ptr::null_mut(), self.mode == Mode::Stream);
            let step = BLOCK * if by_voxels { classes } else { 1 };
            return SinkBlock { elements, numbers, stride, classes, blocks, step, stream, staged: false, borrowed };
        }
        // Numbers that need no conversion go to their runs at once.
        let (numbers, stride) =
            if self.is_streamed(span) && self.form == Form::Planes && R::borrow(self.elements).is_some() {
                let lines = stage.runs[1..].as_mut_ptr();
                (lines.cast::<R>(), stage.lines_per_run * LINE / size_of::<R>())
            } else {
                (stage.rows.as_mut_ptr().cast::<R>(), BLOCK)
            };
        let (elements, stride) = (if is_same::<R, E>() { numbers.cast() } else { ptr::null_mut() }, stride as isize);
        SinkBlock { elements, numbers, stride, classes, blocks: 1, step: 0, stream: false, staged: true, borrowed }
    }

    /// Writes a staged block to its place, but for what waits for the next block of the tile: after the last block comes
    /// [`finish`](Self::finish).
    ///
    /// # Safety
    /// As [`block`](Self::block), for this block and those before it since the last `finish`.
    #[inline(always)]
    pub(crate) unsafe fn store<L: Lanes>(&self, lanes: L, stage: &mut SinkStage<L::R>, span: &Span) {
        lanes.call::<_, 1>(Store { sink: self, stage, span });
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

    /// Whether the block is written in whole cache lines.
    #[inline(always)]
    fn is_streamed(&self, span: &Span) -> bool {
        self.mode == Mode::Stream && self.form != Form::Scattered && span.is_whole()
    }

    /// # Safety
    /// As [`finish`](Self::finish).
    #[inline(never)]
    unsafe fn store_rest<R: Real, E: Output>(
        &self,
        data: *mut E,
        stage: &mut SinkStage<R>,
        sample: usize,
        voxel: usize,
    ) {
        for run in 0..self.runs().0 {
            let end = self.run_at(data, sample, run, voxel).cast::<u8>();
            let behind = end.addr() % LINE;
            let from = stage.run(run).wrapping_add(LINE - behind);
            // SAFETY: elements of the last block stored, which are the caller's.
            unsafe { end.wrapping_sub(behind).copy_from_nonoverlapping(from, behind) };
        }
    }

    /// Brings the rows of a whole block to its runs, if the kernel has not.
    #[inline(always)]
    fn fill_runs<L: Lanes, E: Output>(&self, lanes: L, _: *mut E, stage: &mut SinkStage<L::R>) {
        if self.form == Form::Planes && L::R::borrow(self.elements).is_some() {
            return;
        }
        if self.form == Form::Interleaved {
            let room = size_of_val(&*stage.runs) / size_of::<E>();
            // SAFETY: lines are numbers of any type, aligned well for all.
            let run = unsafe { slice::from_raw_parts_mut(stage.runs.as_mut_ptr().cast::<E>(), room) };
            return interleave(lanes, &stage.rows, &mut run[LINE / size_of::<E>()..]);
        }
        let (runs, _) = self.runs();
        for run in 0..runs {
            let to = stage.run(run).wrapping_add(LINE).cast::<[E; LANES]>();
            for (vector, from) in stage.rows[run].0.as_chunks().0.iter().enumerate() {
                // SAFETY: a run has room for its elements, and is aligned to a line.
                let to = unsafe { &mut *to.wrapping_add(vector) };
                E::store(lanes, to, lanes.load(from));
            }
        }
    }

    /// Streams the cache lines that the block fills up and keeps the rest waiting.
    ///
    /// # Safety
    /// As [`store`](Self::store), for a block that [is streamed](Self::is_streamed).
    #[inline(always)]
    unsafe fn store_lines<L: Lanes, E: Output>(
        &self,
        lanes: L,
        data: *mut E,
        stage: &mut SinkStage<L::R>,
        span: &Span,
    ) {
        // All runs before the first line: a line just written in parts could not be read at once.
        self.fill_runs(lanes, data, stage);
        let waiting = stage.waiting == Some((span.sample, span.voxel));
        let (runs, length) = self.runs();
        let bytes = length * size_of::<E>();
        for run in 0..runs {
            let to = self.run_at(data, span.sample, run, span.voxel).cast::<u8>();
            let behind = to.addr() % LINE;
            let base = stage.run(run);
            let from = base.wrapping_add(LINE - behind);
            for start in (0..bytes).step_by(LINE) {
                if start == 0 && behind > 0 && !waiting {
                    // SAFETY: the head of the block, whose line begins with elements of others.
                    unsafe { to.copy_from_nonoverlapping(base.wrapping_add(LINE), LINE - behind) };
                } else {
                    let line = to.wrapping_sub(behind).wrapping_add(start);
                    // SAFETY: a whole line of elements that are the caller's, of this block or waiting.
                    unsafe { lanes.stream_line(line.cast(), from.wrapping_add(start).cast()) };
                }
            }
            // SAFETY: the last line of the run, which begins one line after `base`, and the place for it.
            unsafe { base.copy_from_nonoverlapping(base.wrapping_add(bytes), LINE) };
        }
        stage.waiting = Some((span.sample, span.voxel + BLOCK));
    }

    /// Writes or adds a staged block.
    ///
    /// # Safety
    /// As [`block`](Self::block).
    #[inline(always)]
    unsafe fn store_block<L: Lanes, E: Output>(
        &self,
        lanes: L,
        data: *mut E,
        stage: &mut SinkStage<L::R>,
        span: &Span,
    ) {
        let add = self.mode == Mode::Accumulate;
        if self.form != Form::Scattered && span.is_whole() {
            let interleaved = self.form == Form::Interleaved;
            let (runs, length) = self.runs();
            if interleaved {
                if !add {
                    let first = self.run_at(data, span.sample, 0, span.voxel);
                    // SAFETY: the voxels with all their classes lie side by side in the view, whose bounds were checked when it
                    // was made, and nobody else uses them.
                    return interleave(lanes, &stage.rows, unsafe { slice::from_raw_parts_mut(first, length) });
                }
                interleave(lanes, &stage.rows, &mut stage.interleaved);
            }
            for run in 0..runs {
                let first = self.run_at(data, span.sample, run, span.voxel);
                let from = if interleaved { &stage.interleaved[..length] } else { &stage.rows[run].0 };
                // SAFETY: the voxels and the class lie in the view, whose bounds were checked when it was made, and nobody else
                // uses these voxels.
                unsafe { put(lanes, from, first, add) };
            }
            return;
        }
        self.walk.runs(span.voxels(), |voxel, offset, length, stride| {
            let place = span.inside.start + voxel - span.voxel;
            for (class, row) in stage.rows.iter().enumerate() {
                let first = data.wrapping_add(self.layout.origin(span.sample, class)).wrapping_offset(offset);
                let from = &row.0[place..place + length];
                if stride == 1 {
                    // SAFETY: as above.
                    unsafe { put(lanes, from, first, add) };
                } else {
                    // SAFETY: as above.
                    unsafe { put_each(from, first, stride, add) };
                }
            }
        });
    }
}

/// Writes or adds numbers side by side.
///
/// # Safety
/// As many elements as there are numbers are the caller's.
#[inline(always)]
unsafe fn put<L: Lanes, E: Output>(lanes: L, from: &[L::R], to: *mut E, add: bool) {
    let (vectors, rest) = from.as_chunks();
    for (vector, from) in vectors.iter().enumerate() {
        // SAFETY: the caller's promise.
        let to = unsafe { &mut *to.wrapping_add(vector * LANES).cast::<[E; LANES]>() };
        let mut x = lanes.load(from);
        if add {
            x = lanes.add(E::load(lanes, to), x);
        }
        E::store(lanes, to, x);
    }
    // SAFETY: the caller's promise.
    unsafe { put_each(rest, to.wrapping_add(vectors.len() * LANES), 1, add) };
}

/// Writes or adds numbers `stride` elements apart.
///
/// # Safety
/// As many elements as there are numbers are the caller's.
#[inline(always)]
unsafe fn put_each<R: Real, E: Output>(from: &[R], to: *mut E, stride: isize, add: bool) {
    for (i, &x) in from.iter().enumerate() {
        let to = to.wrapping_offset(stride * i as isize);
        // SAFETY: the caller's promise.
        let old: R = if add { unsafe { to.read() }.widen() } else { R::ZERO };
        // SAFETY: the caller's promise.
        unsafe { to.write(E::narrow(if add { old + x } else { x })) };
    }
}

/// Whether elements are the numbers that are computed with.
#[inline(always)]
fn is_same<R: Real, E: Output>() -> bool {
    R::borrow(E::elements(ptr::null_mut())).is_some()
}

fn size_of_pointee<E>(_: *mut E) -> usize {
    size_of::<E>()
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
        if sink.is_streamed(span) {
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

impl<R: Real, E: Output> SinkBlock<'_, R, E> {
    /// Whether it must be [stored](Sink::store).
    #[inline(always)]
    pub(crate) fn is_staged(&self) -> bool {
        self.staged
    }

    /// How many blocks can be written, see [`behind`](Self::behind).
    #[inline(always)]
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// The block that lies `blocks` blocks behind this one.
    #[inline(always)]
    pub(crate) fn behind(&mut self, blocks: usize) -> SinkBlock<'_, R, E> {
        assert!(blocks < self.blocks, "it can be written");
        let elements = self.elements.wrapping_add(blocks * self.step);
        SinkBlock { elements, blocks: self.blocks - blocks, ..*self }
    }

    /// Writes some vectors of each class, from `first` on; `INTERLEAVED` if the block was asked for by voxels.
    #[inline(always)]
    pub(crate) fn put_voxels<L: Lanes<R = R>, const COUNT: usize, const CLASSES: usize, const INTERLEAVED: bool>(
        &mut self,
        lanes: L,
        first: usize,
        x: [[L::F; COUNT]; CLASSES],
    ) {
        if INTERLEAVED {
            for j in 0..COUNT {
                let mut voxels = [lanes.splat(R::ZERO); CLASSES];
                for (voxels, x) in voxels.iter_mut().zip(&x) {
                    *voxels = x[j];
                }
                for (class, x) in lanes.together(voxels).into_iter().enumerate() {
                    let place = (first + j) * CLASSES + class;
                    self.put(lanes, place / VECTORS, place % VECTORS, x);
                }
            }
        } else {
            // Whole rows one after the other: streaming stores to many planes want long runs.
            for (class, x) in x.into_iter().enumerate() {
                for (j, x) in x.into_iter().enumerate() {
                    self.put(lanes, class, first + j, x);
                }
            }
        }
    }

    /// Writes one vector of the row of `class`.
    #[inline(always)]
    pub(crate) fn put<L: Lanes<R = R>>(&mut self, lanes: L, class: usize, vector: usize, x: L::F) {
        assert!(class < self.classes && vector < VECTORS, "inside the block");
        let offset = class as isize * self.stride + (vector * LANES) as isize;
        let to = self.elements.wrapping_offset(offset);
        if self.staged && !is_same::<R, E>() {
            // SAFETY: the stage has room for this vector.
            lanes.store(unsafe { &mut *self.numbers.wrapping_offset(offset).cast::<[R; LANES]>() }, x);
        } else if self.stream {
            // SAFETY: the block holds this vector exclusively, and its rows were found to be aligned.
            unsafe { E::stream(lanes, to, x) };
        } else {
            // SAFETY: the block holds this vector exclusively.
            E::store(lanes, unsafe { &mut *to.cast::<[E; LANES]>() }, x);
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
    struct Count<'a, R, E> {
        sink: &'a Sink<'a>,
        tiles: &'a Tiles,
        by_voxels: bool,
        types: PhantomData<(R, E)>,
    }

    const CLASSES: usize = 3;

    /// Small enough for every type to hold it, and its sum with itself, exactly.
    fn number(index: usize) -> f64 {
        (index % 120 + 1) as f64
    }

    impl<R: Real, E: Output> Kernel for Count<'_, R, E> {
        type R = R;
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
            let Self { sink, tiles, by_voxels, .. } = self;
            let voxels = sink.layout.voxels();
            let mut stage = SinkStage::default();
            sink.fit(&mut stage);
            for tile in tiles.claims() {
                for span in tile.spans() {
                    let by_voxels = by_voxels && sink.takes_voxels(&span);
                    // SAFETY: no other thread.
                    let mut block = unsafe { sink.block::<R, E>(&mut stage, &span, 1, by_voxels) };
                    for vector in 0..VECTORS {
                        let numbers = std::array::from_fn(|class| {
                            let index = (tile.sample * CLASSES + class) * voxels + span.voxel + vector * LANES;
                            let index = |lane: usize| (index + lane).wrapping_sub(span.inside.start);
                            [lanes.load(&std::array::from_fn(|lane| R::from_f64(number(index(lane)))))]
                        });
                        if by_voxels {
                            block.put_voxels::<L, 1, CLASSES, true>(lanes, vector, numbers);
                        } else {
                            block.put_voxels::<L, 1, CLASSES, false>(lanes, vector, numbers);
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

    fn check<R: Real, E: Output>(mode: Mode, interleaved: bool) {
        let (samples, classes) = (2, CLASSES);
        for voxels in [48, 64, 130, 8192 + 77] {
            let shape = [samples, classes, voxels];
            let len = samples * classes * voxels;
            for start in 0..LINE / size_of::<E>() {
                for (range, offset) in [(0..voxels, 0), (17..voxels - 3, 0), (0..voxels, 8192 - 40)] {
                    let levels = Isa::available();
                    for (isa, by_voxels) in levels.flat_map(|isa| [(isa, false), (isa, interleaved)]) {
                        let mut data = vec![E::narrow(R::from_f64(128.0)); len + 80];
                        let (class, voxel) = if interleaved { (1, classes) } else { (voxels, 1) };
                        let strides = [classes * voxels, class, voxel].map(|stride| stride as isize);
                        let mut view = ViewMut::strided(&mut data, &shape, &strides, start).unwrap();
                        let tiles = Tiles::new(samples, range.clone(), offset, 1);
                        let sink = &Sink::new(&mut view, mode);
                        R::dispatch(isa, Count { sink, tiles: &tiles, by_voxels, types: PhantomData::<(R, E)> });
                        for (i, &value) in data.iter().enumerate() {
                            let index = i.wrapping_sub(start);
                            let (sample, rest) = (index / (classes * voxels), index % (classes * voxels));
                            let (class, voxel) = if interleaved {
                                (rest % classes, rest / classes)
                            } else {
                                (rest / voxels, rest % voxels)
                            };
                            let inside = index < len && range.contains(&voxel);
                            let before = if inside && mode != Mode::Accumulate { 0.0 } else { 128.0 };
                            let written = || number((sample * classes + class) * voxels + voxel);
                            let expected = before + if inside { written() } else { 0.0 };
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
            for interleaved in [false, true] {
                check::<f32, f32>(mode, interleaved);
                check::<f32, f16>(mode, interleaved);
                check::<f32, bf16>(mode, interleaved);
                check::<f64, f64>(mode, interleaved);
            }
        }
    }
}
