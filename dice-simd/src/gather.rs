//! From any layout to the one form that the kernels read.
//!
//! A kernel sees a block: for each class a row of 64 consecutive logits, the channel of each voxel as i32, and weights if
//! some of the voxels do not count. Where memory already has that form the rows are borrowed; otherwise they are copied to a
//! stage, and voxels that do not count get logit 0 there, so that a NaN in them is never computed with.

use std::ops::Range;

use dice_core::{Activation, CheckedProblem, Labels, View, Walk};

use crate::kernel::Row;
use crate::lanes::LANES;
use crate::tile::{BLOCK, Tile};

/// The logits of a block: row c is `data[c · stride..][..64]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
}

impl Rows<'_> {
    /// One vector of the row of `class`.
    #[inline(always)]
    pub(crate) fn vector(&self, class: usize, vector: usize) -> &[f32; LANES] {
        let start = class * self.stride + vector * LANES;
        self.data[start..].first_chunk().expect("a block has four vectors")
    }
}

/// A block as the kernels read it.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) logits: Rows<'a>,
    /// The channel that each voxel belongs to, −1 for none.
    pub(crate) channels: &'a Row<i32>,
    /// 1 for a voxel that counts, 0 for one that does not; absent if all count.
    pub(crate) weights: Option<&'a Row>,
    /// The number of voxels that count.
    pub(crate) valid: usize,
}

/// Room for what must be copied, one per thread.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Row after row.
    logits: Vec<f32>,
    channels: Row<i32>,
    weights: Row,
}

impl Stage {
    pub(crate) fn new(classes: usize) -> Self {
        Self { logits: vec![0.0; classes * BLOCK], channels: Row([-1; BLOCK]), weights: Row([0.0; BLOCK]) }
    }
}

/// The offending element with the least index so far: a label, or a logit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstBad<T>(pub(crate) Option<(u64, T)>);

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

/// A prediction and its target, ready to be read block by block.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    view: View<'a, f32>,
    walk: Walk,
    /// Voxels lie side by side and channels in ascending order: rows can be borrowed.
    unit: bool,
    problem: CheckedProblem<'a>,
    label_walk: Walk,
    labels_unit: bool,
}

impl<'a> Source<'a> {
    pub(crate) fn new(view: View<'a, f32>, problem: CheckedProblem<'a>) -> Self {
        let walk = view.layout().walk();
        let label_walk = problem.labels.layout().walk();
        Self {
            view,
            walk,
            unit: walk.uniform_stride() == Some(1) && view.layout().channel_stride() >= 0,
            problem,
            label_walk,
            labels_unit: label_walk.uniform_stride() == Some(1),
        }
    }

    pub(crate) fn view(&self) -> &View<'a, f32> {
        &self.view
    }

    pub(crate) fn problem(&self) -> &CheckedProblem<'a> {
        &self.problem
    }

    /// Reads the block of `sample` that starts at voxel `first`, of which the voxels `inside` are asked for.
    #[inline(always)]
    pub(crate) fn block<'s>(
        &'s self,
        stage: &'s mut Stage,
        sample: usize,
        first: usize,
        inside: Range<usize>,
        bad: &mut FirstBad<i64>,
    ) -> Block<'s> {
        let valid = self.labels(stage, sample, first, inside.clone(), bad);
        let Stage { logits, channels, weights } = stage;
        let weights = (valid < BLOCK).then_some(&*weights);
        let rows = if self.unit && valid == BLOCK {
            let origin = self.view.layout().origin(sample, 0) + first;
            Rows { data: &self.view.data()[origin..], stride: self.view.layout().channel_stride() as usize }
        } else {
            self.stage_logits(logits, sample, first, inside, weights);
            Rows { data: logits, stride: BLOCK }
        };
        Block { logits: rows, channels, weights, valid }
    }

    /// Reads the target of a block alone; returns how many of its voxels count.
    #[inline(always)]
    pub(crate) fn labels(
        &self,
        stage: &mut Stage,
        sample: usize,
        first: usize,
        inside: Range<usize>,
        bad: &mut FirstBad<i64>,
    ) -> usize {
        let Stage { channels, weights, .. } = stage;
        if self.read_plain_labels(channels, sample, first, inside.len() == BLOCK) {
            BLOCK
        } else {
            self.read_labels(channels, weights, sample, first, inside, bad)
        }
    }

    /// The channels of a block in which every voxel is asked for and has an allowed label that is not ignored, at the speed
    /// of memory. False if the block is not of that kind, or this cannot be told so easily.
    #[inline(always)]
    fn read_plain_labels(&self, channels: &mut Row<i32>, sample: usize, first: usize, whole: bool) -> bool {
        let Labels::U8(view) = self.problem.labels else { return false };
        if !(whole && self.labels_unit) {
            return false;
        }
        let origin = view.layout().origin(sample, 0) + first;
        let labels: &[u8; BLOCK] = view.data()[origin..].first_chunk().expect("the view holds the block");
        let ignored = self.problem.ignore_index.and_then(|label| u8::try_from(label).ok());
        let mut greatest = 0;
        let mut any_ignored = false;
        for &label in labels {
            greatest = label.max(greatest);
            any_ignored |= Some(label) == ignored;
        }
        if usize::from(greatest) >= self.problem.allowed || any_ignored {
            return false;
        }
        let offset = self.problem.first as i32;
        for (channel, &label) in channels.0.iter_mut().zip(labels) {
            *channel = i32::from(label) - offset;
        }
        true
    }

    /// The channels and weights of any block, voxel by voxel; returns how many of its voxels count. A label that is neither a
    /// class nor ignored is noted, and does not count.
    #[cold]
    #[inline(never)]
    fn read_labels(
        &self,
        channels: &mut Row<i32>,
        weights: &mut Row,
        sample: usize,
        first: usize,
        inside: Range<usize>,
        bad: &mut FirstBad<i64>,
    ) -> usize {
        *channels = Row([-1; BLOCK]);
        *weights = Row([0.0; BLOCK]);
        let labels = &self.problem.labels;
        let origin = labels.layout().origin(sample, 0);
        let voxels = labels.layout().voxels();
        let mut valid = 0;
        self.label_walk.runs(first + inside.start..first + inside.end, |voxel, offset, length, stride| {
            for i in 0..length {
                let label = labels.at(origin.wrapping_add_signed(offset + stride * i as isize));
                match self.problem.channel(label) {
                    Ok(Some(channel)) => {
                        channels.0[voxel + i - first] = channel;
                        weights.0[voxel + i - first] = 1.0;
                        valid += 1;
                    }
                    Ok(None) => {}
                    Err(()) => bad.note((sample * voxels + voxel + i) as u64, label),
                }
            }
        });
        valid
    }

    /// Copies the logits of a block, 0 where a voxel does not count.
    #[inline(always)]
    fn stage_logits(&self, rows: &mut [f32], sample: usize, first: usize, inside: Range<usize>, weights: Option<&Row>) {
        let layout = self.view.layout();
        let data = self.view.data();
        let origin = layout.origin(sample, 0);
        let channel_stride = layout.channel_stride();
        self.walk.runs(first + inside.start..first + inside.end, |voxel, offset, length, stride| {
            let start = voxel - first;
            for (class, row) in rows.chunks_exact_mut(BLOCK).enumerate() {
                let base = origin.wrapping_add_signed(offset + channel_stride * class as isize);
                for (i, to) in row[start..start + length].iter_mut().enumerate() {
                    *to = data[base.wrapping_add_signed(stride * i as isize)];
                }
            }
        });
        if let Some(weights) = weights {
            for row in rows.chunks_exact_mut(BLOCK) {
                for (logit, &weight) in row.iter_mut().zip(&weights.0) {
                    *logit = if weight == 0.0 { 0.0 } else { *logit };
                }
            }
        }
    }

    /// Notes the logits of a tile, at their places in the order `[N, C, spatial…]`, that have no probability, see
    /// [`NonFinite`](dice_core::NonFinite).
    #[cold]
    #[inline(never)]
    pub(crate) fn note_non_finite(&self, tile: &Tile, activation: Activation, bad_logit: &mut FirstBad<f32>) {
        let layout = self.view.layout();
        let (voxels, classes) = (layout.voxels(), layout.channels());
        let mut stage = Stage::new(classes);
        for (first, inside) in tile.blocks() {
            let block = self.block(&mut stage, tile.sample, first, inside, &mut FirstBad::default());
            for voxel in 0..BLOCK {
                let logit = |class| block.logits.vector(class, voxel / LANES)[voxel % LANES];
                let lost = (0..classes).all(|class| logit(class) == f32::NEG_INFINITY);
                for class in 0..classes {
                    let z = logit(class);
                    let bad = match activation {
                        Activation::Softmax => lost || z.is_nan() || z == f32::INFINITY,
                        Activation::Sigmoid => z.is_nan(),
                        Activation::None => !z.is_finite(),
                    };
                    if bad {
                        bad_logit.note(((tile.sample * classes + class) * voxels + first + voxel) as u64, z);
                    }
                }
            }
        }
    }
}
