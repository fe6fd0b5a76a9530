//! From what the kernels write, rows or voxels, to any layout.
//!
//! A gradient too large for the caches is written past them, in whole cache lines. Memory that starts amid a line, as that of
//! any allocator does that puts its notes in front, is written from a stage: what is left over of a block waits there for the
//! next.

mod blocks;
mod store;

use std::marker::PhantomData;

use dice_core::{Layout, ViewMut, Walk};

pub(crate) use self::blocks::{SinkBlock, SinkBlocks};
use crate::block::{BLOCK, LINE, Row};
use crate::element::{Elements, Output};
use crate::form::Form;
use crate::keep::fit;
use crate::real::Real;
use crate::tile::Span;

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

// SAFETY: the pointer stands for an exclusive borrow; `Sink::blocks` hands out parts of it, and its callers see to it that no
// two threads hold the same part.
unsafe impl Sync for Sink<'_> {}

/// Room for a block, one per thread.
#[derive(Debug, Default)]
pub(crate) struct SinkStage<R> {
    /// What the kernel writes to where it does not write to the runs, a row per class.
    rows: Vec<Row<R>>,
    /// The rows put together, to be added to what the output holds.
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
struct Line([u8; LINE]);

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
            Elements::Bool(_) | Elements::U8(_) => unreachable!("no gradient is written in integers"),
        }
    };
}
use with_output;

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
        let is_added = self.form == Form::Interleaved && self.mode == Mode::Accumulate;
        let interleaved = if is_added { length } else { 0 };
        let lines = 1 + with_output!(self.elements, data => length * size_of_pointee(data)).div_ceil(LINE);
        let all_lines = if self.mode == Mode::Stream { runs * lines } else { 0 };
        fit(&mut stage.rows, classes, Row::default());
        fit(&mut stage.interleaved, interleaved, R::ZERO);
        fit(&mut stage.runs, all_lines, Line([0; LINE]));
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

    /// Whether the block is written in whole cache lines.
    #[inline(always)]
    fn is_streamed(&self, span: &Span) -> bool {
        self.mode == Mode::Stream && self.form != Form::Scattered && span.is_whole()
    }
}

fn size_of_pointee<E>(_: *mut E) -> usize {
    size_of::<E>()
}

#[cfg(test)]
mod tests {
    use dice_core::half::{bf16, f16};

    use super::*;
    use crate::block::{LANES, VECTORS};
    use crate::dispatch::Dispatch;
    use crate::form::groups;
    use crate::isa::Isa;
    use crate::lanes::{Kernel, Lanes};
    use crate::tile::Tiles;

    /// Writes a number that tells of the voxel and the class.
    struct Count<'a, R, E> {
        sink: &'a Sink<'a>,
        tiles: &'a Tiles,
        by_voxels: bool,
        types: PhantomData<(R, E)>,
    }

    /// Small enough for every type to hold it, and its sum with itself, exactly.
    fn number(index: usize) -> f64 {
        (index % 120 + 1) as f64
    }

    impl<R: Real, E: Output> Count<'_, R, E> {
        /// One vector of each of `N` classes from `first` on.
        #[inline(always)]
        fn vectors<L: Lanes<R = R>, const N: usize>(
            &self,
            lanes: L,
            span: &Span,
            first: usize,
            vector: usize,
        ) -> [L::F; N] {
            let (classes, voxels) = (self.sink.layout.channels(), self.sink.layout.voxels());
            std::array::from_fn(|class| {
                let index = (span.sample * classes + first + class) * voxels + span.voxel + vector * LANES;
                let index = |lane: usize| (index + lane).wrapping_sub(span.inside.start);
                lanes.load(&std::array::from_fn(|lane| R::from_f64(number(index(lane)))))
            })
        }
    }

    impl<R: Real + Output, E: Output> Kernel for Count<'_, R, E> {
        type R = R;
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
            let Self { sink, tiles, by_voxels, .. } = self;
            let classes = sink.layout.channels();
            let mut stage = SinkStage::default();
            sink.fit(&mut stage);
            for tile in tiles.claims() {
                let mut spans = tile.spans();
                while let Some(span) = spans.next() {
                    let blocks = if span.is_whole() { spans.whole_blocks(&span).min(3) } else { 1 };
                    spans.pass(blocks - 1);
                    // SAFETY: no other thread.
                    let mut target =
                        unsafe { sink.blocks::<R, E>(&mut stage, &span, blocks, by_voxels && L::TRANSPOSES) };
                    let interleaved = target.is_interleaved();
                    for block in 0..blocks {
                        let span = &span.later(block);
                        let mut to = target.block(block);
                        for vector in 0..VECTORS {
                            if !interleaved {
                                for class in 0..classes {
                                    let [x] = self.vectors(lanes, span, class, vector);
                                    to.put(lanes, class, vector, x);
                                }
                            } else if classes == 3 {
                                to.put_voxels::<L, 3>(lanes, vector, self.vectors(lanes, span, 0, vector));
                            } else {
                                let [eights, fours] = groups::<L>(classes);
                                for first in eights {
                                    to.put_parts::<L, 8>(
                                        lanes,
                                        first,
                                        vector,
                                        self.vectors(lanes, span, first, vector),
                                    );
                                }
                                for first in fours {
                                    to.put_parts::<L, 4>(
                                        lanes,
                                        first,
                                        vector,
                                        self.vectors(lanes, span, first, vector),
                                    );
                                }
                            }
                        }
                        target.store(lanes, block);
                    }
                }
                // SAFETY: no other thread.
                unsafe { sink.finish(&mut stage) };
            }
            lanes.fence();
        }
    }

    fn check<R: Dispatch + Output, E: Output>(classes: usize, mode: Mode, interleaved: bool) {
        let samples = 2;
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
                for classes in [3, 9] {
                    check::<f32, f32>(classes, mode, interleaved);
                    check::<f32, f16>(classes, mode, interleaved);
                    check::<f32, bf16>(classes, mode, interleaved);
                    check::<f64, f64>(classes, mode, interleaved);
                }
            }
        }
    }
}
