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

/// The product of an upstream gradient and a derivative, rounded once. It is 0 where the loss does not depend on the sum, whatever the
/// upstream gradient is; a finite one stays so small that the mean over the classes is finite too.
pub(super) fn rounded<R: Real>(upstream: f64, derivative: f64) -> R {
    let slope = if derivative == 0.0 { 0.0 } else { upstream * derivative };
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
        let [prediction, intersection] = [by(Sum::Prediction), by(Sum::Intersection)];
        let of = |parts: [f64; 3]| {
            let sum = parts[0] + parts[1] + parts[2];
            // Parts that cancel are not parts that the loss does not depend on: an upstream gradient of NaN shows.
            let cancel = sum == 0.0 && parts != [0.0; 3] && !factor.is_finite();
            if cancel { R::NAN } else { rounded(factor, sum) }
        };
        Self { inside: of([prediction, intersection, -by_difference]), outside: of([prediction, by_difference, 0.0]) }
    }

    /// Whether the loss does not depend on the class.
    pub(super) fn is_zero(self) -> bool {
        self.inside == R::ZERO && self.outside == R::ZERO
    }
}
