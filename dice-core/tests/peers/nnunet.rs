//! nnU-Net.

use dice_core::Grouping;
use dice_core::loss::{Compound, Divisor, Loss, Options, SoftDice};

use super::{Case, Params, Recorded, Refusal, Truth, activation};

pub(super) fn translate(recorded: &Recorded<'_>, loss: &str, params: &mut Params) -> Result<Case, Refusal> {
    let mut case = Case::new(recorded).or_else(|_| with_ignored_channel(recorded))?;
    if loss == "SoftDiceLoss" {
        let mut loss = SoftDice::nnunet_dice();
        loss.options.activation = activation(&params.text("activation").unwrap_or_else(|| "none".into()))?;
        params.set("clip_tp", &mut loss.least_intersection);
        options(&mut loss.options, params);
        case.loss = loss.into();
        return Ok(case);
    }
    case.ignored = params.number("ignore_label").map(|label| label as i64);
    case.loss = match loss {
        "DC_and_CE_loss" => Compound::nnunet_dc_ce(),
        "DC_and_BCE_loss" => Compound::nnunet_dc_bce(),
        other => return Err(format!("loss {other}")),
    };
    match params.text("dice_class").as_deref() {
        // The two classes are equal.
        None | Some("softdiceloss" | "memoryefficientsoftdiceloss") => {}
        Some(other) => return Err(format!("dice_class {other}")),
    }
    let [dice, cross_entropy] = &mut case.loss.terms[..] else { panic!("two terms") };
    params.set("weight_dice", &mut dice.factor);
    params.set("weight_ce", &mut cross_entropy.factor);
    let (Loss::SoftDice(dice), Loss::CrossEntropy(cross_entropy)) = (&mut dice.loss, &mut cross_entropy.loss) else {
        panic!("Dice and cross-entropy")
    };
    options(&mut dice.options, params);
    cross_entropy.class_weights.weights = params.numbers("weight").unwrap_or_default();
    params.set("label_smoothing", &mut cross_entropy.label_smoothing);
    if params.flag("use_ignore_label", false) {
        cross_entropy.divisor = Divisor::Voxels;
    }
    Ok(case)
}

fn options(options: &mut Options, params: &mut Params) {
    if let Some(smooth) = params.number("smooth") {
        (options.smooth_numerator, options.smooth_denominator) = (smooth, smooth);
    }
    options.exclude_background = !params.flag("do_bg", true);
    options.grouping = if params.flag("batch_dice", false) { Grouping::Batch } else { Grouping::PerSample };
}

/// A target whose last channel says which voxels are ignored.
fn with_ignored_channel(recorded: &Recorded<'_>) -> Result<Case, Refusal> {
    let (shape, target_shape) = (recorded.dims("input"), recorded.dims("target"));
    if target_shape[1] != shape[1] + 1 {
        return Err(format!("a target of shape {target_shape:?}"));
    }
    let voxels: usize = shape[2..].iter().product();
    let mut json = recorded.json.clone();
    json["target"] = json["input"].clone();
    let mut case = Case::new(&Recorded { json: &json, ..*recorded })?;
    let (mut target, mut mask) = (Vec::new(), Vec::new());
    for sample in recorded.tensor("target").chunks(target_shape[1] * voxels) {
        let (channels, ignored) = sample.split_at(shape[1] * voxels);
        target.extend_from_slice(channels);
        mask.extend(ignored.iter().map(|&ignored| u8::from(ignored == 0.0)));
    }
    (case.truth, case.mask) = (Truth::Dense(target), Some(mask));
    Ok(case)
}
