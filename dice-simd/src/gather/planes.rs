//! Rows of numbers from planes of any element type and any strides.

use std::marker::PhantomData;
use std::slice;

use dice_core::half::{bf16, f16};
use dice_core::{Dense, Layout, View, ViewMut, Walk};

use crate::block::{BLOCK, LANES, LINE, Row, VECTORS};
use crate::element::{Bool, Element, Elements, with_pointer};
use crate::form::{Form, deinterleave, take_parts_apart, take_voxels_apart};
use crate::keep::fit;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::tile::Span;

/// Rows that are on their way from memory to the L2 cache at once, more or less: what covers its latency.
const ROWS_AHEAD: usize = 64;
/// So far ahead at least, in blocks: of many planes each row is a page of memory of its own.
const LEAST_BLOCKS_AHEAD: usize = 4;
/// The last blocks of a tile ask for what is another thread's as a rule: not too many of them.
const MOST_BLOCKS_AHEAD: usize = 16;

/// A tensor `[N, C, spatial…]` to read from: the pointer may be that of an output, which an in-place pullback writes to when
/// it has read a voxel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes<'a> {
    elements: Elements,
    layout: Layout,
    walk: Walk,
    form: Form,
    /// See [`Rows`].
    ahead: usize,
    borrowed: PhantomData<&'a [u8]>,
}

// SAFETY: it is read from only, but for what `Sink` says.
unsafe impl Sync for Planes<'_> {}

/// Room for the rows of a block.
#[derive(Debug, Default)]
pub(crate) struct PlaneStage<R> {
    rows: Vec<Row<R>>,
}

impl<R: Element> PlaneStage<R> {
    pub(crate) fn rows(&self) -> Rows<'_, R> {
        Rows::staged(&self.rows, None)
    }
}

/// One row of 64 elements per class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'s, E> {
    first: *const E,
    stride: isize,
    classes: usize,
    /// How many blocks can be read like this one: itself, and those [behind](Self::behind) it.
    blocks: usize,
    /// The numbers of each voxel lie side by side: [`voxels`](Self::voxels), [`take_voxels_apart`](Self::take_voxels_apart)
    /// and [`take_parts_apart`](Self::take_parts_apart) read them, and nothing else does.
    interleaved: bool,
    later: Later<E>,
    borrowed: PhantomData<&'s [E]>,
}

/// Which elements memory is asked for while a block is computed with: as many as a block has, some blocks ahead.
#[derive(Debug, Clone, Copy)]
struct Later<E> {
    first: *const E,
    /// Between one class and the next.
    stride: isize,
}

/// The rows of a prediction, in the element types that a kernel widens itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Logits<'s, R> {
    Real(Rows<'s, R>),
    F16(Rows<'s, f16>),
    Bf16(Rows<'s, bf16>),
}

impl<'s, R> Logits<'s, R> {
    /// Those that were [read as numbers](super::Reading::Numbers).
    #[inline(always)]
    pub(crate) fn numbers(self) -> Rows<'s, R> {
        let Self::Real(rows) = self else { unreachable!("numbers were asked for") };
        rows
    }
}

/// Whether kernels are compiled for halves: others have them as numbers.
pub(crate) const fn widens_halves<L: Lanes>() -> bool {
    L::IS_TUNED && L::R::WIDENS_HALVES
}

/// Calls `$body` with `$rows` bound to the rows of whatever element type kernels are compiled for on `$lanes`.
macro_rules! with_rows {
    ($logits:expr, $lanes:ident, $rows:ident => $body:expr) => {
        match $logits {
            crate::gather::Logits::Real($rows) => $body,
            crate::gather::Logits::F16($rows) if crate::gather::widens_halves::<$lanes>() => $body,
            crate::gather::Logits::Bf16($rows) if crate::gather::widens_halves::<$lanes>() => $body,
            _ => unreachable!("numbers were asked for"),
        }
    };
}
pub(crate) use with_rows;

impl<'s, E: Element> Rows<'s, E> {
    /// The rows of a stage, which came from elements side by side, or from anywhere.
    #[inline(always)]
    fn staged(rows: &'s [Row<E>], later: Option<*const E>) -> Self {
        let (first, classes, stride) = (rows.as_ptr().cast(), rows.len(), BLOCK as isize);
        let later = Later { first: later.unwrap_or(first), stride };
        Self { first, stride, classes, blocks: 1, interleaved: false, later, borrowed: PhantomData }
    }

    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Whether they lie side by side, as in a stage.
    #[inline(always)]
    pub(crate) fn is_contiguous(&self) -> bool {
        self.stride == BLOCK as isize
    }

    #[inline(always)]
    fn at(&self, class: usize, vector: usize) -> *const E {
        assert!(class < self.classes && vector < VECTORS, "inside the block");
        self.first.wrapping_offset(self.stride * class as isize).wrapping_add(vector * LANES)
    }

    /// The same, of so many classes that the compiler knows it.
    #[inline(always)]
    pub(crate) fn of_classes<const CLASSES: usize>(self) -> Self {
        assert!(self.classes == CLASSES, "the bucket is that of the number of classes");
        Self { classes: CLASSES, ..self }
    }

    /// One vector of the row of `class`.
    #[inline(always)]
    pub(crate) fn load<L: Lanes>(&self, lanes: L, class: usize, vector: usize) -> L::F {
        // SAFETY: whoever made the rows vouches for `classes` rows of each block; nobody writes to them meanwhile.
        E::load(lanes, unsafe { &*self.at(class, vector).cast::<[E; LANES]>() })
    }

    #[inline(always)]
    pub(crate) fn is_interleaved(&self) -> bool {
        self.interleaved
    }

    /// The rows of the block that lies `blocks` blocks behind this one.
    #[inline(always)]
    pub(crate) fn behind(&self, blocks: usize) -> Self {
        assert!(blocks < self.blocks, "it can be read");
        let step = blocks * if self.interleaved { BLOCK * self.classes } else { BLOCK };
        let later = Later { first: self.later.first.wrapping_add(step), ..self.later };
        Self { first: self.first.wrapping_add(step), blocks: self.blocks - blocks, later, ..*self }
    }

    /// One vector of each class.
    #[inline(always)]
    pub(crate) fn voxels<L: Lanes, const CLASSES: usize, const INTERLEAVED: bool>(
        &self,
        lanes: L,
        vector: usize,
    ) -> [L::F; CLASSES] {
        let rows = self.of_classes::<CLASSES>();
        let mut x = [lanes.splat(L::R::ZERO); CLASSES];
        for (class, x) in x.iter_mut().enumerate() {
            rows.prefetch(lanes, class, vector);
            let place = vector * CLASSES + class;
            let (row, vector) = if INTERLEAVED { (place / VECTORS, place % VECTORS) } else { (class, vector) };
            *x = rows.load(lanes, row, vector);
        }
        if INTERLEAVED { lanes.apart(x) } else { x }
    }

    /// One vector of each of few interleaved classes.
    #[inline(always)]
    pub(crate) fn take_voxels_apart<L: Lanes, const CLASSES: usize>(&self, lanes: L, vector: usize) -> [L::F; CLASSES] {
        take_voxels_apart(lanes, self.interleaved_from(vector).as_chunks().0.first_chunk().expect("all classes"))
    }

    /// One vector of each of `N` of many interleaved classes, 4 or 8, from class `first` on.
    #[inline(always)]
    pub(crate) fn take_parts_apart<L: Lanes, const N: usize>(
        &self,
        lanes: L,
        first: usize,
        vector: usize,
    ) -> [L::F; N] {
        take_parts_apart(lanes, &self.interleaved_from(vector)[first..], self.classes)
    }

    /// The interleaved numbers of the voxels of one vector and of those behind it.
    #[inline(always)]
    fn interleaved_from(&self, vector: usize) -> &[E] {
        assert!(vector < VECTORS && self.interleaved, "inside the block");
        // SAFETY: whoever made the rows vouches for blocks of voxels with all their classes; nobody writes to them meanwhile.
        let block = unsafe { slice::from_raw_parts(self.first, BLOCK * self.classes) };
        &block[vector * LANES * self.classes..]
    }

    /// Asks for one vector of a later block; called for each vector of a block, it asks for as many as a block has. While a block
    /// is computed with, memory has the time to bring the next ones; the hardware alone loses track of more than a few planes,
    /// at the end of every page, and where the computation between two reads is long. What is far is asked to the L2 cache,
    /// which waits for more lines at once than the L1 cache and in which planes a power of two apart do not evict each other.
    #[inline(always)]
    pub(crate) fn prefetch_later<L: Lanes>(&self, lanes: L, class: usize, vector: usize) {
        Self::each_line(self.later.first, self.later.stride, class, vector, |line| lanes.prefetch_to_l2(line));
    }

    /// As [`prefetch_later`](Self::prefetch_later), and asks for the same vector of the next block, which is in the L2 cache by
    /// now; what lies side by side the hardware itself fetches.
    #[inline(always)]
    pub(crate) fn prefetch<L: Lanes>(&self, lanes: L, class: usize, vector: usize) {
        self.prefetch_later(lanes, class, vector);
        if !self.is_contiguous() {
            let next = self.first.wrapping_add(BLOCK);
            Self::each_line(next, self.stride, class, vector, |line| lanes.prefetch(line));
        }
    }

    /// The cache lines of one vector of the row of `class` of a block; those of halves come with every other vector.
    #[inline(always)]
    fn each_line(first: *const E, stride: isize, class: usize, vector: usize, ask: impl Fn(*const u8)) {
        let bytes = LANES * size_of::<E>();
        if (vector * bytes).is_multiple_of(LINE) {
            let row = first.wrapping_offset(stride * class as isize).wrapping_add(vector * LANES).cast::<u8>();
            for offset in (0..bytes).step_by(LINE) {
                ask(row.wrapping_add(offset));
            }
        }
    }
}

impl<'a> Planes<'a> {
    pub(crate) fn new<E: Element>(view: &View<'a, E>) -> Self {
        Self::of(E::elements(view.data().as_ptr().cast_mut()), *view.layout())
    }

    /// The planes of an output, as they are before a block of them is written.
    pub(crate) fn of_output<E: Element>(view: &'a mut ViewMut<'_, E>) -> Self {
        let layout = *view.layout();
        Self::of(E::elements(view.data_mut().as_mut_ptr()), layout)
    }

    /// The planes of a dense target.
    pub(crate) fn dense(target: &Dense<'a>) -> Self {
        match target {
            Dense::Bool(view) => {
                Self::of(Bool::elements(view.data().as_ptr().cast::<Bool>().cast_mut()), *view.layout())
            }
            Dense::U8(view) => Self::new(view),
            Dense::F16(view) => Self::new(view),
            Dense::Bf16(view) => Self::new(view),
            Dense::F32(view) => Self::new(view),
            Dense::F64(view) => Self::new(view),
            _ => unreachable!("all element types are read"),
        }
    }

    fn of(elements: Elements, layout: Layout) -> Self {
        let walk = layout.walk();
        let form = Form::of(&layout, &walk);
        let ahead = (ROWS_AHEAD / layout.channels().max(1)).clamp(LEAST_BLOCKS_AHEAD, MOST_BLOCKS_AHEAD);
        Self { elements, layout, walk, form, ahead, borrowed: PhantomData }
    }

    /// Makes room for the rows of a block.
    pub(crate) fn fit<R: Real>(&self, stage: &mut PlaneStage<R>) {
        fit(&mut stage.rows, self.layout.channels(), Row::default());
    }

    pub(crate) fn is_interleaved(&self) -> bool {
        self.form == Form::Interleaved
    }

    pub(crate) fn elements(&self) -> Elements {
        self.elements
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The rows of a block, borrowed if they can be, else brought to `stage`. With `weights`, a number whose weight is 0 is
    /// read as 0.
    #[inline(always)]
    pub(crate) fn rows<'s, L: Lanes<R: Element>>(
        &'s self,
        lanes: L,
        stage: &'s mut PlaneStage<L::R>,
        span: &Span,
        weights: Option<&Row<L::R>>,
    ) -> Rows<'s, L::R> {
        if self.form == Form::Planes
            && span.is_whole()
            && weights.is_none()
            && let Some(data) = L::R::borrow(self.elements)
        {
            self.borrow(data, span, 1)
        } else {
            lanes.call::<_, 1>(StageRows { planes: self, stage: &mut *stage, span, weights });
            Rows::staged(&stage.rows, self.later(span))
        }
    }

    /// Where a later block begins whose classes lie side by side.
    #[inline(always)]
    fn later<R: Real>(&self, span: &Span) -> Option<*const R> {
        let classes = self.layout.channels();
        let voxel = self.layout.origin(span.sample, 0) + (span.voxel + self.ahead * BLOCK) * classes;
        (self.form == Form::Interleaved)
            .then(|| with_pointer!(self.elements, data => data.wrapping_add(voxel).cast_const().cast()))
    }

    /// The rows of `blocks` blocks from a whole one on, where they lie, if a kernel can read them there: it may widen halves, and
    /// with `by_voxels` interleaved numbers are left to what [takes them apart](Rows::voxels).
    #[inline(always)]
    pub(crate) fn borrowed<R: Real + Element>(
        &self,
        span: &Span,
        blocks: usize,
        by_voxels: bool,
    ) -> Option<Logits<'_, R>> {
        let readable = self.form == Form::Planes || by_voxels && self.form == Form::Interleaved;
        if !readable || !span.is_whole() {
            return None;
        }
        if let Some(data) = R::borrow(self.elements) {
            return Some(Logits::Real(self.borrow(data, span, blocks)));
        }
        match self.elements {
            Elements::F16(data) if R::WIDENS_HALVES => Some(Logits::F16(self.borrow(data, span, blocks))),
            Elements::Bf16(data) if R::WIDENS_HALVES => Some(Logits::Bf16(self.borrow(data, span, blocks))),
            _ => None,
        }
    }

    /// Whole blocks where they lie.
    #[inline(always)]
    fn borrow<E>(&self, data: *const E, span: &Span, blocks: usize) -> Rows<'_, E> {
        let (stride, step) = self.form.strides(&self.layout);
        let first = data.wrapping_add(self.layout.origin(span.sample, 0) + span.voxel * step);
        let later = Later { first: first.wrapping_add(self.ahead * BLOCK * step), stride };
        let (classes, interleaved) = (self.layout.channels(), self.is_interleaved());
        Rows { first, stride, classes, blocks, interleaved, later, borrowed: PhantomData }
    }
}

/// Brings a block to the stage.
struct StageRows<'s, R> {
    planes: &'s Planes<'s>,
    stage: &'s mut PlaneStage<R>,
    span: &'s Span,
    weights: Option<&'s Row<R>>,
}

impl<R: Real> Kernel for StageRows<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { planes, stage, span, weights } = self;
        with_pointer!(planes.elements, data => planes.read(lanes, data, stage, span));
        if let Some(weights) = weights {
            for row in &mut stage.rows {
                for (number, &weight) in row.0.iter_mut().zip(&weights.0) {
                    *number = if weight == R::ZERO { R::ZERO } else { *number };
                }
            }
        }
    }
}

impl Planes<'_> {
    #[inline(always)]
    fn read<L: Lanes, E: Element>(&self, lanes: L, data: *const E, stage: &mut PlaneStage<L::R>, span: &Span) {
        let origin = self.layout.origin(span.sample, 0);
        let channel_stride = self.layout.channel_stride();
        assert!(stage.rows.len() == self.layout.channels(), "the stage has a row per class");
        let element = |class: usize, offset: isize| {
            data.wrapping_add(origin).wrapping_offset(channel_stride * class as isize + offset)
        };
        match self.form {
            Form::Planes if span.is_whole() => {
                for (class, row) in stage.rows.iter_mut().enumerate() {
                    // SAFETY: voxels and class lie in the view, whose bounds were checked when it was made.
                    unsafe { convert(lanes, element(class, span.voxel as isize), &mut row.0) };
                }
            }
            Form::Interleaved if span.is_whole() => {
                let classes = self.layout.channels();
                let first = data.wrapping_add(origin + span.voxel * classes);
                // SAFETY: as above: the voxels with all their classes lie side by side; nobody writes to them meanwhile.
                deinterleave(lanes, unsafe { slice::from_raw_parts(first, BLOCK * classes) }, &mut stage.rows);
            }
            _ => self.walk.runs(span.voxels(), |voxel, offset, length, stride| {
                let place = span.inside.start + voxel - span.voxel;
                for (class, row) in stage.rows.iter_mut().enumerate() {
                    let first = element(class, offset);
                    let to = &mut row.0[place..place + length];
                    if stride == 1 {
                        // SAFETY: as above.
                        unsafe { convert(lanes, first, to) };
                    } else {
                        // SAFETY: as above.
                        unsafe { convert_each(first, stride, to) };
                    }
                }
            }),
        }
    }
}

/// Reads as many elements as `to` holds, side by side.
///
/// # Safety
/// They can be read.
#[inline(always)]
unsafe fn convert<L: Lanes, E: Element>(lanes: L, from: *const E, to: &mut [L::R]) {
    let (vectors, rest) = to.as_chunks_mut();
    let rest_from = from.wrapping_add(vectors.len() * LANES);
    for (vector, to) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let from = unsafe { &*from.wrapping_add(vector * LANES).cast::<[E; LANES]>() };
        lanes.store(to, E::load(lanes, from));
    }
    // SAFETY: the caller's promise.
    unsafe { convert_each(rest_from, 1, rest) };
}

/// Reads as many elements as `to` holds, `stride` apart.
///
/// # Safety
/// They can be read.
#[inline(always)]
unsafe fn convert_each<R: Real, E: Element>(from: *const E, stride: isize, to: &mut [R]) {
    for (i, to) in to.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *to = unsafe { from.wrapping_offset(stride * i as isize).read() }.widen();
    }
}
