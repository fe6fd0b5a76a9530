//! From any input to the one form that the kernels read.
//!
//! A kernel sees a block: for each class a row of 64 numbers, the class of each voxel or a row of the dense target per class,
//! and weights if not all voxels count alike. Where memory already has that form the rows are borrowed; otherwise they are
//! brought to a stage. Voxels that do not count are 0 there, so that a NaN in them is never computed with.

mod planes;
mod voxels;

use std::slice;

use dice_core::{Activation, CheckedProblem, Error, Target};

use crate::block::{BLOCK, Row, VECTORS};
use crate::element::Element;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::tile::{Span, Spans, Tile};

use planes::PlaneStage;
pub(crate) use planes::{Logits, Planes, Rows, widens_halves, with_rows};
pub(crate) use voxels::{Counted, LabelMap, Voxels, all_within};

/// The most blocks whose labels are looked at together.
pub(crate) const BLOCKS_TOGETHER: usize = 16;
/// The most classes whose labels are bytes.
pub(crate) const BYTE_CLASSES: usize = 256;

/// What a block is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Truth<'s, R> {
    Labels(Channels<'s>),
    /// A row per class.
    Dense(Rows<'s, R>),
}

/// A block as the kernels read it.
#[derive(Debug)]
pub(crate) struct Block<'s, R> {
    /// The number of voxels whose weight is not 0. If there is none, the rest means nothing.
    pub(crate) counted: usize,
    pub(crate) logits: Logits<'s, R>,
    pub(crate) truth: Truth<'s, R>,
    /// Absent if all are 1 and the target is labels.
    pub(crate) weights: Option<&'s Row<R>>,
}

/// In which form a kernel reads the logits of blocks that are labels as bytes of which every voxel counts alike; all others are read
/// as [numbers](Self::Numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Rows where they lie, if they do, of any element type that kernels widen.
    Planes,
    /// That, and voxels whose classes lie side by side, which it [takes apart](Rows::take_voxels_apart).
    Voxels,
    /// Rows of the numbers that are computed with.
    Numbers,
}

impl Reading {
    /// That of kernels on `L` that take voxels `apart`, or do not.
    pub(crate) const fn of<L: Lanes>(apart: bool) -> Self {
        match apart {
            _ if !L::IS_TUNED => Self::Numbers,
            true => Self::Voxels,
            false => Self::Planes,
        }
    }
}

/// One block; or several of which every voxel counts alike, and nothing but the logits is looked at again.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    span: Span,
    /// Of each block; none of a block that must be looked at.
    pub(crate) labels: &'a [[u8; BLOCK]],
}

impl Run<'_> {
    /// The number of blocks.
    pub(crate) fn len(&self) -> usize {
        self.labels.len().max(1)
    }

    /// Where a block lies.
    #[inline(always)]
    pub(crate) fn span(&self, block: usize) -> Span {
        self.span.later(block)
    }
}

/// The channel that each voxel of a block belongs to, −1 for none.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Channels<'s> {
    Row(&'s Row<i32>),
    /// If all are bytes, and every voxel counts alike.
    Bytes(LabelBlocks<'s>),
}

impl<'s> Channels<'s> {
    /// The row; that of bytes is made in `room`.
    #[inline(always)]
    pub(crate) fn row<L: Lanes>(self, lanes: L, room: &'s mut Row<i32>) -> &'s Row<i32> {
        match self {
            Self::Row(row) => row,
            Self::Bytes(blocks) => blocks.get(0).row(lanes, room),
        }
    }
}

/// The labels of a block, and of those behind it whose logits [lie behind](Rows::behind) its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabelBlocks<'s> {
    pub(crate) blocks: &'s [[u8; BLOCK]],
    /// The label of channel 0.
    first: i32,
}

impl<'s> LabelBlocks<'s> {
    #[inline(always)]
    pub(crate) fn get(self, block: usize) -> ByteLabels<'s> {
        ByteLabels { labels: &self.blocks[block], first: self.first }
    }
}

/// The labels of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByteLabels<'s> {
    pub(crate) labels: &'s [u8; BLOCK],
    /// The label of channel 0.
    pub(crate) first: i32,
}

impl ByteLabels<'_> {
    /// Their channels, made in `room`.
    #[inline(always)]
    pub(crate) fn row<L: Lanes>(self, lanes: L, room: &mut Row<i32>) -> &Row<i32> {
        for vector in 0..VECTORS {
            lanes.store_i(room.vector_mut(vector), self.load(lanes, vector));
        }
        room
    }

    /// The channels of one vector.
    #[inline(always)]
    pub(crate) fn load<L: Lanes>(self, lanes: L, vector: usize) -> L::I {
        lanes.load_bytes(&self.labels.as_chunks().0[vector], self.first)
    }
}

/// Room for what must be copied, one per thread.
#[derive(Debug, Default)]
pub(crate) struct Stage<R> {
    logits: PlaneStage<R>,
    /// Of a dense target.
    target: PlaneStage<R>,
    channels: Row<i32>,
    labels: Row<u8>,
    weights: Row<R>,
}

/// The offending element with the least index so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstBad<T>(pub(crate) Option<(u64, T)>);

/// An element that cannot be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bad {
    Label(i64),
    Prediction(i64),
    Weight(f32),
}

impl<R: Element> Stage<R> {
    pub(crate) fn classes(&self) -> usize {
        self.logits.rows().classes().max(self.target.rows().classes())
    }
}

impl<T> Default for FirstBad<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> FirstBad<T> {
    pub(crate) fn note(&mut self, index: u64, element: T) {
        if self.0.as_ref().is_none_or(|(first, _)| index < *first) {
            self.0 = Some((index, element));
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        if let Some((index, element)) = other.0 {
            self.note(index, element);
        }
    }
}

/// The first elements of the prediction and of the dense target that are not finite numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NotFinite {
    logit: FirstBad<f64>,
    target: FirstBad<f64>,
}

impl NotFinite {
    pub(crate) fn merge(&mut self, other: Self) {
        self.logit.merge(other.logit);
        self.target.merge(other.target);
    }

    /// The error that it stands for, if any.
    pub(crate) fn error(self) -> Result<(), Error> {
        match (self.target.0, self.logit.0) {
            (Some((index, value)), _) => Err(Error::NonFiniteTarget { index, value }),
            (None, Some((index, value))) => Err(Error::NonFiniteLogit { index, value }),
            (None, None) => Ok(()),
        }
    }
}

/// A prediction and its target, ready to be read block by block.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    logits: Planes<'a>,
    voxels: Voxels<'a>,
    target: Option<Planes<'a>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(logits: Planes<'a>, problem: CheckedProblem<'a>) -> Self {
        let target = match problem.problem.target {
            Target::Dense(dense) => Some(Planes::dense(&dense)),
            _ => None,
        };
        Self { logits, voxels: Voxels::new(problem), target }
    }

    pub(crate) fn voxels(&self) -> &Voxels<'a> {
        &self.voxels
    }

    pub(crate) fn classes(&self) -> usize {
        self.logits.layout().channels()
    }

    /// Whether the target is labels.
    pub(crate) fn is_labels(&self) -> bool {
        self.target.is_none()
    }

    /// Makes room for what must be copied.
    pub(crate) fn fit<R: Real>(&self, stage: &mut Stage<R>) {
        self.logits.fit(&mut stage.logits);
        if let Some(target) = &self.target {
            target.fit(&mut stage.target);
        }
        (stage.channels, stage.weights) = (Row([-1; BLOCK]), Row([R::ONE; BLOCK]));
    }

    /// The next blocks of a tile that can be looked at together, at most `most` ≥ 1.
    #[inline(always)]
    pub(crate) fn run<L: Lanes>(&self, lanes: L, spans: &mut Spans, most: usize) -> Option<Run<'a>> {
        let span = spans.next()?;
        let labels = self.voxels.plain_blocks(lanes, &span, spans.whole_blocks(&span).min(most));
        spans.pass(labels.len().saturating_sub(1));
        Some(Run { span, labels })
    }

    /// Reads a block of a run, and with it those behind it that can be read like it, see [`LabelBlocks`]. A label or weight that
    /// cannot be is noted, and its voxel does not count.
    #[inline(always)]
    pub(crate) fn block_of<'s, L: Lanes<R: Element>>(
        &'s self,
        lanes: L,
        stage: &'s mut Stage<L::R>,
        run: &Run<'s>,
        block: usize,
        bad: &mut FirstBad<Bad>,
        reading: Reading,
    ) -> Block<'s, L::R> {
        let (span, mut blocks) = (run.span(block), &run.labels[block..]);
        if blocks.is_empty() {
            return self.block(lanes, stage, &span, bad, reading);
        }
        let logits = match self.borrowed(&span, blocks.len(), reading) {
            Some(logits) => logits,
            None => {
                blocks = &blocks[..1];
                Logits::Real(self.logits.rows(lanes, &mut stage.logits, &span, None))
            }
        };
        let truth = Truth::Labels(Channels::Bytes(LabelBlocks { blocks, first: self.first() }));
        Block { counted: BLOCK, logits, truth, weights: None }
    }

    /// The rows of blocks from a whole one on where they lie, if they can be read there.
    #[inline(always)]
    fn borrowed<R: Real + Element>(&self, span: &Span, blocks: usize, reading: Reading) -> Option<Logits<'_, R>> {
        match reading {
            Reading::Numbers => {
                self.logits.borrowed(span, blocks, false).filter(|logits| matches!(logits, Logits::Real(_)))
            }
            _ => self.logits.borrowed(span, blocks, reading == Reading::Voxels),
        }
    }

    /// The label of channel 0.
    pub(crate) fn first(&self) -> i32 {
        self.voxels.problem().first as i32
    }

    /// Reads a block. A label or weight that cannot be is noted, and its voxel does not count.
    #[inline(always)]
    pub(crate) fn block<'s, L: Lanes<R: Element>>(
        &'s self,
        lanes: L,
        stage: &'s mut Stage<L::R>,
        span: &Span,
        bad: &mut FirstBad<Bad>,
        reading: Reading,
    ) -> Block<'s, L::R> {
        let Stage { logits, target, channels, labels, weights } = stage;
        let Counted { voxels: counted, uniform } = self.voxels.read(lanes, channels, weights, span, bad);
        let weights = &*weights;
        if counted == 0 {
            let (logits, truth) = (Logits::Real(logits.rows()), Truth::Labels(Channels::Row(channels)));
            return Block { counted, logits, truth, weights: Some(weights) };
        }
        let zeros = (counted < BLOCK).then_some(weights);
        let is_plain = uniform && self.target.is_none() && self.voxels.problem().allowed <= BYTE_CLASSES;
        // A block that is read alone is never taken apart by a kernel.
        let reading = if is_plain && reading != Reading::Numbers { Reading::Planes } else { Reading::Numbers };
        let logits = match self.borrowed(span, 1, reading) {
            Some(borrowed) if zeros.is_none() => borrowed,
            _ => Logits::Real(self.logits.rows(lanes, logits, span, zeros)),
        };
        let (truth, weighted) = match &self.target {
            Some(planes) => (Truth::Dense(planes.rows(lanes, target, span, zeros)), true),
            None if is_plain => {
                let first = self.first();
                for (label, &channel) in labels.0.iter_mut().zip(&channels.0) {
                    *label = (channel + first) as u8;
                }
                let blocks = slice::from_ref(&labels.0);
                (Truth::Labels(Channels::Bytes(LabelBlocks { blocks, first })), false)
            }
            None => (Truth::Labels(Channels::Row(channels)), !uniform),
        };
        Block { counted, logits, truth, weights: weighted.then_some(weights) }
    }

    /// Looks for the numbers of a tile, at their places in the order `[N, C, spatial…]`, that make a sum that is not finite,
    /// see [`NonFinite`](dice_core::NonFinite).
    #[inline(always)]
    pub(crate) fn find_not_finite<L: Lanes<R: Element>>(
        &self,
        lanes: L,
        tile: &Tile,
        activation: Activation,
    ) -> NotFinite {
        lanes.call::<_, 1>(FindNotFinite { source: self, tile, activation, real: std::marker::PhantomData })
    }
}

/// See [`Source::find_not_finite`].
struct FindNotFinite<'s, R> {
    source: &'s Source<'s>,
    tile: &'s Tile,
    activation: Activation,
    real: std::marker::PhantomData<R>,
}

#[inline(always)]
fn copy<L: Lanes, E: Element>(lanes: L, from: Rows<'_, E>, to: &mut [Row<L::R>]) {
    for (class, row) in to.iter_mut().enumerate() {
        (0..VECTORS).for_each(|j| lanes.store(row.vector_mut(j), from.load(lanes, class, j)));
    }
}

impl<R: Real + Element> Kernel for FindNotFinite<'_, R> {
    type R = R;
    type Output = NotFinite;

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) -> NotFinite {
        let Self { source, tile, activation, .. } = self;
        let (classes, grid) = (source.classes(), source.logits.layout().voxels());
        let mut stage = Stage::default();
        source.fit(&mut stage);
        let mut logits = vec![Row([R::ZERO; BLOCK]); classes];
        let mut found = NotFinite::default();
        for span in tile.spans() {
            let block = source.block(lanes, &mut stage, &span, &mut FirstBad::default(), Reading::Numbers);
            if block.counted == 0 {
                continue;
            }
            copy(lanes, block.logits.numbers(), &mut logits);
            // What does not count was read as 0.
            for place in span.inside.clone() {
                let voxel = span.voxel + place - span.inside.start;
                let index = |class: usize| ((span.sample * classes + class) * grid + voxel) as u64;
                let lost = logits.iter().all(|row| row.0[place] == R::NEG_INFINITY);
                for (class, row) in logits.iter().enumerate() {
                    let z = row.0[place].to_f64();
                    let bad = match activation {
                        Activation::Softmax => lost || z.is_nan() || z == f64::INFINITY,
                        Activation::Sigmoid => z.is_nan(),
                        Activation::None => !z.is_finite(),
                    };
                    if bad {
                        found.logit.note(index(class), z);
                    }
                }
            }
            if let Truth::Dense(target) = &block.truth {
                copy(lanes, *target, &mut logits);
                for place in span.inside.clone() {
                    let voxel = span.voxel + place - span.inside.start;
                    for (class, row) in logits.iter().enumerate() {
                        let g = row.0[place].to_f64();
                        if !g.is_finite() {
                            found.target.note(((span.sample * classes + class) * grid + voxel) as u64, g);
                        }
                    }
                }
            }
        }
        found
    }
}
