//! Which voxels of a block count, how much, and which class they belong to.

use dice_core::{CheckedProblem, Error, Labels, Layout, Problem, Target, View, Walk};

use super::{Bad, FirstBad};
use crate::block::{BLOCK, Row};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::tile::Span;

/// What a block is compared with, but for a dense target.
#[derive(Debug)]
pub(crate) struct Voxels<'a> {
    problem: CheckedProblem<'a>,
    /// Absent if the target is dense.
    labels: Option<LabelMap<'a>>,
    mask: Option<(View<'a, u8>, Walk)>,
    weights: Option<(View<'a, f32>, Walk)>,
    /// Whether the problem has no weights.
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
        if self.labels.is_none() && self.mask.is_none() && self.unweighted && span.is_whole() {
            *weights = Row([L::R::ONE; BLOCK]);
            return Counted::ALL;
        }
        lanes.call::<_, 1>(ReadVoxels { voxels: self, channels, weights, span, bad })
    }

    /// The labels of `blocks` whole blocks of bytes from a span on, in which every voxel has weight 1 if its label is allowed.
    /// None if the blocks are not of that kind, or this cannot be told so easily.
    #[inline(always)]
    pub(crate) fn byte_blocks(&self, span: &Span, blocks: usize) -> Option<&'a [[u8; BLOCK]]> {
        let bytes = self.bytes(span, blocks)?;
        (0..blocks).all(|block| bytes.all_count(block, self.ignored)).then_some(bytes.labels)
    }

    /// At most `most` such blocks, up to the first that has a label that is not allowed, or a voxel that does not count.
    #[inline(always)]
    pub(crate) fn plain_blocks<L: Lanes>(&self, lanes: L, span: &Span, most: usize) -> &'a [[u8; BLOCK]] {
        let Some(bytes) = self.bytes(span, most) else { return &[] };
        let mut plain = 0;
        while plain < most
            && !lanes.any_above(lanes.load_block(&bytes.labels[plain]), self.greatest)
            && bytes.all_count(plain, self.ignored)
        {
            plain += 1;
        }
        &bytes.labels[..plain]
    }

    /// Labels and mask of whole blocks from a span on, if they are bytes that lie side by side, and there are no weights.
    #[inline(always)]
    fn bytes(&self, span: &Span, blocks: usize) -> Option<Bytes<'a>> {
        let labels = self.labels.as_ref().filter(|_| self.unweighted)?.blocks(span, blocks)?;
        let mask = match &self.mask {
            Some((mask, walk)) => Some(byte_blocks(mask, walk, span, blocks)?),
            None => None,
        };
        Some(Bytes { labels, mask })
    }

    /// The channels of such a block; false if it is another.
    #[inline(always)]
    fn read_plain<L: Lanes>(&self, lanes: L, channels: &mut Row<i32>, span: &Span) -> bool {
        let [labels] = self.plain_blocks(lanes, span, 1) else { return false };
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

/// Whole blocks of bytes.
struct Bytes<'a> {
    labels: &'a [[u8; BLOCK]],
    mask: Option<&'a [[u8; BLOCK]]>,
}

impl Bytes<'_> {
    /// Whether no voxel of a block is ignored or masked out.
    #[inline(always)]
    fn all_count(&self, block: usize, ignored: Option<u8>) -> bool {
        let holds = |bytes: &[u8; BLOCK], wanted| bytes.iter().fold(false, |found, &byte| found | (byte == wanted));
        !ignored.is_some_and(|ignored| holds(&self.labels[block], ignored))
            && !self.mask.is_some_and(|mask| holds(&mask[block], 0))
    }
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
    fn run<L: Lanes<R = R>, const GROUP: usize>(mut self, _: L) -> Counted {
        let Self { voxels, channels, weights, span, .. } = &mut self;
        let CheckedProblem { problem, allowed, first } = voxels.problem;
        let mut counts = [0; BLOCK];
        counts[span.inside.clone()].fill(1);
        if let Some((mask, walk)) = &voxels.mask {
            read_row(mask.data(), mask.layout(), walk, span, &mut counts, |byte| byte);
        }
        // Of a dense target every voxel belongs to some class.
        let mut labels = [first as i32; BLOCK];
        if let Some(map) = &voxels.labels {
            map.read_classes(span, &mut labels, allowed, problem.ignore_index);
        }
        let mut row = [1.0; BLOCK];
        if let Some((tensor, walk)) = &voxels.weights {
            read_row(tensor.data(), tensor.layout(), walk, span, &mut row, |weight| weight);
        }
        let sample = problem.sample_weights.map_or(1.0, |weights| weights[span.sample]);
        let mut all_good = true;
        for place in 0..BLOCK {
            let (counts, label) = (counts[place] != 0 && labels[place] != LabelMap::IGNORED, labels[place]);
            let product = row[place] * sample;
            let good = (0.0..=Problem::GREATEST_WEIGHT).contains(&row[place])
                & (0.0..=Problem::GREATEST_WEIGHT).contains(&product)
                & (label != LabelMap::NO_CLASS);
            all_good &= good | !counts;
            weights.0[place] = if counts { R::from_f32(product) } else { R::ZERO };
            channels.0[place] = if counts & (product != 0.0) { label - first as i32 } else { -1 };
        }
        if !all_good {
            self.leave_out_bad(&counts, &labels, &row);
        }
        let mut counted = Counted { voxels: 0, uniform: true };
        for weight in &self.weights.0 {
            counted.voxels += usize::from(*weight != R::ZERO);
            counted.uniform &= *weight == R::ONE;
        }
        counted
    }
}

impl<R: Real> ReadVoxels<'_, R> {
    /// Notes the labels and weights that cannot be, of voxels that would count otherwise, and lets these not count.
    #[cold]
    fn leave_out_bad(&mut self, counts: &[u8; BLOCK], labels: &[i32; BLOCK], row: &[f32; BLOCK]) {
        let Self { voxels, channels, weights, span, bad } = self;
        let mut labels_as_they_are = [0; BLOCK];
        if let Some(map) = &voxels.labels {
            map.read(span, &mut labels_as_they_are);
        }
        let grid = voxels.problem.problem.target.layout().voxels();
        for place in span.inside.clone() {
            if counts[place] == 0 || labels[place] == LabelMap::IGNORED {
                continue;
            }
            let found = match voxels.problem.weight(span.sample, row[place]) {
                Err(()) => Bad::Weight(row[place]),
                Ok(weight) if weight != 0.0 && labels[place] == LabelMap::NO_CLASS => {
                    Bad::Label(labels_as_they_are[place])
                }
                Ok(_) => continue,
            };
            // In a tensor without channels.
            bad.note((span.sample * grid + span.voxel + place - span.inside.start) as u64, found);
            (weights.0[place], channels.0[place]) = (R::ZERO, -1);
        }
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

/// The voxels of whole blocks that lie side by side, from a span on.
#[inline(always)]
fn byte_blocks<'a>(view: &View<'a, u8>, walk: &Walk, span: &Span, blocks: usize) -> Option<&'a [[u8; BLOCK]]> {
    (span.is_whole() && walk.uniform_stride() == Some(1)).then(|| {
        let data = &view.data()[view.layout().origin(span.sample, 0) + span.voxel..];
        &data.as_chunks().0[..blocks]
    })
}

/// `$read` with the view `$view` of labels of any type.
macro_rules! with_labels {
    ($labels:expr, $view:ident => $read:expr) => {
        with_labels!(@ $labels, $view => $read, U8, I8, U16, I16, U32, I32, U64, I64)
    };
    (@ $labels:expr, $view:ident => $read:expr, $($kind:ident),*) => {
        match $labels {
            $(Labels::$kind($view) => $read,)*
            Labels::Bool(_) => unreachable!("truth values are read as such"),
            _ => unreachable!("all label types are read"),
        }
    };
}

/// A type of labels.
trait Label: Copy + Default + PartialOrd + TryFrom<i64> {
    /// As it is, or the greatest number if it is greater.
    fn to_i64(self) -> i64;
}

macro_rules! labels {
    ($($label:ty),*) => {
        $(
            impl Label for $label {
                #[inline(always)]
                fn to_i64(self) -> i64 {
                    i64::try_from(self).unwrap_or(i64::MAX)
                }
            }
        )*
    };
}

labels!(u8, i8, u16, i16, u32, i32, u64, i64);

/// See [`LabelMap::read_classes`]. Compares labels in their own type, so that bytes are compared many at a time.
#[inline(always)]
fn read_classes<U: Copy, T: Label>(
    view: &View<'_, U>,
    walk: &Walk,
    span: &Span,
    row: &mut [i32; BLOCK],
    classes: usize,
    ignored: Option<i64>,
    label: impl Fn(U) -> T,
) {
    let ignored = ignored.and_then(|label| T::try_from(label).ok());
    // None if all that the type holds is below.
    let greatest = T::try_from(classes as i64 - 1).ok();
    read_row(view.data(), view.layout(), walk, span, row, |element| {
        let label = label(element);
        let is_class = label >= T::default() && greatest.is_none_or(|greatest| label <= greatest);
        let class = if is_class { label.to_i64() as i32 } else { LabelMap::NO_CLASS };
        if ignored == Some(label) { LabelMap::IGNORED } else { class }
    });
}

/// The number of a truth value.
#[inline(always)]
fn is_true(byte: u8) -> u8 {
    byte.min(1)
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
            Labels::U8(view) => byte_blocks(&view, &self.walk, span, blocks),
            // Truth values that are 0 and 1 are labels as they are.
            Labels::Bool(view) => byte_blocks(&view, &self.walk, span, blocks).filter(
                #[inline(always)]
                |blocks| blocks.as_flattened().iter().fold(true, |all, &byte| all & (byte <= 1)),
            ),
            _ => None,
        }
    }

    /// A label that is left out.
    const IGNORED: i32 = -1;
    /// A label that cannot be.
    const NO_CLASS: i32 = -2;

    /// Reads the labels of a span: that of one of `classes` classes, [`IGNORED`](Self::IGNORED), or
    /// [`NO_CLASS`](Self::NO_CLASS).
    #[inline(always)]
    fn read_classes(&self, span: &Span, row: &mut [i32; BLOCK], classes: usize, ignored: Option<i64>) {
        if let Labels::Bool(view) = &self.labels {
            return read_classes(view, &self.walk, span, row, classes, ignored, is_true);
        }
        with_labels!(&self.labels, view => read_classes(view, &self.walk, span, row, classes, ignored, |label| label));
    }

    /// Reads the labels of a span as they are.
    #[inline(always)]
    pub(crate) fn read(&self, span: &Span, row: &mut [i64; BLOCK]) {
        if let Labels::Bool(view) = &self.labels {
            return read_row(view.data(), view.layout(), &self.walk, span, row, |byte| is_true(byte).into());
        }
        with_labels!(&self.labels, view => read_row(view.data(), view.layout(), &self.walk, span, row, Label::to_i64));
    }
}
