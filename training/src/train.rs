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
    /// Of training, and the loss's share of them: value and gradient.
    pub(crate) seconds: f64,
    pub(crate) loss_seconds: f64,
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
    let (started, mut in_loss, mut in_scores) = (Instant::now(), Duration::ZERO, Duration::ZERO);
    for step in 0..settings.steps {
        if step > 0 && step % settings.steps.div_ceil(ROWS) == 0 {
            let began = Instant::now();
            let dice = score(task, &network, false, &device)?;
            in_scores += began.elapsed();
            watch(&Progress { step, dice: Some(dice) });
        }
        let batch = task.draw(&mut random, settings.batch, &training);
        let logits = network.forward(batch.images);
        let began = Instant::now();
        let problem = Problem::labels(batch.labels);
        let value = dice_burn::loss(logits.clone(), &problem, loss)?;
        last_value = value.clone().into_scalar::<f64>();
        in_loss += began.elapsed();
        if step == 0 {
            first_gradient = greatest_gradient(logits, &problem, loss)?;
        }
        let gradients = GradientsParams::from_grads(value.backward(), &network);
        network = optimiser.step(settings.rate, network, gradients);
        watch(&Progress { step: step + 1, dice: None });
    }
    let seconds = (started.elapsed() - in_scores).as_secs_f64();
    let dice = score(task, &network, true, &device)?;
    Ok(Outcome { dice, last_value, seconds, loss_seconds: in_loss.as_secs_f64(), first_gradient })
}

/// The greatest element of the gradient by the logits.
fn greatest_gradient(logits: Tensor<5>, problem: &Problem, loss: &Compound) -> Result<f64, Box<dyn Error>> {
    let logits = logits.detach().require_grad();
    let gradients = dice_burn::loss(logits.clone(), problem, loss)?.backward();
    let gradient = logits.grad(&gradients).expect("the loss depends on the logits");
    Ok(gradient.abs().max().into_scalar())
}

/// Dice of each class over all held-out voxels, of the most probable classes.
fn score(task: &Task, network: &UNet, all: bool, device: &Device) -> Result<Vec<f64>, Box<dyn Error>> {
    let network = network.valid();
    let mut counts = Confusion::new(1, task.classes.len());
    for batch in task.held_out(all, device) {
        let found = dice_burn::confusion(network.forward(batch.images), &Problem::labels(batch.labels))?;
        counts.merge(&found.pooled())?;
    }
    Ok((0..task.classes.len()).map(|class| counts.dice(0, class)).collect())
}
