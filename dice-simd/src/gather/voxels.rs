//! Which voxels of a block count, how much, and which class they belong to.

use dice_core::{CheckedProblem, Error, Labels, Layout, Problem, Target, View, Walk};

use super::{Bad, FirstBad};
use crate::dispatch::Kernel;
use crate::kernel::Row;
use crate::lanes::Lanes;
use crate::real::Real;
use crate::tile::{BLOCK, Span};

/// What a block is compared with, but for a dense target.
#[derive(Debug)]
pub(crate) struct Voxels<'a> {
    problem: CheckedProblem<'a>,
    /// Absent if the target is dense.
    labels: Option<LabelMap<'a>>,
    mask: Option<(View<'a, u8>, Walk)>,
    weights: Option<(View<'a, f32>, Walk)>,
    /// Whether the problem has neither mask nor weights.
    unweighted: bool,
    /// The greatest byte that is an allowed label.
    greatest: u8,
    /// The byte that is the ignored label, if it would be allowed.
    ignored: Option<u8>,
}

/// How many voxels of a block count, and whether all of them do alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) voxels: usize,
    /// Every voxel of the block has weight 1.
    pub(crate) uniform: bool,
}

impl Counted {
    const ALL: Self = Self { voxels: BLOCK, uniform: true };
}

impl<'a> Voxels<'a> {
    pub(crate) fn new(problem: CheckedProblem<'a>) -> Self {
        let Problem { target, mask, voxel_weights, ignore_index, .. } = problem.problem;
        let labels = match target {
            Target::Labels(labels) => Some(LabelMap::new(labels)),
            _ => None,
        };
        let mask = mask.map(|mask| (mask, mask.layout().walk()));
        let weights = voxel_weights.map(|weights| (weights, weights.layout().walk()));
        let greatest = u8::try_from(problem.allowed.saturating_sub(1)).unwrap_or(u8::MAX);
        let ignored = ignore_index.and_then(|label| u8::try_from(label).ok()).filter(|&label| label <= greatest);
        Self { problem, labels, mask, weights, unweighted: problem.is_unweighted(), greatest, ignored }
    }

    pub(crate) fn problem(&self) -> &CheckedProblem<'a> {
        &self.problem
    }

    /// The error that `bad` stands for, if any.
    pub(crate) fn error(&self, bad: FirstBad<Bad>) -> Result<(), Error> {
        let classes = self.problem.allowed;
        Err(match bad.0 {
            None => return Ok(()),
            Some((index, Bad::Label(label))) => Error::LabelOutOfRange { index, label, classes },
            Some((index, Bad::Prediction(label))) => Error::PredictionOutOfRange { index, label, classes },
            Some((index, Bad::Weight(value))) => Error::Weight { what: "voxel weights", index, value: value.into() },
        })
    }

    /// Reads the channel of each voxel of a block, −1 for none, if the target is labels, and the weights, unless all voxels
    /// count alike. A label or weight that cannot be is noted, and its voxel does not count.
    #[inline(always)]
    pub(crate) fn read<L: Lanes>(
        &self,
        lanes: L,
        channels: &mut Row<i32>,
        weights: &mut Row<L::R>,
        span: &Span,
        bad: &mut FirstBad<Bad>,
    ) -> Counted {
        if self.read_plain(lanes, channels, span) {
            return Counted::ALL;
        }
        if self.labels.is_none() && span.is_whole() && self.unweighted {
            *weights = Row([L::R::ONE; BLOCK]);
            return Counted::ALL;
        }
        lanes.call::<_, 1>(ReadVoxels { voxels: self, channels, weights, span, bad })
    }

    /// The labels of `blocks` whole blocks of bytes from a span on, in which every voxel has weight 1 if its label is allowed.
    /// None if the blocks are not of that kind, or this cannot be told so easily.
    #[inline(always)]
    pub(crate) fn byte_blocks(&self, span: &Span, blocks: usize) -> Option<&'a [[u8; BLOCK]]> {
        let labels = self.labels.as_ref().filter(|_| self.unweighted)?.blocks(span, blocks)?;
        let counted = self.ignored.is_none_or(|ignored| !labels.as_flattened().contains(&ignored));
        counted.then_some(labels)
    }

    /// Such blocks of which every label is allowed, told at the speed of memory.
    #[inline(always)]
    pub(crate) fn plain_blocks<L: Lanes>(&self, lanes: L, span: &Span, blocks: usize) -> Option<&'a [[u8; BLOCK]]> {
        self.byte_blocks(span, blocks).filter(|labels| all_within(lanes, labels, self.greatest))
    }

    /// The channels of such a block; false if it is another.
    #[inline(always)]
    fn read_plain<L: Lanes>(&self, lanes: L, channels: &mut Row<i32>, span: &Span) -> bool {
        let Some([labels]) = self.plain_blocks(lanes, span, 1) else { return false };
        for (vector, labels) in labels.as_chunks().0.iter().enumerate() {
            lanes.store_i(channels.vector_mut(vector), lanes.load_bytes(labels, self.problem.first as i32));
        }
        true
    }
}

/// Whether no label is greater than `greatest`.
#[inline(always)]
pub(crate) fn all_within<L: Lanes>(lanes: L, labels: &[[u8; BLOCK]], greatest: u8) -> bool {
    let none = lanes.load_block(&[0; BLOCK]);
    let highest = labels.iter().fold(none, |highest, block| lanes.max_bytes(highest, lanes.load_block(block)));
    !lanes.any_above(highest, greatest)
}

/// Any block: see [`Voxels::read`].
struct ReadVoxels<'s, R> {
    voxels: &'s Voxels<'s>,
    channels: &'s mut Row<i32>,
    weights: &'s mut Row<R>,
    span: &'s Span,
    bad: &'s mut FirstBad<Bad>,
}

impl<R: Real> Kernel for ReadVoxels<'_, R> {
    type R = R;
    type Output = Counted;

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, _: L) -> Counted {
        let Self { voxels, channels, weights, span, bad } = self;
        let CheckedProblem { problem, allowed, first } = voxels.problem;
        // What counts so far, and the index of a place's voxel in a tensor without channels.
        let mut counts = [false; BLOCK];
        counts[span.inside.clone()].fill(true);
        let grid = problem.target.layout().voxels();
        let index = |place: usize| (span.sample * grid + span.voxel + place - span.inside.start) as u64;

        if let Some((mask, walk)) = &voxels.mask {
            let mut row = [0; BLOCK];
            read_row(mask.data(), mask.layout(), walk, span, &mut row, |byte| byte);
            for (counts, byte) in counts.iter_mut().zip(row) {
                *counts &= byte != 0;
            }
        }
        let mut labels = [0_i64; BLOCK];
        if let Some(map) = &voxels.labels {
            map.read(span, &mut labels);
            if let Some(ignored) = problem.ignore_index {
                for (counts, label) in counts.iter_mut().zip(labels) {
                    *counts &= label != ignored;
                }
            }
        }
        let mut row = [1.0; BLOCK];
        if let Some((tensor, walk)) = &voxels.weights {
            read_row(tensor.data(), tensor.layout(), walk, span, &mut row, |weight| weight);
        }
        let sample = problem.sample_weights.map_or(1.0, |weights| weights[span.sample]);
        let mut all_good = true;
        for place in 0..BLOCK {
            let product = row[place] * sample;
            let good = (0.0..=Problem::GREATEST_WEIGHT).contains(&row[place])
                & (0.0..=Problem::GREATEST_WEIGHT).contains(&product)
                & ((labels[place] as u64) < allowed as u64);
            all_good &= good | !counts[place];
            weights.0[place] = if counts[place] { R::from_f32(product) } else { R::ZERO };
        }
        if !all_good {
            for place in 0..BLOCK {
                if !counts[place] {
                    continue;
                }
                let label_counts = match voxels.problem.weight(span.sample, row[place]) {
                    Ok(weight) => weight != 0.0,
                    Err(()) => {
                        bad.note(index(place), Bad::Weight(row[place]));
                        weights.0[place] = R::ZERO;
                        continue;
                    }
                };
                if label_counts && labels[place] as u64 >= allowed as u64 {
                    bad.note(index(place), Bad::Label(labels[place]));
                    weights.0[place] = R::ZERO;
                }
            }
        }
        let mut counted = Counted { voxels: 0, uniform: true };
        for place in 0..BLOCK {
            let none = weights.0[place] == R::ZERO;
            counted.voxels += usize::from(!none);
            counted.uniform &= weights.0[place] == R::ONE;
            channels.0[place] = if none { -1 } else { (labels[place] - first) as i32 };
        }
        counted
    }
}

/// Reads the voxels of a span from channel 0 of a tensor.
#[inline(always)]
fn read_row<T: Copy, U>(
    data: &[T],
    layout: &Layout,
    walk: &Walk,
    span: &Span,
    row: &mut [U; BLOCK],
    convert: impl Fn(T) -> U,
) {
    let origin = layout.origin(span.sample, 0);
    if span.is_whole() && walk.uniform_stride() == Some(1) {
        let from: &[T; BLOCK] = data[origin + span.voxel..].first_chunk().expect("the view holds the block");
        for (to, &from) in row.iter_mut().zip(from) {
            *to = convert(from);
        }
        return;
    }
    walk.runs(span.voxels(), |voxel, offset, length, stride| {
        let place = span.inside.start + voxel - span.voxel;
        let first = origin.wrapping_add_signed(offset);
        for (i, to) in row[place..place + length].iter_mut().enumerate() {
            *to = convert(data[first.wrapping_add_signed(stride * i as isize)]);
        }
    });
}

/// A map of labels of any type and strides.
#[derive(Debug)]
pub(crate) struct LabelMap<'a> {
    labels: Labels<'a>,
    walk: Walk,
}

impl<'a> LabelMap<'a> {
    pub(crate) fn new(labels: Labels<'a>) -> Self {
        Self { labels, walk: labels.layout().walk() }
    }

    /// The voxels of a sample.
    pub(crate) fn voxels(&self) -> usize {
        self.labels.layout().voxels()
    }

    /// The labels of whole blocks of bytes that lie side by side, from a span on.
    #[inline(always)]
    pub(crate) fn blocks(&self, span: &Span, blocks: usize) -> Option<&'a [[u8; BLOCK]]> {
        match self.labels {
            Labels::U8(view) if span.is_whole() && self.walk.uniform_stride() == Some(1) => {
                let data = &view.data()[view.layout().origin(span.sample, 0) + span.voxel..];
                Some(&data.as_chunks().0[..blocks])
            }
            _ => None,
        }
    }

    /// Reads the labels of a span.
    #[inline(always)]
    pub(crate) fn read(&self, span: &Span, row: &mut [i64; BLOCK]) {
        let (layout, walk) = (self.labels.layout(), &self.walk);
        match &self.labels {
            Labels::U8(view) => read_row(view.data(), layout, walk, span, row, i64::from),
            Labels::I8(view) => read_row(view.data(), layout, walk, span, row, i64::from),
            Labels::U16(view) => read_row(view.data(), layout, walk, span, row, i64::from),
            Labels::I16(view) => read_row(view.data(), layout, walk, span, row, i64::from),
            Labels::I32(view) => read_row(view.data(), layout, walk, span, row, i64::from),
            Labels::I64(view) => read_row(view.data(), layout, walk, span, row, |label| label),
            _ => unreachable!("all label types are read"),
        }
    }
}
