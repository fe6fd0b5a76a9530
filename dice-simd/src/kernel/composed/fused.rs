//! Runs of plain blocks under a softmax of which overlap and cross-entropy are asked: what most networks are trained with.
//!
//! The bits are those of the kernels that take one group of sums after the other. Here they share the loops over the classes:
//! the logit of the true class is kept while the exponentials are computed.

use dice_core::{Activation, Sum, Sums};

use super::logarithms::LogSlope;
use super::part::PartRows;
use super::plan::Part;
use super::probabilities::ProbabilitySlope;
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::{Element, Output};
use crate::gather::{LabelBlocks, Rows};
use crate::kernel::activate::prepare;
use crate::kernel::exp::exp;
use crate::kernel::ln::ln;
use crate::kernel::sums::LaneSum;
use crate::kernel::truth::{Labels, Truth};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::scatter::SinkBlocks;

const OVERLAP: Sums = Sums::NONE.with(Sum::Prediction).with(Sum::Intersection);
const FUSED: Sums = OVERLAP.with(Sum::LogInside);

/// Whether the blocks of labels of a request whose only part is this one can be taken here.
pub(super) fn is_fused<R: Real>(part: &Part<'_, R>) -> bool {
    let plain = part.exponents.powers.iter().all(|(exponent, _)| *exponent == R::ZERO);
    part.activation == Activation::Softmax
        && FUSED.contains_all(part.sums)
        && part.sums.contains(Sum::LogInside)
        && (part.sums.and(OVERLAP).is_empty() || part.sums.contains_all(OVERLAP))
        && plain
        && part.exponents.powers.len() == 1
}

/// Runs `$kernel::<CLASSES>` [apart](super::apart::apart) for the class bucket.
macro_rules! for_classes {
    ($lanes:expr, $l:ident, $group:ident, $classes:expr, $kernel:ident { $($field:ident),* }) => {
        match $classes {
            2 if <$l::R as Real>::HAS_CLASS_BUCKETS => {
                apart::<_, _, $group>($lanes, $kernel::<_, 2> { $($field),* })
            }
            4 if <$l::R as Real>::HAS_CLASS_BUCKETS => {
                apart::<_, _, $group>($lanes, $kernel::<_, 4> { $($field),* })
            }
            _ => apart::<_, _, $group>($lanes, $kernel::<_, 0> { $($field),* }),
        }
    };
}
pub(super) use for_classes;

/// Computes e and r of a block, and −ln p of the class of each voxel.
#[inline(always)]
fn activate<L: Lanes, const GROUP: usize, const CLASSES: usize>(
    lanes: L,
    logits: Rows<'_, L::R>,
    channels: &Row<i32>,
    e: &mut [Row<L::R>],
    r: &mut Row<L::R>,
    of_labels: Option<&mut Row<L::R>>,
) where
    L::R: Element,
{
    let zero = lanes.splat(L::R::ZERO);
    let mut max = Row([L::R::ZERO; BLOCK]);
    prepare::<L, L::R, CLASSES>(lanes, logits, e, &mut max);
    let staged = CLASSES == 0;
    let mut logarithms = of_labels;
    for first in (0..VECTORS).step_by(GROUP) {
        let (mut greatest, mut sum, mut of_label) = ([zero; GROUP], [zero; GROUP], [zero; GROUP]);
        for j in 0..GROUP {
            greatest[j] = lanes.load(max.vector(first + j));
        }
        for (class, row) in e.iter_mut().enumerate() {
            let mut d = greatest;
            for j in 0..GROUP {
                logits.prefetch(lanes, class, first + j);
                let z = if staged { lanes.load(row.vector(first + j)) } else { logits.load(lanes, class, first + j) };
                d[j] = lanes.sub(z, greatest[j]);
                if logarithms.is_some() {
                    let is_class = channels.are(lanes, class, first + j);
                    of_label[j] = lanes.add(of_label[j], lanes.keep(is_class, d[j]));
                }
            }
            let exponentials = exp(lanes, d);
            for j in 0..GROUP {
                lanes.store(row.vector_mut(first + j), exponentials[j]);
                sum[j] = lanes.add(sum[j], exponentials[j]);
            }
        }
        for j in 0..GROUP {
            sum[j] = lanes.div(lanes.splat(L::R::ONE), sum[j]);
            lanes.store(r.vector_mut(first + j), sum[j]);
        }
        if let Some(logarithms) = &mut logarithms {
            let of_r = ln::<L, GROUP>(lanes, sum);
            for j in 0..GROUP {
                let x = lanes.sub(zero, lanes.add(of_r[j], of_label[j]));
                lanes.store(logarithms.vector_mut(first + j), x);
            }
        }
    }
}

/// Adds blocks.
pub(super) struct AddFused<'s, R, const CLASSES: usize> {
    pub(super) logits: Rows<'s, R>,
    pub(super) labels: LabelBlocks<'s>,
    pub(super) rows: &'s mut PartRows<R>,
    pub(super) overlap: bool,
    pub(super) columns: &'s mut [LaneSum<R>],
    /// Columns of a class, and where these begin.
    pub(super) width: usize,
    pub(super) first: usize,
}

impl<R: Real + Element, const CLASSES: usize> Kernel for AddFused<'_, R, CLASSES> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { logits, labels, rows, overlap, columns, width, first } = self;
        let zero = lanes.splat(R::ZERO);
        let (e, r) = rows.rooms();
        let e = if CLASSES > 0 { &mut e[..CLASSES] } else { e };
        let (mut channels, mut logarithms) = (Row([0; BLOCK]), Row([R::ZERO; BLOCK]));
        for block in 0..labels.blocks.len() {
            let mut logits = logits.behind(block);
            if CLASSES > 0 {
                logits = logits.of_classes::<CLASSES>();
            }
            let channels = labels.get(block).row(lanes, &mut channels);
            activate::<L, GROUP, CLASSES>(lanes, logits, channels, e, r, Some(&mut logarithms));
            for (class, (e, columns)) in e.iter().zip(columns.chunks_exact_mut(width)).enumerate() {
                let columns = &mut columns[first..];
                let mut of_labels = zero;
                if overlap {
                    let (mut prediction, mut intersection) = (zero, zero);
                    for j in 0..VECTORS {
                        let (e, r) = (lanes.load(e.vector(j)), lanes.load(r.vector(j)));
                        let is_class = channels.are(lanes, class, j);
                        prediction = lanes.fma(e, r, prediction);
                        intersection = lanes.fma_where(is_class, e, r, intersection);
                        of_labels = lanes.add(of_labels, lanes.keep(is_class, lanes.load(logarithms.vector(j))));
                    }
                    columns[0].add(lanes, prediction);
                    columns[1].add(lanes, intersection);
                    columns[2].add(lanes, of_labels);
                } else {
                    for j in 0..VECTORS {
                        let is_class = channels.are(lanes, class, j);
                        of_labels = lanes.add(of_labels, lanes.keep(is_class, lanes.load(logarithms.vector(j))));
                    }
                    columns[0].add(lanes, of_labels);
                }
            }
        }
    }
}

/// Writes the gradient of blocks.
pub(super) struct PullBackFused<'s, 't, R, const CLASSES: usize> {
    pub(super) logits: Rows<'s, R>,
    pub(super) labels: LabelBlocks<'s>,
    pub(super) rows: &'s mut PartRows<R>,
    pub(super) by_p: &'s [ProbabilitySlope<R>],
    pub(super) by_logs: &'s [LogSlope<R>],
    pub(super) target: SinkBlocks<'t, R, R>,
}

impl<R: Real + Output, const CLASSES: usize> Kernel for PullBackFused<'_, '_, R, CLASSES> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { logits, labels, rows, by_p, by_logs, mut target } = self;
        let zero = lanes.splat(R::ZERO);
        let (e, r) = rows.rooms();
        let (e, by_p, by_logs) = match CLASSES {
            0 => (e, by_p, by_logs),
            _ => (&mut e[..CLASSES], &by_p[..CLASSES], &by_logs[..CLASSES]),
        };
        let (mut channels, mut means) = (Row([0; BLOCK]), Row([R::ZERO; BLOCK]));
        for block in 0..labels.blocks.len() {
            let mut logits = logits.behind(block);
            if CLASSES > 0 {
                logits = logits.of_classes::<CLASSES>();
            }
            let channels = labels.get(block).row(lanes, &mut channels);
            activate::<L, GROUP, CLASSES>(lanes, logits, channels, e, r, None);
            for first in (0..VECTORS).step_by(GROUP) {
                let (mut mean, mut total) = ([zero; GROUP], [zero; GROUP]);
                for (class, ((e, by_p), by_logs)) in e.iter().zip(by_p).zip(by_logs).enumerate() {
                    for j in 0..GROUP {
                        let u = channels.slope(lanes, class, first + j, by_p.slope);
                        mean[j] = lanes.fma(lanes.load(e.vector(first + j)), u, mean[j]);
                        let of_label = channels.part(lanes, class, first + j, lanes.splat(by_logs.inside));
                        total[j] = lanes.add(total[j], of_label);
                    }
                }
                for j in 0..GROUP {
                    let mean = lanes.mul(mean[j], lanes.load(r.vector(first + j)));
                    lanes.store(means.vector_mut(first + j), lanes.sub(mean, total[j]));
                }
            }
            let mut to = target.block(block);
            for (class, ((e, by_p), by_logs)) in e.iter().zip(by_p).zip(by_logs).enumerate() {
                for j in 0..VECTORS {
                    let p = lanes.mul(lanes.load(e.vector(j)), lanes.load(r.vector(j)));
                    let u = channels.slope(lanes, class, j, by_p.slope);
                    let x = lanes.mul(p, lanes.sub(u, lanes.load(means.vector(j))));
                    let x = lanes.sub(x, channels.part(lanes, class, j, lanes.splat(by_logs.inside)));
                    // No zero is negative.
                    to.put(lanes, class, j, lanes.add(zero, x));
                }
            }
            target.store(lanes, block);
        }
    }
}
