//! Losses of which there are no or too few recorded numbers: the question's own loss, its answer, the paper and
//! NiftyNet's weightings give what their formulas give, typed here a second time on dense one-hot arrays in plain f64
//! that share nothing with the crate.

mod common;

use common::{Random, Volume, preset, relative_error};
use dice_core::loss::{ClassWeighting, GeneralizedDice};
use dice_core::{Activation, Error, LossHead};

/// The formulas typed here add plainly; fewer than 100 voxels lose fewer than 100 roundings.
const RETYPED: f64 = 1e-13;

/// A prediction and its one-hot target as a textbook has them: `[n][c][v]`.
struct Dense {
    probability: Vec<Vec<Vec<f64>>>,
    target: Vec<Vec<Vec<f64>>>,
}

/// One value and its derivative by the probabilities, or by the logits.
type Derived = (f64, Vec<Vec<Vec<f64>>>);

impl Dense {
    fn new(volume: &Volume, softmax: bool) -> Self {
        let [samples, classes, voxels] = [volume.shape[0], volume.classes(), volume.voxels()];
        let mut probability = vec![vec![vec![0.0; voxels]; classes]; samples];
        let mut target = probability.clone();
        for n in 0..samples {
            for v in 0..voxels {
                let z: Vec<f64> = (0..classes).map(|c| volume.logits[volume.at(n, c, v)]).collect();
                let total: f64 = z.iter().map(|z| z.exp()).sum();
                for c in 0..classes {
                    probability[n][c][v] = if softmax { z[c].exp() / total } else { z[c] };
                    let label = usize::from(volume.labels[n * voxels + v]);
                    let hit = if classes == 1 { label == 1 } else { label == c };
                    target[n][c][v] = f64::from(u8::from(hit));
                }
            }
        }
        Self { probability, target }
    }

    fn samples(&self) -> usize {
        self.target.len()
    }

    fn classes(&self) -> usize {
        self.target[0].len()
    }

    /// Σ_n Σ_v over the samples of a group, of class c.
    fn sum(&self, group: &[usize], c: usize, f: impl Fn(f64, f64) -> f64) -> f64 {
        let mut sum = 0.0;
        for &n in group {
            for (p, g) in self.probability[n][c].iter().zip(&self.target[n][c]) {
                sum += f(*p, *g);
            }
        }
        sum
    }

    fn volumes(&self, group: &[usize]) -> Vec<f64> {
        (0..self.classes()).map(|c| self.sum(group, c, |_, g| g)).collect()
    }

    /// 1 − 2 Σ w I / Σ w max(S + T, floor) of a group, and its derivative by every probability, by the quotient rule.
    fn ratio(&self, group: &[usize], weights: &[f64], floor: f64) -> Derived {
        let (mut numerator, mut denominator) = (0.0, 0.0);
        let unions: Vec<f64> = (0..self.classes()).map(|c| self.sum(group, c, |p, g| p + g)).collect();
        for c in 0..self.classes() {
            numerator += 2.0 * weights[c] * self.sum(group, c, |p, g| p * g);
            denominator += weights[c] * unions[c].max(floor);
        }
        let mut derivative: Vec<Vec<Vec<f64>>> =
            self.target.iter().map(|n| n.iter().map(|c| vec![0.0; c.len()]).collect()).collect();
        for &n in group {
            for c in 0..self.classes() {
                for (v, slope) in derivative[n][c].iter_mut().enumerate() {
                    let by_numerator = 2.0 * weights[c] * self.target[n][c][v];
                    let by_denominator = if unions[c] > floor { weights[c] } else { 0.0 };
                    *slope = -(by_numerator * denominator - numerator * by_denominator) / denominator.powi(2);
                }
            }
        }
        (1.0 - numerator / denominator, derivative)
    }

    /// The mean over the samples of a loss per sample.
    fn mean(&self, loss: impl Fn(usize) -> Derived) -> Derived {
        let mut mean = 0.0;
        let mut total: Vec<Vec<Vec<f64>>> = Vec::new();
        for n in 0..self.samples() {
            let (value, derivative) = loss(n);
            mean += value / self.samples() as f64;
            total.push(derivative[n].iter().map(|c| c.iter().map(|x| x / self.samples() as f64).collect()).collect());
        }
        (mean, total)
    }

    /// Through the softmax, with its whole Jacobian ∂p_k/∂z_c = p_k (δ_ck − p_c).
    fn through_softmax(&self, (value, derivative): Derived) -> Derived {
        let mut by_logits = derivative.clone();
        for n in 0..self.samples() {
            for c in 0..self.classes() {
                for v in 0..derivative[n][c].len() {
                    let p = |k: usize| self.probability[n][k][v];
                    by_logits[n][c][v] = (0..self.classes())
                        .map(|k| derivative[n][k][v] * p(k) * (f64::from(u8::from(k == c)) - p(c)))
                        .sum();
                }
            }
        }
        (value, by_logits)
    }

    /// The weights 1/T^power, the largest finite one where T = 0, and 0 where that does not exist either.
    fn largest_finite(&self, n: usize, power: i32) -> Vec<f64> {
        let raw: Vec<f64> = self.volumes(&[n]).into_iter().map(|t| 1.0 / t.powi(power)).collect();
        let finite = raw.iter().copied().filter(|w| w.is_finite()).fold(0.0, f64::max);
        raw.into_iter().map(|w| if w.is_finite() { w } else { finite }).collect()
    }
}

/// Sudre et al. 2017, section 2.2.
fn sudre2017(dense: &Dense) -> Derived {
    dense.through_softmax(dense.mean(|n| dense.ratio(&[n], &dense.largest_finite(n, 2), 0.0)))
}

/// NiftyNet's `GDSC`, with 1/T^power.
fn niftynet(dense: &Dense, power: i32) -> Derived {
    dense.through_softmax(dense.mean(|n| dense.ratio(&[n], &dense.largest_finite(n, power), 1.0)))
}

/// The question: probabilities in, one pool, 1/(T² + 1e-5).
fn batch_pooled(dense: &Dense) -> Derived {
    let all: Vec<usize> = (0..dense.samples()).collect();
    let weights: Vec<f64> = dense.volumes(&all).into_iter().map(|t| 1.0 / (t * t + 1e-5)).collect();
    dense.ratio(&all, &weights, 0.0)
}

/// Its answer: softmax, per sample, 1/T² or 1e-6, a loss that is not finite counts as 0.
fn per_sample(dense: &Dense) -> Derived {
    dense.through_softmax(dense.mean(|n| {
        let weigh = |t: f64| if t == 0.0 { 1e-6 } else { 1.0 / (t * t) };
        let weights: Vec<f64> = dense.volumes(&[n]).into_iter().map(weigh).collect();
        dense.ratio(&[n], &weights, 0.0)
    }))
}

/// Compares value and gradient; returns the largest error.
fn compare(what: &str, volume: &Volume, loss: &GeneralizedDice, (value, derivative): &Derived) -> f64 {
    if volume.classes() == 1 && loss.activation == Activation::Softmax {
        assert_eq!(volume.try_run(loss, &[1.0]), Err(Error::OneChannelSoftmax), "{what}");
        return 0.0;
    }
    let (values, gradient) = volume.run(loss);
    let value_error = (values[0] - value).abs();
    assert!(values.len() == 1 && value_error <= RETYPED, "{what} {:?}: {values:?}, retyped {value}", volume.shape);
    let expected: Vec<f64> = derivative.iter().flatten().flatten().copied().collect();
    let gradient_error = relative_error(&gradient, &expected);
    assert!(gradient_error <= RETYPED, "{what} {:?}: gradient is off by {gradient_error:e}", volume.shape);
    value_error.max(gradient_error)
}

#[test]
fn retyped_formulas() {
    let mut random = Random(2017);
    let mut worst = 0.0_f64;
    let mut with_absent = 0;
    for round in 0..300 {
        let shape = [1 + random.below(3), 1 + random.below(5), 1 + random.below(6), 1 + random.below(5)];
        // Every third volume lacks a class; the smallest ones lack some in a sample anyway.
        let labels: Vec<u8> = (0..shape[1].max(2) as u8).filter(|&label| round % 3 != 0 || label != 1).collect();
        let volume = Volume::random(&mut random, &shape, (-4.0, 4.0), &labels);
        let dense = Dense::new(&volume, true);
        let groups = || (0..shape[0]).map(|n| dense.volumes(&[n]));
        with_absent += usize::from(groups().flatten().any(|t| t == 0.0));

        let niftynet_as = |weighting| GeneralizedDice { weighting, ..preset("niftynet_gdl") };
        let mut checks = vec![
            ("per_sample", preset("per_sample"), per_sample(&dense)),
            ("niftynet uniform", niftynet_as(ClassWeighting::Uniform), niftynet(&dense, 0)),
        ];
        // Without any present class these two are 0/0 in the original: `stated_rules_where_the_owner_gives_nan`.
        if groups().all(|volumes| volumes.iter().any(|&t| t > 0.0)) {
            checks.push(("sudre2017", preset("sudre2017"), sudre2017(&dense)));
            checks.push(("niftynet square", preset("niftynet_gdl"), niftynet(&dense, 2)));
            checks.push(("niftynet simple", niftynet_as(ClassWeighting::Inverse), niftynet(&dense, 1)));
        }
        for (what, loss, expected) in checks {
            worst = worst.max(compare(what, &volume, &loss, &expected));
        }
        // The question's loss takes probabilities: those of the softmax, as its network gave them.
        let probabilities =
            Volume { logits: dense.probability.iter().flatten().flatten().copied().collect(), ..volume.clone() };
        let expected = batch_pooled(&Dense::new(&probabilities, false));
        worst = worst.max(compare("batch_pooled", &probabilities, &preset("batch_pooled"), &expected));
    }
    assert!(with_absent > 100, "only {with_absent} volumes lack a class in a sample");
    println!("worst error {worst:e}");
}

/// The answer's rule for a sample whose loss is not finite: value 0, gradient 0, and it still counts in the mean.
#[test]
fn per_sample_silences_a_sample_that_is_not_finite() {
    let mut random = Random(6);
    let healthy = Volume::random(&mut random, &[1, 3, 4, 4], (-2.0, 2.0), &[0, 1, 2]);
    let (alone, alone_gradient) = healthy.run(&preset("per_sample"));
    for bad in [f64::NAN, f64::INFINITY] {
        let mut sick = healthy.clone();
        sick.logits[7] = bad;
        let both = Volume {
            shape: vec![2, 3, 4, 4],
            logits: [healthy.logits.clone(), sick.logits].concat(),
            labels: [healthy.labels.clone(), sick.labels].concat(),
            ignored: None,
        };
        let (values, gradient) = both.run(&preset("per_sample"));
        assert_eq!(values, [alone[0] / 2.0], "{bad}");
        let (first, second) = gradient.split_at(alone_gradient.len());
        let half: Vec<f64> = alone_gradient.iter().map(|x| x / 2.0).collect();
        assert!(relative_error(first, &half) <= RETYPED, "{bad}");
        assert!(second.iter().all(|x| x.to_bits() == 0), "{bad}: {second:?}");
    }
}

/// Where the owner's formula is 0/0 = NaN, the preset has loss 0 and gradient 0 (a finite input never gives NaN).
#[test]
fn stated_rules_where_the_owner_gives_nan() {
    let mut random = Random(8);
    let volume = Volume::random(&mut random, &[2, 3, 3, 3], (-2.0, 2.0), &[0]);
    for weighting in [ClassWeighting::InverseSquare, ClassWeighting::Inverse] {
        for name in ["monai_gdl", "sudre2017", "niftynet_gdl"] {
            // No kept class is present, so every weight is 0.
            let loss = GeneralizedDice {
                weighting: weighting.clone(),
                exclude_background: true,
                smooth_numerator: 0.0,
                smooth_denominator: 0.0,
                ..preset(name)
            };
            let (values, gradient) = volume.run(&loss);
            assert_eq!(values, [0.0], "{name}");
            assert!(gradient.iter().all(|&x| x == 0.0), "{name}: {gradient:?}");
        }
    }
    // One channel whose structure is nowhere: the same. NiftyNet's floor does not help, its weight is 0 too.
    let binary = Volume::random(&mut random, &[1, 1, 3, 3], (-2.0, 2.0), &[0]);
    for name in ["sudre2017", "niftynet_gdl"] {
        let loss = GeneralizedDice { activation: Activation::Sigmoid, ..preset(name) };
        let (values, gradient) = binary.run(&loss);
        assert_eq!(values, [0.0], "{name}");
        assert!(gradient.iter().all(|&x| x == 0.0), "{name}: {gradient:?}");
    }
    // With its smoothing MONAI has 1 − sn/sd there, and gradient 0.
    let smoothed = GeneralizedDice {
        activation: Activation::Sigmoid,
        smooth_numerator: 1e-5,
        smooth_denominator: 4e-5,
        ..preset("monai_gdl")
    };
    let (values, gradient) = binary.run(&smoothed);
    assert_eq!(values, [0.75]);
    assert!(gradient.iter().all(|&x| x == 0.0), "{gradient:?}");
}

#[test]
fn presets_have_the_options_of_their_owners() {
    for (name, make) in GeneralizedDice::PRESETS {
        assert_eq!(GeneralizedDice::preset(name), Some(make()));
        let none = name == "batch_pooled";
        assert_eq!(
            make().request().part(0).activation,
            if none { Activation::None } else { Activation::Softmax },
            "{name}"
        );
        for (other, make_other) in GeneralizedDice::PRESETS {
            assert_eq!(make() == make_other(), name == other, "{name} and {other}");
        }
    }
    assert_eq!(GeneralizedDice::preset("sudre"), None);
}
