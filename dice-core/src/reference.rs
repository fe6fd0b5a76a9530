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
use crate::dims::Dims;
use crate::error::Error;
use crate::evaluation::Cotangent;
use crate::head::LossHead;
use crate::problem::{NonFinite, Problem, Target};
use crate::statistics::{Request, Statistics, Sum};
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

/// Step 1: the sums that `request` asks for, over all voxels of `logits` `[N, C, spatial…]`.
///
/// # Errors
/// Those of [`Problem::check`], [`Error::Weight`] and [`Error::LabelOutOfRange`] (the first of a sample), and if asked for
/// [`Error::NonFiniteTarget`] and [`Error::NonFiniteLogit`] (the first).
pub fn statistics<T: Copy + Into<f64>>(
    logits: &View<'_, T>,
    problem: &Problem<'_>,
    request: Request,
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
    request: Request,
    range: Range<usize>,
) -> Result<Statistics, Error> {
    let layout = logits.layout();
    problem.check(layout)?;
    check_range(layout, &range)?;
    let (samples, classes) = (layout.samples(), layout.channels());
    let targets: Vec<_> =
        (0..samples).map(|sample| voxels(problem, layout, sample, range.clone())).collect::<Result<_, _>>()?;
    let mut statistics = Statistics::new(samples, classes, request);
    let (mut bad_target, mut bad_logit) = (First::default(), First::default());
    for (sample, target) in targets.iter().enumerate() {
        let mut valid = Compensated::default();
        let mut sums = vec![[Compensated::default(); Sum::ALL.len()]; classes];
        for Voxel { index: voxel, weight, target } in target {
            valid.add(*weight);
            let z = read(logits, sample, *voxel);
            let mut p = z.clone();
            request.activation.apply(&mut p);
            for class in 0..classes {
                let index = ((sample * classes + class) * layout.voxels() + voxel) as u64;
                if has_no_probability(request.activation, &z, class) {
                    bad_logit.note(index, z[class]);
                }
                let g = target[class];
                if !g.is_finite() {
                    bad_target.note(index, g);
                }
                sums[class][Sum::Target as usize].add(weight * g);
                sums[class][Sum::Prediction as usize].add(weight * p[class]);
                if g != 0.0 {
                    sums[class][Sum::Intersection as usize].add(weight * p[class] * g);
                }
            }
        }
        let words = statistics.sample_mut(sample);
        valid.store(&mut words[0]);
        for (class, sums) in sums.iter().enumerate() {
            for sum in Sum::ALL {
                if let Some(place) = request.sums.position(sum) {
                    sums[sum as usize].store(&mut words[1 + class * request.sums.len() + place]);
                }
            }
        }
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
        let (expected, found) = (Dims::new(layout.dims()), Dims::new(out.dims()));
        return Err(Error::ShapeMismatch { what: "gradient", expected, found });
    }
    cotangent.check(layout.samples(), layout.channels(), upstream)?;
    let activation = cotangent.request().activation;
    let classes = layout.channels();
    let all = 0..layout.voxels();
    let targets: Vec<_> =
        (0..layout.samples()).map(|sample| voxels(problem, &layout, sample, all.clone())).collect::<Result<_, _>>()?;
    for (sample, target) in targets.iter().enumerate() {
        for class in 0..classes {
            all.clone().for_each(|voxel| gradient.data_mut()[element(&out, sample, class, voxel)] = 0.0);
        }
        let row = cotangent.row(sample);
        let factor = cotangent.upstream(row, upstream);
        // ∂L/∂p of g = 0, and what g = 1 adds to it.
        let slope = |class| {
            let by_intersection = factor * cotangent.get(row, class, Sum::Intersection);
            (factor * cotangent.get(row, class, Sum::Prediction), by_intersection)
        };
        // Where the loss does not depend on a group, or a channel of its own, the gradient is +0 even for NaN logits.
        let silent: Vec<bool> = (0..classes).map(|class| slope(class) == (0.0, 0.0)).collect();
        if silent.iter().all(|&silent| silent) {
            continue;
        }
        for Voxel { index: voxel, weight, target } in target {
            let mut p = read(logits, sample, *voxel);
            activation.apply(&mut p);
            let mut u: Vec<f64> = (0..classes).map(|class| slope(class).0 + slope(class).1 * target[class]).collect();
            activation.pull_back(&p, &mut u);
            for (class, u) in u.iter().enumerate() {
                if activation == Activation::Softmax || !silent[class] {
                    gradient.data_mut()[element(&out, sample, class, *voxel)] = weight * u;
                }
            }
        }
    }
    Ok(())
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
    let statistics = statistics(logits, problem, loss.request())?;
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
    let mut confusion = Confusion::new(layout.samples(), checked.allowed);
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
