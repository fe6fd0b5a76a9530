//! kornia.

use dice_core::loss::{Compound, Divisor, Empty, Focal, Pooling, SoftDice, Tversky};

use super::{Case, Params, Recorded, Refusal, Truth};

pub(super) fn translate(recorded: &Recorded<'_>, loss: &str, params: &mut Params) -> Result<Case, Refusal> {
    let mut case = Case::new(recorded)?;
    let is_0_9 = recorded.text("source").contains("kornia 0.9");
    case.ignored = params.number("ignore_index").map(|label| label as i64);
    let weights = params.numbers("weight").unwrap_or_default();
    case.loss = match loss {
        "dice_loss" => {
            let mut loss = if is_0_9 { SoftDice::kornia09_dice() } else { SoftDice::kornia_dice() };
            params.set("eps", &mut loss.options.smooth_denominator);
            match params.text("average").as_deref() {
                None | Some("micro") => {}
                Some("macro") => {
                    loss.options.pooling = Pooling::PerClass;
                    if is_0_9 {
                        loss.options.empty = Empty::Skip;
                        refuse_samples_of_no_class(&case, &weights)?;
                    }
                }
                Some(other) => return Err(format!("average {other}")),
            }
            loss.options.class_weights.weights = weights;
            loss.into()
        }
        "tversky_loss" => {
            let mut loss = if is_0_9 { Tversky::kornia09_tversky() } else { Tversky::kornia_tversky() };
            if is_0_9 {
                refuse_samples_of_no_class(&case, &[])?;
            }
            params.set("eps", &mut loss.options.smooth_denominator);
            params.set("alpha", &mut loss.false_positives);
            params.set("beta", &mut loss.false_negatives);
            loss.into()
        }
        "focal_loss" => focal(Focal { alpha: params.number("alpha"), ..Focal::kornia_focal() }, weights, params)?,
        "binary_focal_loss_with_logits" => {
            let mut loss = Focal { alpha: params.number("alpha"), ..Focal::kornia_binary_focal() };
            loss.positive_weights = params.numbers("pos_weight").unwrap_or_default();
            focal(loss, weights, params)?
        }
        other => return Err(format!("loss {other}")),
    };
    Ok(case)
}

fn focal(mut loss: Focal, weights: Vec<f64>, params: &mut Params) -> Result<Compound, Refusal> {
    if let Some(gamma) = params.number("gamma") {
        loss.exponents = vec![gamma];
    }
    loss.class_weights.weights = weights;
    match params.text("reduction").as_deref() {
        Some("mean") => {}
        Some("sum") => loss.divisor = Divisor::One,
        other => return Err(format!("reduction {other:?}, a loss per voxel")),
    }
    Ok(loss.into())
}

/// A sample that holds no class of any weight counts 1 there, and leaves the mean here.
fn refuse_samples_of_no_class(case: &Case, weights: &[f64]) -> Result<(), Refusal> {
    let Truth::Labels(labels) = &case.truth else { return Err("a dense target".into()) };
    let counts = |&label: &i32| {
        Some(i64::from(label)) != case.ignored && weights.get(label as usize).is_none_or(|&weight| weight > 0.0)
    };
    if labels.chunks(case.voxels()).all(|labels| labels.iter().any(counts)) {
        return Ok(());
    }
    Err("a sample without a class of any weight counts 1".into())
}
