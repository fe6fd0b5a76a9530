//! What is trained: a Gaussian model of intensity, twelve parameters in all, and the optimiser.
//!
//! It stands for the network of a real training loop. Forward, it turns an image into logits; backward, it turns the
//! gradient with respect to the logits, which is where the library ends, into one with respect to its own parameters.

use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::iter::zip;

use dice_data::CLASSES;
use rayon::prelude::*;

/// Voxels that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// `[ln prior, mean, ln sd]` of the intensity of a class, where 0 is black and 1 is white. Logarithms, so that a step of any
/// size leaves prior and width positive.
pub(crate) type Gaussian = [f64; 3];

/// One Gaussian per class: z_c(x) = ln π_c − ln σ_c − (x − μ_c)² / 2σ_c², the logits of Bayes' rule.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) gaussians: [Gaussian; CLASSES.len()],
}

impl Model {
    /// A crude guess that has seen no brain: equally likely classes, means equally spaced from black to white, one width.
    pub(crate) fn guess() -> Self {
        let classes = CLASSES.len() as f64;
        let gaussian = |class| [-classes.ln(), class as f64 / (classes - 1.0), 0.25_f64.ln()];
        Self { gaussians: std::array::from_fn(gaussian) }
    }

    /// Writes the logits `[C, voxels…]` of an image.
    pub(crate) fn logits(&self, image: &[f32], logits: &mut [f32]) {
        for ([log_prior, mean, log_sd], plane) in zip(self.gaussians, logits.chunks_exact_mut(image.len())) {
            let (bias, mean) = ((log_prior - log_sd) as f32, mean as f32);
            let scale = ((-log_sd).exp() * FRAC_1_SQRT_2) as f32;
            plane.par_chunks_mut(CHUNK).zip(image.par_chunks(CHUNK)).for_each(|(plane, image)| {
                for (z, x) in zip(plane, image) {
                    let distance = (x - mean) * scale;
                    *z = bias - distance * distance;
                }
            });
        }
    }

    /// The derivative of the loss with respect to the parameters, from the one with respect to the logits of `image`.
    ///
    /// The chain rule is a sum over the voxels, with ∂z/∂(ln π, μ, ln σ) = (1, r/σ, r² − 1) where r = (x − μ)/σ.
    pub(crate) fn pull_back(&self, image: &[f32], gradient: &[f32]) -> [Gaussian; CLASSES.len()] {
        let mut slopes = self.gaussians;
        for (slope, plane) in zip(&mut slopes, gradient.chunks_exact(image.len())) {
            let [_, mean, log_sd] = *slope;
            let per_sd = (-log_sd).exp();
            let sums = |(plane, image): (&[f32], &[f32])| {
                zip(plane, image).fold([0.0; 3], |[one, r1, r2], (&g, &x)| {
                    let (g, r) = (f64::from(g), (f64::from(x) - mean) * per_sd);
                    [one + g, r1 + g * r, r2 + g * r * r]
                })
            };
            // The sums of the chunks are collected and added in order, so that no scheduling shows in the result.
            let chunks: Vec<[f64; 3]> = plane.par_chunks(CHUNK).zip(image.par_chunks(CHUNK)).map(sums).collect();
            let [one, r1, r2] =
                chunks.iter().fold([0.0; 3], |total, chunk| std::array::from_fn(|i| total[i] + chunk[i]));
            *slope = [one, r1 * per_sd, r2 - one];
        }
        slopes
    }
}

/// The class with the largest logit at each voxel; the lowest one wins a tie.
pub(crate) fn argmax(logits: &[f32], voxels: usize) -> Vec<u8> {
    let best = |voxel| {
        let logit = |class: u8| logits[usize::from(class) * voxels + voxel];
        (1..CLASSES.len() as u8).fold(0, |best, class| if logit(class) > logit(best) { class } else { best })
    };
    (0..voxels).into_par_iter().map(best).collect()
}

/// Gradient descent whose step is a share of a rate, whatever the gradient's scale (Kingma and Ba 2015), with the rate
/// falling to zero along half a cosine.
#[derive(Debug)]
pub(crate) struct Adam {
    steps: usize,
    step: usize,
    moments: [[f64; 2]; 3 * CLASSES.len()],
}

impl Adam {
    const RATE: f64 = 0.05;
    const DECAY: [f64; 2] = [0.9, 0.99];

    /// For a training of `steps` steps.
    pub(crate) fn new(steps: usize) -> Self {
        Self { steps, step: 0, moments: [[0.0; 2]; 3 * CLASSES.len()] }
    }

    /// Moves the model against `slopes`.
    pub(crate) fn descend(&mut self, model: &mut Model, slopes: &[Gaussian; CLASSES.len()]) {
        let rate = Self::RATE * 0.5 * (1.0 + (PI * self.step as f64 / self.steps as f64).cos());
        self.step += 1;
        // Both moments start at zero; dividing by what they have seen so far takes that bias out.
        let seen = Self::DECAY.map(|decay| 1.0 - decay.powf(self.step as f64));
        let parameters = model.gaussians.as_flattened_mut();
        for ((parameter, slope), [first, second]) in zip(zip(parameters, slopes.as_flattened()), &mut self.moments) {
            *first += (1.0 - Self::DECAY[0]) * (slope - *first);
            *second += (1.0 - Self::DECAY[1]) * (slope * slope - *second);
            *parameter -= rate * (*first / seen[0]) / ((*second / seen[1]).sqrt() + 1e-12);
        }
    }
}
