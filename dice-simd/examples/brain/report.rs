//! The tables that are printed.

use std::iter::zip;

use dice_data::CLASSES;
use dice_simd::Engine;
use dice_simd::loss::GeneralizedDice;
use dice_simd::{Activation, Error, Evaluation, View};
use rayon::prelude::*;

use crate::Segmentation;
use crate::model::Model;

/// Prints the Gaussians of a model, intensities from 0 to 255. (Trained means may lie outside: a softmax only knows
/// differences between classes.)
pub(crate) fn model(title: &str, model: &Model) {
    println!("\n{title}\n  {:14}{:>10}{:>10}{:>10}", "class", "prior", "mean", "sd");
    let total: f64 = model.gaussians.iter().map(|[log_prior, ..]| log_prior.exp()).sum();
    for (name, [log_prior, mean, log_sd]) in zip(CLASSES, model.gaussians) {
        println!("  {name:14}{:10.3}{:10.1}{:10.1}", log_prior.exp() / total, mean * 255.0, log_sd.exp() * 255.0);
    }
}

/// Prints the loss of `logits` by the conventions of every preset.
pub(crate) fn presets(task: &Segmentation<'_>, engine: &Engine, logits: &[f32]) -> Result<(), Error> {
    println!("\nThe same logits by every preset of the generalised Dice loss");
    for (name, preset) in GeneralizedDice::PRESETS {
        let loss = preset();
        if loss.activation == Activation::None {
            // This one wants probabilities. They may lie in memory in any order: here, the classes of a voxel together.
            let probabilities = softmax(logits, task.voxels());
            let probabilities = View::channels_last(&probabilities, &task.shape)?;
            let value = engine.value(&probabilities, &task.problem, &loss)?.value();
            println!("  {name:16}{value:10.6}   of probabilities");
        } else {
            println!("  {name:16}{:10.6}", task.value(engine, &loss, logits)?.value());
        }
    }
    println!(
        "  This library's own weighs by 1/T, the others by 1/T². Where every class is present these agree, but for"
    );
    println!(
        "  monai_gdl: its smoothing of 1e-5 is absolute, and in a volume of this size no longer small beside 1/T²."
    );
    Ok(())
}

/// The probabilities `[voxels…, C]` of `logits` `[C, voxels…]`. The fused passes never make them; this is for comparison.
fn softmax(logits: &[f32], voxels: usize) -> Vec<f32> {
    let probabilities = |voxel: usize| {
        let mut z: [f64; CLASSES.len()] = std::array::from_fn(|class| f64::from(logits[class * voxels + voxel]));
        Activation::Softmax.apply(&mut z);
        z.map(|p| p as f32)
    };
    (0..voxels).into_par_iter().map(probabilities).collect::<Vec<_>>().into_flattened()
}

/// Prints what `evaluation` says of each class, and the Dice of its argmax.
pub(crate) fn classes(title: &str, evaluation: &Evaluation, hard_dice: &[f64]) {
    println!("\n{title}");
    println!("  {:14}{:>12}{:>12}{:>10}{:>12}{:>10}", "class", "voxels", "weight", "Dice", "hard Dice", "share");
    for ((name, class), hard) in zip(zip(CLASSES, &evaluation.classes), hard_dice) {
        let (voxels, share) = (thousands(class.target as usize), class.share * 100.0);
        println!("  {name:14}{voxels:>12}{:12.6}{:10.4}{hard:12.4}{share:8.1} %", class.weight, class.dice);
    }
    println!(
        "  {:14}{:>12}{:>12}{:10.4}{:12.4}",
        "tissue mean",
        "",
        "",
        tissue_dice(evaluation),
        tissue_mean(hard_dice)
    );
}

/// 2TP/(P + T) of each class from counts of voxels: how a finished segmentation is judged.
pub(crate) fn hard_dice(truth: &[u8], prediction: &[u8]) -> [f64; CLASSES.len()] {
    let mut both = [0_u32; CLASSES.len()];
    let mut either = [0_u32; CLASSES.len()];
    for (&truth, &prediction) in truth.iter().zip(prediction) {
        either[usize::from(truth)] += 1;
        either[usize::from(prediction)] += 1;
        both[usize::from(truth)] += u32::from(truth == prediction);
    }
    std::array::from_fn(|class| 2.0 * f64::from(both[class]) / f64::from(either[class]))
}

/// The mean soft Dice of the three tissues.
pub(crate) fn tissue_dice(evaluation: &Evaluation) -> f64 {
    let dice: Vec<f64> = evaluation.classes.iter().map(|class| class.dice).collect();
    tissue_mean(&dice)
}

/// The mean over the classes but the outside, which is large and easy.
fn tissue_mean(dice: &[f64]) -> f64 {
    dice[1..].iter().sum::<f64>() / (dice.len() - 1) as f64
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}
