//! Keras.

use dice_core::loss::{ClassWeights, CrossEntropy, Divisor, Focal, Options, SoftDice, Tversky};
use dice_core::{Activation, Grouping, Reduction};

use super::{Case, Input, Params, Recorded, Refusal};

pub(super) fn translate(recorded: &Recorded<'_>, loss: &str, params: &mut Params) -> Result<Case, Refusal> {
    let mut case = Case::new(recorded)?;
    params.take("layout");
    match loss {
        "Dice" => {
            let mut loss = SoftDice::keras_dice();
            options(&mut case, &mut loss.options, params)?;
            case.loss = loss.into();
        }
        "Tversky" => {
            let mut loss = Tversky::keras_tversky();
            options(&mut case, &mut loss.options, params)?;
            let is_swapped = recorded.text("source").contains("keras 3.15.1");
            let names = if is_swapped { ["beta", "alpha"] } else { ["alpha", "beta"] };
            params.set(names[0], &mut loss.false_positives);
            params.set(names[1], &mut loss.false_negatives);
            case.loss = loss.into();
        }
        "CategoricalCrossentropy" => {
            let mut loss = CrossEntropy::keras_crossentropy();
            if !params.flag("from_logits", false) {
                if case.passed.iter().any(|p| !(Activation::CLAMP..=1.0 - Activation::CLAMP).contains(p)) {
                    return Err("probabilities divided by their sum, then clamped".into());
                }
                case.input = Input::Logarithm;
            }
            params.set("label_smoothing", &mut loss.label_smoothing);
            match params.text("reduction").as_deref() {
                Some("sum_over_batch_size") => {}
                Some("sum") => loss.divisor = Divisor::One,
                other => return Err(format!("reduction {other:?}, a loss per voxel")),
            }
            case.loss = loss.into();
        }
        "CategoricalFocalCrossentropy" => {
            let mut loss = Focal { divisor: Divisor::Voxels, ..Focal::default() };
            if !params.flag("from_logits", false) {
                return Err("probabilities divided by their sum".into());
            }
            if params.number("label_smoothing").is_some_and(|smoothing| smoothing > 0.0) {
                return Err("label smoothing of a focal loss".into());
            }
            loss.exponents = vec![params.number("gamma").unwrap()];
            let alpha = params.numbers("alpha").unwrap();
            let weights = if let [alpha] = alpha[..] { vec![alpha; case.classes()] } else { alpha };
            loss.class_weights = ClassWeights::new(weights);
            if params.text("reduction").as_deref() != Some("sum_over_batch_size") {
                return Err("a loss per voxel".into());
            }
            case.loss = loss.into();
        }
        other => return Err(format!("loss {other}")),
    }
    Ok(case)
}

fn options(case: &mut Case, options: &mut Options, params: &mut Params) -> Result<(), Refusal> {
    params.set("epsilon", &mut options.smooth_denominator);
    let rank = case.shape.len();
    match params.numbers("axis") {
        None => {}
        Some(axes) if axes.len() + 1 == rank => options.grouping = Grouping::PerSample,
        Some(axes) => return Err(format!("axes {axes:?}")),
    }
    // A mean of the samples' values where there are several.
    if let Some(name) = params.raw("reduction") {
        match name.as_str() {
            None => options.reduction = Reduction::None,
            Some("sum_over_batch_size") => {}
            Some(other) => return Err(format!("reduction {other}")),
        }
    }
    Ok(())
}
