//! PyTorch, JDTLosses and burn.

use dice_core::loss::{Compound, CrossEntropy, Divisor, Empty, Loss, Overlap, SoftDice, Transform, Volumes};

use super::{Case, Params, Recorded, Refusal};

pub(super) fn translate(recorded: &Recorded<'_>, loss: &str, params: &mut Params) -> Result<Case, Refusal> {
    let mut case = Case::new(recorded)?;
    match loss {
        "JDTLoss" => jdt(&mut case, params)?,
        "torch.CrossEntropyLoss" => {
            let mut loss = CrossEntropy::default();
            case.ignored = params.number("ignore_index").map(|label| label as i64);
            params.set("label_smoothing", &mut loss.label_smoothing);
            loss.class_weights.weights = params.numbers("weight").unwrap_or_default();
            if case.is_dense() {
                loss.divisor = Divisor::Voxels;
            }
            match params.text("reduction").as_deref() {
                None | Some("mean") => {}
                Some("sum") => loss.divisor = Divisor::One,
                Some(other) => return Err(format!("reduction {other}, a loss per voxel")),
            }
            case.loss = loss.into();
        }
        "torch.BCEWithLogitsLoss" => {
            let weights = params.numbers("pos_weight").unwrap_or_default();
            case.loss = CrossEntropy { positive_weights: weights, ..CrossEntropy::binary() }.into();
        }
        "burn.DiceMetric" => {
            let mut loss = SoftDice::burn_dice();
            let epsilon = params.number("epsilon").unwrap();
            (loss.options.smooth_numerator, loss.options.smooth_denominator) = (epsilon, epsilon);
            loss.options.exclude_background = !params.flag("include_background", false);
            case.is_score = true;
            case.loss = loss.into();
        }
        other => return Err(format!("loss {other}")),
    }
    Ok(case)
}

fn jdt(case: &mut Case, params: &mut Params) -> Result<(), Refusal> {
    case.ignored = params.number("ignore_index").map(|label| label as i64);
    let is_soft = case.is_dense();
    case.loss = if is_soft { Compound::jdt_soft() } else { Compound::jdt() };
    // Each mode is of one kind of label.
    let modes = ["active_classes_mode_hard", "active_classes_mode_soft"].map(|key| params.text(key));
    let mode = &modes[usize::from(is_soft)];
    params.take("threshold");
    if is_soft && mode.as_deref() == Some("present") {
        return Err("a class counts by its greatest g".into());
    }
    let is_log = params.flag("log_loss", false);
    let exponent = params.number("gamma").unwrap_or(1.0);
    let transform = match (is_log, exponent > 1.0) {
        (false, false) => Transform::Identity,
        (true, false) => Transform::NegativeLog { least: 1e-30 },
        (false, true) => Transform::Power { exponent, least: 0.0 },
        (true, true) => Transform::PowerOfNegativeLog { least: 1e-30, exponent },
    };
    let factors = [("mIoUD", 1.0), ("mIoUI", 0.0), ("mIoUC", 0.0)];
    let factors = factors.map(|(key, default)| params.number(key).unwrap_or(default));
    let is_squared = params.number("norm") == Some(2.0);
    let weights = params.numbers("class_weights").unwrap_or_default();
    let (alpha, beta, smooth) = (params.number("alpha"), params.number("beta"), params.number("smooth"));
    for (term, factor) in case.loss.terms.iter_mut().zip(factors) {
        term.factor = factor;
        let Loss::Tversky(loss) = &mut term.loss else { panic!("Tversky") };
        loss.false_positives = alpha.unwrap_or(loss.false_positives);
        loss.false_negatives = beta.unwrap_or(loss.false_negatives);
        let options = &mut loss.options;
        options.transform = transform;
        options.class_weights.weights.clone_from(&weights);
        if mode.as_deref() == Some("all") {
            options.empty = Empty::Ratio;
        }
        if let Some(smooth) = smooth {
            (options.smooth_numerator, options.smooth_denominator) = (smooth, smooth);
        }
        if is_squared {
            (loss.volumes, options.overlap) = (Volumes::Squared, Overlap::Product);
        }
    }
    Ok(())
}
