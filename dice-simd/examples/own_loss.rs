//! A loss of one's own: log-cosh Dice, ln cosh of the mean soft Dice loss of the classes (Jadon 2020).
//!
//! A head knows of no voxel: it turns a table of sums into a value and its derivative by the sums, and has every instruction set,
//! layout, element type and number of threads. `cargo run --release --example own_loss` trains logits with it.

use dice_simd::{
    Activation, Engine, Error, Evaluation, LossHead, Problem, Request, Statistics, View, ViewMut, Workspace,
};
use dice_simd::{Group, Needs, Sum, Sums, Values};

/// What the loss is computed from.
const NEEDS: Needs<'_> = Needs { activation: Activation::Softmax, sums: Sums::OVERLAP, exponents: &[], costs: &[] };

/// ln cosh of the mean over samples and classes of 1 − (2I + 1)/(S + T + 1).
#[derive(Debug)]
pub(crate) struct LogCoshDice;

impl LossHead for LogCoshDice {
    fn require(&self, request: &mut Request) {
        request.add(&NEEDS);
    }

    fn differentiate(&self, table: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        let (part, samples, classes) = (table.request().find(&NEEDS)?, table.samples(), table.classes());
        let ratio = |sample, class| {
            let sum = |sum| table.sum(Group::Sample(sample), class, part, sum);
            let union = sum(Sum::Prediction)? + sum(Sum::Target)? + 1.0;
            Ok::<_, Error>(((2.0 * sum(Sum::Intersection)? + 1.0) / union, union))
        };
        let places = || (0..samples).flat_map(move |sample| (0..classes).map(move |class| (sample, class)));
        let (mut mean, factor) = (0.0, 1.0 / (samples * classes).max(1) as f64);
        for (sample, class) in places() {
            mean += factor * (1.0 - ratio(sample, class)?.0);
        }
        evaluation.reset(table.request(), samples, classes, Values::One)?;
        evaluation.values[0] = mean.cosh().ln();
        for (sample, class) in places() {
            let ((ratio, union), slope) = (ratio(sample, class)?, factor * mean.tanh());
            evaluation.cotangent.add(sample, class, part, Sum::Intersection, -2.0 * slope / union);
            evaluation.cotangent.add(sample, class, part, Sum::Prediction, slope * ratio / union);
        }
        Ok(())
    }
}

/// Gradient descent on the logits themselves; the loss before each step.
pub(crate) fn train(steps: usize) -> Result<Vec<f64>, Error> {
    let (shape, voxels) = ([1, 3, 8, 8, 8], 512);
    let labels: Vec<u8> = (0..voxels).map(|voxel| (voxel / 64 % 3) as u8).collect();
    let problem = Problem::new(View::map(&labels, &[1, 8, 8, 8])?);
    let (mut logits, mut gradient) = (vec![0.0_f32; 3 * voxels], vec![0.0_f32; 3 * voxels]);
    let (engine, mut workspace, mut losses) = (Engine::new(), Workspace::default(), Vec::new());
    for _ in 0..steps {
        let mut view = ViewMut::channels_first(&mut gradient, &shape)?;
        let z = View::channels_first(&logits, &shape)?;
        engine.value_and_grad_into(&z, &problem, &LogCoshDice, &[1.0], &mut view, &mut workspace)?;
        losses.push(workspace.evaluation.value());
        logits.iter_mut().zip(&gradient).for_each(|(z, g)| *z -= 3000.0 * g);
    }
    Ok(losses)
}

#[allow(dead_code, reason = "the tests include this file")]
fn main() -> Result<(), Error> {
    for (step, loss) in train(20)?.iter().enumerate() {
        println!("step {step}: log-cosh Dice {loss:.4}");
    }
    Ok(())
}
