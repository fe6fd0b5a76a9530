//! JDTLosses, the Jaccard, Dice and Tversky losses of soft labels (Wang et al. 2023, "Jaccard metric losses" and "Dice
//! semimetric losses").

use crate::head::Grouping;
use crate::loss::compound::{Compound, Loss, Term};
use crate::loss::options::{Empty, MeanOrder, Options, Overlap};
use crate::loss::tversky::Tversky;

/// The three means of one loss per class: of the data set (mIoUD), of images (mIoUI), of classes (mIoUC).
fn three_means(empty: Empty) -> Compound {
    let term = |grouping: Grouping, order: MeanOrder, factor: f64| {
        let options = Options {
            overlap: Overlap::Difference,
            smooth_numerator: 1e-3,
            smooth_denominator: 1e-3,
            empty,
            grouping,
            order,
            ..Options::default()
        };
        let loss = Tversky { options, false_positives: 1.0, false_negatives: 1.0, ..Tversky::default() };
        Term { factor, ..Term::new(Loss::from(loss)) }
    };
    let terms = [
        term(Grouping::Batch, MeanOrder::AtOnce, 1.0),
        term(Grouping::PerSample, MeanOrder::ClassesFirst, 0.0),
        term(Grouping::PerSample, MeanOrder::GroupsFirst, 0.0),
    ];
    Compound { terms: terms.into() }
}

impl Compound {
    /// JDTLosses' `JDTLoss` of hard labels: softmax, smoothing 1e-3, Jaccard (α = β = 1); a class that is absent leaves
    /// the mean and its divisor.
    ///
    /// The [factors](Term::factor) of the three terms are `mIoUD`, `mIoUI` and `mIoUC`: 1, 0 and 0. `alpha` and `beta`
    /// are [`false_positives`](Tversky::false_positives) and [`false_negatives`](Tversky::false_negatives), ½ each for
    /// Dice. `norm=2` is [`Volumes::Squared`](crate::loss::per_class::Volumes::Squared) with [`Overlap::Product`]. Of
    /// each class, `log_loss` is [`Transform::NegativeLog`](crate::loss::transform::Transform::NegativeLog), `gamma`
    /// above 1 is [`Transform::Power`](crate::loss::transform::Transform::Power), both together are
    /// [`Transform::PowerOfNegativeLog`](crate::loss::transform::Transform::PowerOfNegativeLog). `class_weights`
    /// multiply, and the mean counts classes, not weights. A batch without any class has loss and gradient 0.
    pub fn jdt() -> Self {
        three_means(Empty::Skip)
    }

    /// JDTLosses' `JDTLoss` of soft labels: as [`jdt`](Self::jdt), but every class counts.
    ///
    /// `active_classes_mode_soft="PRESENT"` with its `threshold` asks for the greatest g of a class, which is no sum:
    /// not here.
    pub fn jdt_soft() -> Self {
        three_means(Empty::Ratio)
    }
}
