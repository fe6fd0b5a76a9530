//! MONAI.

use dice_core::loss::{
    ClassWeighting, Compound, CrossEntropy, Divisor, Focal, FocalTversky, GeneralizedDice, Jaccard, Mcc, Options,
    Overlap, SoftDice, Tversky, Volumes, Wasserstein, WassersteinWeighting,
};
use dice_core::{Activation, Grouping, Reduction};

use super::{Case, Input, Params, Recorded, Refusal, Truth, reduction};

/// The parameters that most of its losses have.
struct Common {
    activation: Activation,
    exclude_background: bool,
    grouping: Grouping,
    reduction: Reduction,
    smooth_numerator: Option<f64>,
    smooth_denominator: Option<f64>,
    /// One for all classes, or one per kept class.
    weights: Option<Vec<f64>>,
    ignored: Option<i64>,
    /// Whether labels are given, as the owner says it.
    to_onehot: bool,
}

impl Common {
    fn new(case: &mut Case, params: &mut Params) -> Result<Self, Refusal> {
        let (softmax, sigmoid) = (params.flag("softmax", false), params.flag("sigmoid", false));
        let activation = match (softmax && case.classes() > 1, sigmoid) {
            (true, _) => Activation::Softmax,
            (_, true) => Activation::Sigmoid,
            _ => Activation::None,
        };
        match params.text("other_act").as_deref() {
            None => {}
            Some("tanh") => case.input = Input::Tanh,
            Some(other) => return Err(format!("activation {other}")),
        }
        let ignored = params.number("ignore_index").map(|label| label as i64);
        let weights = params.numbers("weight");
        Ok(Self {
            activation,
            exclude_background: !params.flag("include_background", true) && case.classes() > 1,
            grouping: if params.flag("batch", false) { Grouping::Batch } else { Grouping::PerSample },
            reduction: reduction(&params.text("reduction").unwrap_or_else(|| "mean".into()))?,
            smooth_numerator: params.number("smooth_nr"),
            smooth_denominator: params.number("smooth_dr"),
            weights,
            ignored,
            to_onehot: params.flag("to_onehot_y", false),
        })
    }

    fn kept(&self, case: &Case) -> usize {
        case.classes() - usize::from(self.exclude_background)
    }

    fn apply(&self, options: &mut Options) {
        options.activation = self.activation;
        options.exclude_background = self.exclude_background;
        options.grouping = self.grouping;
        options.reduction = self.reduction;
        self.smoothing(&mut options.smooth_numerator, &mut options.smooth_denominator);
        options.class_weights.weights = self.weights.clone().unwrap_or_default();
    }

    fn smoothing(&self, numerator: &mut f64, denominator: &mut f64) {
        *numerator = self.smooth_numerator.unwrap_or(*numerator);
        *denominator = self.smooth_denominator.unwrap_or(*denominator);
    }
}

pub(super) fn translate(recorded: &Recorded<'_>, loss: &str, params: &mut Params) -> Result<Case, Refusal> {
    let mut case = Case::new(recorded)?;
    let common = Common::new(&mut case, params)?;
    ignore(&mut case, &common);
    case.loss = match loss {
        "DiceLoss" => dice(&common, params),
        "MaskedDiceLoss" => {
            if case.weights.is_some() {
                return Err("a fraction in the mask enters the intersection as its square".into());
            }
            if recorded.name().starts_with("gen_") && common.to_onehot {
                return Err("a voxel outside the mask becomes one of class 0".into());
            }
            dice(&common, params)
        }
        "TverskyLoss" => {
            let mut loss = Tversky::monai_tversky();
            common.apply(&mut loss.options);
            loss.options.overlap = overlap(params);
            params.set("alpha", &mut loss.false_positives);
            params.set("beta", &mut loss.false_negatives);
            loss.into()
        }
        "GeneralizedDiceLoss" => generalized_dice(&common, params)?.into(),
        "MCCLoss" => {
            let mut loss = Mcc::monai_mcc();
            common.apply(&mut loss.options);
            loss.into()
        }
        "GWDL" | "GeneralizedWassersteinDiceLoss" => wasserstein(loss, &common, params)?.into(),
        "DiceCELoss" => dice_ce(&case, &common, params)?,
        "FocalLoss" => focal(&mut case, &common, params)?.into(),
        "DiceFocalLoss" => {
            let factor = params.number("lambda_focal").unwrap_or(1.0);
            let focal = focal(&mut case, &common, params)?;
            dice(&common, params) + factor * focal
        }
        "GeneralizedDiceFocalLoss" => {
            let factor = params.number("lambda_focal").unwrap_or(1.0);
            let focal = focal(&mut case, &common, params)?;
            generalized_dice(&common, params)? + factor * focal
        }
        "AsymmetricFocalLoss" | "AsymmetricFocalTverskyLoss" | "AsymmetricUnifiedFocalLoss" => {
            asymmetric(loss, &case, &common, params)?
        }
        other => return Err(format!("loss {other}")),
    };
    Ok(case)
}

/// Leaves the ignored label out: of a dense target, the voxels of that channel, or those without any if there is no
/// such channel.
fn ignore(case: &mut Case, common: &Common) {
    let Some(ignored) = common.ignored else { return };
    let Truth::Dense(target) = &case.truth else {
        case.ignored = Some(ignored);
        return;
    };
    let (classes, voxels) = (case.classes(), case.voxels());
    let counts = |at: usize| {
        let g = |class: usize| target[case.at(at / voxels, class, at % voxels)];
        let hit = if (0..classes as i64).contains(&ignored) {
            g(ignored as usize) == 1.0
        } else {
            (0..classes).all(|c| g(c) == 0.0)
        };
        u8::from(!hit)
    };
    case.mask = Some((0..case.shape[0] * voxels).map(counts).collect());
}

fn overlap(params: &mut Params) -> Overlap {
    if params.flag("soft_label", false) { Overlap::Difference } else { Overlap::Product }
}

fn dice(common: &Common, params: &mut Params) -> Compound {
    let squared = params.flag("squared_pred", false);
    let overlap = overlap(params);
    if params.flag("jaccard", false) {
        let mut loss = Jaccard::monai_jaccard();
        common.apply(&mut loss.options);
        loss.options.overlap = overlap;
        return loss.into();
    }
    let mut loss = SoftDice::monai_dice();
    common.apply(&mut loss.options);
    loss.options.overlap = overlap;
    loss.volumes = if squared { Volumes::Squared } else { Volumes::Plain };
    loss.into()
}

fn generalized_dice(common: &Common, params: &mut Params) -> Result<GeneralizedDice, Refusal> {
    let mut loss = GeneralizedDice {
        activation: common.activation,
        overlap: overlap(params),
        exclude_background: common.exclude_background,
        grouping: common.grouping,
        reduction: common.reduction,
        ..GeneralizedDice::monai_gdl()
    };
    common.smoothing(&mut loss.smooth_numerator, &mut loss.smooth_denominator);
    loss.weighting = match params.text("w_type").as_deref() {
        None | Some("square") => ClassWeighting::InverseSquare,
        Some("simple") => ClassWeighting::Inverse,
        Some("uniform") => ClassWeighting::Uniform,
        Some(other) => return Err(format!("weighting {other}")),
    };
    Ok(loss)
}

fn wasserstein(loss: &str, common: &Common, params: &mut Params) -> Result<Wasserstein, Refusal> {
    let mut loss = if loss == "GWDL" { Wasserstein::fidon2017() } else { Wasserstein::monai_gwdl() };
    common.smoothing(&mut loss.smooth_numerator, &mut loss.smooth_denominator);
    if let Some(epsilon) = params.number("eps") {
        (loss.smooth_numerator, loss.smooth_denominator) = (epsilon, epsilon);
    }
    loss.costs = params.numbers("dist_matrix").unwrap();
    loss.reduction = common.reduction;
    loss.weighting = match params.text("weighting_mode").as_deref() {
        None | Some("default") => WassersteinWeighting::Foreground,
        Some("gdl") => WassersteinWeighting::Inverse,
        Some(other) => return Err(format!("weighting {other}")),
    };
    Ok(loss)
}

fn dice_ce(case: &Case, common: &Common, params: &mut Params) -> Result<Compound, Refusal> {
    let factors = ["lambda_dice", "lambda_ce"].map(|key| params.number(key).unwrap_or(1.0));
    let smoothing = params.number("label_smoothing").unwrap_or(0.0);
    let mut weights = common.weights.clone().unwrap_or_default();
    let mut cross_entropy = if case.classes() == 1 {
        CrossEntropy { positive_weights: core::mem::take(&mut weights), ..CrossEntropy::binary() }
    } else {
        let divisor = if case.is_dense() { Divisor::Voxels } else { Divisor::Weights };
        let mut loss = CrossEntropy { label_smoothing: smoothing, divisor, ..CrossEntropy::default() };
        loss.class_weights.weights.clone_from(&weights);
        loss
    };
    match common.reduction {
        Reduction::Mean => {}
        Reduction::Sum => cross_entropy.divisor = Divisor::One,
        Reduction::None => return Err("a loss per voxel".into()),
    }
    // Its vector is of all classes.
    let first = usize::from(common.exclude_background && !weights.is_empty());
    let of_dice = Common { weights: Some(weights.split_off(first)), ..*common };
    Ok(factors[0] * dice(&of_dice, params) + factors[1] * cross_entropy)
}

fn focal(case: &mut Case, common: &Common, params: &mut Params) -> Result<Focal, Refusal> {
    let softmax = params.flag("use_softmax", false);
    let mut loss = Focal { exclude_background: common.exclude_background, ..Focal::monai_focal() };
    if let Some(gamma) = params.number("gamma") {
        loss.exponents = vec![gamma];
    }
    if common.reduction == Reduction::None {
        return Err("a loss per voxel".into());
    }
    let kept = common.kept(case);
    let mut weights = match common.weights.as_deref() {
        None => vec![1.0; kept],
        Some([weight]) => vec![*weight; kept],
        Some(weights) => weights.to_vec(),
    };
    if common.reduction == Reduction::Sum {
        (loss.divisor, loss.grouping, loss.reduction) = (Divisor::Voxels, Grouping::PerSample, Reduction::Sum);
    } else if common.ignored.is_some() {
        loss.divisor = Divisor::Voxels;
    }
    let alpha = params.numbers("alpha").unwrap_or_default();
    if softmax {
        (loss.activation, loss.binary) = (Activation::Softmax, false);
        if common.exclude_background {
            (case.drop_first, loss.exclude_background) = (true, false);
        }
        match alpha[..] {
            [] => {}
            [alpha] if !case.drop_first => loss.alpha = Some(alpha),
            [_] => {}
            _ => weights.iter_mut().zip(&alpha).for_each(|(weight, alpha)| *weight *= alpha),
        }
    } else {
        if case.is_soft() {
            return Err("the power of the whole cross-entropy of a soft target".into());
        }
        match alpha[..] {
            [] => {}
            [alpha] => loss.alpha = Some(alpha),
            _ => loss.positive_weights = alpha,
        }
    }
    loss.class_weights.weights = weights;
    Ok(loss)
}

fn asymmetric(loss: &str, case: &Case, common: &Common, params: &mut Params) -> Result<Compound, Refusal> {
    let unified = loss == "AsymmetricUnifiedFocalLoss";
    let default_gamma = match loss {
        "AsymmetricFocalLoss" => 2.0,
        "AsymmetricFocalTverskyLoss" => 0.75,
        _ => 0.5,
    };
    let gamma = params.number("gamma").unwrap_or(default_gamma);
    let delta = params.number("delta").unwrap_or(0.7);
    let clamped = Activation::CLAMP..=1.0 - Activation::CLAMP;
    if loss != "AsymmetricFocalLoss" && case.passed.iter().any(|p| !clamped.contains(p)) {
        return Err("probabilities that are clamped in the volumes too".into());
    }
    if unified {
        if common.ignored.is_some() {
            return Err("an ignored voxel counts as claimed by 1e-7 in each channel".into());
        }
        let weight = common.weights.as_ref().map_or(0.5, |weights| weights[0]);
        return Ok(if case.classes() == 1 {
            Compound::monai_unified_focal_one_channel_of(weight, gamma, delta)
        } else {
            Compound::monai_unified_focal_of(weight, gamma, delta)
        });
    }
    if loss == "AsymmetricFocalLoss" {
        let mut loss = Focal { exponents: vec![gamma, 0.0], ..Focal::monai_asymmetric_focal() };
        loss.class_weights.weights = vec![1.0 - delta, delta];
        match common.reduction {
            Reduction::Mean => {}
            Reduction::Sum => loss.divisor = Divisor::One,
            Reduction::None => return Err("a loss per voxel".into()),
        }
        return Ok(loss.into());
    }
    let mut loss = FocalTversky { exponents: vec![1.0, 1.0 - gamma], ..FocalTversky::monai_asymmetric_focal_tversky() };
    loss.tversky.options.reduction = common.reduction;
    (loss.tversky.false_positives, loss.tversky.false_negatives) = (1.0 - delta, delta);
    Ok(loss.into())
}
