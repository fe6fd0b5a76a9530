//! The logarithms of a softmax's sums, as one of their product.

use crate::block::LANES;
use crate::kernel::ln::ln;
use crate::kernel::sums::{F32_BLOCKS, LaneSum};
use crate::lanes::Lanes;
use crate::real::Real;

/// Σ ln Z of voxels that count once each, lane by lane, as the logarithm of the product of their Z: a multiplication per voxel,
/// and a logarithm every few blocks.
///
/// A Z is the sum of the exponentials of a softmax, from 1 to the number of classes. The product begins with the least normal number, so
/// that as many as can be are multiplied [before it is widened](blocks_between_widenings). It loses as much of the sum as each Z
/// has lost to rounding.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct LaneProduct<R>([R; LANES]);

impl<R: Real> Default for LaneProduct<R> {
    fn default() -> Self {
        Self([R::MIN_POSITIVE; LANES])
    }
}

impl<R: Real> LaneProduct<R> {
    #[inline(always)]
    pub(super) fn get<L: Lanes<R = R>>(&self, lanes: L) -> L::F {
        lanes.load(&self.0)
    }

    #[inline(always)]
    pub(super) fn set<L: Lanes<R = R>>(&mut self, lanes: L, product: L::F) {
        lanes.store(&mut self.0, product);
    }

    /// Adds the logarithms to an f64 sum.
    #[inline(always)]
    pub(super) fn widen<L: Lanes<R = R>>(&mut self, lanes: L, sum: &mut LaneSum<R>) {
        let raise = 1.0 / R::MIN_POSITIVE.to_f64();
        let octaves = R::from_f64(R::OCTAVES_BELOW_ONE * std::f64::consts::LN_2);
        let product = self.get(lanes);
        // Brought to 1 and above where it can be: a logarithm far from 0 would hide small ones.
        let is_low = lanes.gt(lanes.splat(R::ONE), product);
        let raised = lanes.mul(product, lanes.splat(R::from_f64(raise)));
        let [logarithm] = ln(lanes, [lanes.select(is_low, raised, product)]);
        sum.add_widened(lanes, logarithm);
        sum.add_widened(lanes, lanes.select(is_low, lanes.splat(R::ZERO), lanes.splat(octaves)));
        *self = Self::default();
    }
}

/// How many blocks are multiplied before products are [widened](LaneProduct::widen): a divisor of [`F32_BLOCKS`], and so few that the
/// product of a lane stays in the range of f32, of which it has 250 octaves.
pub(super) fn blocks_between_widenings(classes: usize) -> usize {
    match classes {
        0..=14 => F32_BLOCKS,
        15..=224 => F32_BLOCKS / 2,
        225..=50_535 => F32_BLOCKS / 4,
        _ => F32_BLOCKS / 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::VECTORS;

    #[test]
    fn products_stay_in_range() {
        // From the least normal number, with which a product begins, to a fourth of the greatest.
        const OCTAVES: f64 = 250.0;
        for classes in [1, 14, 15, 224, 225, 50_535, 50_536, i32::MAX as usize] {
            let factors = VECTORS * blocks_between_widenings(classes);
            assert!((classes as f64).log2() * factors as f64 <= OCTAVES, "{classes} classes");
        }
    }
}
