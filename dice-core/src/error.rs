//! What can go wrong, each with what and where.

use crate::dims::Dims;

/// Everything that this library refuses, with what and where.
///
/// An argument error, and a label or logit error that the statistics pass finds, leaves every output untouched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A label is neither a class nor the ignored label.
    #[error("label {label} at index {index} of the label map is outside the classes 0..{classes}")]
    LabelOutOfRange {
        /// Row-major index into the label map `[N, spatial…]`: the first offending one.
        index: u64,
        /// The label found there.
        label: i64,
        /// The number of labels that are allowed: the classes, or 2 for a one-channel prediction.
        classes: usize,
    },
    /// A predicted label is no class.
    #[error("label {label} at index {index} of the predicted label map is outside the classes 0..{classes}")]
    PredictionOutOfRange {
        /// Row-major index into the label map `[N, spatial…]`: the first offending one.
        index: u64,
        /// The label found there.
        label: i64,
        /// The number of classes.
        classes: usize,
    },
    /// A logit makes a probability that is not a number, and [`NonFinite::Error`](crate::NonFinite::Error) was asked for.
    #[error("logit {value} at index {index} of the logits has no probability")]
    NonFiniteLogit {
        /// Row-major index into the logits `[N, C, spatial…]`: the first offending one.
        index: u64,
        /// The logit found there.
        value: f64,
    },
    /// A value of a dense target is not finite, and [`NonFinite::Error`](crate::NonFinite::Error) was asked for.
    #[error("{value} at index {index} of the dense target is not finite")]
    NonFiniteTarget {
        /// Row-major index into the target `[N, C, spatial…]`: the first offending one.
        index: u64,
        /// The value found there.
        value: f64,
    },
    /// A weight is negative, NaN or above [`Problem::GREATEST_WEIGHT`](crate::Problem::GREATEST_WEIGHT).
    #[error("weight {value} at index {index} of the {what} must be from 0 to 1e8")]
    Weight {
        /// Which weights.
        what: &'static str,
        /// Row-major index into the voxel weights `[N, spatial…]`, or the sample: the first offending one.
        index: u64,
        /// The weight found there.
        value: f64,
    },
    /// A loss asks for a sum that cannot be taken of this prediction or target.
    #[error("the loss needs {what}, which is not defined")]
    UnsupportedSum {
        /// What cannot be summed.
        what: &'static str,
    },
    /// Confusion matrices and volumes need a class per voxel.
    #[error("the target is dense: voxels are counted by labels")]
    DenseTarget,
    /// Two tensors that must agree do not.
    #[error("{what}: shape {found} does not fit the logits' shape {expected}")]
    ShapeMismatch {
        /// The tensor whose shape is wrong.
        what: &'static str,
        /// The shape of the logits.
        expected: Dims,
        /// The shape of the tensor.
        found: Dims,
    },
    /// A tensor must have the axes `[N, C, spatial…]` (a label map `[N, spatial…]`).
    #[error("{what}: {found} axes; from {least} to {most} are supported")]
    Rank {
        /// The tensor.
        what: &'static str,
        /// The fewest axes allowed.
        least: usize,
        /// The most axes allowed.
        most: usize,
        /// The axes found.
        found: usize,
    },
    /// A prediction has no class axis to speak of.
    #[error("a prediction of shape {shape} has zero classes")]
    ZeroClasses {
        /// The shape of the prediction.
        shape: Dims,
    },
    /// A view reaches outside the slice that it borrows.
    #[error("{what}: a view of shape {shape} reaches elements {lowest}..={highest} of a slice of {len}")]
    OutOfSlice {
        /// The tensor.
        what: &'static str,
        /// Its shape.
        shape: Dims,
        /// The lowest element that the view would reach.
        lowest: i128,
        /// The highest element that the view would reach.
        highest: i128,
        /// The length of the slice.
        len: usize,
    },
    /// An output must not hold one element twice.
    #[error("{what}: axis {axis} with stride {stride} lets two elements of the output share one place")]
    SelfOverlap {
        /// The tensor.
        what: &'static str,
        /// The axis whose stride is too small (0 for a broadcast axis).
        axis: usize,
        /// Its stride in elements.
        stride: isize,
    },
    /// A list has the wrong length.
    #[error("{what}: length {found} where {expected} is expected")]
    Length {
        /// What the list is.
        what: &'static str,
        /// The length that is needed.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A parameter has a value that means nothing.
    #[error("{name} = {value:?}: must be {requirement}")]
    InvalidParameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        requirement: &'static str,
    },
    /// A range of voxels does not lie within a sample.
    #[error("voxels {start}..{end} do not lie within a sample of {voxels} voxels")]
    VoxelRange {
        /// First voxel asked for.
        start: usize,
        /// One past the last voxel asked for.
        end: usize,
        /// The voxels of a sample.
        voxels: usize,
    },
    /// A range of samples does not lie within a batch.
    #[error("samples {start}..{end} do not lie within a batch of {samples} samples")]
    SampleRange {
        /// First sample asked for.
        start: usize,
        /// One past the last sample asked for.
        end: usize,
        /// The samples of the batch.
        samples: usize,
    },
    /// Two tables of statistics, or a table and a head, do not belong together.
    #[error("statistics do not fit: {what}: {found} where {expected} is expected")]
    StatisticsMismatch {
        /// What differs.
        what: &'static str,
        /// What is needed.
        expected: usize,
        /// What was found.
        found: usize,
    },
    /// A sum left the range ±2^159 of the order-free accumulators.
    #[error("a sum over the voxels exceeds 2^159 in absolute value")]
    SumOverflow,
    /// A tensor has more elements than this machine can address.
    #[error("{what}: a tensor of shape {shape} has too many elements")]
    TooLarge {
        /// The tensor.
        what: &'static str,
        /// Its shape.
        shape: Dims,
    },
}
