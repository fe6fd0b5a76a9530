//! Generalised Dice (Sudre et al. 2017, "Generalised Dice overlap as a deep learning loss function for highly
//! unbalanced segmentations", section 2.2).
//!
//! L = 1 − N/D with N = 2 Σ_l w_l I_l + sn and D = Σ_l w_l (S_l + T_l) + sd. The weights come from the target volumes T
//! and are constants in the gradient: ∂L/∂I_l = −2 w_l/D, ∂L/∂S_l = w_l N/D².

use alloc::vec::Vec;

use crate::activation::Activation;
use crate::error::Error;
use crate::evaluation::{ClassReport, Evaluation, Values};
use crate::head::{Grouping, LossHead, Reduction};
use crate::loss::options::{Empty, Overlap, first_kept, in_range};
use crate::request::{Needs, Request, Sum};
use crate::statistics::Statistics;

/// How a class is weighed by its target volume T (in voxels of the group).
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ClassWeighting {
    /// 1/T.
    #[default]
    Inverse,
    /// 1/T² (Sudre 2017). In a patch with a few voxels of the rarest class every other class weighs next to nothing.
    InverseSquare,
    /// 1 for every class.
    Uniform,
    /// Given: one weight per kept class.
    Fixed(Vec<f64>),
}

/// The weight of a class that is absent from the group, T = 0, whose inverse volume is infinite. [`Uniform`] and
/// [`Fixed`] weights are never touched.
///
/// [`Uniform`]: ClassWeighting::Uniform
/// [`Fixed`]: ClassWeighting::Fixed
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AbsentClass {
    /// The smallest weight among the present classes: false positives are punished gently at any size of the volume.
    /// If none is present, all weigh the same.
    #[default]
    LeastPresent,
    /// The largest weight among the present classes (MONAI, NiftyNet). If none is present, 0.
    MaxFinite,
    /// This weight, absolute: 1e-6 is what a class of 1,000 voxels weighs, gentle in a small image and huge in a volume.
    Epsilon(f64),
    /// Every weight, of present classes too, is 1/(T² + e), or 1/(T + e).
    Regularised(f64),
    /// 0: the class does not count.
    Zero,
}

/// What the weights are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WeightScale {
    /// After the absent classes have theirs, all weights are divided by the largest one among the present classes: the
    /// same picture at twice the resolution has the same loss, and smoothing counts in voxels of the rarest class.
    #[default]
    RarestPresent,
    /// As they are (every peer).
    Raw,
}

/// Which volume weighs a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WeighedVolume {
    /// T = Σ m g.
    #[default]
    Target,
    /// Σ m over the voxels where g is 1 exactly, of soft targets (the question that this library starts from).
    Ones,
}

/// What becomes of a value of a group that is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum NonFiniteLoss {
    /// It stays.
    #[default]
    Propagate,
    /// The group has loss 0 and gradient 0, and still counts in the mean.
    Zero,
}

/// The generalised Dice loss. The fields are the whole definition; [`Default`] is this library's own choice, and the
/// constructors named after their owners are the presets.
///
/// A ratio whose denominator is 0 has loss 0 and gradient 0. Smoothing, given weights and epsilons are 0 or from 1e-30 to
/// 1e30, so that finite logits never give NaN or infinity.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct GeneralizedDice {
    /// From logits to probabilities.
    pub activation: Activation,
    /// The intersection.
    pub overlap: Overlap,
    /// The weights of the classes.
    pub weighting: ClassWeighting,
    /// The volume that the weights come from.
    pub weighed_volume: WeighedVolume,
    /// The weight of a class that the group does not hold.
    pub absent: AbsentClass,
    /// What a group without any kept class is worth; [`Empty::FalsePositives`]: the mean of S/m over the kept classes.
    pub empty: Empty,
    /// The scale of the weights.
    pub scale: WeightScale,
    /// sn, added to the numerator.
    pub smooth_numerator: f64,
    /// sd, added to the denominator.
    pub smooth_denominator: f64,
    /// S + T of a class counts as at least this much (NiftyNet: 1); where it is less, ∂L/∂S is 0.
    pub least_union: f64,
    /// Class 0 leaves the head (never the softmax). With one channel there is no background channel to leave out.
    pub exclude_background: bool,
    /// Which samples share one ratio.
    pub grouping: Grouping,
    /// How the groups' values become the loss.
    pub reduction: Reduction,
    /// What becomes of a value that is NaN or infinite.
    pub non_finite: NonFiniteLoss,
}

impl GeneralizedDice {
    fn check(&self, kept: usize) -> Result<(), Error> {
        in_range("smooth_numerator", self.smooth_numerator)?;
        in_range("smooth_denominator", self.smooth_denominator)?;
        in_range("least_union", self.least_union)?;
        match self.absent {
            AbsentClass::Epsilon(e) => in_range("absent epsilon", e)?,
            AbsentClass::Regularised(e) if !(1e-30..=1e30).contains(&e) => {
                let requirement = "from 1e-30 to 1e30";
                return Err(Error::InvalidParameter { name: "absent regularisation", value: e, requirement });
            }
            _ => {}
        }
        if let ClassWeighting::Fixed(weights) = &self.weighting {
            if weights.len() != kept {
                return Err(Error::Length { what: "class weights", expected: kept, found: weights.len() });
            }
            weights.iter().try_for_each(|&weight| in_range("class weight", weight))?;
        }
        Ok(())
    }

    fn needs(&self) -> Needs<'static> {
        let sums = self.overlap.sums();
        let ones = self.weighed_volume == WeighedVolume::Ones;
        Needs::new(self.activation, if ones { sums.with(Sum::TargetOnes) } else { sums })
    }

    /// The weights of the kept classes of one group, which are the volumes that weigh before.
    fn weigh(&self, kept: &mut [ClassReport]) {
        let power = match &self.weighting {
            ClassWeighting::InverseSquare => 2,
            ClassWeighting::Inverse => 1,
            ClassWeighting::Uniform => 0,
            ClassWeighting::Fixed(weights) => {
                kept.iter_mut().zip(weights).for_each(|(class, &weight)| class.weight = weight);
                0
            }
        };
        if self.weighting == ClassWeighting::Uniform {
            kept.iter_mut().for_each(|class| class.weight = 1.0);
        }
        let largest;
        if power > 0 {
            let added = if let AbsentClass::Regularised(e) = self.absent { e } else { 0.0 };
            for class in &mut *kept {
                let volume = if power == 2 { class.weight * class.weight } else { class.weight };
                // Until the others are known, an infinite weight says that the class is absent: of soft targets the volume
                // that weighs may be 0 where T is not.
                class.weight = if volume == 0.0 { f64::INFINITY } else { 1.0 / (volume + added) };
            }
            let present = || kept.iter().map(|class| class.weight).filter(|&weight| weight != f64::INFINITY);
            largest = present().reduce(f64::max);
            let absent_weight = match self.absent {
                AbsentClass::LeastPresent => present().reduce(f64::min).unwrap_or(1.0),
                AbsentClass::MaxFinite => largest.unwrap_or(0.0),
                AbsentClass::Epsilon(e) => e,
                AbsentClass::Regularised(e) => 1.0 / e,
                AbsentClass::Zero => 0.0,
            };
            for class in kept.iter_mut().filter(|class| class.weight == f64::INFINITY) {
                class.weight = absent_weight;
            }
        } else {
            let present = kept.iter().filter(|class| class.target != 0.0);
            largest = present.map(|class| class.weight).reduce(f64::max);
        }
        if self.scale == WeightScale::RarestPresent
            && let Some(largest) = largest.filter(|&largest| largest > 0.0)
        {
            kept.iter_mut().for_each(|class| class.weight /= largest);
        }
    }
}

impl LossHead for GeneralizedDice {
    fn require(&self, request: &mut Request) {
        request.add(&self.needs());
    }

    fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        let classes = statistics.classes();
        let first = first_kept(self.exclude_background, classes);
        self.check(classes - first)?;
        let part = statistics.request().find(&self.needs())?;
        let rows = self.grouping.rows(statistics.samples());
        let values = if self.reduction == Reduction::None { Values::PerGroup } else { Values::One };
        evaluation.reset(statistics.request(), rows, classes, values)?;
        for row in 0..rows {
            let reports = &mut evaluation.classes[row * classes..][..classes];
            for (class, report) in reports.iter_mut().enumerate() {
                let sum = |sum| statistics.sum(self.grouping.group(row), class, part, sum);
                let (target, prediction) = (sum(Sum::Target)?, sum(Sum::Prediction)?);
                let intersection = match self.overlap {
                    Overlap::Product => sum(Sum::Intersection)?,
                    Overlap::Difference => 0.5 * (prediction + target - sum(Sum::Difference)?),
                };
                let weight = match self.weighed_volume {
                    _ if class < first => 0.0,
                    WeighedVolume::Target => target,
                    WeighedVolume::Ones => sum(Sum::TargetOnes)?,
                };
                let dice = 2.0 * intersection / (prediction + target);
                *report = ClassReport { target, prediction, intersection, weight, dice, share: 0.0 };
            }
            self.weigh(&mut reports[first..]);
        }
        let is_empty = |reports: &[ClassReport]| reports[first..].iter().all(|report| report.target == 0.0);
        let counts = |reports: &[ClassReport]| self.empty != Empty::Skip || !is_empty(reports);
        let counted = evaluation.classes.chunks_exact(classes.max(1)).filter(|reports| counts(reports)).count();
        let factor = if self.reduction == Reduction::Mean { 1.0 / counted.max(1) as f64 } else { 1.0 };
        for row in 0..rows {
            let place = if values == Values::One { 0 } else { row };
            let reports = &mut evaluation.classes[row * classes..][..classes];
            if is_empty(reports) && self.empty != Empty::Ratio {
                let valid = statistics.valid_weight(self.grouping.group(row))?;
                if self.empty == Empty::FalsePositives && valid > 0.0 {
                    let factor = factor / (valid * (classes - first) as f64);
                    let claimed: f64 = reports[first..].iter().map(|report| report.prediction).sum();
                    evaluation.values[place] += factor * claimed;
                    for (class, report) in reports.iter_mut().enumerate().skip(first) {
                        report.share = if claimed == 0.0 { 0.0 } else { report.prediction / claimed };
                        evaluation.cotangent.add(row, class, part, Sum::Prediction, factor);
                    }
                }
                continue;
            }
            let kept = &mut reports[first..];
            let union = |class: &ClassReport| class.prediction + class.target;
            // Minus infinity, possible without an activation, is no small volume.
            let is_floored = |class: &ClassReport| union(class).is_finite() && union(class) < self.least_union;
            let floored = |class: &ClassReport| if is_floored(class) { self.least_union } else { union(class) };
            let overlap: f64 = kept.iter().map(|class| class.weight * class.intersection).sum();
            let total: f64 = kept.iter().map(|class| class.weight * floored(class)).sum();
            let numerator = 2.0 * overlap + self.smooth_numerator;
            // An infinite prediction, possible without an activation, must not hide behind N/∞ = 0.
            let unbounded = kept.iter().any(|class| class.prediction.is_infinite());
            let denominator = if unbounded { f64::NAN } else { total + self.smooth_denominator };
            let ratio = numerator / denominator;
            let value = 1.0 - ratio;
            let missed = total - 2.0 * overlap;
            let silent = denominator == 0.0 || (self.non_finite == NonFiniteLoss::Zero && !value.is_finite());
            if silent {
                continue;
            }
            evaluation.values[place] += factor * value;
            for (class, report) in (first..).zip(kept) {
                if missed != 0.0 {
                    report.share = report.weight * (floored(report) - 2.0 * report.intersection) / missed;
                }
                let relative = factor * report.weight / denominator;
                let by_prediction = if is_floored(report) { 0.0 } else { relative * ratio };
                let by_intersection = -2.0 * relative;
                let mut add = |sum, derivative| evaluation.cotangent.add(row, class, part, sum, derivative);
                match self.overlap {
                    Overlap::Product => {
                        add(Sum::Intersection, by_intersection);
                        add(Sum::Prediction, by_prediction);
                    }
                    Overlap::Difference => {
                        add(Sum::Prediction, by_prediction + 0.5 * by_intersection);
                        add(Sum::Difference, -0.5 * by_intersection);
                    }
                }
            }
        }
        Ok(())
    }
}
