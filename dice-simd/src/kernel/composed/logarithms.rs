//! The sums with a logarithm of the probability: cross-entropy, focal loss, label smoothing; and their gradient, straight by the
//! logits.
//!
//! With q = 1 − p, a logarithm is weighted by a power of what the prediction lacks: F⁺ = Σ m g q^γ (−ln p). Its derivative by
//! the logit of a sigmoid is −g q^γ [q − γ p ln p]; that of a softmax is p_c Σ_k κ_k − κ_c with
//! κ = g q^γ [1 + γ p (−ln p)/q], where (−ln p)/q is 1 if q is 0; that of p itself is −g q^γ [1/p − γ ln p/q]. F⁻ is the same of
//! 1 − g, with p and q exchanged.
//!
//! So there are rows of logarithms, which [`Weigh`] multiplies or replaces by what the slope needs; the rest is adding.

use dice_core::{Activation, Sum, Sums};

use super::apart::vectors;
use super::product::LaneProduct;
use crate::block::{BLOCK, Row};
use crate::element::Element;
use crate::gather::Rows;
use crate::kernel::activate::Probabilities;
use crate::kernel::ln::ln;
use crate::kernel::power::Power;
use crate::kernel::sums::LaneSum;
use crate::kernel::truth::{Labels, Truth, times};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// q^γ of each class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exponents<'s, R> {
    /// One for all classes, or one per class.
    pub(super) powers: &'s [(R, Power<R>)],
}

impl<R: Real> Exponents<'_, R> {
    pub(super) fn of(self, class: usize) -> (R, Power<R>) {
        self.powers[if self.powers.len() == 1 { 0 } else { class }]
    }

    /// Whether one of them is not 0.
    pub(super) fn are_some(self) -> bool {
        self.powers.iter().any(|(exponent, _)| *exponent != R::ZERO)
    }
}

/// The bounds of given probabilities whose logarithm is taken.
pub(super) fn clamp<R: Real>() -> [R; 2] {
    [R::from_f64(Activation::CLAMP), R::from_f64(1.0 - Activation::CLAMP)]
}

/// Rows of −ln p, and of −ln(1 − p), of each class, or what they are [weighed](Weigh) to; none of what is not asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogRows<'s, R> {
    pub(super) inside: &'s [Row<R>],
    pub(super) outside: &'s [Row<R>],
}

/// What becomes of a row of logarithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weighing {
    /// q^γ (−ln p): what is added.
    Value,
    /// What g multiplies in the derivative. Where the exponent is 0 the logarithm is not looked at.
    Slope,
}

/// Makes rows of −ln p, and of −ln q, what [`Weighing`] says.
pub(super) struct Weigh<'s, R> {
    pub(super) weighing: Weighing,
    pub(super) activation: Activation,
    pub(super) exponents: Exponents<'s, R>,
    /// p = e · r of each row.
    pub(super) e: &'s [Row<R>],
    pub(super) r: &'s Row<R>,
    pub(super) inside: &'s mut [Row<R>],
    pub(super) outside: &'s mut [Row<R>],
}

impl<R: Real> Kernel for Weigh<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { weighing, activation, exponents, e, r, inside, outside } = self;
        let one = lanes.splat(R::ONE);
        let [least, greatest] = clamp::<R>().map(|bound| lanes.splat(bound));
        for (is_outside, rows) in [(false, inside), (true, outside)] {
            for (class, (row, e)) in rows.iter_mut().zip(e).enumerate() {
                let (exponent, power) = exponents.of(class);
                for j in 0..vectors::<L>() {
                    let mut p = lanes.mul(lanes.load(e.vector(j)), lanes.load(r.vector(j)));
                    if activation == Activation::None {
                        // The constants come first so that NaN survives.
                        p = lanes.max(least, p);
                        p = lanes.select(lanes.gt(p, greatest), greatest, p);
                    }
                    let rest = lanes.sub(one, p);
                    let (p, q) = if is_outside { (rest, p) } else { (p, rest) };
                    let log = lanes.load(row.vector(j));
                    let mut x = match (weighing, activation) {
                        (Weighing::Value, _) => log,
                        (Weighing::Slope, Activation::Softmax) => one,
                        (Weighing::Slope, Activation::Sigmoid) => q,
                        (Weighing::Slope, Activation::None) => lanes.div(one, p),
                    };
                    // Without an exponent a slope needs no logarithm, and none may be there.
                    if exponent != R::ZERO {
                        if weighing == Weighing::Slope {
                            let by_power = match activation {
                                Activation::Softmax => of_probability(lanes, p, over_rest(lanes, log, q)),
                                Activation::Sigmoid => of_probability(lanes, p, log),
                                Activation::None => over_rest(lanes, log, q),
                            };
                            x = lanes.fma(by_power, lanes.splat(exponent), x);
                        }
                        let [power] = power.of(lanes, [q]);
                        x = lanes.mul(power, x);
                    }
                    lanes.store(row.vector_mut(j), x);
                }
            }
        }
    }
}

/// p · x for an x made of −ln p: 0 where p is 0. (Where p is NaN x is, too, or what it is multiplied with.)
#[inline(always)]
pub(super) fn of_probability<L: Lanes>(lanes: L, p: L::F, x: L::F) -> L::F {
    lanes.keep(lanes.gt(p, lanes.splat(L::R::ZERO)), lanes.mul(p, x))
}

/// (−ln p) / q for q = 1 − p: 1 where q is 0.
#[inline(always)]
fn over_rest<L: Lanes>(lanes: L, log: L::F, q: L::F) -> L::F {
    let one = lanes.splat(L::R::ONE);
    // NaN stays: it is not above 0, and 1 + NaN is.
    let is_some = lanes.gt(q, lanes.splat(L::R::ZERO));
    let over_q = lanes.div(log, lanes.select(is_some, q, one));
    lanes.select(is_some, over_q, lanes.add(q, one))
}

/// What [`Weigh`] makes of −ln p under a softmax for [`Weighing::Value`] and an exponent that is not 0.
#[inline(always)]
pub(super) fn focal_value<L: Lanes>(lanes: L, (_, power): (L::R, Power<L::R>), p: L::F, log: L::F) -> L::F {
    let [power] = power.of(lanes, [lanes.sub(lanes.splat(L::R::ONE), p)]);
    lanes.mul(power, log)
}

/// And for [`Weighing::Slope`].
#[inline(always)]
pub(super) fn focal_slope<L: Lanes>(lanes: L, (gamma, power): (L::R, Power<L::R>), p: L::F, log: L::F) -> L::F {
    let one = lanes.splat(L::R::ONE);
    let q = lanes.sub(one, p);
    let x = lanes.fma(of_probability(lanes, p, over_rest(lanes, log, q)), lanes.splat(gamma), one);
    let [power] = power.of(lanes, [q]);
    lanes.mul(power, x)
}

/// Adds the cross-entropy of a block under a softmax: −ln p = ln Z − (z − max z), with Z = Σ e. Of voxels that belong to a class
/// and count once, Z goes to [products](LaneProduct).
pub(super) struct AddCrossEntropy<'s, R, T> {
    pub(super) logits: Rows<'s, R>,
    pub(super) e: &'s [Row<R>],
    pub(super) max: &'s Row<R>,
    pub(super) truth: T,
    /// Absent if all are 1.
    pub(super) weights: Option<&'s Row<R>>,
    /// Of each class.
    pub(super) products: &'s mut [LaneProduct<R>],
    pub(super) columns: &'s mut [LaneSum<R>],
    pub(super) width: usize,
    pub(super) column: usize,
}

impl<R: Real + Element, T: Truth<R>> Kernel for AddCrossEntropy<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { logits, e, max, truth, weights, products, columns, width, column } = self;
        let (zero, one) = (lanes.splat(R::ZERO), lanes.splat(R::ONE));
        let (mut sums, mut logarithms) = (Row([R::ZERO; BLOCK]), Row([R::ZERO; BLOCK]));
        for j in 0..vectors::<L>() {
            let mut sum = zero;
            for e in e {
                sum = lanes.add(sum, lanes.load(e.vector(j)));
            }
            let [logarithm] = ln(lanes, [sum]);
            lanes.store(sums.vector_mut(j), sum);
            lanes.store(logarithms.vector_mut(j), logarithm);
        }
        for (class, (product, columns)) in products.iter_mut().zip(columns.chunks_exact_mut(width)).enumerate() {
            let (mut total, mut product_of_class) = (zero, product.get(lanes));
            for j in 0..vectors::<L>() {
                let weight = weights.map_or(one, |weights| lanes.load(weights.vector(j)));
                let weight = truth.part(lanes, class, j, weight);
                let (is_below, is_above) = (lanes.gt(one, weight), lanes.gt(weight, one));
                // A weight that is NaN is neither, and reaches the sum by what it multiplies.
                let unless_one = |x, otherwise| lanes.select(is_below, x, lanes.select(is_above, x, otherwise));
                let factor = unless_one(one, lanes.load(sums.vector(j)));
                product_of_class = lanes.mul(product_of_class, factor);
                let d = lanes.sub(logits.load(lanes, class, j), lanes.load(max.vector(j)));
                let log = lanes.load(logarithms.vector(j));
                let by_weight = lanes.sub(times(lanes, weight, d), times(lanes, unless_one(weight, zero), log));
                total = lanes.add(total, by_weight);
            }
            product.set(lanes, product_of_class);
            columns[column].add(lanes, lanes.sub(zero, total));
        }
    }
}

/// Adds a block, class by class, whose rows are [weighed](Weigh).
pub(super) struct AddLogarithms<'s, R, T> {
    /// Of the sums of [`Sums::POWERS`] those that are asked for.
    pub(super) sums: Sums,
    pub(super) rows: LogRows<'s, R>,
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
        let Self { sums, rows, truth, weights, columns, width, first } = self;
        for (class, columns) in columns.chunks_exact_mut(width).enumerate() {
            let (mut inside, mut outside) = (lanes.splat(R::ZERO), lanes.splat(R::ZERO));
            for j in 0..vectors::<L>() {
                let weighed = |x| match weights {
                    Some(weights) => lanes.mul(x, lanes.load(weights.vector(j))),
                    None => x,
                };
                if let Some(row) = rows.inside.get(class) {
                    let x = truth.selected(lanes, class, j, lanes.load(row.vector(j)));
                    inside = lanes.add(inside, weighed(x));
                }
                if let Some(row) = rows.outside.get(class) {
                    let x = truth.selected_rest(lanes, class, j, lanes.load(row.vector(j)));
                    outside = lanes.add(outside, weighed(x));
                }
            }
            let mut columns = columns[first..].iter_mut();
            for (sum, total) in [(Sum::LogInside, inside), (Sum::LogOutside, outside)] {
                if sums.contains(sum) {
                    columns.next().expect("a column per sum").add(lanes, total);
                }
            }
        }
    }
}

/// Adds the logarithms of a block whatever the target is: −ln p, and −ln(1 − p) behind it.
pub(super) struct AddEverywhere<'s, R> {
    /// The sums that are neither of [`Sums::POWERS`].
    pub(super) sums: Sums,
    pub(super) rows: LogRows<'s, R>,
    pub(super) weights: Option<&'s Row<R>>,
    pub(super) columns: &'s mut [LaneSum<R>],
    pub(super) width: usize,
    pub(super) first: usize,
}

impl<R: Real> Kernel for AddEverywhere<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { sums, rows, weights, columns, width, first } = self;
        for (class, columns) in columns.chunks_exact_mut(width).enumerate() {
            let mut columns = columns[first..].iter_mut();
            for (sum, rows) in [(Sum::LogEverywhere, rows.inside), (Sum::LogComplement, rows.outside)] {
                if sums.contains(sum) {
                    let mut total = lanes.splat(R::ZERO);
                    for j in 0..vectors::<L>() {
                        let x = lanes.load(rows[class].vector(j));
                        total = match weights {
                            Some(weights) => lanes.fma(x, lanes.load(weights.vector(j)), total),
                            None => lanes.add(x, total),
                        };
                    }
                    columns.next().expect("a column per sum").add(lanes, total);
                }
            }
        }
    }
}

/// Fills the row of −ln p of the class of each voxel, under a softmax, and that of its p.
pub(super) struct FillOfLabels<'s, R, T> {
    pub(super) logits: Rows<'s, R>,
    pub(super) probabilities: Probabilities<'s, R>,
    pub(super) max: &'s Row<R>,
    pub(super) labels: T,
    pub(super) log: &'s mut Row<R>,
    pub(super) p: &'s mut Row<R>,
}

impl<R: Real + Element, T: Labels> Kernel for FillOfLabels<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { logits, probabilities: Probabilities { e, r }, max, labels, log, p: of_p } = self;
        let zero = lanes.splat(R::ZERO);
        for j in 0..vectors::<L>() {
            // Of each voxel one class is kept, so that adding is selecting.
            let (mut d, mut p) = (zero, zero);
            for (class, e) in e.iter().enumerate() {
                let is_class = labels.are(lanes, class, j);
                let z = lanes.sub(logits.load(lanes, class, j), lanes.load(max.vector(j)));
                d = lanes.add(d, lanes.keep(is_class, z));
                p = lanes.add(p, lanes.keep(is_class, lanes.load(e.vector(j))));
            }
            let r = lanes.load(r.vector(j));
            lanes.store(of_p.vector_mut(j), lanes.mul(p, r));
            let [of_r] = ln(lanes, [r]);
            lanes.store(log.vector_mut(j), lanes.sub(zero, lanes.add(of_r, d)));
        }
    }
}

/// Adds a row of numbers to the class of each voxel.
pub(super) struct AddOfLabels<'s, R, T> {
    pub(super) row: &'s Row<R>,
    pub(super) labels: T,
    pub(super) weights: Option<&'s Row<R>>,
    pub(super) columns: &'s mut [LaneSum<R>],
    pub(super) width: usize,
    pub(super) column: usize,
}

impl<R: Real, T: Labels> Kernel for AddOfLabels<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { row, labels, weights, columns, width, column } = self;
        let mut weighed = *row;
        if let Some(weights) = weights {
            for j in 0..vectors::<L>() {
                let x = lanes.mul(lanes.load(row.vector(j)), lanes.load(weights.vector(j)));
                lanes.store(weighed.vector_mut(j), x);
            }
        }
        for (class, columns) in columns.chunks_exact_mut(width).enumerate() {
            let mut total = lanes.splat(R::ZERO);
            for j in 0..vectors::<L>() {
                let x = lanes.load(weighed.vector(j));
                total = lanes.add(total, lanes.keep(labels.are(lanes, class, j), x));
            }
            columns[column].add(lanes, total);
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

/// Writes what the logarithms contribute to the gradient of a block to `q`, whose rows are [weighed](Weigh): κ of a softmax, else the
/// gradient itself.
pub(super) struct ByLogarithms<'s, R, T> {
    pub(super) activation: Activation,
    pub(super) slopes: &'s [LogSlope<R>],
    pub(super) probabilities: Probabilities<'s, R>,
    pub(super) rows: LogRows<'s, R>,
    pub(super) truth: T,
    pub(super) q: &'s mut [Row<R>],
}

impl<R: Real, T: Truth<R>> Kernel for ByLogarithms<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { activation, slopes, probabilities: Probabilities { e, r }, rows, truth, q: to } = self;
        let (zero, one) = (lanes.splat(R::ZERO), lanes.splat(R::ONE));
        let [least, greatest] = clamp::<R>().map(|bound| lanes.splat(bound));
        // Of a softmax it is κ, which is taken from what it adds to all classes.
        let sign = if activation == Activation::Softmax { R::ONE } else { R::ZERO - R::ONE };
        for (class, (to, slope)) in to.iter_mut().zip(slopes).enumerate() {
            for j in 0..vectors::<L>() {
                let mut total = zero;
                let e = lanes.load(e[class].vector(j));
                if slope.inside != R::ZERO {
                    let x = lanes.mul(lanes.load(rows.inside[class].vector(j)), lanes.splat(sign * slope.inside));
                    total = truth.selected(lanes, class, j, x);
                }
                if slope.outside != R::ZERO {
                    let x = lanes.mul(lanes.load(rows.outside[class].vector(j)), lanes.splat(slope.outside));
                    total = lanes.add(total, truth.selected_rest(lanes, class, j, x));
                }
                if slope.everywhere != R::ZERO || slope.complement != R::ZERO {
                    let p = lanes.mul(e, lanes.load(r.vector(j)));
                    let q = lanes.sub(one, p);
                    let [by_p, by_q] = match activation {
                        Activation::Softmax => [one, zero],
                        Activation::Sigmoid => [q, p],
                        Activation::None => [lanes.div(one, p), lanes.div(one, q)],
                    };
                    total = lanes.fma(by_p, lanes.splat(sign * slope.everywhere), total);
                    total = lanes.fma(by_q, lanes.splat(slope.complement), total);
                }
                if activation == Activation::None {
                    // Where the clamp holds there is no slope.
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
    /// κ where g and the slope are 1; absent if that is 1, too.
    pub(super) row: Option<&'s Row<R>>,
    pub(super) slopes: &'s [LogSlope<R>],
    pub(super) labels: T,
    pub(super) q: &'s mut [Row<R>],
}

impl<R: Real, T: Labels> Kernel for ByLogarithmsOfLabels<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { row, slopes, labels, q: to } = self;
        let one = Row([R::ONE; BLOCK]);
        let row = row.unwrap_or(&one);
        for (class, (to, slope)) in to.iter_mut().zip(slopes).enumerate() {
            for j in 0..vectors::<L>() {
                let x = lanes.mul(lanes.load(row.vector(j)), lanes.splat(slope.inside));
                lanes.store(to.vector_mut(j), lanes.keep(labels.are(lanes, class, j), x));
            }
        }
    }
}
