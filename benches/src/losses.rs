//! The losses that are measured, by short names.

use dice_simd::Activation;
use dice_simd::loss::{
    Compound, CrossEntropy, Focal, FocalTversky, GeneralizedDice, Jaccard, Options, Overlap, SoftDice, Transform,
    Tversky, Wasserstein,
};

/// The loss that the others are compared with: one pass over the overlap.
pub const PLAIN: &str = "gdl";

/// What the names of losses begin with that are measured against a dense target of f32, and not labels.
pub const DENSE: &str = "dense:";

/// A short name and the loss of so many classes.
pub type Named = (&'static str, fn(usize) -> Compound);

/// Every loss, [`PLAIN`] first.
pub const LOSSES: [Named; 14] = [
    (PLAIN, |_| GeneralizedDice::default().into()),
    ("dice", |_| SoftDice::default().into()),
    ("jaccard", |_| Jaccard::default().into()),
    ("tversky", |_| Tversky::default().into()),
    ("focal_tversky", |_| FocalTversky::default().into()),
    ("log_dice", |_| Compound::transformed(SoftDice::default(), Transform::NegativeLog { least: 1e-7 })),
    ("squared_dice", |_| SoftDice::squared().into()),
    ("soft_label_dice", |_| soft_label_dice()),
    ("dense:dice", |_| SoftDice::default().into()),
    ("dense:soft_label_dice", |_| soft_label_dice()),
    ("dice+ce", |_| SoftDice::default() + CrossEntropy::default()),
    ("dice+focal", |_| SoftDice::default() + Focal::default()),
    ("dice+sigmoid_focal", |_| SoftDice::default() + Focal { activation: Activation::Sigmoid, ..Focal::binary() }),
    ("wasserstein", |classes| {
        Wasserstein { costs: Wasserstein::uniform_costs(classes), ..Wasserstein::default() }.into()
    }),
];

fn soft_label_dice() -> Compound {
    SoftDice { options: Options { overlap: Overlap::Difference, ..Options::default() }, ..SoftDice::default() }.into()
}

/// The loss of this name.
///
/// # Panics
/// If there is none.
pub fn loss(name: &str, classes: usize) -> Compound {
    let (_, make) = LOSSES.iter().find(|(known, _)| *known == name).expect("a loss of the list");
    make(classes)
}
