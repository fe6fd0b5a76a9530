//! The losses that are trained, by name. The study in training/study has more, these among them.

use dice_simd::Activation;
use dice_simd::loss::{
    ClassWeighting, ClassWeights, Compound, CrossEntropy, Focal, GeneralizedDice, SoftDice, VolumeWeighting,
};

/// A loss and its name.
#[derive(Debug)]
pub(crate) struct NamedLoss {
    pub(crate) name: &'static str,
    make: fn(&[f64]) -> Compound,
}

impl NamedLoss {
    /// The loss for training data whose classes have these volumes.
    pub(crate) fn make(&self, volumes: &[f64]) -> Compound {
        (self.make)(volumes)
    }
}

/// Those of a quick run: the question, this library's own generalised Dice loss, and its default.
pub(crate) const QUICK: [&str; 4] = ["batch_pooled", "generalized_dice", "default", "dice_ce"];

/// The first of [`LOSSES`], which a run without other wishes trains.
pub(crate) const IN_TABLE: usize = 8;

pub(crate) const LOSSES: [NamedLoss; 15] = [
    // What this library takes if nobody says otherwise, which is dice_ce, and its generalised Dice loss.
    NamedLoss { name: "default", make: |_| Compound::default() },
    NamedLoss { name: "generalized_dice", make: |_| GeneralizedDice::default().into() },
    // The question that this library starts from, and the answer to it.
    NamedLoss {
        name: "batch_pooled",
        // It takes probabilities: those of the network's softmax.
        make: |_| GeneralizedDice { activation: Activation::Softmax, ..GeneralizedDice::batch_pooled() }.into(),
    },
    NamedLoss { name: "per_sample", make: |_| GeneralizedDice::per_sample().into() },
    NamedLoss { name: "monai_gdl", make: |_| GeneralizedDice::monai_gdl().into() },
    NamedLoss { name: "dice", make: |_| SoftDice::default().into() },
    NamedLoss { name: "dice_ce", make: |_| SoftDice::default() + CrossEntropy::default() },
    NamedLoss { name: "cross_entropy", make: |_| CrossEntropy::default().into() },
    // Beyond the table.
    NamedLoss { name: "gdl_square", make: |_| gdl(ClassWeighting::InverseSquare).into() },
    NamedLoss { name: "gdl_inverse", make: |_| gdl(ClassWeighting::Inverse).into() },
    NamedLoss { name: "gdl_uniform", make: |_| gdl(ClassWeighting::Uniform).into() },
    NamedLoss {
        name: "gdl_square_volumes",
        make: |volumes| gdl(from_volumes(volumes, VolumeWeighting::InverseSquare)).into(),
    },
    NamedLoss {
        name: "gdl_inverse_volumes",
        make: |volumes| gdl(from_volumes(volumes, VolumeWeighting::Inverse)).into(),
    },
    NamedLoss { name: "gdl_inverse_ce", make: |_| gdl(ClassWeighting::Inverse) + CrossEntropy::default() },
    NamedLoss { name: "dice_focal", make: |_| SoftDice::default() + Focal::default() },
];

fn gdl(weighting: ClassWeighting) -> GeneralizedDice {
    GeneralizedDice { weighting, ..GeneralizedDice::default() }
}

/// Weights that are the same for every patch.
fn from_volumes(volumes: &[f64], weighting: VolumeWeighting) -> ClassWeighting {
    let weights = ClassWeights::from_volumes(volumes, weighting).expect("the training data hold every class");
    ClassWeighting::Fixed(weights.weights)
}

/// The loss of a name.
///
/// # Errors
/// A sentence that lists the names there are.
pub(crate) fn find(name: &str) -> Result<&'static NamedLoss, String> {
    LOSSES.iter().find(|loss| loss.name == name).ok_or_else(|| {
        let known: Vec<_> = LOSSES.iter().map(|loss| loss.name).collect();
        format!("there is no loss {name}; there are {}", known.join(", "))
    })
}
