//! Losses that are a sum over the voxels: cross-entropy and focal. Their sums are those of the table, so a value is linear in
//! them, and all that remains is what multiplies and what divides.

use crate::activation::Activation;
use crate::error::Error;
use crate::evaluation::{ClassReport, Evaluation, Values};
use crate::head::{Grouping, Reduction};
use crate::loss::options::{ClassWeights, WeightMode, in_range};
use crate::request::{Needs, Sum};
use crate::statistics::Statistics;

/// What a sum over the voxels of a group is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Divisor {
    /// Σ_k w_k T_k, the weights of the voxels' classes: PyTorch's mean.
    #[default]
    Weights,
    /// m, the voxels that count.
    Voxels,
    /// m times the number of kept classes, or times the sum of their weights where these are
    /// [normalised](crate::loss::options::WeightMode::Normalise).
    Elements,
    /// The voxels, those that do not count among them.
    AllVoxels,
    /// These times the same as in [`Elements`](Self::Elements).
    AllElements,
    /// 1: a sum.
    One,
}

/// The logarithms, in the order of the [factors](VoxelLoss::factors).
const LOGS: [Sum; 4] = [Sum::LogInside, Sum::LogOutside, Sum::LogEverywhere, Sum::LogComplement];

/// Whether the classes are questions of their own: `binary` decides for probabilities that are given as they are.
pub(super) fn is_binary(activation: Activation, binary: bool) -> bool {
    match activation {
        Activation::Softmax => false,
        Activation::Sigmoid => true,
        Activation::None => binary,
    }
}

/// A sum over the voxels.
pub(super) trait VoxelLoss {
    /// The sums.
    fn needs(&self) -> Needs<'_>;
    /// Checks the parameters of its own.
    fn check(&self, classes: usize) -> Result<(), Error>;
    /// What F⁺, F⁻, U and Ū of the kept class `class` of a prediction of `classes` classes are multiplied by, beside its weight.
    fn factors(&self, class: usize, classes: usize) -> [f64; 4];
    fn class_weights(&self) -> &ClassWeights;
    /// The first class that is kept.
    fn first(&self, classes: usize) -> usize;
    fn divisor(&self) -> Divisor;
    fn grouping(&self) -> Grouping;
    fn reduction(&self) -> Reduction;
}

/// Checks w⁺ of `kept` classes: only of a loss in which the classes are questions of their own.
///
/// # Errors
/// [`Error::InvalidParameter`], [`Error::Length`].
pub(super) fn check_positive_weights(weights: &[f64], is_binary: bool, kept: usize) -> Result<(), Error> {
    let Some(&value) = weights.first() else { return Ok(()) };
    if !is_binary {
        let requirement = "absent where the classes exclude each other";
        return Err(Error::InvalidParameter { name: "positive weights", value, requirement });
    }
    if weights.len() != kept {
        return Err(Error::Length { what: "positive weights", expected: kept, found: weights.len() });
    }
    weights.iter().try_for_each(|&weight| in_range("positive weight", weight))
}

/// See [`LossHead::differentiate`](crate::head::LossHead::differentiate).
pub(super) fn evaluate<L: VoxelLoss>(
    loss: &L,
    statistics: &Statistics,
    evaluation: &mut Evaluation,
) -> Result<(), Error> {
    let classes = statistics.classes();
    let first = loss.first(classes);
    let kept = classes - first;
    loss.check(classes)?;
    loss.class_weights().check(kept)?;
    let part = statistics.request().find(&loss.needs())?;
    let rows = loss.grouping().rows(statistics.samples());
    let values = if loss.reduction() == Reduction::None { Values::PerGroup } else { Values::One };
    evaluation.reset(statistics.request(), rows, classes, values)?;
    let per_voxel: f64 = match loss.class_weights().mode {
        WeightMode::Multiply => kept as f64,
        WeightMode::Normalise => (0..kept).map(|class| loss.class_weights().of(class)).sum(),
    };
    let of_groups = if loss.reduction() == Reduction::Mean { 1.0 / rows.max(1) as f64 } else { 1.0 };
    for row in 0..rows {
        let group = loss.grouping().group(row);
        let mut weighted = 0.0;
        for class in first..classes {
            let target = statistics.sum(group, class, part, Sum::Target)?;
            let weight = loss.class_weights().of(class - first);
            weighted += weight * target;
            evaluation.classes[row * classes + class] = ClassReport { target, weight, ..ClassReport::NONE };
        }
        let divisor = match loss.divisor() {
            Divisor::Weights => weighted,
            Divisor::Voxels => statistics.valid_weight(group)?,
            Divisor::Elements => statistics.valid_weight(group)? * per_voxel,
            Divisor::AllVoxels => statistics.voxels(group)?,
            Divisor::AllElements => statistics.voxels(group)? * per_voxel,
            Divisor::One => 1.0,
        };
        if divisor == 0.0 {
            continue;
        }
        let mut total = 0.0;
        for class in first..classes {
            let weight = loss.class_weights().of(class - first);
            let mut value = 0.0;
            for (sum, factor) in LOGS.into_iter().zip(loss.factors(class - first, classes)) {
                let factor = of_groups * weight * factor / divisor;
                if factor != 0.0 {
                    value += factor * statistics.sum(group, class, part, sum)?;
                    evaluation.cotangent.add(row, class, part, sum, factor);
                }
            }
            evaluation.classes[row * classes + class].share = value;
            total += value;
        }
        evaluation.values[if values == Values::One { 0 } else { row }] += total;
        if total != 0.0 {
            let reports = &mut evaluation.classes[row * classes..][..classes];
            reports.iter_mut().for_each(|report| report.share /= total);
        }
    }
    Ok(())
}
