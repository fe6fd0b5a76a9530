//! Gradients of the whole family against central differences, in f64.

mod common;
mod drawn;

use common::{Random, largest};
use dice_core::loss::Compound;
use dice_core::{Activation, LossHead};
use drawn::{Kind, LOSSES, Scene, coin, one};

/// The step of a difference of fourth order: its error is of the order of h⁴ times the fifth derivative, 1e-12, and
/// that of rounding 1e-16 / h.
const STEP: f64 = 1e-3;
/// Bound of the error of the gradient, relative to 1, its largest element or the value, whichever is most. Where a loss
/// bends so much that half the step changes the difference by more, such as a logarithm of a score near 0, that much is
/// allowed too.
const DIFFERENCE: f64 = 1e-8;
const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];

/// ∂f/∂z of fourth order with this step.
fn difference(step: f64, f: impl Fn(f64) -> f64) -> f64 {
    let pair = |steps: f64| f(steps * step) - f(-steps * step);
    (8.0 * pair(1.0) - pair(2.0)) / (12.0 * step)
}

/// Compares some elements of the gradient, and the slope along a drawn direction, with differences. Returns the error.
fn check(random: &mut Random, scene: &Scene, loss: &dyn LossHead) -> f64 {
    let values = scene.values(loss, &scene.logits);
    if !values.iter().all(|value| value.is_finite()) {
        return f64::NAN;
    }
    let upstream: Vec<f64> = values.iter().map(|_| random.within(-1.0, 2.0)).collect();
    let (_, gradient) = scene.run(loss, &upstream).unwrap();
    let weighted = |logits: &[f64]| -> f64 {
        let values = scene.values(loss, logits);
        values.iter().zip(&upstream).map(|(value, upstream)| value * upstream).sum()
    };
    let value = weighted(&scene.logits);
    let scale = largest(&gradient).max(value.abs()).max(1.0);
    let mut directions: Vec<Vec<f64>> = (0..6)
        .map(|_| {
            let mut direction = vec![0.0; gradient.len()];
            direction[random.below(gradient.len())] = 1.0;
            direction
        })
        .collect();
    directions.push(gradient.iter().map(|_| random.within(-1.0, 1.0)).collect());
    let error_along = |direction: &Vec<f64>| {
        let slope: f64 = gradient.iter().zip(direction).map(|(slope, part)| slope * part).sum();
        let moved =
            |step: f64| -> Vec<f64> { scene.logits.iter().zip(direction).map(|(z, part)| z + step * part).collect() };
        let of_step = |step: f64| difference(step, |step| weighted(&moved(step)));
        let (coarse, fine) = (of_step(STEP), of_step(STEP / 2.0));
        ((slope - fine).abs() - (coarse - fine).abs()).max(0.0) / scale + 0.0 * slope
    };
    directions.iter().map(error_along).fold(0.0, |worst, error| if error.is_nan() { error } else { error.max(worst) })
}

/// Every loss with every activation and kind of target, with all else drawn.
#[test]
fn gradients_of_drawn_losses() {
    let (mut worst, mut checked) = (0.0_f64, 0);
    for (place, name) in LOSSES.into_iter().enumerate() {
        for activation in ACTIVATIONS {
            for kind in [Kind::Labels, Kind::OneHot, Kind::Soft] {
                if name == "wasserstein" && kind != Kind::Labels {
                    continue;
                }
                for round in 0..20 {
                    let seed = ((place * 3 + activation as usize) * 3 + kind as usize) * 100 + round;
                    let mut random = Random(seed as u64);
                    let scene = Scene::draw(&mut random, activation, kind);
                    let loss = drawn::draw(&mut random, name, activation, scene.shape[1]);
                    let error = check(&mut random, &scene, &loss);
                    assert!(error <= DIFFERENCE, "{name}, seed {seed}: off by {error:e}\n{loss:?}\n{scene:?}");
                    worst = worst.max(error);
                    checked += 1;
                }
            }
        }
    }
    println!("{checked} losses, worst {worst:.1e}");
}

/// Compounds of drawn terms: several activations, groupings and transforms in one table.
#[test]
fn gradients_of_drawn_compounds() {
    let mut worst = 0.0_f64;
    for seed in 0..400 {
        let mut random = Random(1_000_000 + seed);
        let kind = one(&mut random, &[Kind::Labels, Kind::OneHot, Kind::Soft]);
        // Probabilities are logits too, but logits are not probabilities.
        let given = coin(&mut random);
        let range = if given { Activation::None } else { Activation::Softmax };
        let shape = [1 + random.below(3), 1 + random.below(4), 2 + random.below(6)];
        let scene = Scene::of_shape(&mut random, range, kind, shape);
        let names: Vec<&str> =
            LOSSES.into_iter().filter(|name| kind == Kind::Labels || *name != "wasserstein").collect();
        let activations = if given { &ACTIVATIONS[..] } else { &ACTIVATIONS[..2] };
        let loss = drawn::compound(&mut random, &names, activations, shape[1]);
        let error = check(&mut random, &scene, &loss);
        assert!(error <= DIFFERENCE, "seed {seed}: off by {error:e}\n{loss:?}\n{scene:?}");
        worst = worst.max(error);
    }
    println!("worst {worst:.1e}");
}

#[test]
fn gradients_of_presets() {
    let mut worst = 0.0_f64;
    for (place, preset) in Compound::PRESETS.iter().enumerate() {
        let (loss, activation, classes) = drawn::preset(preset);
        for seed in 0..10 {
            let mut random = Random((place * 100 + seed) as u64);
            let is_of_labels = loss.request().check(classes, false).is_err();
            let kind = if is_of_labels || coin(&mut random) { Kind::Labels } else { Kind::Soft };
            let scene = Scene::of_shape(&mut random, activation, kind, [2, classes, 5]);
            let error = check(&mut random, &scene, &loss);
            assert!(error <= DIFFERENCE, "{}, seed {seed}: off by {error:e}\n{scene:?}", preset.0);
            worst = worst.max(error);
        }
    }
    println!("worst {worst:.1e}");
}
