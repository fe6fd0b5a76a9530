//! How far the fast passes may lie from the textbook reference: every constant once, each with its reason.

use dice_simd::Isa;

/// What one level is held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// Of S and I, relative to the sum of the absolute values.
    pub(crate) sum: f64,
    /// ∂L/∂z, relative to the greatest |∂L/∂p| of the group.
    pub(crate) gradient: f64,
    /// A probability, absolute.
    pub(crate) probability: f64,
    /// exp on [−1, 0], in units in the last place.
    pub(crate) exp_near: f64,
    /// exp on [−44, 0], in units in the last place.
    pub(crate) exp_far: f64,
    /// By how many units in the last place exp may fall where its argument rises to the next f32.
    pub(crate) exp_fall: f64,
}

/// The levels with fused multiply-add, which all compute the same bits.
const EXACT: Tolerance =
    Tolerance { sum: 4e-5, gradient: 4e-7, probability: 4e-7, exp_near: 1.5, exp_far: 3.0, exp_fall: 3.0 };

/// Two roundings per multiply-add: the residual of the exponential loses up to half a unit of n ln 2.
const PORTABLE: Tolerance =
    Tolerance { sum: 4e-5, gradient: 4e-7, probability: 4e-7, exp_near: 1.5, exp_far: 3.0, exp_fall: 3.0 };

impl Tolerance {
    pub(crate) fn of(isa: Isa) -> Self {
        if isa.is_exact() { EXACT } else { PORTABLE }
    }
}

/// The loss, absolute: what the library promises.
pub(crate) const LOSS: f64 = 1e-6;

/// exp is +0 below about 2^-63.5, so each voxel may lack as much.
pub(crate) const FLUSHED: f64 = 1.0 / (1_u64 << 63) as f64;
