//! How far the fast passes may lie from the textbook reference: every constant once, each with its reason and with what was
//! measured. `cargo test -- --nocapture` prints the greatest error of each test beside its bound.

use dice_simd::Isa;

/// What one level is held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// S and I without an activation, relative to the sum of the absolute values. A lane adds 64 numbers in f32, and loses
    /// most where all are the same, so that each of the roundings goes one way. Measured on such: 3.0e-7.
    pub(crate) sum_as_it_is: f64,
    /// S and I of a softmax of two classes or a sigmoid: the same, and a probability's own relative error. Measured
    /// on such: 3.5e-7; portable 6.9e-7.
    pub(crate) sum_of_two: f64,
    /// S and I of up to 40 classes: a single voxel's probability also has the roundings of the sum over the classes.
    pub(crate) sum: f64,
    /// ∂L/∂z, relative to the greatest |∂L/∂p| of the group: four roundings, and the probability's own error.
    pub(crate) gradient: f64,
    /// A probability, absolute.
    pub(crate) probability: f64,
    /// exp on [−1, 0], in units in the last place. Measured over every f32: 1.156; portable 1.172.
    pub(crate) exp_near: f64,
    /// exp on [−44, 0], in units in the last place. Measured over every f32: 2.895; portable 34.14.
    pub(crate) exp_far: f64,
    /// By how many units in the last place exp may fall where its argument rises to the next f32. Measured over every f32: 1.
    pub(crate) exp_fall: f64,
}

/// The levels with fused multiply-add, which all compute the same bits.
const EXACT: Tolerance = Tolerance {
    sum_as_it_is: 4e-7,
    sum_of_two: 4e-7,
    sum: 1e-6,
    gradient: 4e-7,
    probability: 4e-7,
    exp_near: 1.2,
    exp_far: 3.0,
    exp_fall: 1.0,
};

/// Two roundings per multiply-add: the residual of the exponential loses up to half a unit of n ln 2, so far from 0 the
/// relative error grows with the argument.
const PORTABLE: Tolerance = Tolerance {
    sum_as_it_is: 4e-7,
    sum_of_two: 1.5e-6,
    sum: 3e-6,
    gradient: 4e-7,
    probability: 4e-7,
    exp_near: 1.2,
    exp_far: 35.0,
    exp_fall: 1.0,
};

impl Tolerance {
    pub(crate) fn of(isa: Isa) -> Self {
        if isa.is_exact() { EXACT } else { PORTABLE }
    }
}

/// What the passes over inputs of any kind are held to, by their arithmetic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputTolerance {
    /// Σ m, S, T and I, relative to the sum of the absolute values. Weights add two roundings, and are themselves added 64 at a
    /// time. Measured: 9.9e-7, portable 1.4e-6; f64 7.4e-16.
    pub(crate) sum: f64,
    /// The loss, absolute. Measured: 1.2e-7; f64 4.4e-16.
    pub(crate) value: f64,
    /// ∂L/∂z, relative to m times the greatest |∂L/∂p| of the voxel's group, beyond the one rounding to the gradient's type.
    /// Measured: 3.4e-7; f64 6.0e-16.
    pub(crate) gradient: f64,
}

impl InputTolerance {
    pub(crate) fn of(is_double: bool) -> Self {
        if is_double {
            Self { sum: 2e-15, value: 2e-15, gradient: 2e-15 }
        } else {
            Self { sum: 2e-6, value: LOSS, gradient: 6e-7 }
        }
    }
}

/// The loss, absolute: what the library promises. Measured: 2.4e-8.
pub(crate) const LOSS: f64 = 1e-6;

/// exp is +0 below about 2^-63.06, so each voxel may lack as much.
pub(crate) const FLUSHED: f64 = 1.0 / (1_u64 << 63) as f64;

/// Σ p of a softmax of up to 40 classes, from 1: the roundings of the sum of the exponentials. Measured: 4.5e-7.
pub(crate) const TOTAL: f64 = 1e-6;

/// exp of f64 on [−1, 0] and on [−692, 0], in units in the last place. Measured at 80 million points: 0.938; 1.046.
pub(crate) const EXP_F64: (f64, f64) = (1.0, 1.1);
/// Two roundings per multiply-add. Measured: 1.10; 1.21.
pub(crate) const EXP_F64_PORTABLE: (f64, f64) = (1.15, 1.3);

/// What the elementary functions other than exp are held to, in units in the last place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elementary {
    pub(crate) ln: f64,
    pub(crate) ln_1p: f64,
    pub(crate) exp_m1: f64,
    /// Of a power that is no small whole one, per 1 + |its logarithm|.
    pub(crate) pow: f64,
}

impl Elementary {
    /// f32. Measured over every f32: 0.929, 0.908, 2.621; portable 1.070, 0.934, 2.875. Powers with all bases and the exponents
    /// 1/2, 3/2, 5/2 and 10: 1.922; portable 2.904.
    pub(crate) fn of(isa: Isa) -> Self {
        if isa.is_exact() {
            Self { ln: 1.0, ln_1p: 1.0, exp_m1: 2.7, pow: 2.0 }
        } else {
            Self { ln: 1.1, ln_1p: 1.0, exp_m1: 3.0, pow: 3.0 }
        }
    }

    /// f64. Measured at 160 million points: 1.286, 1.279, 1.131; portable 1.530, 1.256, 1.090. Powers at 10 million: 2.533;
    /// portable 2.833.
    pub(crate) fn of_f64(isa: Isa) -> Self {
        if isa.is_exact() {
            Self { ln: 1.4, ln_1p: 1.4, exp_m1: 1.3, pow: 3.0 }
        } else {
            Self { ln: 1.6, ln_1p: 1.4, exp_m1: 1.3, pow: 3.0 }
        }
    }
}
