//! The fields of `dice_term`, and what their numbers mean.

use dice_simd::loss::{
    Divisor, Empty, MeanOrder, Overlap, Pooling, VolumeWeighting, Volumes, WassersteinWeighting, WeighedVolume,
    WeightMode,
};
use dice_simd::{Activation, Grouping, Reduction};

use crate::arguments::Growing;

/// A type of a field.
trait Field: Copy + PartialEq {
    /// The default.
    const ZERO: Self;
}

impl Field for i32 {
    const ZERO: Self = 0;
}

impl Field for f64 {
    const ZERO: Self = 0.0;
}

impl Field for usize {
    const ZERO: Self = 0;
}

impl Field for *const f64 {
    const ZERO: Self = std::ptr::null();
}

/// Makes the struct, with the kinds that read each field.
macro_rules! fields {
    ($($field:ident: $type:ty, $kinds:expr;)*) => {
        /// `dice_term`.
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[repr(C)]
        pub struct Term {
            $(pub(super) $field: $type,)*
            #[cfg(feature = "grown")]
            pub(super) grown: f64,
        }

        impl Term {
            /// All zero: the default generalised Dice loss.
            pub(super) const ZERO: Self = Self {
                $($field: <$type as Field>::ZERO,)*
                #[cfg(feature = "grown")]
                grown: 0.0,
            };

            /// A field that is not 0 though the kind does not read it.
            pub(super) fn unread(&self) -> Option<&'static str> {
                let kind = Kinds(1 << self.kind);
                $(if !$kinds.contains(kind) && self.$field != <$type as Field>::ZERO {
                    return Some(stringify!($field));
                })*
                None
            }
        }
    };
}

// SAFETY: all fields are numbers and pointers, for which NULL is valid.
unsafe impl Growing for Term {
    const FIRST: usize = 320;
}

/// A set of kinds.
#[derive(Clone, Copy)]
struct Kinds(u32);

impl Kinds {
    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn contains(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }
}

/// The kinds by their numbers, which they keep.
pub(super) mod kind {
    pub(crate) const GENERALIZED_DICE: i32 = 0;
    pub(crate) const SOFT_DICE: i32 = 1;
    pub(crate) const JACCARD: i32 = 2;
    pub(crate) const TVERSKY: i32 = 3;
    pub(crate) const FOCAL_TVERSKY: i32 = 4;
    pub(crate) const WASSERSTEIN: i32 = 5;
    pub(crate) const MCC: i32 = 6;
    pub(crate) const CROSS_ENTROPY: i32 = 7;
    pub(crate) const FOCAL: i32 = 8;
    /// How many there are.
    pub(crate) const COUNT: i32 = 9;
}

const NONE: Kinds = Kinds(0);
const ALL: Kinds = Kinds((1 << kind::COUNT) - 1);
const GENERALIZED_DICE: Kinds = Kinds(1 << kind::GENERALIZED_DICE);
const SOFT_DICE: Kinds = Kinds(1 << kind::SOFT_DICE);
const JACCARD: Kinds = Kinds(1 << kind::JACCARD);
const FOCAL_TVERSKY: Kinds = Kinds(1 << kind::FOCAL_TVERSKY);
/// Both of them.
const TVERSKYS: Kinds = Kinds(1 << kind::TVERSKY).or(FOCAL_TVERSKY);
const WASSERSTEIN: Kinds = Kinds(1 << kind::WASSERSTEIN);
const MCC: Kinds = Kinds(1 << kind::MCC);
const CROSS_ENTROPY: Kinds = Kinds(1 << kind::CROSS_ENTROPY);
const FOCAL: Kinds = Kinds(1 << kind::FOCAL);
/// Those that are a ratio per class.
const RATIOS: Kinds = SOFT_DICE.or(JACCARD).or(TVERSKYS).or(MCC);
/// Those that are a sum over the voxels.
const VOXEL_LOSSES: Kinds = CROSS_ENTROPY.or(FOCAL);

fields! {
    kind: i32, ALL;
    activation: i32, ALL;
    grouping: i32, ALL;
    reduction: i32, ALL;
    exclude_background: i32, ALL;
    transform: i32, ALL;
    left_out: i32, ALL;
    reserved: i32, NONE;
    factor: f64, ALL;
    transform_exponent: f64, ALL;
    transform_least: f64, ALL;
    class_weights: *const f64, ALL;
    num_class_weights: usize, ALL;
    weight_mode: i32, RATIOS.or(VOXEL_LOSSES);
    overlap: i32, GENERALIZED_DICE.or(RATIOS);
    empty: i32, GENERALIZED_DICE.or(RATIOS).or(WASSERSTEIN);
    volumes: i32, SOFT_DICE.or(TVERSKYS);
    pooling: i32, RATIOS;
    order: i32, RATIOS;
    complement: i32, RATIOS;
    class_transform: i32, RATIOS;
    class_transform_exponent: f64, RATIOS;
    class_transform_least: f64, RATIOS;
    smooth_numerator: f64, GENERALIZED_DICE.or(RATIOS).or(WASSERSTEIN);
    smooth_denominator: f64, GENERALIZED_DICE.or(RATIOS).or(WASSERSTEIN);
    least_denominator: f64, SOFT_DICE.or(JACCARD).or(TVERSKYS);
    softening: f64, RATIOS;
    weighting: i32, GENERALIZED_DICE;
    absent: i32, GENERALIZED_DICE;
    raw_weights: i32, GENERALIZED_DICE;
    weighed_volume: i32, GENERALIZED_DICE;
    zero_non_finite: i32, GENERALIZED_DICE;
    doubled: i32, JACCARD;
    absent_epsilon: f64, GENERALIZED_DICE;
    least_union: f64, GENERALIZED_DICE;
    least_intersection: f64, SOFT_DICE;
    false_positives: f64, TVERSKYS;
    false_negatives: f64, TVERSKYS;
    exponents: *const f64, FOCAL_TVERSKY.or(FOCAL);
    num_exponents: usize, FOCAL_TVERSKY.or(FOCAL);
    exponent_least: f64, FOCAL_TVERSKY;
    mcc_smoothing: f64, MCC;
    binary: i32, VOXEL_LOSSES;
    divisor: i32, VOXEL_LOSSES;
    use_alpha: i32, FOCAL;
    reserved_too: i32, NONE;
    alpha: f64, FOCAL;
    label_smoothing: f64, CROSS_ENTROPY;
    positive_weights: *const f64, VOXEL_LOSSES;
    num_positive_weights: usize, VOXEL_LOSSES;
    cost_weighting: i32, WASSERSTEIN;
    normalise_costs: i32, WASSERSTEIN;
    costs: *const f64, WASSERSTEIN;
    num_costs: usize, WASSERSTEIN;
}

impl Term {
    /// How many numbers it points to.
    pub(crate) fn numbers(&self) -> usize {
        let Self { num_class_weights, num_exponents, num_positive_weights, num_costs, .. } = *self;
        let lens = [num_class_weights, num_exponents, num_positive_weights, num_costs];
        lens.into_iter().fold(0, usize::saturating_add)
    }
}

/// The number that stands for 0 where 0 stands for another default.
pub(super) const NAUGHT: f64 = -1.0;

// The variants of each option, each at the place that is its number.
pub(super) const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];
/// The first is that of the kind.
pub(super) const GROUPINGS: [Option<Grouping>; 3] = [None, Some(Grouping::PerSample), Some(Grouping::Batch)];
pub(super) const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];
pub(super) const WEIGHT_MODES: [WeightMode; 2] = [WeightMode::Multiply, WeightMode::Normalise];
pub(super) const OVERLAPS: [Overlap; 2] = [Overlap::Product, Overlap::Difference];
pub(super) const EMPTIES: [Empty; 4] = [Empty::FalsePositives, Empty::Ratio, Empty::Skip, Empty::Zero];
pub(super) const VOLUMES: [Volumes; 3] = [Volumes::Plain, Volumes::Squared, Volumes::SquaredPrediction];
pub(super) const POOLINGS: [Pooling; 3] = [Pooling::PerClass, Pooling::AllClasses, Pooling::AllClassesSquared];
pub(super) const ORDERS: [MeanOrder; 3] = [MeanOrder::AtOnce, MeanOrder::ClassesFirst, MeanOrder::GroupsFirst];
pub(super) const WEIGHED_VOLUMES: [WeighedVolume; 2] = [WeighedVolume::Target, WeighedVolume::Ones];
/// The first is that of the kind.
pub(super) const DIVISORS: [Option<Divisor>; 7] = [
    None,
    Some(Divisor::Weights),
    Some(Divisor::Voxels),
    Some(Divisor::Elements),
    Some(Divisor::AllVoxels),
    Some(Divisor::AllElements),
    Some(Divisor::One),
];
pub(super) const COST_WEIGHTINGS: [WassersteinWeighting; 2] =
    [WassersteinWeighting::Foreground, WassersteinWeighting::Inverse];
/// Those of the generalised Dice loss but [`FIXED`].
pub(crate) const WEIGHTINGS: [VolumeWeighting; 3] =
    [VolumeWeighting::Inverse, VolumeWeighting::InverseSquare, VolumeWeighting::Uniform];
/// The weighting by weights that are given.
pub(super) const FIXED: i32 = 3;

/// The policies for an absent class.
pub(super) mod absent {
    pub(crate) const LEAST_PRESENT: i32 = 0;
    pub(crate) const MAX_FINITE: i32 = 1;
    pub(crate) const EPSILON: i32 = 2;
    pub(crate) const REGULARISED: i32 = 3;
    pub(crate) const ZERO: i32 = 4;
}

/// The transforms.
pub(super) mod transform {
    pub(crate) const IDENTITY: i32 = 0;
    pub(crate) const NEGATIVE_LOG: i32 = 1;
    pub(crate) const POWER: i32 = 2;
    pub(crate) const LOG_COSH: i32 = 3;
    pub(crate) const NEGATIVE_SCORE: i32 = 4;
    pub(crate) const POWER_OF_NEGATIVE_LOG: i32 = 5;
}

/// The least score of a logarithm, where none is given.
pub(super) const LEAST_SCORE: f64 = 1e-7;
