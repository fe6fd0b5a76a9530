//! What is to be done for each part of a request, decided once per pass; and whether a plain pass is enough.

use dice_core::{Activation, Cotangent, Needs, Request, Sum, Sums};

use super::logarithms::Exponents;
use super::part::Logs;
use crate::block::Row;
use crate::gather::Rows;
use crate::keep::fit;
use crate::kernel::power::Power;
use crate::real::Real;

/// What a block is compared with, as the kernels are compiled for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Truth<'s, R> {
    Labels(&'s Row<i32>),
    Dense(Rows<'s, R>),
}

/// Calls `$body` with `$truth` bound to the labels or the rows.
macro_rules! with_truth {
    ($compared:expr, $truth:ident => $body:expr) => {
        match $compared {
            Truth::Labels($truth) => $body,
            Truth::Dense($truth) => $body,
        }
    };
}
pub(super) use with_truth;

/// A part of a request, as the kernels need it, where its numbers stand in the scratch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'s, R> {
    pub(super) activation: Activation,
    pub(super) sums: Sums,
    pub(super) logs: Logs,
    pub(super) exponents: Exponents<'s, R>,
    pub(super) costs: &'s [R],
}

impl<R: Real> Part<'_, R> {
    /// Whether F⁺ is cross-entropy under a softmax, of which most is taken as [a product](super::product::LaneProduct).
    pub(super) fn is_cross_entropy(&self) -> bool {
        self.activation == Activation::Softmax && self.sums.contains(Sum::LogInside) && !self.exponents.are_some()
    }
}

/// Whether a part of labels takes F⁺ and F⁻ alone under a sigmoid: [both in one walk](super::sigmoid), where kernels are tuned.
pub(super) fn takes_both<R: Real>(part: &Part<'_, R>) -> bool {
    part.activation == Activation::Sigmoid && part.sums.and(Sums::LOGS) == Sums::POWERS
}

/// The exponents and costs of a request in the arithmetic of the kernels, kept from pass to pass.
#[derive(Debug, Default)]
pub(super) struct PartNumbers<R> {
    powers: Vec<(R, Power<R>)>,
    costs: Vec<R>,
}

impl<R: Real> PartNumbers<R> {
    /// Takes those of a request over.
    pub(super) fn fit(&mut self, request: &Request) {
        let parts = || (0..request.parts()).map(|part| request.part(part));
        let zero = Power::new(R::ZERO);
        fit(&mut self.powers, parts().map(|part| part.exponents.len().max(1)).sum(), (R::ZERO, zero));
        fit(&mut self.costs, parts().map(|part| part.costs.len()).sum(), R::ZERO);
        let mut powers = self.powers.iter_mut();
        let mut costs = self.costs.iter_mut();
        for part in parts() {
            let exponents = if part.exponents.is_empty() { &[0.0] } else { part.exponents };
            // In this order: a pair is begun with the first iterator, and what ends must be the numbers of the part.
            for (&exponent, to) in exponents.iter().zip(powers.by_ref()) {
                *to = (R::from_f64(exponent), Power::new(R::from_f64(exponent)));
            }
            part.costs.iter().zip(costs.by_ref()).for_each(|(&cost, to)| *to = R::from_f64(cost));
        }
    }

    /// The parts of the request.
    pub(super) fn parts<'s>(&'s self, request: &'s Request, labels: bool) -> impl Iterator<Item = Part<'s, R>> {
        let (mut powers, mut costs) = (&self.powers[..], &self.costs[..]);
        (0..request.parts()).map(move |part| {
            let needs: Needs<'_> = request.part(part);
            let (of_part, rest) = powers.split_at(needs.exponents.len().max(1));
            powers = rest;
            let (costs_of_part, rest) = costs.split_at(needs.costs.len());
            costs = rest;
            Part {
                activation: needs.activation,
                sums: needs.sums,
                logs: Logs::of(&needs, labels),
                exponents: Exponents { powers: of_part },
                costs: costs_of_part,
            }
        })
    }
}

/// Whether the difference from the target follows from the overlap: of labels and probabilities from 0 to 1, if the overlap is
/// asked for.
pub(super) fn follows(needs: &Needs<'_>, of_target: Sums, labels: bool) -> bool {
    let overlap = Sums::NONE.with(Sum::Prediction).with(Sum::Intersection);
    labels
        && needs.activation != Activation::None
        && of_target.contains(Sum::Target)
        && needs.sums.contains_all(overlap)
}

/// Whether a plain pullback is enough: one part, of whose sums only the overlap, and what follows from it, has a slope.
pub(crate) fn is_plain_cotangent(cotangent: &Cotangent, labels: bool) -> bool {
    let request = cotangent.request();
    if request.parts() != 1 {
        return false;
    }
    let part = request.part(0);
    let mut plain = Sums::NONE.with(Sum::Prediction).with(Sum::Intersection);
    if labels && part.activation != Activation::None {
        plain = plain.with(Sum::Difference);
    }
    let others = part.sums.without(plain);
    let width = request.columns().max(1);
    others.is_empty()
        || cotangent
            .as_slice()
            .chunks_exact(width)
            .all(|columns| others.iter().all(|sum| request.column(0, sum).is_none_or(|column| columns[column] == 0.0)))
}

/// Whether a plain pass takes all sums of a request: one part, and of that the overlap, with what follows from it.
pub(crate) fn is_plain_request(request: &Request, labels: bool) -> bool {
    if request.parts() != 1 || !labels && !Sums::NONE.with(Sum::Target).contains_all(request.of_target()) {
        return false;
    }
    let part = request.part(0);
    let overlap = Sums::NONE.with(Sum::Prediction).with(Sum::Intersection);
    let plain = if labels && part.activation != Activation::None { overlap.with(Sum::Difference) } else { overlap };
    plain.contains_all(part.sums)
}
