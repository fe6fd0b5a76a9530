//! NiftyNet.

use dice_core::loss::{ClassWeighting, Compound, GeneralizedDice, SoftDice, Tversky};

use super::{Case, Params, Recorded, Refusal, activation};

pub(super) fn translate(recorded: &Recorded<'_>, loss: &str, params: &mut Params) -> Result<Case, Refusal> {
    let mut case = Case::new(recorded)?;
    params.take("layout");
    case.loss = match loss {
        "Dice" | "Dice_NS" => {
            let squared = params.flag("square", loss == "Dice");
            let mut loss = if squared { SoftDice::niftynet_dice() } else { SoftDice::niftynet_dice_ns() };
            params.set("eps", &mut loss.options.smooth_numerator);
            loss.options.smooth_denominator = loss.options.smooth_numerator;
            loss.options.activation = activation(&params.text("activation").unwrap_or_else(|| "softmax".into()))?;
            loss.into()
        }
        "GDSC" => {
            let mut loss = GeneralizedDice::niftynet_gdl();
            loss.weighting = match params.text("type_weight").as_deref() {
                Some("square") => ClassWeighting::InverseSquare,
                Some("simple") => ClassWeighting::Inverse,
                Some("uniform") => ClassWeighting::Uniform,
                other => return Err(format!("weighting {other:?}")),
            };
            loss.into()
        }
        "Tversky" => {
            let mut loss = Tversky::niftynet_tversky();
            params.set("alpha", &mut loss.false_positives);
            params.set("beta", &mut loss.false_negatives);
            loss.into()
        }
        "DicePlusXEnt" => Compound::niftynet_dice_xent(),
        other => return Err(format!("loss {other}")),
    };
    Ok(case)
}
