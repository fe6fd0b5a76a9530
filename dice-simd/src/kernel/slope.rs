//! What a pullback needs to know of a class: how the loss changes with its probabilities.

use dice_core::{Cotangent, Sum};

use crate::real::Real;

/// ∂L/∂p of one class, the upstream gradient included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slope<R> {
    /// Where the voxel belongs to the class.
    pub(super) inside: R,
    /// Elsewhere.
    pub(super) outside: R,
}

/// Rounded once. A finite one stays so small that the mean over the classes is finite too.
pub(super) fn rounded<R: Real>(slope: f64) -> R {
    let greatest = R::GREATEST_SLOPE;
    R::from_f64(if slope.is_finite() { slope.clamp(-greatest, greatest) } else { slope })
}

impl<R: Real> Slope<R> {
    /// That of a part of the request. `labels`: the slope by the difference |p − g| is −1 where the voxel belongs to the class and
    /// 1 elsewhere, as it is of labels and probabilities from 0 to 1.
    pub(super) fn new(
        cotangent: &Cotangent,
        upstream: &[f64],
        row: usize,
        class: usize,
        part: usize,
        labels: bool,
    ) -> Self {
        let factor = cotangent.upstream(row, class, upstream);
        let by = |sum| cotangent.get(row, class, part, sum);
        let by_difference = if labels { by(Sum::Difference) } else { 0.0 };
        let outside = by(Sum::Prediction) + by_difference;
        let inside = by(Sum::Prediction) + by(Sum::Intersection) - by_difference;
        let [inside, outside] = [inside, outside].map(|slope| rounded(factor * slope));
        Self { inside, outside }
    }

    /// Whether the loss does not depend on the class.
    pub(super) fn is_zero(self) -> bool {
        self.inside == R::ZERO && self.outside == R::ZERO
    }
}
