//! One network and one loss.

use std::error::Error;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use dice_burn::Problem;
use dice_simd::Confusion;
use dice_simd::loss::Compound;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::network::{Norm, UNet};
use crate::task::Task;

/// How a network is trained.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) norm: Norm,
    pub(crate) batch: usize,
    pub(crate) rate: f64,
    pub(crate) steps: usize,
}

/// Where a training is; the Dice of each class on a part of what is held out, now and then.
pub(crate) struct Progress {
    pub(crate) step: usize,
    pub(crate) dice: Option<Vec<f64>>,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Of each class on all that is held out.
    pub(crate) dice: Vec<f64>,
    pub(crate) last_value: f64,
    /// Of training.
    pub(crate) seconds: f64,
    /// Of these what the loss takes, value and gradient: the median of a few steps.
    pub(crate) loss_share: f64,
    /// The greatest element of the first gradient by the logits.
    pub(crate) first_gradient: f64,
}

/// Trains a network whose weights, and patches, are drawn from `seed`.
///
/// # Errors
/// Those of the loss.
pub(crate) fn train(
    task: &Task,
    loss: &Compound,
    settings: &Settings,
    seed: u64,
    mut watch: impl FnMut(&Progress),
) -> Result<Outcome, Box<dyn Error>> {
    const ROWS: usize = 5;
    let device = Device::flex();
    let training = device.clone().autodiff();
    device.seed(seed);
    let mut random = StdRng::seed_from_u64(1000 + seed);
    let mut network = UNet::new(task.kernel, task.width, task.classes.len(), settings.norm, &training);
    // Of burn's epsilon, 1e-5, a gradient of 1e-11 would see nothing but that.
    let mut optimiser = AdamConfig::new().with_epsilon(1e-8).init();
    let (mut first_gradient, mut last_value) = (0.0, 0.0);
    let (started, mut in_loss, mut aside) = (Instant::now(), Vec::new(), Duration::ZERO);
    for step in 0..settings.steps {
        let looks = step % settings.steps.div_ceil(ROWS) == 0;
        if looks && step > 0 {
            let began = Instant::now();
            let dice = score(task, &network, false, &device)?;
            aside += began.elapsed();
            watch(&Progress { step, dice: Some(dice) });
        }
        let batch = task.draw(&mut random, settings.batch, &training);
        let logits = network.forward(batch.images);
        let problem = Problem::labels(batch.labels);
        if looks {
            let began = Instant::now();
            let gradient = gradient(&logits, &problem, loss)?;
            in_loss.push(began.elapsed());
            if step == 0 {
                first_gradient = gradient.abs().max().into_scalar();
            }
            aside += began.elapsed();
        }
        let value = dice_burn::loss(logits, &problem, loss)?;
        last_value = value.clone().into_scalar::<f64>();
        let gradients = GradientsParams::from_grads(value.backward(), &network);
        network = optimiser.step(settings.rate, network, gradients);
        watch(&Progress { step: step + 1, dice: None });
    }
    let seconds = (started.elapsed() - aside).as_secs_f64();
    let dice = score(task, &network, true, &device)?;
    in_loss.sort();
    let loss_share = in_loss[in_loss.len() / 2].as_secs_f64() * settings.steps as f64 / seconds;
    Ok(Outcome { dice, last_value, seconds, loss_share, first_gradient })
}

/// The gradient by the logits alone: what the loss is of a step, its value and both passes.
fn gradient(logits: &Tensor<5>, problem: &Problem, loss: &Compound) -> Result<Tensor<5>, Box<dyn Error>> {
    let logits = logits.clone().detach().require_grad();
    let gradients = dice_burn::loss(logits.clone(), problem, loss)?.backward();
    Ok(logits.grad(&gradients).expect("the loss depends on the logits"))
}

/// Dice of each class over all held-out voxels, of the most probable classes.
fn score(task: &Task, network: &UNet, all: bool, device: &Device) -> Result<Vec<f64>, Box<dyn Error>> {
    let network = network.valid();
    let mut counts = Confusion::new(1, task.classes.len())?;
    for batch in task.held_out(all, device) {
        let found = dice_burn::confusion(network.forward(batch.images), &Problem::labels(batch.labels))?;
        counts.merge(&found.pooled())?;
    }
    Ok((0..task.classes.len()).map(|class| counts.dice(0, class)).collect())
}
