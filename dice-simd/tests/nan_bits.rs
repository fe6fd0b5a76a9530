//! NaN has one pattern of bits in every output: that of an operation has the sign of the CPU that did it or of an operand.

mod common;

use common::inputs::Number;
use common::{Level, Placed, per_level};
use dice_core::loss::{Compound, CrossEntropy, GeneralizedDice, SoftDice};
use dice_core::{Activation, LossHead, Problem, View};
use dice_simd::Gradient;
use dice_simd::half::{bf16, f16};

/// NaN of both signs, and with bits of its own.
const NANS: [f64; 4] =
    [f64::NAN, -f64::NAN, f64::from_bits(0x7ff8_dead_0000_0000), f64::from_bits(0xfff8_0000_2000_0000)];
const SHAPE: [usize; 3] = [2, 3, 300];

fn losses(activation: Activation) -> Vec<Compound> {
    let dice = SoftDice::default();
    let options = dice_core::loss::Options { activation, ..dice.options.clone() };
    let dice = SoftDice { options, ..dice };
    let generalized = GeneralizedDice { activation, ..GeneralizedDice::default() };
    let entropy = CrossEntropy { activation, ..CrossEntropy::default() };
    vec![generalized.into(), dice.clone().into(), dice + entropy]
}

/// Demands the one pattern wherever the gradient is NaN, and that it is in many places.
fn check<T: Number, G: Number<Arithmetic = T::Arithmetic>>(level: &Level, nan: u64, bits: impl Fn(G) -> u64) {
    let labels: Vec<u8> = (0..600).map(|i| (i % 3) as u8).collect();
    let problem = Problem::new(View::map(&labels, &[2, 300]).unwrap());
    // The second sample has NaN of each kind, and infinities of which a difference makes one.
    let logit = |i: usize| match i {
        900.. if i.is_multiple_of(97) => NANS[i / 97 % 4],
        900.. if i.is_multiple_of(89) => f64::INFINITY,
        900.. if i.is_multiple_of(83) => f64::NEG_INFINITY,
        _ => (i * 31 % 17) as f64 / 4.0 - 2.0,
    };
    let first = Placed::channels_first(&SHAPE);
    let last = Placed::channels_last(&SHAPE);
    // In neither form.
    let strided = Placed { strides: vec![1802, 601, 2], len: 2 * 1802, ..first.clone() };
    for place in [&first, &last, &strided] {
        let mut logits = vec![T::of(0.0); place.len];
        place.elements().iter().enumerate().for_each(|(i, &element)| logits[element] = T::of(logit(i)));
        let logits = View::strided(&logits, &place.shape, &place.strides, place.start).unwrap();
        for activation in [Activation::Softmax, Activation::Sigmoid, Activation::None] {
            for loss in losses(activation) {
                let request = loss.request();
                for output in [&first, &last, &strided] {
                    for accumulate in [false, true] {
                        let mut data = vec![G::of(1.0); output.len];
                        // What is there may be any NaN, too.
                        data[output.elements()[5]] = G::of(-f64::NAN);
                        let view = output.view_mut(&mut data);
                        let gradient = if accumulate { Gradient::Accumulate(view) } else { Gradient::Overwrite(view) };
                        let engine = level.engine();
                        let evaluation = engine.value_and_grad(&logits, &problem, &loss, &[1.0], gradient).unwrap();
                        let context = format!("{activation:?}, {} columns, {accumulate}", request.columns());
                        assert_eq!(evaluation.value().to_bits(), f64::NAN.to_bits(), "{context}");
                        let elements = output.elements();
                        let found: Vec<u64> =
                            elements.iter().map(|&at| data[at]).filter(|&g| is_nan(g)).map(&bits).collect();
                        assert!(found.len() > 500, "{context}: {} NaN", found.len());
                        assert!(found.iter().all(|&bits| bits == nan), "{context}: {:x?}", &found[..4]);
                    }
                }
            }
        }
    }
}

fn is_nan<G: Number>(g: G) -> bool {
    Into::<f64>::into(g).is_nan()
}

fn one_pattern(level: &Level) {
    check::<f32, f32>(level, f32::NAN.to_bits().into(), |g| g.to_bits().into());
    check::<f64, f64>(level, f64::NAN.to_bits(), f64::to_bits);
    check::<f16, f16>(level, f16::NAN.to_bits().into(), |g| g.to_bits().into());
    check::<bf16, bf16>(level, bf16::NAN.to_bits().into(), |g| g.to_bits().into());
    check::<f32, f16>(level, f16::NAN.to_bits().into(), |g| g.to_bits().into());
}
per_level!(one_pattern);
