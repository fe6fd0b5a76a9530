//! From logits to probabilities.

/// How a prediction becomes probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    fn sigmoid_is_symmetric_and_safe() {
        let mut z = [0.0, 800.0, -800.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        Activation::Sigmoid.apply(&mut z);
        assert_eq!(z[..5], [0.5, 1.0, 0.0, 1.0, 0.0]);
        assert!(z[5].is_nan());
    }
}
