//! Losses with a value per class: each states that of one class of one group, and has grouping, weights, means, policies and
//! reports from here.

use crate::error::Error;
use crate::evaluation::{ClassReport, Evaluation, Values};
use crate::head::{LossHead, Reduction};
use crate::loss::options::{Empty, MeanOrder, Options, Overlap, Pooling, WeightMode};
use crate::request::{Needs, Request, Sum, Sums};
use crate::statistics::Statistics;

/// The sums of one class of one group, or of all kept classes together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClassSums {
    /// m: the voxels that count; of all classes together, so many times their number.
    pub valid: f64,
    /// T, or T2.
    pub target: f64,
    /// S, or S2.
    pub prediction: f64,
    /// I.
    pub intersection: f64,
}

impl ClassSums {
    /// Whether all of them are finite.
    pub fn is_finite(&self) -> bool {
        [self.valid, self.target, self.prediction, self.intersection].iter().all(|sum| sum.is_finite())
    }
}

/// A value with its derivatives by the sums.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClassValue {
    /// L.
    pub value: f64,
    /// ∂L/∂I.
    pub by_intersection: f64,
    /// ∂L/∂S, or ∂L/∂S2.
    pub by_prediction: f64,
}

/// N/D of one class with the derivatives of both.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ratio {
    /// N, smoothing included.
    pub numerator: f64,
    /// D, smoothing included.
    pub denominator: f64,
    /// ∂N/∂I.
    pub numerator_by_intersection: f64,
    /// ∂D/∂I.
    pub denominator_by_intersection: f64,
    /// ∂D/∂S.
    pub denominator_by_prediction: f64,
}

impl Ratio {
    /// 1 − N/D, the denominator being at least `least`. A denominator of 0 makes loss and gradient 0.
    pub fn loss(mut self, least: f64) -> ClassValue {
        if self.denominator < least {
            self.denominator = least;
            (self.denominator_by_intersection, self.denominator_by_prediction) = (0.0, 0.0);
        }
        if self.denominator == 0.0 {
            return ClassValue::default();
        }
        // An infinite prediction, possible without an activation, must not hide behind N/∞ = 0.
        let ratio = if self.denominator.is_infinite() { f64::NAN } else { self.numerator / self.denominator };
        ClassValue {
            value: 1.0 - ratio,
            by_intersection: (ratio * self.denominator_by_intersection - self.numerator_by_intersection)
                / self.denominator,
            by_prediction: ratio * self.denominator_by_prediction / self.denominator,
        }
    }
}

/// Which sums stand for the volumes S and T.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Volumes {
    /// S and T.
    #[default]
    Plain,
    /// S2 and T2 (V-Net).
    Squared,
    /// S2 and T (NiftyNet).
    SquaredPrediction,
}

impl Volumes {
    /// The sums of prediction and target.
    fn sums(self) -> (Sum, Sum) {
        match self {
            Self::Plain => (Sum::Prediction, Sum::Target),
            Self::Squared => (Sum::PredictionSquares, Sum::TargetSquares),
            Self::SquaredPrediction => (Sum::PredictionSquares, Sum::Target),
        }
    }
}

/// A loss that is a mean, or a sum, of a value per class; [`PerClass`] of it is a [`LossHead`].
pub trait ClassLoss {
    /// What it has in common with others.
    fn options(&self) -> &Options;

    /// Which sums are its volumes.
    fn volumes(&self) -> Volumes {
        Volumes::Plain
    }

    /// Checks the parameters of its own for a prediction of `classes` classes.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], [`Error::Length`].
    fn check(&self, _classes: usize) -> Result<(), Error> {
        Ok(())
    }

    /// The value of the kept class `class` of one group; of all of them together, that of class 0.
    fn class_value(&self, class: usize, sums: &ClassSums) -> ClassValue;
}

/// What a class loss needs.
fn needs(options: &Options, volumes: Volumes) -> Needs<'static> {
    let (prediction, target) = volumes.sums();
    Needs::new(options.activation, options.overlap.sums().or(Sums::NONE.with(prediction).with(target)))
}

/// One group while it is evaluated.
struct Groups<'a, L: ?Sized> {
    loss: &'a L,
    statistics: &'a Statistics,
    part: usize,
    first: usize,
}

impl<L: ClassLoss + ?Sized> Groups<'_, L> {
    /// The sums of one class as the loss sees them, and what it reports of them.
    fn read(&self, row: usize, class: usize) -> Result<(ClassSums, ClassReport), Error> {
        let options = self.loss.options();
        let group = options.grouping.group(row);
        let sum = |sum| self.statistics.sum(group, class, self.part, sum);
        let valid = self.statistics.valid_weight(group)?;
        let (mut target, mut prediction) = (sum(Sum::Target)?, sum(Sum::Prediction)?);
        let mut intersection = match options.overlap {
            Overlap::Product => sum(Sum::Intersection)?,
            Overlap::Difference => 0.5 * (prediction + target - sum(Sum::Difference)?),
        };
        if options.complement {
            intersection += valid - prediction - target;
            (target, prediction) = (valid - target, valid - prediction);
        }
        let weight = options.class_weights.of(class - self.first);
        let dice = 2.0 * intersection / (prediction + target);
        let report = ClassReport { target, prediction, intersection, weight, dice, share: 0.0 };
        let mut sums = ClassSums { valid, target, prediction, intersection };
        if self.loss.volumes() != Volumes::Plain {
            let (of_prediction, of_target) = self.loss.volumes().sums();
            (sums.target, sums.prediction) = (sum(of_target)?, sum(of_prediction)?);
        }
        if options.softening > 0.0 {
            let kept = 1.0 - options.softening;
            sums.intersection = kept * sums.intersection + options.softening * sums.prediction;
            sums.target = kept * sums.target + options.softening * valid;
        }
        Ok((sums, report))
    }

    /// The value of sums, of which `empty` tells that the target has no voxel of them.
    fn value(&self, class: usize, sums: &ClassSums, empty: bool) -> ClassValue {
        let options = self.loss.options();
        match options.empty {
            Empty::FalsePositives if empty && sums.valid > 0.0 => ClassValue {
                value: sums.prediction / sums.valid,
                by_prediction: 1.0 / sums.valid,
                by_intersection: 0.0,
            },
            Empty::FalsePositives | Empty::Skip | Empty::Zero if empty => ClassValue::default(),
            _ => {
                let ClassValue { value, by_intersection, by_prediction } = self.loss.class_value(class, sums);
                let (value, slope) = options.transform.apply(value);
                let [by_intersection, by_prediction] = [by_intersection, by_prediction].map(|by| times(slope, by));
                ClassValue { value, by_intersection, by_prediction }
            }
        }
    }

    /// Adds `factor` times a derivative of what [`read`](Self::read) gives of a class.
    fn add(&self, evaluation: &mut Evaluation, row: usize, class: usize, factor: [f64; 2], value: &ClassValue) {
        let options = self.loss.options();
        let by_intersection = times(factor[0], value.by_intersection);
        let by_prediction = times(factor[1], value.by_prediction) + options.softening * by_intersection;
        let by_intersection = (1.0 - options.softening) * by_intersection;
        let by_prediction = if options.complement { -by_prediction - by_intersection } else { by_prediction };
        let (of_prediction, _) = self.loss.volumes().sums();
        let mut add = |sum, derivative| evaluation.cotangent.add(row, class, self.part, sum, derivative);
        add(of_prediction, by_prediction);
        match options.overlap {
            Overlap::Product => add(Sum::Intersection, by_intersection),
            Overlap::Difference => {
                add(Sum::Prediction, 0.5 * by_intersection);
                add(Sum::Difference, -0.5 * by_intersection);
            }
        }
    }
}

/// factor · x, and 0 where the factor is 0 whatever x is.
fn times(factor: f64, x: f64) -> f64 {
    if factor == 0.0 { 0.0 } else { factor * x }
}

/// The weight of a value in a mean over values with this sum of weights and this number.
fn mean_factor(mode: WeightMode, weight: f64, total: f64, count: usize) -> f64 {
    let divisor = if mode == WeightMode::Normalise { total } else { count as f64 };
    if divisor > 0.0 { weight / divisor } else { 0.0 }
}

/// Σ w and the number of the classes of some reports that count.
fn weights(reports: &[ClassReport], counts: impl Fn(&ClassReport) -> bool) -> (f64, usize) {
    let counted = reports.iter().filter(|report| counts(report));
    counted.fold((0.0, 0), |(total, count), report| (total + report.weight, count + 1))
}

/// The head of a loss that states the value of one class.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PerClass<L>(pub L);

impl<L: ClassLoss> LossHead for PerClass<L> {
    fn require(&self, request: &mut Request) {
        require(&self.0, request);
    }

    fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        evaluate(&self.0, statistics, evaluation)
    }
}

/// Makes heads of the class losses of this crate.
macro_rules! class_loss_heads {
    ($($loss:ty),*) => {
        $(
            impl crate::head::LossHead for $loss {
                fn require(&self, request: &mut crate::request::Request) {
                    crate::loss::per_class::require(self, request);
                }

                fn differentiate(
                    &self,
                    statistics: &crate::statistics::Statistics,
                    evaluation: &mut crate::evaluation::Evaluation,
                ) -> Result<(), crate::error::Error> {
                    crate::loss::per_class::evaluate(self, statistics, evaluation)
                }
            }
        )*
    };
}
pub(super) use class_loss_heads;

/// See [`LossHead::require`].
pub(super) fn require<L: ClassLoss>(loss: &L, request: &mut Request) {
    request.add(&needs(loss.options(), loss.volumes()));
}

/// See [`LossHead::differentiate`].
pub(super) fn evaluate<L: ClassLoss>(
    loss: &L,
    statistics: &Statistics,
    evaluation: &mut Evaluation,
) -> Result<(), Error> {
    let (options, classes) = (loss.options(), statistics.classes());
    options.check(classes)?;
    loss.check(classes)?;
    if options.overlap == Overlap::Difference && loss.volumes() != Volumes::Plain {
        let requirement = "the product where volumes are squared";
        return Err(Error::InvalidParameter { name: "overlap", value: 1.0, requirement });
    }
    if options.complement && loss.volumes() != Volumes::Plain {
        let requirement = "false where volumes are squared";
        return Err(Error::InvalidParameter { name: "complement", value: 1.0, requirement });
    }
    let part = statistics.request().find(&needs(options, loss.volumes()))?;
    let (rows, first) = (options.grouping.rows(statistics.samples()), options.first(classes));
    let values = match (options.reduction, options.pooling) {
        (Reduction::None, Pooling::PerClass) => Values::PerClass { first },
        (Reduction::None, _) => Values::PerGroup,
        _ => Values::One,
    };
    evaluation.reset(statistics.request(), rows, classes, values)?;
    let groups = Groups { loss, statistics, part, first };
    for row in 0..rows {
        for class in first..classes {
            evaluation.classes[row * classes + class] = groups.read(row, class)?.1;
        }
    }
    if options.pooling == Pooling::PerClass {
        each_class(&groups, evaluation, rows, classes)?;
    } else {
        all_classes(&groups, evaluation, rows, classes)?;
    }
    for row in evaluation.classes.chunks_exact_mut(classes.max(1)) {
        let total: f64 = row.iter().map(|report| report.share).sum();
        row.iter_mut().filter(|report| report.share != 0.0).for_each(|report| report.share /= total);
    }
    Ok(())
}

/// A value per class and group.
fn each_class<L: ClassLoss>(
    groups: &Groups<'_, L>,
    evaluation: &mut Evaluation,
    rows: usize,
    classes: usize,
) -> Result<(), Error> {
    let (options, first) = (groups.loss.options(), groups.first);
    let (mode, kept) = (options.class_weights.mode, first..classes);
    let counts = |report: &ClassReport| options.empty != Empty::Skip || report.target != 0.0;
    let of_row = |row: usize| row * classes + first..(row + 1) * classes;
    let add = |evaluation: &mut Evaluation, row: usize, class: usize, factor: f64| -> Result<(), Error> {
        let (sums, report) = groups.read(row, class)?;
        let value = groups.value(class - first, &sums, report.target == 0.0);
        let place = evaluation.cotangent.kind_of_values().place(row, class, classes).expect("a kept class has a value");
        evaluation.values[place] += times(factor, value.value);
        evaluation.classes[row * classes + class].share = times(factor, value.value).abs();
        groups.add(evaluation, row, class, [factor; 2], &value);
        Ok(())
    };
    match (options.reduction, options.order) {
        (Reduction::Mean, MeanOrder::GroupsFirst) => {
            let of_class = |evaluation: &Evaluation, class: usize| {
                let reports = evaluation.classes.iter().skip(class).step_by(classes.max(1));
                reports.filter(|report| counts(report)).count()
            };
            let (mut total, mut present) = (0.0, 0);
            for class in kept.clone().filter(|&class| of_class(evaluation, class) > 0) {
                (total, present) = (total + options.class_weights.of(class - first), present + 1);
            }
            for class in kept {
                let groups_with = of_class(evaluation, class);
                let of_classes = mean_factor(mode, options.class_weights.of(class - first), total, present);
                for row in 0..rows {
                    if counts(&evaluation.classes[row * classes + class]) {
                        add(evaluation, row, class, of_classes / groups_with as f64)?;
                    }
                }
            }
        }
        (reduction, order) => {
            let (mut total, mut count) = (0.0, 0);
            for row in 0..rows {
                let (of_row_total, of_row_count) = weights(&evaluation.classes[of_row(row)], counts);
                (total, count) = (total + of_row_total, count + of_row_count);
            }
            let with_any = |row: &usize| evaluation.classes[of_row(*row)].iter().any(counts);
            let groups_with_any = (0..rows).filter(with_any).count();
            for row in 0..rows {
                let (of_row_total, of_row_count) = weights(&evaluation.classes[of_row(row)], counts);
                for class in kept.clone() {
                    let report = evaluation.classes[row * classes + class];
                    let factor = match (reduction, order) {
                        (Reduction::Mean, MeanOrder::AtOnce) => mean_factor(mode, report.weight, total, count),
                        (Reduction::Mean, _) => {
                            mean_factor(mode, report.weight, of_row_total, of_row_count) / groups_with_any.max(1) as f64
                        }
                        (_, _) if mode == WeightMode::Normalise && reduction == Reduction::Sum => {
                            mean_factor(mode, report.weight, of_row_total, of_row_count)
                        }
                        _ => report.weight,
                    };
                    if counts(&report) {
                        add(evaluation, row, class, factor)?;
                    }
                }
            }
        }
    }
    // What does not count has no weight either.
    evaluation.classes.iter_mut().filter(|report| !counts(report)).for_each(|report| report.weight = 0.0);
    Ok(())
}

/// A value per group, of the sums of all kept classes.
fn all_classes<L: ClassLoss>(
    groups: &Groups<'_, L>,
    evaluation: &mut Evaluation,
    rows: usize,
    classes: usize,
) -> Result<(), Error> {
    let (options, first) = (groups.loss.options(), groups.first);
    let of_intersection = |weight: f64| match options.pooling {
        Pooling::AllClassesSquared => weight * weight,
        _ => weight,
    };
    let pooled = |row: usize| -> Result<(ClassSums, bool), Error> {
        let (mut pooled, mut empty) = (ClassSums::default(), true);
        for class in first..classes {
            let (sums, report) = groups.read(row, class)?;
            pooled.valid += sums.valid;
            pooled.target += report.weight * sums.target;
            pooled.prediction += report.weight * sums.prediction;
            pooled.intersection += of_intersection(report.weight) * sums.intersection;
            empty &= report.target == 0.0;
        }
        Ok((pooled, empty))
    };
    let counts = |empty: bool| options.empty != Empty::Skip || !empty;
    let mut counted = 0;
    for row in 0..rows {
        counted += usize::from(counts(pooled(row)?.1));
    }
    let factor = if options.reduction == Reduction::Mean { 1.0 / counted.max(1) as f64 } else { 1.0 };
    for row in 0..rows {
        let (sums, empty) = pooled(row)?;
        if !counts(empty) {
            continue;
        }
        let value = groups.value(0, &sums, empty);
        let place = if options.reduction == Reduction::None { row } else { 0 };
        evaluation.values[place] += factor * value.value;
        for class in first..classes {
            let report = &mut evaluation.classes[row * classes + class];
            let weight = report.weight;
            report.share = (weight * (report.prediction + report.target - 2.0 * report.intersection)).abs();
            groups.add(evaluation, row, class, [factor * of_intersection(weight), factor * weight], &value);
        }
    }
    Ok(())
}
