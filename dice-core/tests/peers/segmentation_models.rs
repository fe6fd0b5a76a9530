//! segmentation_models.pytorch.

use dice_core::Activation;
use dice_core::loss::{
    Compound, CrossEntropy, Divisor, Focal, Jaccard, Mcc, Options, SoftDice, Transform, Tversky, WeightMode,
};

use super::{Case, Params, Recorded, Refusal};

pub(super) fn translate(recorded: &Recorded<'_>, loss: &str, params: &mut Params) -> Result<Case, Refusal> {
    let mut case = Case::new(recorded)?;
    let mode = params.text("mode");
    let from_logits = params.flag("from_logits", true);
    let ignored = params.number("ignore_index").map(|label| label as i64);
    if ignored.is_some() && mode.as_deref() == Some("multilabel") {
        return Err("an ignored label of single channels".into());
    }
    case.ignored = ignored;
    let activation = match mode.as_deref() {
        _ if !from_logits => Activation::None,
        Some("multiclass") => Activation::Softmax,
        _ => Activation::Sigmoid,
    };
    case.loss = match loss {
        "DiceLoss" => {
            let mut loss = SoftDice::smp_dice();
            options(&case, activation, &mut loss.options, params);
            loss.options.smooth_numerator *= 2.0;
            loss.options.smooth_denominator *= 2.0;
            loss.into()
        }
        "JaccardLoss" => {
            let mut loss = Jaccard::smp_jaccard();
            options(&case, activation, &mut loss.options, params);
            loss.into()
        }
        "TverskyLoss" => {
            let mut loss = Tversky::smp_tversky();
            options(&case, activation, &mut loss.options, params);
            params.set("alpha", &mut loss.false_positives);
            params.set("beta", &mut loss.false_negatives);
            match params.number("gamma") {
                None => loss.into(),
                Some(exponent) => Compound::transformed(loss, Transform::Power { exponent, least: 0.0 }),
            }
        }
        "soft_dice_score" | "soft_jaccard_score" => score(loss, &mut case, params)?,
        "MCCLoss" => {
            let mut loss = Mcc::smp_mcc();
            params.set("eps", &mut loss.smoothing);
            loss.into()
        }
        "FocalLoss" => focal(&case, mode.as_deref(), from_logits, params)?,
        "SoftCrossEntropyLoss" => {
            let loss = CrossEntropy::smp_soft_ce();
            let smoothing = params.number("smooth_factor").unwrap_or(0.0);
            CrossEntropy { label_smoothing: smoothing, divisor: divisor(loss.divisor, params)?, ..loss }.into()
        }
        "SoftBCEWithLogitsLoss" => {
            let loss = CrossEntropy::smp_soft_bce();
            let smoothing = 2.0 * params.number("smooth_factor").unwrap_or(0.0);
            CrossEntropy { label_smoothing: smoothing, divisor: divisor(loss.divisor, params)?, ..loss }.into()
        }
        other => return Err(format!("loss {other}")),
    };
    Ok(case)
}

fn divisor(of_mean: Divisor, params: &mut Params) -> Result<Divisor, Refusal> {
    match params.text("reduction").as_deref() {
        None | Some("mean") => Ok(of_mean),
        Some("sum") => Ok(Divisor::One),
        Some(other) => Err(format!("reduction {other}, a loss per voxel")),
    }
}

fn options(case: &Case, activation: Activation, options: &mut Options, params: &mut Params) {
    options.activation = activation;
    let smooth = params.number("smooth").unwrap_or(0.0);
    (options.smooth_numerator, options.smooth_denominator) = (smooth, smooth);
    if params.flag("log_loss", false) {
        options.transform = Transform::NegativeLog { least: 1e-7 };
    }
    let weights = params.numbers("class_weights");
    let kept = params.numbers("classes");
    if weights.is_some() || kept.is_some() {
        let weights = weights.unwrap_or_else(|| vec![1.0; case.classes()]);
        let is_kept = |class: usize| kept.as_ref().is_none_or(|kept| kept.contains(&(class as f64)));
        let of = |(class, &weight): (usize, &f64)| if is_kept(class) { weight } else { 0.0 };
        options.class_weights.weights = weights.iter().enumerate().map(of).collect();
    }
}

/// The functions below its losses: `dims` are the axes of one score.
fn score(loss: &str, case: &mut Case, params: &mut Params) -> Result<Compound, Refusal> {
    case.is_score = true;
    let is_each_row = params.numbers("dims").is_some_and(|dims| dims == [1.0]);
    let classes = if is_each_row { case.shape[0] } else { 1 };
    if is_each_row && params.text("then").as_deref() != Some("mean") {
        return Err("a score per row".into());
    }
    case.shape = vec![1, classes, case.passed.len() / classes];
    let epsilon = params.number("eps").unwrap_or(1e-7);
    let mut shared = SoftDice::smp_dice().options;
    options(case, Activation::None, &mut shared, params);
    shared.empty = dice_core::loss::Empty::Ratio;
    shared.least_denominator = epsilon;
    if loss == "soft_jaccard_score" {
        return Ok(Jaccard { options: shared, ..Jaccard::default() }.into());
    }
    shared.least_denominator *= 2.0;
    shared.smooth_numerator *= 2.0;
    shared.smooth_denominator *= 2.0;
    Ok(SoftDice { options: shared, ..SoftDice::default() }.into())
}

fn focal(case: &Case, mode: Option<&str>, from_logits: bool, params: &mut Params) -> Result<Compound, Refusal> {
    let mut loss = Focal::smp_focal();
    if params.flag("normalized", false) {
        return Err("normalized: a quotient of sums per class".into());
    }
    if params.number("reduced_threshold").is_some() {
        return Err("reduced_threshold: another power of a voxel".into());
    }
    if case.is_soft() {
        return Err("the power of the whole cross-entropy of a soft target".into());
    }
    if !from_logits {
        if mode == Some("multiclass") {
            return Err("ln p as the logit of a sigmoid".into());
        }
        loss.activation = Activation::None;
    }
    if let Some(gamma) = params.number("gamma") {
        loss.exponents = vec![gamma];
    }
    loss.alpha = params.number("alpha");
    loss.class_weights.weights = params.numbers("class_weights").unwrap_or_default();
    assert_eq!(loss.class_weights.mode, WeightMode::Normalise);
    let total: f64 = (0..case.classes()).map(|class| loss.class_weights.of(class)).sum();
    match params.text("reduction").as_deref() {
        None | Some("mean") => Ok(loss.into()),
        // The mean of the classes already.
        Some("none") if mode == Some("multiclass") => Ok(loss.into()),
        Some("sum") => Ok(1.0 / total * Focal { divisor: Divisor::One, ..loss }),
        Some(other) => Err(format!("reduction {other}, a loss per voxel")),
    }
}
