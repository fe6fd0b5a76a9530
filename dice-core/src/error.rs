//! What can go wrong, each with what and where.

use alloc::vec::Vec;

use crate::dims::Dims;

/// Everything that this library refuses, with what and where.
///
/// An argument error, and a label or logit error that the statistics pass finds, leaves every output untouched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A label is neither a class nor the ignored label.
    #[error("label {label} at index {index} of the label map: must be from 0 to {}", .classes.saturating_sub(1))]
    LabelOutOfRange {
        /// Row-major index into the label map `[N, spatial…]`: the first offending one.
        index: u64,
        /// The label found there.
        label: i64,
        /// The number of labels that are allowed: the classes, or 2 for a one-channel prediction.
        classes: usize,
    },
    /// A predicted label is no class.
    #[error("label {label} at index {index} of the predicted label map: must be from 0 to {}", .classes.saturating_sub(1))]
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
    #[error("{what}: weight {value} at index {index} must be from 0 to 1e8")]
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
    /// A softmax of one channel is 1 whatever the logit: a loss of it would have no gradient.
    #[error("a softmax over one channel is 1 whatever the logit: one channel takes a sigmoid")]
    OneChannelSoftmax,
    /// Two tensors that must agree do not.
    #[error("{what}: shape {found} does not fit {whose} shape {expected}")]
    ShapeMismatch {
        /// The tensor whose shape is wrong.
        what: &'static str,
        /// What it must fit: `the logits'`, as a rule.
        whose: &'static str,
        /// The shape that it must fit.
        expected: Dims,
        /// The shape of the tensor.
        found: Dims,
    },
    /// A map has a number per voxel, and so one channel, if it has an axis for it.
    #[error("{what} of shape {shape} has {} channels: a map has one (a target of all classes is a dense one)", shape.as_slice()[1])]
    MapWithChannels {
        /// The map.
        what: &'static str,
        /// Its shape.
        shape: Dims,
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
        /// The lowest element that the view would reach, or the least number of its type.
        lowest: isize,
        /// The highest element that the view would reach, or the greatest number of its type.
        highest: isize,
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
    /// A tensor has a stride for each axis.
    #[error("{what}: {found} strides for {axes} axes")]
    Strides {
        /// The tensor.
        what: &'static str,
        /// The number of its axes.
        axes: usize,
        /// The number of strides found.
        found: usize,
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
    /// A part lies too far inside its volume.
    #[error("offset {offset}: must be at most {greatest}")]
    Offset {
        /// The offset.
        offset: usize,
        /// [`Problem::GREATEST_OFFSET`](crate::Problem::GREATEST_OFFSET).
        greatest: usize,
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
    /// A table holds other sums than those of the loss, or of the other table.
    #[error("{what} belongs to another loss: its sums, activation, exponents or costs differ")]
    OtherSums {
        /// The table.
        what: &'static str,
    },
    /// The system has no memory for a table.
    #[error("there is no memory for the {what}: {bytes} bytes")]
    OutOfMemory {
        /// The table.
        what: &'static str,
        /// The bytes that it needs.
        bytes: usize,
    },
    /// A loss head does not do what its trait demands.
    #[error("the loss head does not keep its contract: {what}")]
    Head {
        /// What it does instead.
        what: &'static str,
    },
    /// An executor returned before the work was done.
    #[error("the executor has not called its claimant")]
    Executor,
    /// A sum left the range ±2^159 of the order-free accumulators.
    #[error("a sum over the voxels exceeds 2^159 in absolute value")]
    SumOverflow,
    /// A tensor, or a table, has more elements than this machine can address.
    #[error("{what} of shape {shape}: more elements than memory can hold")]
    TooLarge {
        /// The tensor, or the table.
        what: &'static str,
        /// Its shape.
        shape: Dims,
    },
}

/// What an [`Error`] is about: for a program that goes on differently, or has a number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A parameter has a value that means nothing.
    Parameter,
    /// Shapes that do not fit, or that no memory can hold.
    Shape,
    /// Strides that leave the slice, or let two elements of an output share one place.
    Layout,
    /// What is asked for is not defined for this target or activation.
    Unsupported,
    /// A list, or a table, of the wrong length or of another loss.
    Length,
    /// A label that is no class.
    Label,
    /// A weight that is negative, NaN or too large.
    Weight,
    /// A number that is not finite, where that is an error.
    NonFinite,
    /// A sum that is too large.
    Overflow,
    /// Memory that the system does not have.
    OutOfMemory,
    /// A loss head or an executor that does not do what its trait demands.
    Contract,
}

impl Error {
    /// What it is about.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::LabelOutOfRange { .. } | Self::PredictionOutOfRange { .. } => ErrorKind::Label,
            Self::NonFiniteLogit { .. } | Self::NonFiniteTarget { .. } => ErrorKind::NonFinite,
            Self::Weight { .. } => ErrorKind::Weight,
            Self::UnsupportedSum { .. } | Self::DenseTarget => ErrorKind::Unsupported,
            Self::ShapeMismatch { .. }
            | Self::MapWithChannels { .. }
            | Self::Rank { .. }
            | Self::ZeroClasses { .. }
            | Self::TooLarge { .. } => ErrorKind::Shape,
            Self::OutOfSlice { .. } | Self::SelfOverlap { .. } => ErrorKind::Layout,
            Self::Strides { .. } | Self::Length { .. } | Self::StatisticsMismatch { .. } | Self::OtherSums { .. } => {
                ErrorKind::Length
            }
            Self::OneChannelSoftmax
            | Self::InvalidParameter { .. }
            | Self::Offset { .. }
            | Self::VoxelRange { .. }
            | Self::SampleRange { .. } => ErrorKind::Parameter,
            Self::SumOverflow => ErrorKind::Overflow,
            Self::OutOfMemory { .. } => ErrorKind::OutOfMemory,
            Self::Head { .. } | Self::Executor => ErrorKind::Contract,
        }
    }
}

/// The elements of a table of this shape, of so many bytes each.
///
/// # Errors
/// [`Error::TooLarge`] if no memory can hold them.
pub(crate) fn table_len(what: &'static str, shape: &[usize], bytes: usize) -> Result<usize, Error> {
    let len = shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
    let is_possible = |len: &usize| len.checked_mul(bytes).is_some_and(|bytes| isize::try_from(bytes).is_ok());
    len.filter(is_possible).ok_or_else(|| Error::TooLarge { what, shape: Dims::new(shape) })
}

/// Makes room for `len` elements of a table in all.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(crate) fn reserve<T>(what: &'static str, table: &mut Vec<T>, len: usize) -> Result<(), Error> {
    let more = len.saturating_sub(table.len());
    table.try_reserve_exact(more).map_err(|_| Error::OutOfMemory { what, bytes: len * size_of::<T>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_small() {
        assert!(size_of::<Error>() < 64, "{}", size_of::<Error>());
    }
}
