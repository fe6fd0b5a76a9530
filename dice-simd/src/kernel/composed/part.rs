//! From the logits of a block to the rows of one part of a request: its probabilities and, if it asks for them, their
//! logarithms.

use std::slice;

use dice_core::{Activation, Needs, Request, Sum, Sums};

use super::apart::vectors;
use super::logarithms::{Exponents, FillOfLabels, LogRows, Weigh, Weighing, clamp};
use crate::block::{BLOCK, Row};
use crate::element::Element;
use crate::gather::Rows;
use crate::keep::fit;
use crate::kernel::activate::{Activate, Identity, Probabilities, Sigmoid, exponentiate, prepare};
use crate::kernel::exp::exp;
use crate::kernel::ln::{ln, ln_1p};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// What the kernels of a part read.
#[derive(Debug, Default)]
pub(super) struct PartRows<R> {
    /// e of each class, with p = e · r.
    e: Vec<Row<R>>,
    r: Row<R>,
    /// The greatest logit of each voxel, of a softmax.
    max: Row<R>,
    /// −ln p of each class.
    inside: Vec<Row<R>>,
    /// −ln(1 − p) of each class.
    outside: Vec<Row<R>>,
    /// −ln p of the class of each voxel, and its p.
    of_labels: Row<R>,
    p_of_labels: Row<R>,
    /// 1 of each voxel.
    ones: Row<R>,
    /// Of each class, for a kernel that needs more.
    spare: Vec<Row<R>>,
}

/// Which logarithms a part asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logs {
    None,
    /// That of the class of each voxel, under a softmax.
    OfLabels,
    /// −ln p of each class.
    Inside,
    /// That and −ln(1 − p).
    Both,
}

impl Logs {
    /// What `needs` asks for, of labels or of a dense target.
    pub(super) fn of(needs: &Needs<'_>, labels: bool) -> Self {
        let sums = needs.sums.and(Sums::LOGS);
        if sums.is_empty() {
            Self::None
        } else if !sums.and(Sums::COMPLEMENTS).is_empty() {
            Self::Both
        } else if labels
            && needs.activation == Activation::Softmax
            && needs.exponents.len() <= 1
            && sums == Sums::NONE.with(Sum::LogInside)
        {
            Self::OfLabels
        } else {
            Self::Inside
        }
    }
}

impl<R: Real> PartRows<R> {
    /// Makes room for `classes` classes, `spare` rows among it or not.
    fn fit(&mut self, classes: usize, logs: bool, complements: bool, spare: bool) {
        self.ones = Row([R::ONE; BLOCK]);
        fit(&mut self.e, classes, Row::default());
        fit(&mut self.spare, if spare { classes } else { 0 }, Row::default());
        fit(&mut self.inside, if logs { classes } else { 0 }, Row::default());
        fit(&mut self.outside, if complements { classes } else { 0 }, Row::default());
    }

    /// e, r, and a row more of each class, for a kernel that fills them itself.
    pub(super) fn rooms(&mut self) -> (&mut [Row<R>], &mut Row<R>, &mut [Row<R>]) {
        (&mut self.e, &mut self.r, &mut self.spare)
    }

    pub(super) fn probabilities(&self) -> Probabilities<'_, R> {
        Probabilities { e: &self.e, r: &self.r }
    }

    /// e, for a kernel that fills it itself, under an activation whose r is 1.
    pub(super) fn room_of_e(&mut self) -> &mut [Row<R>] {
        self.r = Row([R::ONE; BLOCK]);
        &mut self.e
    }

    /// The greatest logit of each voxel, of a softmax.
    pub(super) fn max(&self) -> &Row<R> {
        &self.max
    }

    /// What [`FillOfLabels`] fills of labels under a softmax.
    pub(super) fn fill_of_labels<'s, T>(&'s mut self, logits: Rows<'s, R>, labels: T) -> FillOfLabels<'s, R, T> {
        let probabilities = Probabilities { e: &self.e, r: &self.r };
        let (log, p) = (&mut self.of_labels, &mut self.p_of_labels);
        FillOfLabels { logits, probabilities, max: &self.max, labels, log, p }
    }

    /// The row of [`FillOfLabels`].
    pub(super) fn of_labels(&self) -> &Row<R> {
        &self.of_labels
    }

    /// What [`Weigh`] makes of the rows of logarithms.
    pub(super) fn weigh<'s>(
        &'s mut self,
        weighing: Weighing,
        activation: Activation,
        exponents: Exponents<'s, R>,
        logs: Logs,
    ) -> Weigh<'s, R> {
        let Self { e, r, inside, outside, of_labels, p_of_labels, ones, .. } = self;
        if logs == Logs::OfLabels {
            let (e, inside) = (slice::from_ref(p_of_labels), slice::from_mut(of_labels));
            return Weigh { weighing, activation, exponents, e, r: ones, inside, outside: &mut [] };
        }
        Weigh { weighing, activation, exponents, e, r, inside, outside }
    }

    /// The logarithms of each class, or what they are weighed to.
    pub(super) fn logarithms(&self) -> LogRows<'_, R> {
        LogRows { inside: &self.inside, outside: &self.outside }
    }
}

/// Fills the rows of a part.
pub(super) struct ActivatePart<'s, R> {
    pub(super) activation: Activation,
    pub(super) logs: Logs,
    pub(super) logits: Rows<'s, R>,
    pub(super) rows: &'s mut PartRows<R>,
}

impl<R: Real + Element> Kernel for ActivatePart<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { activation, logs, logits, rows } = self;
        let PartRows { e, r, max, inside, outside, .. } = rows;
        match activation {
            Activation::Softmax => {
                prepare::<L, R, 0>(lanes, logits, e, max);
                exponentiate::<L, R, GROUP, 0>(lanes, logits, e, max, r, false);
                if logs == Logs::Inside {
                    of_softmax(lanes, logits, max, r, inside);
                }
            }
            Activation::Sigmoid if matches!(logs, Logs::Inside | Logs::Both) => {
                of_sigmoid(lanes, logits, e, inside, outside);
                *r = Row([R::ONE; BLOCK]);
            }
            Activation::Sigmoid => Sigmoid::activate::<L, R, GROUP, 0>(lanes, logits, e, r),
            Activation::None => {
                Identity::activate::<L, R, GROUP, 0>(lanes, logits, e, r);
                if matches!(logs, Logs::Inside | Logs::Both) {
                    of_probabilities(lanes, logits, inside, outside);
                }
            }
        }
    }
}

/// −ln p = −ln r − (z − max), never the logarithm of a rounded p.
#[inline(always)]
fn of_softmax<L: Lanes>(lanes: L, logits: Rows<'_, L::R>, max: &Row<L::R>, r: &Row<L::R>, inside: &mut [Row<L::R>])
where
    L::R: Element,
{
    for j in 0..vectors::<L>() {
        let [ln_r] = ln(lanes, [lanes.load(r.vector(j))]);
        let max = lanes.load(max.vector(j));
        for (class, inside) in inside.iter_mut().enumerate() {
            let d = lanes.sub(logits.load(lanes, class, j), max);
            lanes.store(inside.vector_mut(j), lanes.sub(lanes.splat(L::R::ZERO), lanes.add(ln_r, d)));
        }
    }
}

/// p, −ln p = ln(1 + exp(−z)) and −ln(1 − p) = ln(1 + exp z), of which the greater part is |z|.
#[inline(always)]
fn of_sigmoid<L: Lanes>(
    lanes: L,
    logits: Rows<'_, L::R>,
    e: &mut [Row<L::R>],
    inside: &mut [Row<L::R>],
    outside: &mut [Row<L::R>],
) where
    L::R: Element,
{
    let (zero, one) = (lanes.splat(L::R::ZERO), lanes.splat(L::R::ONE));
    for (class, e) in e.iter_mut().enumerate() {
        for j in 0..vectors::<L>() {
            logits.prefetch(lanes, class, j);
            let z = logits.load(lanes, class, j);
            let below = lanes.neg_abs(z);
            let [small] = exp(lanes, [below]);
            let is_negative = lanes.gt(zero, z);
            let numerator = lanes.select(is_negative, small, one);
            lanes.store(e.vector_mut(j), lanes.div(numerator, lanes.add(one, small)));
            let [rest] = ln_1p(lanes, [small]);
            let all = lanes.sub(rest, below);
            lanes.store(inside[class].vector_mut(j), lanes.select(is_negative, all, rest));
            if let Some(outside) = outside.get_mut(class) {
                lanes.store(outside.vector_mut(j), lanes.select(is_negative, rest, all));
            }
        }
    }
}

/// −ln p and −ln(1 − p) of probabilities that are clamped first, see [`Activation::CLAMP`].
#[inline(always)]
fn of_probabilities<L: Lanes>(
    lanes: L,
    probabilities: Rows<'_, L::R>,
    inside: &mut [Row<L::R>],
    outside: &mut [Row<L::R>],
) where
    L::R: Element,
{
    let (zero, one) = (lanes.splat(L::R::ZERO), lanes.splat(L::R::ONE));
    let [least, greatest] = clamp::<L::R>();
    // The logarithms of the bounds themselves: 1 − 1e-7 is no f32.
    let of_least = lanes.splat(L::R::from_f64(-Activation::CLAMP.ln()));
    let of_greatest = lanes.splat(L::R::from_f64(-(-Activation::CLAMP).ln_1p()));
    for (class, inside) in inside.iter_mut().enumerate() {
        for j in 0..vectors::<L>() {
            let p = probabilities.load(lanes, class, j);
            let is_low = lanes.gt(lanes.splat(least), p);
            let is_high = lanes.gt(p, lanes.splat(greatest));
            let clamp = |x, low, high| lanes.select(is_low, low, lanes.select(is_high, high, x));
            let [of_p] = ln(lanes, [p]);
            lanes.store(inside.vector_mut(j), clamp(lanes.sub(zero, of_p), of_least, of_greatest));
            if let Some(outside) = outside.get_mut(class) {
                let [of_not_p] = ln(lanes, [lanes.sub(one, p)]);
                lanes.store(outside.vector_mut(j), clamp(lanes.sub(zero, of_not_p), of_greatest, of_least));
            }
        }
    }
}

/// Makes room for the rows of every part of a request, `spare` ones if kernels may be fused.
pub(super) fn fit_rows<R: Real>(rows: &mut PartRows<R>, request: &Request, classes: usize, labels: bool, spare: bool) {
    let logs = || (0..request.parts()).map(|part| Logs::of(&request.part(part), labels));
    rows.fit(
        classes,
        logs().any(|logs| matches!(logs, Logs::Inside | Logs::Both)),
        logs().any(|logs| logs == Logs::Both),
        spare,
    );
}
