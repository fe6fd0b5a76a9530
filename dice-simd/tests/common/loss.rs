//! Losses of every kind, drawn at random.

use dice_core::loss::{
    ClassWeights, Compound, CrossEntropy, Divisor, Empty, Focal, FocalTversky, GeneralizedDice, Jaccard, Loss, Mcc,
    Options, Overlap, Pooling, SoftDice, Term, Transform, Tversky, Volumes, Wasserstein, WassersteinWeighting,
    WeightMode,
};
use dice_core::{Activation, Grouping, Reduction};

use super::{Random, possible};

/// Every loss, by name.
pub(crate) const LOSSES: [&str; 11] = [
    "generalised Dice",
    "soft Dice",
    "squared Dice",
    "Jaccard",
    "Tversky",
    "focal Tversky",
    "MCC",
    "Wasserstein Dice",
    "cross-entropy",
    "focal",
    "soft-label Dice",
];

/// The loss of this name with options drawn at random, for a prediction of `classes` classes.
pub(crate) fn any_loss(random: &mut Random, name: &str, classes: usize, activation: Activation) -> Loss {
    let activation = possible(activation, classes);
    let exclude_background = random.once_in(3);
    let kept = classes - usize::from(exclude_background && classes > 1);
    let (grouping, reduction) =
        (random.pick(&[Grouping::PerSample, Grouping::Batch]), random.pick(&[Reduction::Mean, Reduction::Sum]));
    let empty = random.pick(&[Empty::FalsePositives, Empty::Ratio, Empty::Skip, Empty::Zero]);
    let weights: Vec<f64> =
        if random.once_in(2) { vec![] } else { (0..kept).map(|_| random.within(0.1, 2.0).into()).collect() };
    let class_weights = ClassWeights { weights, mode: random.pick(&[WeightMode::Multiply, WeightMode::Normalise]) };
    let options = Options {
        activation,
        overlap: if name == "soft-label Dice" { Overlap::Difference } else { Overlap::Product },
        smooth_numerator: random.pick(&[0.0, 1e-5, 1.0]),
        smooth_denominator: random.pick(&[0.0, 1e-5, 1.0]),
        exclude_background,
        class_weights: class_weights.clone(),
        pooling: random.pick(&[Pooling::PerClass, Pooling::PerClass, Pooling::AllClasses]),
        empty,
        grouping,
        reduction,
        ..Options::default()
    };
    let exponents = |random: &mut Random, number: usize| match random.below(4) {
        0 => vec![2.0],
        1 => vec![random.within(0.0, 3.0).into()],
        2 => vec![],
        _ => (0..number).map(|_| random.pick(&[0.0, 0.5, 1.0, 2.0, 3.5])).collect(),
    };
    let divisor =
        random.pick(&[Divisor::Weights, Divisor::Voxels, Divisor::Elements, Divisor::AllVoxels, Divisor::AllElements]);
    match name {
        "generalised Dice" => {
            GeneralizedDice { activation, exclude_background, empty, grouping, reduction, ..GeneralizedDice::default() }
                .into()
        }
        "soft Dice" | "soft-label Dice" => SoftDice { options, ..SoftDice::default() }.into(),
        "squared Dice" => {
            let volumes = random.pick(&[Volumes::Squared, Volumes::SquaredPrediction]);
            SoftDice { options, volumes, ..SoftDice::default() }.into()
        }
        "Jaccard" => Jaccard { options, doubled: random.once_in(2) }.into(),
        "Tversky" => Tversky { options, false_positives: 0.3, false_negatives: 0.7, ..Tversky::default() }.into(),
        "focal Tversky" => {
            let tversky = Tversky { options, ..Tversky::default() };
            let mut exponents = exponents(random, kept);
            exponents.iter_mut().for_each(|exponent| *exponent += 0.5);
            let exponents = if exponents.is_empty() { vec![0.75] } else { exponents };
            FocalTversky { tversky, exponents, least: 1e-3 }.into()
        }
        "MCC" => {
            // Where all voxels are of one kind the coefficient is nearly 0/0: smoothing keeps it from depending on roundings.
            Mcc { options, smoothing: 1.0 }.into()
        }
        "Wasserstein Dice" => {
            let costs = (0..classes * classes).map(|_| random.within(0.0, 2.0).into()).collect();
            let weighting = random.pick(&[WassersteinWeighting::Foreground, WassersteinWeighting::Inverse]);
            let (normalise_costs, smooth) = (random.once_in(2), random.pick(&[0.0, 1e-5]));
            Wasserstein {
                activation,
                costs,
                normalise_costs,
                weighting,
                class_weights,
                exclude_background,
                smooth_numerator: smooth,
                smooth_denominator: smooth,
                empty,
                grouping,
                reduction,
            }
            .into()
        }
        "cross-entropy" => {
            let binary = random.once_in(2);
            let positive = binary && activation == Activation::None || activation == Activation::Sigmoid;
            let positive = positive && random.once_in(2);
            CrossEntropy {
                activation,
                binary,
                positive_weights: if positive { vec![1.5; kept] } else { vec![] },
                class_weights,
                label_smoothing: random.pick(&[0.0, 0.0, 0.1]),
                divisor,
                exclude_background,
                grouping,
                reduction,
            }
            .into()
        }
        "focal" => Focal {
            activation,
            binary: random.once_in(2),
            exponents: exponents(random, classes),
            alpha: random.pick(&[None, Some(0.25)]),
            class_weights,
            divisor,
            exclude_background,
            grouping,
            reduction,
            ..Focal::default()
        }
        .into(),
        name => unreachable!("no loss is named {name}"),
    }
}

/// One to three losses, each with an activation of its own. Costs are of labels only.
pub(crate) fn any_compound(random: &mut Random, classes: usize, activations: &[Activation], labels: bool) -> Compound {
    let terms = (0..random.pick(&[1, 1, 2, 3])).map(|_| {
        let name = loop {
            let name = random.pick(&LOSSES);
            if labels || name != "Wasserstein Dice" {
                break name;
            }
        };
        let activation = random.pick(activations);
        let loss = any_loss(random, name, classes, activation);
        let transform = random.pick(&[Transform::Identity, Transform::Identity, Transform::LogCosh]);
        Term { loss, transform, factor: random.within(0.25, 2.0).into() }
    });
    Compound { terms: terms.collect() }
}
