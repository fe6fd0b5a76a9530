//! The textbook passes: one voxel after the other, f64, compensated sums.
//!
//! They share no code with the fast passes of `dice-simd` and are dumber than they: the oracle that those are tested
//! against, and what a machine without `std` runs.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::accumulator;
use crate::activation::Activation;
use crate::confusion::Confusion;
use crate::error::Error;
use crate::evaluation::Cotangent;
use crate::head::LossHead;
use crate::problem::{NonFinite, Problem, Target};
use crate::request::{Needs, Request, Sum, Sums};
use crate::statistics::Statistics;
use crate::view::{Layout, View, ViewMut};

/// Neumaier's compensated sum.
#[derive(Clone, Copy, Default)]
struct Compensated {
    sum: f64,
    lost: f64,
}

impl Compensated {
    fn add(&mut self, x: f64) {
        let sum = self.sum + x;
        self.lost += if self.sum.abs() >= x.abs() { (self.sum - sum) + x } else { (x - sum) + self.sum };
        self.sum = sum;
    }

    fn store(self, words: &mut accumulator::Words) {
        accumulator::add(words, self.sum);
        // Beside an infinite or NaN sum the compensation means nothing.
        if self.sum.is_finite() {
            accumulator::add(words, self.lost);
        }
        accumulator::normalise(words);
    }
}

/// Where voxel `voxel` of a channel lies in the slice.
fn element(layout: &Layout, sample: usize, channel: usize, voxel: usize) -> usize {
    let mut rest = voxel;
    let mut offset = 0_isize;
    for (&dim, &stride) in layout.dims().iter().zip(layout.strides()).skip(2).rev() {
        offset += (rest % dim) as isize * stride;
        rest /= dim;
    }
    layout.origin(sample, channel).wrapping_add_signed(offset)
}

/// A voxel that counts.
struct Voxel {
    /// Its index in the sample.
    index: usize,
    /// m, above 0.
    weight: f64,
    /// g of every class.
    target: Vec<f64>,
}

/// The voxels `voxels` of a sample that count.
fn voxels(problem: &Problem<'_>, logits: &Layout, sample: usize, voxels: Range<usize>) -> Result<Vec<Voxel>, Error> {
    let checked = problem.check(logits)?;
    let mut counted = Vec::new();
    for voxel in voxels {
        let place = |layout: &Layout| element(layout, sample, 0, voxel);
        let index = (sample * logits.voxels() + voxel) as u64;
        if problem.mask.is_some_and(|mask| mask.data()[place(mask.layout())] == 0) {
            continue;
        }
        let ignored = match problem.target {
            Target::Labels(labels) => Some(labels.at(place(labels.layout()))) == problem.ignore_index,
            Target::Dense(_) => false,
        };
        if ignored {
            continue;
        }
        let weight = problem.voxel_weights.map_or(1.0, |weights| weights.data()[place(weights.layout())]);
        let weight = checked.weight(sample, weight).map_err(|()| {
            let (what, value) = ("voxel weights", weight.into());
            Error::Weight { what, index, value }
        })?;
        if weight == 0.0 {
            continue;
        }
        let target = match problem.target {
            Target::Labels(labels) => {
                let label = labels.at(place(labels.layout()));
                let channel = checked.channel(label).map_err(|()| {
                    let classes = checked.allowed;
                    Error::LabelOutOfRange { index, label, classes }
                })?;
                let is = |class: usize| if channel == Some(class as i32) { 1.0 } else { 0.0 };
                (0..logits.channels()).map(is).collect()
            }
            Target::Dense(dense) => {
                (0..logits.channels()).map(|class| dense.at(element(dense.layout(), sample, class, voxel))).collect()
            }
        };
        counted.push(Voxel { index: voxel, weight: weight.into(), target });
    }
    Ok(counted)
}

/// The elements of one tensor that are not what they should be: the first.
#[derive(Default)]
struct First(Option<(u64, f64)>);

impl First {
    fn note(&mut self, index: u64, value: f64) {
        if self.0.is_none_or(|(first, _)| index < first) {
            self.0 = Some((index, value));
        }
    }
}

/// What one voxel adds to a sum of a class, its weight apart.
struct Terms<'a> {
    needs: Needs<'a>,
    /// ln p and ln(1 − p).
    logs: Vec<(f64, f64)>,
    p: Vec<f64>,
}

impl<'a> Terms<'a> {
    /// Those of a voxel with these logits.
    fn new(needs: Needs<'a>, logits: &[f64]) -> Self {
        let mut p = logits.to_vec();
        needs.activation.apply(&mut p);
        let mut logs = vec![(0.0, 0.0); p.len()];
        if !needs.sums.and(Sums::LOGS).is_empty() {
            needs.activation.logarithms(logits, &p, &mut logs);
        }
        Self { needs, logs, p }
    }

    fn exponent(&self, class: usize) -> f64 {
        match self.needs.exponents {
            [] => 0.0,
            [exponent] => *exponent,
            exponents => exponents[class],
        }
    }

    /// (1 − p)^γ and p^γ.
    fn powers(&self, class: usize) -> (f64, f64) {
        let (ln_p, ln_not_p) = self.logs[class];
        let exponent = self.exponent(class);
        // 1 − p = −expm1(ln p), to the last bit where p is near 1; and p likewise.
        (libm::pow(-libm::expm1(ln_p), exponent), libm::pow(-libm::expm1(ln_not_p), exponent))
    }

    /// The row of the cost matrix of the true class.
    fn costs(&self, target: &[f64]) -> Option<&[f64]> {
        let class = target.iter().position(|&g| g == 1.0).filter(|_| self.needs.sums.contains(Sum::Cost))?;
        Some(&self.needs.costs[class * target.len()..][..target.len()])
    }

    fn of(&self, sum: Sum, class: usize, target: &[f64]) -> f64 {
        let (p, g) = (self.p[class], target[class]);
        // 0 · ∞ is 0 here: what no part of a voxel belongs to does not count.
        let part = |g: f64, x: &dyn Fn() -> f64| if g == 0.0 { 0.0 } else { g * x() };
        match sum {
            Sum::Target => g,
            Sum::TargetSquares => g * g,
            Sum::TargetOnes => f64::from(g == 1.0),
            Sum::Prediction => p,
            Sum::Intersection => part(g, &|| p),
            Sum::PredictionSquares => p * p,
            Sum::Difference => (p - g).abs(),
            Sum::LogInside => part(g, &|| part(self.powers(class).0, &|| -self.logs[class].0)),
            Sum::LogOutside => part(1.0 - g, &|| part(self.powers(class).1, &|| -self.logs[class].1)),
            Sum::LogEverywhere => -self.logs[class].0,
            Sum::LogComplement => -self.logs[class].1,
            Sum::Cost => part(g, &|| {
                let costs = self.costs(target).unwrap_or_default();
                costs.iter().zip(&self.p).map(|(cost, p)| if *cost == 0.0 { 0.0 } else { cost * p }).sum()
            }),
        }
    }
}

/// Step 1: the sums that `request` asks for, over all voxels of `logits` `[N, C, spatial…]`.
///
/// # Errors
/// Those of [`Problem::check`] and [`Request::check`], [`Error::Weight`] and [`Error::LabelOutOfRange`] (the first of a sample), and
/// if asked for [`Error::NonFiniteTarget`] and [`Error::NonFiniteLogit`] (the first).
pub fn statistics<T: Copy + Into<f64>>(
    logits: &View<'_, T>,
    problem: &Problem<'_>,
    request: &Request,
) -> Result<Statistics, Error> {
    statistics_range(logits, problem, request, 0..logits.layout().voxels())
}

/// Step 1 over the voxels `range` of every sample.
///
/// # Errors
/// As [`statistics`], and [`Error::VoxelRange`].
pub fn statistics_range<T: Copy + Into<f64>>(
    logits: &View<'_, T>,
    problem: &Problem<'_>,
    request: &Request,
    range: Range<usize>,
) -> Result<Statistics, Error> {
    let layout = logits.layout();
    problem.check(layout)?;
    request.check(layout.channels(), matches!(problem.target, Target::Labels(_)))?;
    check_range(layout, &range)?;
    let (samples, classes) = (layout.samples(), layout.channels());
    let targets: Vec<_> =
        (0..samples).map(|sample| voxels(problem, layout, sample, range.clone())).collect::<Result<_, _>>()?;
    let mut statistics = Statistics::new(samples, classes, request)?;
    let (mut bad_target, mut bad_logit) = (First::default(), First::default());
    let columns = request.columns();
    for (sample, target) in targets.iter().enumerate() {
        let mut valid = Compensated::default();
        let mut sums = vec![Compensated::default(); classes * columns];
        for Voxel { index: voxel, weight, target } in target {
            valid.add(*weight);
            let z = read(logits, sample, *voxel);
            let index = |class: usize| ((sample * classes + class) * layout.voxels() + voxel) as u64;
            for class in (0..classes).filter(|&class| !target[class].is_finite()) {
                bad_target.note(index(class), target[class]);
            }
            let of_target = Terms { needs: Needs::default(), logs: Vec::new(), p: vec![0.0; classes] };
            for class in 0..classes {
                for (column, sum) in request.of_target().iter().enumerate() {
                    sums[class * columns + column].add(weight * of_target.of(sum, class, target));
                }
            }
            for part in 0..request.parts() {
                let terms = Terms::new(request.part(part), &z);
                for class in 0..classes {
                    if has_no_probability(terms.needs.activation, &z, class) {
                        bad_logit.note(index(class), z[class]);
                    }
                    for sum in terms.needs.sums.iter() {
                        if let Some(column) = request.column(part, sum) {
                            sums[class * columns + column].add(weight * terms.of(sum, class, target));
                        }
                    }
                }
            }
        }
        let words = statistics.sample_mut(sample);
        valid.store(&mut words[0]);
        accumulator::add(&mut words[1], range.len() as f64);
        sums.iter().zip(&mut words[Statistics::OF_NO_CLASS..]).for_each(|(sum, words)| sum.store(words));
    }
    match (problem.non_finite, bad_target.0, bad_logit.0) {
        (NonFinite::Error, Some((index, value)), _) => Err(Error::NonFiniteTarget { index, value }),
        (NonFinite::Error, None, Some((index, value))) => Err(Error::NonFiniteLogit { index, value }),
        _ => Ok(statistics),
    }
}

fn check_range(logits: &Layout, range: &Range<usize>) -> Result<(), Error> {
    let Range { start, end } = *range;
    if start > end || end > logits.voxels() {
        return Err(Error::VoxelRange { start, end, voxels: logits.voxels() });
    }
    Ok(())
}

/// Whether a logit of a voxel has no probability, see [`NonFinite`]. A −∞ beside a NaN or +∞ is not to blame.
fn has_no_probability(activation: Activation, logits: &[f64], class: usize) -> bool {
    let z = logits[class];
    match activation {
        Activation::Softmax => z.is_nan() || z == f64::INFINITY || logits.iter().all(|&z| z == f64::NEG_INFINITY),
        Activation::Sigmoid => z.is_nan(),
        Activation::None => !z.is_finite(),
    }
}

/// The logits of one voxel.
fn read<T: Copy + Into<f64>>(logits: &View<'_, T>, sample: usize, voxel: usize) -> Vec<f64> {
    let layout = logits.layout();
    (0..layout.channels()).map(|class| logits.data()[element(layout, sample, class, voxel)].into()).collect()
}

/// Step 3: writes the gradient Σ_i upstream_i ∂L_i/∂z with respect to the logits, in f64.
///
/// `upstream` holds one number, or one per value of the loss.
///
/// # Errors
/// As [`statistics`] for the target and the weights; [`Error::ShapeMismatch`] if `gradient` has another shape than `logits`; those of
/// [`Cotangent::check`].
pub fn pullback<T: Copy + Into<f64>>(
    logits: &View<'_, T>,
    problem: &Problem<'_>,
    cotangent: &Cotangent,
    upstream: &[f64],
    gradient: &mut ViewMut<'_, f64>,
) -> Result<(), Error> {
    let layout = *logits.layout();
    let out = *gradient.layout();
    if out.dims() != layout.dims() {
        let (expected, found) = (layout.written(), out.written());
        return Err(Error::ShapeMismatch { what: "gradient", whose: "the logits'", expected, found });
    }
    cotangent.check(layout.samples(), layout.channels(), upstream)?;
    cotangent.request().check(layout.channels(), matches!(problem.target, Target::Labels(_)))?;
    let classes = layout.channels();
    let all = 0..layout.voxels();
    let targets: Vec<_> =
        (0..layout.samples()).map(|sample| voxels(problem, &layout, sample, all.clone())).collect::<Result<_, _>>()?;
    for (sample, target) in targets.iter().enumerate() {
        for class in 0..classes {
            all.clone().for_each(|voxel| gradient.data_mut()[element(&out, sample, class, voxel)] = 0.0);
        }
        for part in 0..cotangent.request().parts() {
            let row = cotangent.row(sample);
            let slopes = Slopes::new(cotangent, upstream, row, part);
            if (0..classes).all(|class| slopes.is_silent(class)) {
                continue;
            }
            for Voxel { index: voxel, weight, target } in target {
                let terms = Terms::new(cotangent.request().part(part), &read(logits, sample, *voxel));
                for (class, slope) in slopes.pull_back(&terms, target).into_iter().enumerate() {
                    if let Some(slope) = slope {
                        gradient.data_mut()[element(&out, sample, class, *voxel)] += weight * slope;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The derivatives of a group by the sums of one part, the upstream gradient included.
struct Slopes<'a> {
    needs: Needs<'a>,
    /// `[class][Sum::ALL]`.
    by: Vec<[f64; Sum::ALL.len()]>,
}

impl<'a> Slopes<'a> {
    fn new(cotangent: &'a Cotangent, upstream: &[f64], row: usize, part: usize) -> Self {
        let of_class = |class: usize| {
            let factor = cotangent.upstream(row, class, upstream);
            Sum::ALL.map(|sum| {
                let derivative = cotangent.get(row, class, part, sum);
                // What the loss does not depend on has no slope, whatever the upstream gradient is.
                if Sums::OF_TARGET.contains(sum) || derivative == 0.0 { 0.0 } else { factor * derivative }
            })
        };
        Self { needs: cotangent.request().part(part), by: (0..cotangent.classes()).map(of_class).collect() }
    }

    fn of(&self, class: usize, sum: Sum) -> f64 {
        self.by[class][sum as usize]
    }

    /// Where the loss does not depend on a group, or a channel of its own, the gradient is +0 even for NaN logits.
    fn is_silent(&self, class: usize) -> bool {
        let has_costs = self.by.iter().any(|by| by[Sum::Cost as usize] != 0.0);
        self.by[class].iter().all(|&by| by == 0.0) && !has_costs
    }

    /// The gradient of one voxel, its weight apart; none of a channel that the loss does not depend on.
    fn pull_back(&self, terms: &Terms<'_>, target: &[f64]) -> Vec<Option<f64>> {
        let classes = target.len();
        let activation = self.needs.activation;
        let true_class = target.iter().position(|&g| g == 1.0);
        let mut u: Vec<f64> = (0..classes)
            .map(|class| {
                let (p, g) = (terms.p[class], target[class]);
                let mut u = self.of(class, Sum::Intersection) * g + self.of(class, Sum::Prediction);
                u += 2.0 * self.of(class, Sum::PredictionSquares) * p;
                if p != g {
                    u += self.of(class, Sum::Difference) * (p - g).signum();
                }
                if let (Some(costs), Some(true_class)) = (terms.costs(target), true_class) {
                    u += self.of(true_class, Sum::Cost) * costs[class];
                }
                u
            })
            .collect();
        activation.pull_back(&terms.p, &mut u);
        // By the logarithms: q of a softmax, else the derivative by the logit.
        let by_logs = |class: usize| {
            let g = target[class];
            let [inside, outside, everywhere, complement] =
                [Sum::LogInside, Sum::LogOutside, Sum::LogEverywhere, Sum::LogComplement]
                    .map(|sum| self.of(class, sum));
            let ((ln_p, ln_not_p), exponent) = (terms.logs[class], terms.exponent(class));
            let (power_of_not_p, power_of_p) = terms.powers(class);
            let p = terms.p[class];
            match activation {
                Activation::Softmax => {
                    let not_p = -libm::expm1(ln_p);
                    // (−ln p)/(1 − p), which is 1 at p = 1; p ln p is 0 at p = 0.
                    let relative = if not_p == 0.0 || p == 0.0 { 1.0 } else { -ln_p / not_p };
                    inside * g * power_of_not_p * (1.0 + exponent * p * relative) + everywhere
                }
                Activation::Sigmoid => {
                    let not_p = -libm::expm1(ln_p);
                    let of_logs = |p: f64, ln_p: f64| if p == 0.0 { 0.0 } else { p * ln_p };
                    outside * (1.0 - g) * power_of_p * (p - exponent * of_logs(not_p, ln_not_p))
                        - inside * g * power_of_not_p * (not_p - exponent * of_logs(p, ln_p))
                        - everywhere * not_p
                        + complement * p
                }
                Activation::None => {
                    if !(Activation::CLAMP..=1.0 - Activation::CLAMP).contains(&p) && !p.is_nan() {
                        return 0.0;
                    }
                    let not_p = 1.0 - p;
                    outside * (1.0 - g) * power_of_p * (1.0 / not_p - exponent * ln_not_p / p)
                        - inside * g * power_of_not_p * (1.0 / p - exponent * ln_p / not_p)
                        - everywhere / p
                        + complement / not_p
                }
            }
        };
        let logs: Vec<f64> = if self.needs.sums.and(Sums::LOGS).is_empty() {
            vec![0.0; classes]
        } else {
            (0..classes).map(by_logs).collect()
        };
        let total: f64 = logs.iter().sum();
        (0..classes)
            .map(|class| match activation {
                Activation::Softmax => Some(u[class] + terms.p[class] * total - logs[class]),
                _ if self.is_silent(class) => None,
                _ => Some(u[class] + logs[class]),
            })
            .collect()
    }
}

/// The three steps at once: the values of the loss and, in `gradient`, the gradient of their sum.
///
/// # Errors
/// As [`statistics`], [`LossHead::evaluate`] and [`pullback`].
pub fn value_and_grad<T: Copy + Into<f64>>(
    logits: &View<'_, T>,
    problem: &Problem<'_>,
    loss: &dyn LossHead,
    gradient: &mut ViewMut<'_, f64>,
) -> Result<Vec<f64>, Error> {
    let statistics = statistics(logits, problem, &loss.request())?;
    let evaluation = loss.evaluate(&statistics)?;
    pullback(logits, problem, &evaluation.cotangent, &[1.0], gradient)?;
    Ok(evaluation.values)
}

/// The confusion matrices of logits against labels: the predicted class is that of the greatest logit, the least class of
/// several; with one channel it is 1 where the logit is above 0. Voxels of weight 0 are left out, others count once. NaN is
/// never greatest.
///
/// # Errors
/// As [`statistics`]; [`Error::DenseTarget`].
pub fn confusion<T: Copy + Into<f64>>(logits: &View<'_, T>, problem: &Problem<'_>) -> Result<Confusion, Error> {
    let layout = logits.layout();
    let checked = problem.check(layout)?;
    let Target::Labels(labels) = problem.target else { return Err(Error::DenseTarget) };
    let mut confusion = Confusion::new(layout.samples(), checked.allowed)?;
    for sample in 0..layout.samples() {
        for Voxel { index: voxel, .. } in voxels(problem, layout, sample, 0..layout.voxels())? {
            let z = read(logits, sample, voxel);
            let truth = labels.at(element(labels.layout(), sample, 0, voxel)) as usize;
            let prediction = if let [z] = z[..] {
                usize::from(z > 0.0)
            } else {
                let (mut best, mut greatest) = (0, f64::NEG_INFINITY);
                for (class, &z) in z.iter().enumerate() {
                    if z > greatest {
                        (best, greatest) = (class, z);
                    }
                }
                best
            };
            confusion.sample_mut(sample)[truth * checked.allowed + prediction] += 1;
        }
    }
    Ok(confusion)
}
