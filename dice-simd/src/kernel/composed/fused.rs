//! Runs of plain blocks under a softmax of which the overlap is asked and one thing beside it: what most networks are trained with.
//!
//! The bits are those of the kernels that take one group of sums after the other. Here they share the loops over the classes.

use std::marker::PhantomData;

use dice_core::{Activation, Request, Sum, Sums};

use super::logarithms::{LogSlope, focal_slope, focal_value};
use super::part::PartRows;
use super::plan::{Part, follows};
use super::probabilities::ProbabilitySlope;
use super::product::LaneProduct;
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::{Element, Output};
use crate::gather::{LabelBlocks, Rows};
use crate::kernel::activate::prepare;
use crate::kernel::exp::exp;
use crate::kernel::ln::ln;
use crate::kernel::power::Power;
use crate::kernel::sums::LaneSum;
use crate::kernel::truth::{Labels, Truth};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::scatter::SinkBlocks;

/// What is taken beside the overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Nothing,
    /// S2.
    Squares,
    /// F⁺ without an exponent.
    CrossEntropy,
    /// F⁺ with one.
    Focal,
}

/// That, as a kernel is compiled for it.
pub(super) trait Beside {
    const TAKEN: Taken;
}

pub(super) struct Nothing;
pub(super) struct Squares;
pub(super) struct CrossEntropy;
pub(super) struct Focal;

impl Beside for Nothing {
    const TAKEN: Taken = Taken::Nothing;
}
impl Beside for Squares {
    const TAKEN: Taken = Taken::Squares;
}
impl Beside for CrossEntropy {
    const TAKEN: Taken = Taken::CrossEntropy;
}
impl Beside for Focal {
    const TAKEN: Taken = Taken::Focal;
}

/// How the blocks of labels of a part of a request are fused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fusion<R> {
    pub(super) taken: Taken,
    /// The exponent of a focal loss.
    pub(super) exponent: (R, Power<R>),
    /// Among the columns of a class those of S and I, if they are asked for,
    overlap: Option<[usize; 2]>,
    /// and of what is taken beside them.
    beside: Option<usize>,
}

impl<R: Real> Fusion<R> {
    /// That of a part, if there is one: if its sums are those that are fused, or follow from them.
    pub(super) fn of(request: &Request, number: usize, part: &Part<'_, R>) -> Option<Self> {
        let overlap = Sums::NONE.with(Sum::Prediction).with(Sum::Intersection);
        if part.sums.is_empty() {
            return None;
        }
        let mut beside = part.sums.without(overlap);
        if follows(&request.part(number), request.of_target(), true) {
            beside = beside.without(Sums::NONE.with(Sum::Difference));
        }
        let taken = match beside {
            Sums::NONE => Taken::Nothing,
            squares if squares == Sums::NONE.with(Sum::PredictionSquares) => Taken::Squares,
            _ if beside != Sums::NONE.with(Sum::LogInside) => return None,
            _ if part.is_cross_entropy() => Taken::CrossEntropy,
            _ => Taken::Focal,
        };
        let [exponent] = *part.exponents.powers else { return None };
        let asked = part.sums.and(overlap);
        if part.activation != Activation::Softmax || !asked.is_empty() && asked != overlap {
            return None;
        }
        let column = |sum| request.column(number, sum);
        Some(Self {
            taken,
            exponent,
            overlap: column(Sum::Prediction).zip(column(Sum::Intersection)).map(|(s, i)| [s, i]),
            beside: beside.iter().next().and_then(column),
        })
    }
}

/// Runs `$kernel::<Beside, CLASSES>` [apart](super::apart::apart) for what is fused, of the kinds that are listed, and the class
/// bucket.
macro_rules! fused {
    ($kinds:tt, $lanes:ident, $group:ident, $fusion:ident, $classes:expr, $kernel:ident $fields:tt) => {
        match $classes {
            2 => fused!(@ 2 $kinds $lanes, $group, $fusion, $kernel $fields),
            4 => fused!(@ 4 $kinds $lanes, $group, $fusion, $kernel $fields),
            _ => fused!(@ 0 $kinds $lanes, $group, $fusion, $kernel $fields),
        }
    };
    (@ $bucket:literal [$($kind:ident),*] $lanes:ident, $group:ident, $fusion:ident, $kernel:ident $fields:tt) => {
        match $fusion.taken {
            $(Taken::$kind => fused!(@ $bucket $kind $lanes, $group, $fusion, $kernel $fields),)*
            #[allow(unreachable_patterns, reason = "which kinds remain depends on the list")]
            _ => unreachable!("no kernel of this kind is asked for"),
        }
    };
    (@ $bucket:literal $kind:ident $lanes:ident, $group:ident, $fusion:ident, $kernel:ident { $($field:ident),* }) => {
        apart::<_, _, $group>(
            $lanes,
            $kernel::<_, fused::$kind, $bucket> { fusion: $fusion, beside: PhantomData, $($field),* },
        )
    };
}
pub(super) use fused;

/// What is kept of the logarithms while the exponentials are computed.
enum Kept<'s, R> {
    Nothing,
    /// z − max of each class, and Σ e − 1.
    Below(&'s mut [Row<R>], &'s mut Row<R>),
    /// −ln p and p of the class of each voxel.
    OfLabels(&'s mut [Row<R>; 2]),
}

/// Computes e and r of a block.
#[inline(always)]
fn activate<L: Lanes, const GROUP: usize, const CLASSES: usize>(
    lanes: L,
    logits: Rows<'_, L::R>,
    channels: &Row<i32>,
    e: &mut [Row<L::R>],
    r: &mut Row<L::R>,
    mut kept: Kept<'_, L::R>,
) where
    L::R: Element,
{
    let (zero, one) = (lanes.splat(L::R::ZERO), lanes.splat(L::R::ONE));
    let mut max = Row([L::R::ZERO; BLOCK]);
    prepare::<L, L::R, CLASSES>(lanes, logits, e, &mut max);
    let staged = CLASSES == 0;
    for first in (0..VECTORS).step_by(GROUP) {
        let (mut greatest, mut sum) = ([zero; GROUP], [zero; GROUP]);
        let (mut d_of_label, mut e_of_label) = ([zero; GROUP], [zero; GROUP]);
        for j in 0..GROUP {
            greatest[j] = lanes.load(max.vector(first + j));
        }
        for (class, row) in e.iter_mut().enumerate() {
            let mut d = greatest;
            for j in 0..GROUP {
                logits.prefetch(lanes, class, first + j);
                let z = if staged { lanes.load(row.vector(first + j)) } else { logits.load(lanes, class, first + j) };
                d[j] = lanes.sub(z, greatest[j]);
                match &mut kept {
                    Kept::Nothing => {}
                    Kept::Below(below, _) => lanes.store(below[class].vector_mut(first + j), d[j]),
                    Kept::OfLabels(_) => {
                        let is_class = channels.are(lanes, class, first + j);
                        d_of_label[j] = lanes.add(d_of_label[j], lanes.keep(is_class, d[j]));
                    }
                }
            }
            let exponentials = exp(lanes, d);
            for j in 0..GROUP {
                lanes.store(row.vector_mut(first + j), exponentials[j]);
                sum[j] = lanes.add(sum[j], exponentials[j]);
                if let Kept::OfLabels(_) = kept {
                    let is_class = channels.are(lanes, class, first + j);
                    e_of_label[j] = lanes.add(e_of_label[j], lanes.keep(is_class, exponentials[j]));
                }
            }
        }
        for j in 0..GROUP {
            if let Kept::Below(_, rest) = &mut kept {
                lanes.store(rest.vector_mut(first + j), lanes.sub(sum[j], one));
            }
            sum[j] = lanes.div(one, sum[j]);
            lanes.store(r.vector_mut(first + j), sum[j]);
        }
        if let Kept::OfLabels([logarithms, p]) = &mut kept {
            let of_r = ln::<L, GROUP>(lanes, sum);
            for j in 0..GROUP {
                let x = lanes.sub(zero, lanes.add(of_r[j], d_of_label[j]));
                lanes.store(logarithms.vector_mut(first + j), x);
                lanes.store(p.vector_mut(first + j), lanes.mul(e_of_label[j], sum[j]));
            }
        }
    }
}

/// Adds blocks.
pub(super) struct AddFused<'s, R, B, const CLASSES: usize> {
    pub(super) logits: Rows<'s, R>,
    pub(super) labels: LabelBlocks<'s>,
    pub(super) rows: &'s mut PartRows<R>,
    pub(super) columns: &'s mut [LaneSum<R>],
    /// Columns of a class.
    pub(super) width: usize,
    /// Of each class.
    pub(super) products: &'s mut [LaneProduct<R>],
    pub(super) fusion: Fusion<R>,
    pub(super) beside: PhantomData<B>,
}

impl<R: Real + Element, B: Beside, const CLASSES: usize> Kernel for AddFused<'_, R, B, CLASSES> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { logits, labels, rows, columns, width, products, fusion, .. } = self;
        let zero = lanes.splat(R::ZERO);
        let (e, r, below) = rows.rooms();
        let (e, below) = if CLASSES > 0 { (&mut e[..CLASSES], &mut below[..CLASSES]) } else { (e, below) };
        let (mut channels, mut rest) = (Row([0; BLOCK]), Row([R::ZERO; BLOCK]));
        let mut of_labels = [Row([R::ZERO; BLOCK]); 2];
        for block in 0..labels.blocks.len() {
            let mut logits = logits.behind(block);
            if CLASSES > 0 {
                logits = logits.of_classes::<CLASSES>();
            }
            let channels = labels.get(block).row(lanes, &mut channels);
            let kept = match B::TAKEN {
                Taken::Nothing | Taken::Squares => Kept::Nothing,
                Taken::CrossEntropy => Kept::Below(below, &mut rest),
                Taken::Focal => Kept::OfLabels(&mut of_labels),
            };
            activate::<L, GROUP, CLASSES>(lanes, logits, channels, e, r, kept);
            if B::TAKEN == Taken::Focal {
                let [logarithms, p] = &mut of_labels;
                for j in 0..VECTORS {
                    let (log, p) = (lanes.load(logarithms.vector(j)), lanes.load(p.vector(j)));
                    lanes.store(logarithms.vector_mut(j), focal_value(lanes, fusion.exponent, p, log));
                }
            }
            let of_classes = e.iter().zip(below.iter()).zip(columns.chunks_exact_mut(width));
            for (class, ((e, below), columns)) in of_classes.enumerate() {
                let (mut prediction, mut intersection, mut beside) = (zero, zero, zero);
                let mut product = match B::TAKEN {
                    Taken::CrossEntropy => products[class].get(lanes),
                    _ => zero,
                };
                for j in 0..VECTORS {
                    let (e, r) = (lanes.load(e.vector(j)), lanes.load(r.vector(j)));
                    let is_class = channels.are(lanes, class, j);
                    prediction = lanes.fma(e, r, prediction);
                    intersection = lanes.fma_where(is_class, e, r, intersection);
                    match B::TAKEN {
                        Taken::Nothing => {}
                        Taken::Squares => {
                            let p = lanes.mul(e, r);
                            beside = lanes.fma(p, p, beside);
                        }
                        Taken::CrossEntropy => {
                            let d = lanes.load(below.vector(j));
                            beside = lanes.add(beside, lanes.keep(is_class, d));
                            let rest = lanes.keep(is_class, lanes.load(rest.vector(j)));
                            product = lanes.fma(product, rest, product);
                        }
                        Taken::Focal => {
                            let x = lanes.load(of_labels[0].vector(j));
                            beside = lanes.add(beside, lanes.keep(is_class, x));
                        }
                    }
                }
                if B::TAKEN == Taken::CrossEntropy {
                    products[class].set(lanes, product);
                    beside = lanes.sub(zero, beside);
                }
                if let Some([of_prediction, of_intersection]) = fusion.overlap {
                    columns[of_prediction].add(lanes, prediction);
                    columns[of_intersection].add(lanes, intersection);
                }
                if let (true, Some(of_beside)) = (B::TAKEN != Taken::Nothing, fusion.beside) {
                    columns[of_beside].add(lanes, beside);
                }
            }
        }
    }
}

/// Writes the gradient of blocks.
pub(super) struct PullBackFused<'s, 't, R, B, const CLASSES: usize> {
    pub(super) logits: Rows<'s, R>,
    pub(super) labels: LabelBlocks<'s>,
    pub(super) rows: &'s mut PartRows<R>,
    pub(super) by_p: &'s [ProbabilitySlope<R>],
    pub(super) by_logs: &'s [LogSlope<R>],
    pub(super) target: SinkBlocks<'t, R, R>,
    pub(super) fusion: Fusion<R>,
    pub(super) beside: PhantomData<B>,
}

impl<R: Real + Output, B: Beside, const CLASSES: usize> Kernel for PullBackFused<'_, '_, R, B, CLASSES> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { logits, labels, rows, by_p, by_logs, mut target, fusion, .. } = self;
        let zero = lanes.splat(R::ZERO);
        let (e, r, slopes) = rows.rooms();
        let (e, slopes, by_p, by_logs) = match CLASSES {
            0 => (e, slopes, by_p, by_logs),
            _ => (&mut e[..CLASSES], &mut slopes[..CLASSES], &by_p[..CLASSES], &by_logs[..CLASSES]),
        };
        let (mut channels, mut means) = (Row([0; BLOCK]), Row([R::ZERO; BLOCK]));
        let mut of_labels = [Row([R::ZERO; BLOCK]); 2];
        for block in 0..labels.blocks.len() {
            let mut logits = logits.behind(block);
            if CLASSES > 0 {
                logits = logits.of_classes::<CLASSES>();
            }
            let channels = labels.get(block).row(lanes, &mut channels);
            let kept = match B::TAKEN {
                Taken::Focal => Kept::OfLabels(&mut of_labels),
                _ => Kept::Nothing,
            };
            activate::<L, GROUP, CLASSES>(lanes, logits, channels, e, r, kept);
            if B::TAKEN == Taken::Focal {
                let [logarithms, p] = &mut of_labels;
                for j in 0..VECTORS {
                    let (log, p) = (lanes.load(logarithms.vector(j)), lanes.load(p.vector(j)));
                    lanes.store(logarithms.vector_mut(j), focal_slope(lanes, fusion.exponent, p, log));
                }
            }
            let kappa = &of_labels[0];
            for first in (0..VECTORS).step_by(GROUP) {
                let (mut mean, mut total) = ([zero; GROUP], [zero; GROUP]);
                for (class, ((e, by_p), by_logs)) in e.iter().zip(by_p).zip(by_logs).enumerate() {
                    for j in 0..GROUP {
                        let mut u = channels.slope(lanes, class, first + j, by_p.slope);
                        let e = lanes.load(e.vector(first + j));
                        let inside = lanes.splat(by_logs.inside);
                        match B::TAKEN {
                            Taken::Nothing => {}
                            Taken::Squares => {
                                let p = lanes.mul(e, lanes.load(r.vector(first + j)));
                                if by_p.squares != R::ZERO {
                                    u = lanes.fma(lanes.splat(by_p.squares), p, u);
                                }
                                lanes.store(slopes[class].vector_mut(first + j), u);
                            }
                            Taken::CrossEntropy => {
                                total[j] = lanes.add(total[j], channels.part(lanes, class, first + j, inside));
                            }
                            Taken::Focal => {
                                let x = lanes.mul(lanes.load(kappa.vector(first + j)), inside);
                                total[j] = lanes.add(total[j], channels.part(lanes, class, first + j, x));
                            }
                        }
                        mean[j] = lanes.fma(e, u, mean[j]);
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
                    let u = match B::TAKEN {
                        Taken::Squares => lanes.load(slopes[class].vector(j)),
                        _ => channels.slope(lanes, class, j, by_p.slope),
                    };
                    let by_p = lanes.sub(u, lanes.load(means.vector(j)));
                    // What is taken from it is +0 where it is 0.
                    let x = match B::TAKEN {
                        Taken::Nothing | Taken::Squares => lanes.mul(p, by_p),
                        Taken::CrossEntropy => {
                            let inside = lanes.splat(R::ZERO - by_logs.inside);
                            lanes.fma(p, by_p, channels.part(lanes, class, j, inside))
                        }
                        Taken::Focal => {
                            let x = lanes.mul(lanes.load(kappa.vector(j)), lanes.splat(by_logs.inside));
                            lanes.fma(p, by_p, lanes.sub(zero, channels.part(lanes, class, j, x)))
                        }
                    };
                    to.put(lanes, class, j, x);
                }
            }
            target.store(lanes, block);
        }
    }
}
