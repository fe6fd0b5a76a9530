//! The example of a loss of one's own: its gradient against central differences, and that it trains.

#[path = "../examples/own_loss.rs"]
mod own_loss;

use dice_simd::{Engine, Problem, View, ViewMut};
use own_loss::{LogCoshDice, train};

/// Central differences in f64: truncation h² times a third derivative below 1, and rounding 1e-16/h.
const STEP: f64 = 1e-5;
const DIFFERENCE: f64 = 1e-9;

#[test]
fn its_gradient_is_the_difference_of_its_values() {
    let shape = [2, 3, 7];
    let mut logits: Vec<f64> = (0..42).map(|i| f64::from(i * 29 % 17) / 4.0 - 2.0).collect();
    let labels: Vec<u8> = (0..14).map(|i| (i * 5 % 3) as u8).collect();
    let problem = Problem::new(View::map(&labels, &[2, 7]).unwrap());
    let engine = Engine::serial();
    let value = |logits: &[f64]| {
        let z = View::channels_first(logits, &shape).unwrap();
        engine.value(&z, &problem, &LogCoshDice).unwrap().value()
    };
    let mut gradient = vec![0.0; 42];
    let mut view = ViewMut::channels_first(&mut gradient, &shape).unwrap();
    let z = View::channels_first(&logits, &shape).unwrap();
    engine.value_and_grad(&z, &problem, &LogCoshDice, &[1.0], &mut view).unwrap();
    for i in 0..42 {
        let before = logits[i];
        logits[i] = before + STEP;
        let above = value(&logits);
        logits[i] = before - STEP;
        let below = value(&logits);
        logits[i] = before;
        let difference = (above - below) / (2.0 * STEP);
        assert!((gradient[i] - difference).abs() < DIFFERENCE, "{i}: {} and {difference}", gradient[i]);
    }
}

#[test]
fn it_trains() {
    let losses = train(20).unwrap();
    assert!(losses.windows(2).all(|pair| pair[1] <= pair[0]), "{losses:?}");
    assert!(losses[19] < 0.1 * losses[0], "{losses:?}");
}
