//! The sums with a logarithm of the probability: cross-entropy, focal loss, label smoothing; and their gradient, straight by the
//! logits.
//!
//! With q = 1 − p, a logarithm is weighted by a power of what the prediction lacks: F⁺ = Σ m g q^γ (−ln p). Its derivative by
//! the logit of a sigmoid is −g q^γ [q − γ p ln p]; that of a softmax is p_c Σ_k κ_k − κ_c with
//! κ = g q^γ [1 + γ p (−ln p)/q]. Where q is 0, (−ln p)/q is 1.

use dice_core::{Activation, Sum, Sums};

use crate::kernel::activate::Probabilities;
use crate::kernel::ln::ln;
use crate::kernel::power::Power;
use crate::kernel::sums::LaneSum;
use crate::kernel::truth::{Labels, Truth};
use super::part::{PartRows, clamp};
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::Element;
use crate::gather::Rows;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// q^γ of each class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exponents<'s, R> {
    /// One for all classes, or one per class.
    pub(super) powers: &'s [(R, Power<R>)],
}

impl<R: Copy> Exponents<'_, R> {
    #[inline(always)]
    fn of(self, class: usize) -> (R, Power<R>) {
        self.powers[if self.powers.len() == 1 { 0 } else { class }]
    }
}

/// p and q of one vector, clamped where the logarithms are those of clamped probabilities.
#[inline(always)]
fn p_and_q<L: Lanes>(lanes: L, activation: Activation, e: L::F, r: L::F) -> [L::F; 2] {
    let one = lanes.splat(L::R::ONE);
    if activation == Activation::None {
        let [least, greatest] = clamp::<L::R>().map(|bound| lanes.splat(bound));
        // The constants come first so that NaN survives.
        let p = lanes.max(least, e);
        let p = lanes.select(lanes.gt(p, greatest), greatest, p);
        [p, lanes.sub(one, p)]
    } else {
        let p = lanes.mul(e, r);
        [p, lanes.sub(one, p)]
    }
}

/// (−ln p)/q of one vector, 1 where q is 0.
#[inline(always)]
fn over<L: Lanes>(lanes: L, log: L::F, q: L::F) -> L::F {
    let one = lanes.splat(L::R::ONE);
    let is_some = lanes.gt(q, lanes.splat(L::R::ZERO));
    // NaN stays: it is not above 0, and neither is its divisor.
    let is_nan_or_none = lanes.select(is_some, lanes.div(log, lanes.select(is_some, q, one)), lanes.add(q, one));
    is_nan_or_none
}

/// Adds a block, class by class.
pub(super) struct AddLogarithms<'s, R, T> {
    pub(super) activation: Activation,
    /// Those of them that are asked for.
    pub(super) sums: Sums,
    pub(super) exponents: Exponents<'s, R>,
    pub(super) rows: &'s PartRows<R>,
    pub(super) truth: T,
    /// Absent if all are 1.
    pub(super) weights: Option<&'s Row<R>>,
    pub(super) columns: &'s mut [LaneSum<R>],
    /// Columns of a class, and where these begin.
    pub(super) width: usize,
    pub(super) first: usize,
}

impl<R: Real, T: Truth<R>> Kernel for AddLogarithms<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { activation, sums, exponents, rows, truth, weights, columns, width, first } = self;
        let Probabilities { e, r } = rows.probabilities();
        let zero = lanes.splat(R::ZERO);
        for (class, columns) in columns.chunks_exact_mut(width).enumerate() {
            let mut columns = columns[first..].iter_mut();
            let mut add = |total| columns.next().expect("a column per sum").add(lanes, total);
            let (gamma, power) = exponents.of(class);
            let weighed = |j: usize, x| match weights {
                Some(weights) => lanes.mul(x, lanes.load(weights.vector(j))),
                None => x,
            };
            let powers = |j: usize, complement: bool| {
                let [p, q] = p_and_q(lanes, activation, lanes.load(e[class].vector(j)), lanes.load(r.vector(j)));
                let [power] = power.of(lanes, [if complement { p } else { q }]);
                power
            };
            let log = |rows: &[Row<R>], j: usize| lanes.load(rows[class].vector(j));
            if sums.contains(Sum::LogInside) {
                let mut total = zero;
                for j in 0..VECTORS {
                    let mut x = log(rows.inside(), j);
                    if gamma != R::ZERO {
                        x = lanes.mul(powers(j, false), x);
                    }
                    total = lanes.add(total, weighed(j, truth.selected(lanes, class, j, x)));
                }
                add(total);
            }
            if sums.contains(Sum::LogOutside) {
                let mut total = zero;
                for j in 0..VECTORS {
                    let mut x = log(rows.outside(), j);
                    if gamma != R::ZERO {
                        x = lanes.mul(powers(j, true), x);
                    }
                    total = lanes.add(total, weighed(j, truth.selected_rest(lanes, class, j, x)));
                }
                add(total);
            }
            if sums.contains(Sum::LogEverywhere) {
                let mut total = zero;
                for j in 0..VECTORS {
                    total = lanes.add(total, weighed(j, log(rows.inside(), j)));
                }
                add(total);
            }
            if sums.contains(Sum::LogComplement) {
                let mut total = zero;
                for j in 0..VECTORS {
                    total = lanes.add(total, weighed(j, log(rows.outside(), j)));
                }
                add(total);
            }
        }
    }
}

/// −ln p of the class of each voxel under a softmax, and, with an exponent, q of it.
#[inline(always)]
fn of_labels<L: Lanes, const GROUP: usize>(
    lanes: L,
    logits: Rows<'_, L::R>,
    rows: &PartRows<L::R>,
    labels: impl Labels,
    first: usize,
    with_q: bool,
) -> [[L::F; GROUP]; 2]
where
    L::R: Element,
{
    let (zero, one) = (lanes.splat(L::R::ZERO), lanes.splat(L::R::ONE));
    let Probabilities { e, r } = rows.probabilities();
    // Of each voxel one class is kept, so that adding is selecting.
    let (mut d, mut p, mut of_r) = ([zero; GROUP], [zero; GROUP], [zero; GROUP]);
    for (class, e) in e.iter().enumerate() {
        for j in 0..GROUP {
            let is_class = labels.are(lanes, class, first + j);
            let z = lanes.sub(logits.load(lanes, class, first + j), lanes.load(rows.max().vector(first + j)));
            d[j] = lanes.add(d[j], lanes.keep(is_class, z));
            if with_q {
                p[j] = lanes.add(p[j], lanes.keep(is_class, lanes.load(e.vector(first + j))));
            }
        }
    }
    for j in 0..GROUP {
        of_r[j] = lanes.load(r.vector(first + j));
        p[j] = lanes.sub(one, lanes.mul(p[j], of_r[j]));
    }
    let of_r = ln::<L, GROUP>(lanes, of_r);
    for j in 0..GROUP {
        d[j] = lanes.sub(zero, lanes.add(of_r[j], d[j]));
    }
    [d, p]
}

/// Adds a block of labels under a softmax with one exponent: one logarithm per voxel.
pub(super) struct AddLogarithmsOfLabels<'s, R, T> {
    pub(super) logits: Rows<'s, R>,
    pub(super) exponents: Exponents<'s, R>,
    pub(super) rows: &'s PartRows<R>,
    pub(super) labels: T,
    pub(super) weights: Option<&'s Row<R>>,
    pub(super) columns: &'s mut [LaneSum<R>],
    pub(super) width: usize,
    pub(super) first: usize,
}

impl<R: Real + Element, T: Labels> Kernel for AddLogarithmsOfLabels<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { logits, exponents, rows, labels, weights, columns, width, first } = self;
        let (gamma, power) = exponents.of(0);
        let mut of_voxels = Row([R::ZERO; BLOCK]);
        for vector in (0..VECTORS).step_by(GROUP) {
            let focal = gamma != R::ZERO;
            let [mut x, q] = of_labels::<L, GROUP>(lanes, logits, rows, labels, vector, focal);
            if focal {
                let powers = power.of::<L, GROUP>(lanes, q);
                for j in 0..GROUP {
                    x[j] = lanes.mul(powers[j], x[j]);
                }
            }
            for j in 0..GROUP {
                if let Some(weights) = weights {
                    x[j] = lanes.mul(x[j], lanes.load(weights.vector(vector + j)));
                }
                lanes.store(of_voxels.vector_mut(vector + j), x[j]);
            }
        }
        for (class, columns) in columns.chunks_exact_mut(width).enumerate() {
            let mut total = lanes.splat(R::ZERO);
            for j in 0..VECTORS {
                let is_class = labels.are(lanes, class, j);
                total = lanes.add(total, lanes.keep(is_class, lanes.load(of_voxels.vector(j))));
            }
            columns[first].add(lanes, total);
        }
    }
}

/// The slopes of a class by its logarithms.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogSlope<R> {
    pub(super) inside: R,
    pub(super) outside: R,
    pub(super) everywhere: R,
    pub(super) complement: R,
}

impl<R: Real> LogSlope<R> {
    /// Whether the loss depends on any of them.
    pub(super) fn is_some(&self) -> bool {
        [self.inside, self.outside, self.everywhere, self.complement].iter().any(|slope| *slope != R::ZERO)
    }
}

/// Writes what the logarithms contribute to the gradient of a block to `q`: κ of a softmax, else the gradient itself.
pub(super) struct ByLogarithms<'s, R, T> {
    pub(super) activation: Activation,
    pub(super) slopes: &'s [LogSlope<R>],
    pub(super) exponents: Exponents<'s, R>,
    pub(super) rows: &'s PartRows<R>,
    pub(super) truth: T,
    pub(super) q: &'s mut [Row<R>],
}

impl<R: Real, T: Truth<R>> Kernel for ByLogarithms<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { activation, slopes, exponents, rows, truth, q: to } = self;
        let Probabilities { e, r } = rows.probabilities();
        let (zero, one) = (lanes.splat(R::ZERO), lanes.splat(R::ONE));
        for (class, (to, slope)) in to.iter_mut().zip(slopes).enumerate() {
            let (gamma, power) = exponents.of(class);
            let focal = gamma != R::ZERO;
            let times = |x, slope: R| lanes.mul(x, lanes.splat(slope));
            for j in 0..VECTORS {
                let e = lanes.load(e[class].vector(j));
                let [p, q] = p_and_q(lanes, activation, e, lanes.load(r.vector(j)));
                let mut total = zero;
                if slope.inside != R::ZERO {
                    let log = lanes.load(rows.inside()[class].vector(j));
                    // p (−ln p), which is 0 where p is.
                    let weighted = |p, log| times(lanes.mul(p, log), gamma);
                    let mut x = match activation {
                        Activation::Softmax if focal => {
                            lanes.add(one, times(lanes.mul(p, over(lanes, log, q)), gamma))
                        }
                        Activation::Softmax => one,
                        Activation::Sigmoid if focal => lanes.add(q, weighted(p, log)),
                        Activation::Sigmoid => q,
                        Activation::None if focal => {
                            lanes.add(lanes.div(one, p), times(lanes.div(log, q), gamma))
                        }
                        Activation::None => lanes.div(one, p),
                    };
                    if focal {
                        let [power] = power.of(lanes, [q]);
                        x = lanes.mul(power, x);
                    }
                    let sign = if activation == Activation::Softmax { slope.inside } else { R::ZERO - slope.inside };
                    total = times(truth.selected(lanes, class, j, x), sign);
                }
                if slope.outside != R::ZERO {
                    let log = lanes.load(rows.outside()[class].vector(j));
                    let mut x = match activation {
                        Activation::Sigmoid if focal => lanes.add(p, times(lanes.mul(q, log), gamma)),
                        Activation::Sigmoid => p,
                        _ if focal => lanes.add(lanes.div(one, q), times(lanes.div(log, p), gamma)),
                        _ => lanes.div(one, q),
                    };
                    if focal {
                        let [power] = power.of(lanes, [p]);
                        x = lanes.mul(power, x);
                    }
                    total = lanes.add(total, times(truth.selected_rest(lanes, class, j, x), slope.outside));
                }
                if slope.everywhere != R::ZERO {
                    let (x, sign) = match activation {
                        Activation::Softmax => (one, slope.everywhere),
                        Activation::Sigmoid => (q, R::ZERO - slope.everywhere),
                        Activation::None => (lanes.div(one, p), R::ZERO - slope.everywhere),
                    };
                    total = lanes.add(total, times(x, sign));
                }
                if slope.complement != R::ZERO {
                    let x = if activation == Activation::Sigmoid { p } else { lanes.div(one, q) };
                    total = lanes.add(total, times(x, slope.complement));
                }
                if activation == Activation::None {
                    // Where the clamp holds there is no slope.
                    let [least, greatest] = clamp::<R>().map(|bound| lanes.splat(bound));
                    let within = lanes.select(lanes.gt(least, e), zero, total);
                    total = lanes.select(lanes.gt(e, greatest), zero, within);
                }
                lanes.store(to.vector_mut(j), total);
            }
        }
    }
}

/// κ of a block of labels under a softmax with one exponent.
pub(super) struct ByLogarithmsOfLabels<'s, R, T> {
    pub(super) logits: Rows<'s, R>,
    pub(super) slopes: &'s [LogSlope<R>],
    pub(super) exponents: Exponents<'s, R>,
    pub(super) rows: &'s PartRows<R>,
    pub(super) labels: T,
    pub(super) q: &'s mut [Row<R>],
}

impl<R: Real + Element, T: Labels> Kernel for ByLogarithmsOfLabels<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { logits, slopes, exponents, rows, labels, q: to } = self;
        let one = lanes.splat(R::ONE);
        let (gamma, power) = exponents.of(0);
        let focal = gamma != R::ZERO;
        for vector in (0..VECTORS).step_by(GROUP) {
            let mut x = [one; GROUP];
            if focal {
                let [log, q] = of_labels::<L, GROUP>(lanes, logits, rows, labels, vector, true);
                let powers = power.of::<L, GROUP>(lanes, q);
                for j in 0..GROUP {
                    let p = lanes.sub(one, q[j]);
                    let relative = lanes.mul(lanes.mul(p, over(lanes, log[j], q[j])), lanes.splat(gamma));
                    x[j] = lanes.mul(powers[j], lanes.add(one, relative));
                }
            }
            for (class, (to, slope)) in to.iter_mut().zip(slopes).enumerate() {
                for j in 0..GROUP {
                    let of_class = lanes.mul(x[j], lanes.splat(slope.inside));
                    let is_class = labels.are(lanes, class, vector + j);
                    lanes.store(to.vector_mut(vector + j), lanes.keep(is_class, of_class));
                }
            }
        }
    }
}
