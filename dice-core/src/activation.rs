//! From logits to probabilities.

/// How a prediction becomes probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Activation {
    /// Softmax over the classes of a voxel; −∞ gives probability 0.
    #[default]
    Softmax,
    /// Logistic function of each channel on its own: one class against the rest, or binary with one channel.
    Sigmoid,
    /// The prediction is used as it is. The fast passes add it in f32 first: keep it below 1e35 in absolute value.
    None,
}

impl Activation {
    /// Replaces the logits of one voxel by its probabilities, in f64.
    ///
    /// The textbook form with the maximum subtracted, so that logits of any finite size are fine. NaN and +∞ make every
    /// softmax probability of the voxel NaN.
    pub fn apply(self, logits: &mut [f64]) {
        match self {
            Self::Softmax => {
                let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let mut total = 0.0;
                for z in &mut *logits {
                    *z = libm::exp(*z - max);
                    total += *z;
                }
                for p in logits {
                    *p /= total;
                }
            }
            Self::Sigmoid => {
                for z in logits {
                    let small = libm::exp(-z.abs());
                    *z = if *z < 0.0 { small } else { 1.0 } / (1.0 + small);
                }
            }
            Self::None => {}
        }
    }

    /// Probabilities that are given as they are have a logarithm of at least this and at most 1 minus it.
    pub const CLAMP: f64 = 1e-7;

    /// ln p and ln(1 − p) of one voxel, given its logits and its `probabilities`.
    ///
    /// Of logits they come from the logits, never from a rounded probability: a softmax has
    /// ln p = z − max − ln Σ exp(z − max), a sigmoid ln p = −ln(1 + exp(−z)). Probabilities that are given as they are are
    /// clamped first, see [`CLAMP`](Self::CLAMP).
    pub fn logarithms(self, logits: &[f64], probabilities: &[f64], logs: &mut [(f64, f64)]) {
        match self {
            Self::Softmax => {
                let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = logits.iter().map(|z| libm::exp(z - max)).sum();
                for ((z, p), log) in logits.iter().zip(probabilities).zip(logs) {
                    *log = (z - max - libm::log(total), libm::log1p(-p));
                }
            }
            Self::Sigmoid => {
                // ln(1 + exp z), of which the greater part is z itself.
                let softplus = |z: f64| z.max(0.0) + libm::log1p(libm::exp(-z.abs()));
                for (&z, log) in logits.iter().zip(logs) {
                    *log = if z.is_nan() { (z, z) } else { (-softplus(-z), -softplus(z)) };
                }
            }
            Self::None => {
                for (&p, log) in probabilities.iter().zip(logs) {
                    let p = if p.is_nan() { p } else { p.clamp(Self::CLAMP, 1.0 - Self::CLAMP) };
                    *log = (libm::log(p), libm::log1p(-p));
                }
            }
        }
    }

    /// Turns the derivative with respect to the probabilities of one voxel, `cotangent`, into the derivative with
    /// respect to its logits, given its `probabilities`.
    pub fn pull_back(self, probabilities: &[f64], cotangent: &mut [f64]) {
        match self {
            Self::Softmax => {
                let mean: f64 = probabilities.iter().zip(&*cotangent).map(|(p, u)| p * u).sum();
                for (p, u) in probabilities.iter().zip(cotangent) {
                    *u = p * (*u - mean);
                }
            }
            Self::Sigmoid => {
                for (p, u) in probabilities.iter().zip(cotangent) {
                    *u *= p * (1.0 - p);
                }
            }
            Self::None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_huge_and_infinite_logits() {
        let mut z = [1e30, -1e30, 1e30, f64::NEG_INFINITY];
        Activation::Softmax.apply(&mut z);
        assert_eq!(z, [0.5, 0.0, 0.5, 0.0]);
        let mut z = [0.0, f64::NAN];
        Activation::Softmax.apply(&mut z);
        assert!(z[0].is_nan() && z[1].is_nan());
        let mut z = [0.0, f64::INFINITY];
        Activation::Softmax.apply(&mut z);
        assert!(z[1].is_nan());
    }

    #[test]
    fn logarithms_of_sure_predictions_are_exact() {
        let mut logs = [(0.0, 0.0); 2];
        Activation::Softmax.logarithms(&[1e30, 0.0], &[1.0, 0.0], &mut logs);
        assert_eq!((logs[0].0, logs[1].0), (0.0, -1e30));
        Activation::Sigmoid.logarithms(&[800.0, -1e30], &[1.0, 0.0], &mut logs);
        assert_eq!(logs, [(0.0, -800.0), (-1e30, 0.0)]);
        Activation::None.logarithms(&[0.0, 1.0], &[0.0, 1.0], &mut logs);
        assert_eq!((logs[0].0, logs[1].0), (libm::log(1e-7), libm::log(1.0 - 1e-7)));
    }

    #[test]
    fn sigmoid_is_symmetric_and_safe() {
        let mut z = [0.0, 800.0, -800.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        Activation::Sigmoid.apply(&mut z);
        assert_eq!(z[..5], [0.5, 1.0, 0.0, 1.0, 0.0]);
        assert!(z[5].is_nan());
    }
}
