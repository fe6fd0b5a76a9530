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

impl<R: Real> Slope<R> {
    /// Rounded once. A finite one stays so small that the mean over the classes is finite too.
    pub(super) fn new(cotangent: &Cotangent, upstream: &[f64], row: usize, class: usize) -> Self {
        let factor = cotangent.upstream(row, upstream);
        let outside = cotangent.get(row, class, Sum::Prediction);
        let inside = outside + cotangent.get(row, class, Sum::Intersection);
        let greatest = R::GREATEST_SLOPE;
        let [inside, outside] = [factor * inside, factor * outside]
            .map(|slope| R::from_f64(if slope.is_finite() { slope.clamp(-greatest, greatest) } else { slope }));
        Self { inside, outside }
    }

    /// Whether the loss does not depend on the class.
    pub(super) fn is_zero(self) -> bool {
        self.inside == R::ZERO && self.outside == R::ZERO
    }
}
