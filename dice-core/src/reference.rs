//! The textbook passes: one voxel after the other, f64, compensated sums.
//!
//! They share no code with the fast passes of `dice-simd` and are dumber than they: the oracle that those are tested
//! against, and what a machine without `std` runs.

use alloc::vec;
use alloc::vec::Vec;

use crate::accumulator;
use crate::activation::Activation;
use crate::error::Error;
use crate::evaluation::Cotangent;
use crate::head::LossHead;
use crate::problem::{NonFinite, Problem};
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

/// The channel of every voxel of a sample, `None` where it is ignored.
fn channels(problem: &Problem<'_>, logits: &Layout, sample: usize) -> Result<Vec<Option<i32>>, Error> {
    let checked = problem.check(logits)?;
    let voxels = logits.voxels();
    let read = |voxel| {
        let label = checked.labels.at(element(checked.labels.layout(), sample, 0, voxel));
        let index = (sample * voxels + voxel) as u64;
        checked.channel(label).map_err(|()| Error::LabelOutOfRange { index, label, classes: checked.allowed })
    };
    (0..voxels).map(read).collect()
}

/// Step 1: the sums that `request` asks for, over all voxels of `logits` `[N, C, spatial…]`.
///
/// # Errors
/// [`Error::ZeroClasses`], [`Error::ShapeMismatch`], [`Error::LabelOutOfRange`] (the first), and if asked for
/// [`Error::NonFiniteLogit`] (the first).
pub fn statistics<T: Copy + Into<f64>>(
    logits: &View<'_, T>,
    problem: &Problem<'_>,
    request: Request,
) -> Result<Statistics, Error> {
    let layout = logits.layout();
    problem.check(layout)?;
    let (samples, classes) = (layout.samples(), layout.channels());
    let targets: Vec<_> = (0..samples).map(|sample| channels(problem, layout, sample)).collect::<Result<_, _>>()?;
    let mut statistics = Statistics::new(samples, classes, request);
    let mut first_bad: Option<(u64, f64)> = None;
    for (sample, target) in targets.iter().enumerate() {
        let mut valid = Compensated::default();
        let mut sums = vec![[Compensated::default(); Sum::ALL.len()]; classes];
        for (voxel, channel) in target.iter().enumerate() {
            let Some(channel) = *channel else { continue };
            valid.add(1.0);
            let z = read(logits, sample, voxel);
            let mut p = z.clone();
            request.activation.apply(&mut p);
            for class in 0..classes {
                if has_no_probability(request.activation, &z, class) {
                    let index = ((sample * classes + class) * layout.voxels() + voxel) as u64;
                    if first_bad.is_none_or(|(first, _)| index < first) {
                        first_bad = Some((index, z[class]));
                    }
                }
                let g = if channel == class as i32 { 1.0 } else { 0.0 };
                sums[class][Sum::Target as usize].add(g);
                sums[class][Sum::Prediction as usize].add(p[class]);
                if g == 1.0 {
                    sums[class][Sum::Intersection as usize].add(p[class]);
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
    match (problem.non_finite, first_bad) {
        (NonFinite::Error, Some((index, value))) => Err(Error::NonFiniteLogit { index, value }),
        _ => Ok(statistics),
    }
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
/// As [`statistics`] for the target; [`Error::ShapeMismatch`] if `gradient` has another shape than `logits`; those of
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
        let (expected, found) = (crate::Dims::new(layout.dims()), crate::Dims::new(out.dims()));
        return Err(Error::ShapeMismatch { what: "gradient", expected, found });
    }
    cotangent.check(layout.samples(), layout.channels(), upstream)?;
    let activation = cotangent.request().activation;
    let classes = layout.channels();
    let targets: Vec<_> =
        (0..layout.samples()).map(|sample| channels(problem, &layout, sample)).collect::<Result<_, _>>()?;
    for (sample, target) in targets.iter().enumerate() {
        let row = cotangent.row(sample);
        let factor = cotangent.upstream(row, upstream);
        // ∂L/∂p inside and outside the class.
        let slope = |class| {
            let outside = cotangent.get(row, class, Sum::Prediction);
            (factor * (outside + cotangent.get(row, class, Sum::Intersection)), factor * outside)
        };
        // Where the loss does not depend on a group, or a channel of its own, the gradient is +0 even for NaN logits.
        let silent: Vec<bool> = (0..classes).map(|class| slope(class) == (0.0, 0.0)).collect();
        let all_silent = silent.iter().all(|&silent| silent);
        for (voxel, channel) in target.iter().enumerate() {
            // An ignored voxel has gradient +0, whatever the sign of the upstream gradient.
            let mut u = vec![0.0; classes];
            if let Some(channel) = channel.filter(|_| !all_silent) {
                let mut p = read(logits, sample, voxel);
                activation.apply(&mut p);
                for (class, u) in u.iter_mut().enumerate() {
                    let (inside, outside) = slope(class);
                    *u = if channel == class as i32 { inside } else { outside };
                }
                activation.pull_back(&p, &mut u);
                if activation != Activation::Softmax {
                    u.iter_mut().zip(&silent).filter(|(_, silent)| **silent).for_each(|(u, _)| *u = 0.0);
                }
            }
            for (class, u) in u.iter().enumerate() {
                gradient.data_mut()[element(&out, sample, class, voxel)] = *u;
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
