//! The generalised Wasserstein Dice loss.

use alloc::vec::Vec;

use crate::activation::Activation;
use crate::error::Error;
use crate::evaluation::{ClassReport, Evaluation, Values};
use crate::head::{Grouping, LossHead, Reduction};
use crate::loss::options::{ClassWeights, Empty, first_kept, in_range};
use crate::request::{Needs, Request, Sum, Sums};
use crate::statistics::Statistics;

/// How the classes are weighed by the true positives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WassersteinWeighting {
    /// α = 0 for the background, class 0, and 1 for every other class.
    #[default]
    Foreground,
    /// α = 1/(T + 1), background included.
    Inverse,
}

/// The generalised Wasserstein Dice loss (Fidon et al. 2017, "Generalised Wasserstein Dice score for imbalanced multi-class
/// segmentation"): mistaking a class for a similar one costs less. Of labels only.
///
/// With W_k = Σ m Σ_c `M[k][c]` p_c over the voxels of class k and TP = Σ_k α_k (T_k − W_k) it is 1 − N/D, N = 2 TP + sn and
/// D = 2 TP + Σ_k W_k + sd, or, of inverse weights, D = Σ_k α_k (2 T_k − W_k) + sd.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Wasserstein {
    /// From logits to probabilities.
    pub activation: Activation,
    /// M, `[true class][predicted class]`, each 0 or from 1e-30 to 1e30.
    pub costs: Vec<f64>,
    /// Whether M is divided by its greatest cost, as both peers do.
    pub normalise_costs: bool,
    /// α.
    pub weighting: WassersteinWeighting,
    /// Multiply α and W; one per kept class.
    pub class_weights: ClassWeights,
    /// Class 0 leaves every sum.
    pub exclude_background: bool,
    /// sn.
    pub smooth_numerator: f64,
    /// sd.
    pub smooth_denominator: f64,
    /// What a group without a class of weight is worth. [`Empty::FalsePositives`]: the mean cost of its voxels, Σ W / m.
    pub empty: Empty,
    /// Which samples share a ratio.
    pub grouping: Grouping,
    /// How the values become the loss.
    pub reduction: Reduction,
}

impl Wasserstein {
    /// The costs of classes of which each is as far from every other: 0 on the diagonal and 1 elsewhere.
    pub fn uniform_costs(classes: usize) -> Vec<f64> {
        (0..classes * classes).map(|place| if place / classes == place % classes { 0.0 } else { 1.0 }).collect()
    }

    fn needs(&self) -> Needs<'_> {
        let sums = Sums::NONE.with(Sum::Target).with(Sum::Cost);
        Needs { costs: &self.costs, ..Needs::new(self.activation, sums) }
    }
}

impl LossHead for Wasserstein {
    fn require(&self, request: &mut Request) {
        request.add(&self.needs());
    }

    fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        let classes = statistics.classes();
        in_range("smooth_numerator", self.smooth_numerator)?;
        in_range("smooth_denominator", self.smooth_denominator)?;
        let first = first_kept(self.exclude_background, classes);
        self.class_weights.check(classes - first)?;
        let part = statistics.request().find(&self.needs())?;
        let rows = self.grouping.rows(statistics.samples());
        let values = if self.reduction == Reduction::None { Values::PerGroup } else { Values::One };
        evaluation.reset(statistics.request(), rows, classes, values)?;
        let greatest = self.costs.iter().copied().fold(0.0, f64::max);
        let unit = if self.normalise_costs && greatest > 0.0 { greatest } else { 1.0 };
        // A report's prediction is W here, until the end.
        for row in 0..rows {
            for class in first..classes {
                let group = self.grouping.group(row);
                let target = statistics.sum(group, class, part, Sum::Target)?;
                let cost = statistics.sum(group, class, part, Sum::Cost)? / unit;
                let weight = self.class_weights.of(class - first)
                    * match self.weighting {
                        WassersteinWeighting::Foreground => f64::from(class > 0 || classes == 1),
                        WassersteinWeighting::Inverse => 1.0 / (target + 1.0),
                    };
                let report = ClassReport { target, prediction: cost, weight, ..ClassReport::NONE };
                evaluation.classes[row * classes + class] = report;
            }
        }
        let is_empty = |reports: &[ClassReport]| reports.iter().all(|report| report.weight * report.target == 0.0);
        let counts = |reports: &[ClassReport]| self.empty != Empty::Skip || !is_empty(reports);
        let counted = evaluation.classes.chunks_exact(classes.max(1)).filter(|reports| counts(reports)).count();
        let of_groups = if self.reduction == Reduction::Mean { 1.0 / counted.max(1) as f64 } else { 1.0 };
        for row in 0..rows {
            let reports = &evaluation.classes[row * classes + first..(row + 1) * classes];
            let of_costs = |class: usize, report: &ClassReport| match self.weighting {
                WassersteinWeighting::Foreground => self.class_weights.of(class),
                WassersteinWeighting::Inverse => report.weight,
            };
            let (mut hits, mut costs, mut present) = (0.0, 0.0, 0.0);
            for (class, report) in reports.iter().enumerate() {
                hits += report.weight * (report.target - report.prediction);
                present += report.weight * report.target;
                costs += of_costs(class, report) * report.prediction;
            }
            let valid = statistics.valid_weight(self.grouping.group(row))?;
            let total: f64 = reports.iter().map(|report| report.prediction).sum();
            // The value, and its derivative by each W.
            let (of_values, of_sums) = (&mut evaluation.values, &mut evaluation.cotangent);
            let mut by_cost = |value: f64, slope: &dyn Fn(usize, &ClassReport) -> f64| {
                of_values[if values == Values::One { 0 } else { row }] += of_groups * value;
                for (class, report) in reports.iter().enumerate() {
                    of_sums.add(row, first + class, part, Sum::Cost, of_groups * slope(class, report) / unit);
                }
            };
            if is_empty(reports) && self.empty != Empty::Ratio {
                if self.empty == Empty::FalsePositives && valid > 0.0 {
                    by_cost(total / valid, &|_, _| 1.0 / valid);
                }
            } else {
                let numerator = 2.0 * hits + self.smooth_numerator;
                let whole = match self.weighting {
                    WassersteinWeighting::Foreground => 2.0 * hits + costs,
                    WassersteinWeighting::Inverse => 2.0 * present - costs,
                };
                let denominator = whole + self.smooth_denominator;
                if denominator != 0.0 {
                    let ratio = if denominator.is_infinite() { f64::NAN } else { numerator / denominator };
                    by_cost(1.0 - ratio, &|class, report| {
                        let of_denominator = match self.weighting {
                            WassersteinWeighting::Foreground => of_costs(class, report) - 2.0 * report.weight,
                            WassersteinWeighting::Inverse => -of_costs(class, report),
                        };
                        (2.0 * report.weight + ratio * of_denominator) / denominator
                    });
                }
            }
            let reports = &mut evaluation.classes[row * classes..][..classes];
            for report in reports {
                report.share = if total == 0.0 { 0.0 } else { report.prediction / total };
                report.prediction = 0.0;
            }
        }
        Ok(())
    }
}
