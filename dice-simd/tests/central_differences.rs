//! The gradient against central differences of the value, both by the f64 passes: what the textbook gets wrong in the same way
//! would show here.

mod common;

use common::inputs::{DenseTensor, Inputs, Truth};
use common::{Level, Placed, Random, Tensor, map_of, per_level, rounds};
use dice_core::loss::GeneralizedDice;
use dice_core::{Activation, Grouping, LossHead, Reduction, ViewMut};

/// Relative to the greatest element of the gradient: rounding of the value by the step, and the step squared. Measured: 5e-9.
const DIFFERENCE: f64 = 2e-8;
const STEP: f64 = 1e-5;

/// Labels of a small grid that hold every class, and what counts among them.
fn inputs(random: &mut Random, activation: Activation, classes: usize, target: &str, weights: &str) -> Inputs<f64> {
    // Without an activation the numbers are to be probabilities.
    let (low, high) = if activation == Activation::None { (0.1, 1.0) } else { (-2.0, 2.0) };
    let shape = [2, classes, 3, rounds(7, 3)];
    let voxels = 3 * shape[3];
    let logits: Vec<f64> = (0..2 * classes * voxels).map(|_| random.within(low, high).into()).collect();
    let labels: Vec<i64> = (0..2 * voxels).map(|at| (at % classes.max(2)) as i64).collect();
    let mut inputs = Inputs::<f64>::labelled(&shape, &logits, &labels);
    let map = Placed::channels_first(&map_of(&shape));
    let every_fifth = |kept: u8| (0..2 * voxels).map(|at| if at % 5 == 3 { 0 } else { kept }).collect::<Vec<u8>>();
    if target != "labels" {
        let mut g = inputs.weights_and_targets().1;
        if target == "soft" {
            g.iter_mut().for_each(|g| *g = random.within(0.0, 1.0).into());
        }
        inputs.truth = Truth::Dense(DenseTensor::new("f64", Placed::channels_last(&shape), &g, 0.0));
    }
    match weights {
        "mask" => inputs.mask = Some(Tensor::placed(map, &every_fifth(1), 1)),
        "weights" => {
            let numbers: Vec<f32> = (0..2 * voxels).map(|_| random.within(0.0, 3.0)).collect();
            inputs.weights = Some(Tensor::placed(map, &numbers, 1.0));
            inputs.sample_weights = Some(vec![0.5, 1.75]);
        }
        "ignored" => inputs.ignored = Some(i64::from(classes > 2)),
        _ => {}
    }
    inputs
}

fn every_target_and_weight(level: &Level) {
    let mut random = Random(31);
    let engine = level.engine();
    for activation in [Activation::Softmax, Activation::Sigmoid, Activation::None] {
        for target in ["labels", "one-hot", "soft"] {
            for weights in ["none", "mask", "weights", "ignored"] {
                if weights == "ignored" && target != "labels" {
                    continue;
                }
                for (classes, grouping, (_, make)) in [
                    (1, Grouping::PerSample, GeneralizedDice::PRESETS[0]),
                    (3, Grouping::PerSample, ("default", GeneralizedDice::default as fn() -> _)),
                    (4, Grouping::Batch, ("default", GeneralizedDice::default as fn() -> _)),
                ] {
                    let loss = GeneralizedDice { activation, grouping, reduction: Reduction::None, ..make() };
                    // A softmax of one class is 1, whatever its logit.
                    let classes = if activation == Activation::Softmax { classes.max(2) } else { classes };
                    let mut inputs = inputs(&mut random, activation, classes, target, weights);
                    let values = if grouping == Grouping::Batch { 1 } else { 2 };
                    let upstream = &[1.5, -0.75][..values];
                    let context = format!("{activation:?}, {target}, {weights}, {classes} classes");

                    let statistics =
                        engine.statistics(&inputs.logits.view(), &inputs.problem(), &loss.request()).unwrap();
                    let evaluation = loss.evaluate(&statistics).unwrap();
                    let mut gradient = vec![f64::NAN; inputs.logits.data.len()];
                    let mut view = ViewMut::channels_first(&mut gradient, inputs.shape()).unwrap();
                    let cotangent = &evaluation.cotangent;
                    engine.pullback(&inputs.logits.view(), &inputs.problem(), cotangent, upstream, &mut view).unwrap();
                    let greatest = gradient.iter().fold(0.0_f64, |max, g| max.max(g.abs()));
                    assert!(greatest > 1e-4, "a gradient that says nothing: {context}");
                    for (at, &gradient) in gradient.iter().enumerate() {
                        let mut value = |step: f64| -> f64 {
                            let z = inputs.logits.data[at];
                            inputs.logits.data[at] = z + step;
                            let found = engine.value(&inputs.logits.view(), &inputs.problem(), &loss).unwrap();
                            inputs.logits.data[at] = z;
                            found.values.iter().zip(upstream).map(|(value, upstream)| value * upstream).sum()
                        };
                        let difference = (value(STEP) - value(-STEP)) / (2.0 * STEP);
                        let error = (gradient - difference).abs() / greatest;
                        level.within("gradient, relative to the greatest", error, DIFFERENCE, || {
                            format!("element {at} is {gradient:e}, by differences {difference:e}: {context}")
                        });
                    }
                }
            }
        }
    }
}
per_level!(every_target_and_weight);
