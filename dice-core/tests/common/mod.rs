//! What the integration tests share: seeded random numbers, and a small volume with everything that a loss needs.
#![allow(dead_code, reason = "every test file is a crate of its own and uses its own part of this module")]

use dice_core::loss::GeneralizedDice;
use dice_core::{Error, Evaluation, LossHead, Problem, Statistics, View, ViewMut, reference};

/// SplitMix64 (Steele, Lea, Flood 2014): seeded, so that a failure repeats.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// A number in `low..high`.
    pub(crate) fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A compact channels-first prediction `[N, C, spatial…]` and its label map `[N, spatial…]`.
#[derive(Clone)]
pub(crate) struct Volume {
    pub(crate) shape: Vec<usize>,
    pub(crate) logits: Vec<f64>,
    pub(crate) labels: Vec<u8>,
    pub(crate) ignored: Option<i64>,
}

impl Volume {
    /// Logits in `range`, labels among `present`; the shape is `[N, C, spatial…]`.
    pub(crate) fn random(random: &mut Random, shape: &[usize], range: (f64, f64), present: &[u8]) -> Self {
        let voxels: usize = shape[2..].iter().product();
        let logits = (0..shape[0] * shape[1] * voxels).map(|_| random.within(range.0, range.1)).collect();
        let labels = (0..shape[0] * voxels).map(|_| present[random.below(present.len())]).collect();
        Self { shape: shape.to_vec(), logits, labels, ignored: None }
    }

    pub(crate) fn classes(&self) -> usize {
        self.shape[1]
    }

    pub(crate) fn voxels(&self) -> usize {
        self.shape[2..].iter().product()
    }

    /// Where the logit of `class` at `voxel` of `sample` stands.
    pub(crate) fn at(&self, sample: usize, class: usize, voxel: usize) -> usize {
        (sample * self.classes() + class) * self.voxels() + voxel
    }

    pub(crate) fn view(&self) -> View<'_, f64> {
        View::channels_first(&self.logits, &self.shape).unwrap()
    }

    pub(crate) fn problem(&self) -> Problem<'_> {
        let map = [&self.shape[..1], &self.shape[2..]].concat();
        let problem = Problem::new(View::map(&self.labels, &map).unwrap());
        Problem { ignore_index: self.ignored, ..problem }
    }

    pub(crate) fn statistics(&self, loss: &dyn LossHead) -> Statistics {
        reference::statistics(&self.view(), &self.problem(), &loss.request()).unwrap()
    }

    pub(crate) fn evaluate(&self, loss: &dyn LossHead) -> Evaluation {
        loss.evaluate(&self.statistics(loss)).unwrap()
    }

    /// The values, and the gradient of Σ_i upstream_i value_i.
    pub(crate) fn try_run(&self, loss: &dyn LossHead, upstream: &[f64]) -> Result<(Vec<f64>, Vec<f64>), Error> {
        let (logits, problem) = (self.view(), self.problem());
        let evaluation = loss.evaluate(&reference::statistics(&logits, &problem, &loss.request())?)?;
        // Every element must be written: one that is not stays at a number that no test expects.
        let mut gradient = vec![UNWRITTEN; self.logits.len()];
        let mut view = ViewMut::channels_first(&mut gradient, &self.shape)?;
        reference::pullback(&logits, &problem, &evaluation.cotangent, upstream, &mut view)?;
        Ok((evaluation.values, gradient))
    }

    /// The values, and the gradient of their sum.
    pub(crate) fn run(&self, loss: &dyn LossHead) -> (Vec<f64>, Vec<f64>) {
        self.try_run(loss, &[1.0]).unwrap()
    }
}

/// Stands in outputs before a call.
pub(crate) const UNWRITTEN: f64 = -12_345.0;

/// The largest absolute value; NaN if there is one.
pub(crate) fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |max: f64, x| if max.is_nan() || x.abs() <= max { max } else { x.abs() })
}

/// The largest difference between two lists, relative to the largest number of `expected`; 0 if both are all 0.
pub(crate) fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    match largest(&difference) {
        0.0 => 0.0,
        difference => difference / largest(expected),
    }
}

pub(crate) fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

pub(crate) fn preset(name: &str) -> GeneralizedDice {
    GeneralizedDice::preset(name).unwrap_or_else(|| panic!("no preset {name}"))
}
