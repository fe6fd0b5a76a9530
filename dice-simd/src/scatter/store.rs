//! From the stage to memory.

use std::slice;

use super::{Mode, Sink, SinkStage, with_output};
use crate::block::{BLOCK, LANES, LINE};
use crate::element::{Elements, Output};
use crate::form::{Form, interleave};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::tile::Span;

/// See [`SinkBlocks::store`].
pub(super) struct Store<'s, R> {
    pub(super) sink: &'s Sink<'s>,
    pub(super) stage: &'s mut SinkStage<R>,
    pub(super) span: &'s Span,
    /// Whether the kernel has written to the runs of the stage and not to its rows.
    pub(super) in_runs: bool,
}

impl<R: Real + Output> Kernel for Store<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { sink, stage, span, in_runs } = self;
        with_output!(sink.elements, data => {
            if sink.is_streamed(span) {
                // All runs before the first line: a line just written in parts could not be read at once.
                if !in_runs {
                    sink.fill_runs(lanes, data, stage);
                }
                // SAFETY: the promise of the caller of `Sink::blocks`.
                unsafe { sink.store_lines(lanes, data, stage, span) };
            } else {
                // SAFETY: as above.
                unsafe { sink.finish(stage) };
                // SAFETY: as above.
                unsafe { sink.store_block(lanes, data, stage, span) };
            }
        });
    }
}

impl Sink<'_> {
    /// Writes what still waits.
    ///
    /// # Safety
    /// As [`blocks`](Self::blocks), for the blocks since the last call.
    #[inline(always)]
    pub(crate) unsafe fn finish<R: Real>(&self, stage: &mut SinkStage<R>) {
        if let Some((sample, voxel)) = stage.waiting.take() {
            // SAFETY: the caller's promise.
            with_output!(self.elements, data => unsafe { self.store_rest(data, stage, sample, voxel) });
        }
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

    /// Brings the rows of a whole block to its runs.
    #[inline(always)]
    fn fill_runs<L: Lanes, E: Output>(&self, lanes: L, _: *mut E, stage: &mut SinkStage<L::R>) {
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
    /// As [`blocks`](Self::blocks), for a block that [is streamed](Self::is_streamed).
    #[inline(always)]
    unsafe fn store_lines<L: Lanes, E: Output>(
        &self,
        lanes: L,
        data: *mut E,
        stage: &mut SinkStage<L::R>,
        span: &Span,
    ) {
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
                    // SAFETY: the run has a line there.
                    let line = unsafe { &*from.wrapping_add(start).cast() };
                    let to = to.wrapping_sub(behind).wrapping_add(start);
                    // SAFETY: a whole line of elements that are the caller's, of this block or waiting.
                    unsafe { lanes.stream_line(to.cast(), line) };
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
    /// As [`blocks`](Self::blocks).
    #[inline(always)]
    unsafe fn store_block<L: Lanes<R: Output>, E: Output>(
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
            x = lanes.canonical(lanes.add(E::load(lanes, to), x));
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
        unsafe { to.write(E::narrow(if add { (old + x).canonical() } else { x })) };
    }
}
