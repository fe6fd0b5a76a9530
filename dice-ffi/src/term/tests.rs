use std::ptr;

use dice_simd::loss::{
    AbsentClass, ClassWeighting, ClassWeights, Compound, CrossEntropy, Divisor, Empty, Focal, FocalTversky,
    GeneralizedDice, Jaccard, Loss, Mcc, MeanOrder, NonFiniteLoss, Options, Overlap, Pooling, SoftDice,
    Term as CoreTerm, Transform, Tversky, Volumes, Wasserstein, WassersteinWeighting, WeighedVolume, WeightMode,
    WeightScale,
};
use dice_simd::{Activation, Grouping, Reduction};

use super::fields::kind;
use super::{Room, Term, read, write};

fn read_term(term: &Term) -> Result<CoreTerm, String> {
    // SAFETY: what the terms of these tests point to lives as long as they do.
    unsafe { read(term, 0, &mut Room::default()) }.map_err(|failure| format!("{failure:?}"))
}

/// Its scalars, and what its pointers point to.
fn contents(term: &Term) -> (String, [Vec<f64>; 4]) {
    let numbers = |pointer: *const f64, len: usize| {
        // SAFETY: as above.
        if len == 0 { Vec::new() } else { unsafe { std::slice::from_raw_parts(pointer, len) }.to_vec() }
    };
    let arrays = [
        numbers(term.class_weights, term.num_class_weights),
        numbers(term.exponents, term.num_exponents),
        numbers(term.positive_weights, term.num_positive_weights),
        numbers(term.costs, term.num_costs),
    ];
    let nowhere = ptr::null();
    let scalars =
        Term { class_weights: nowhere, exponents: nowhere, positive_weights: nowhere, costs: nowhere, ..*term };
    (format!("{scalars:?}"), arrays)
}

/// There and back, twice.
fn survives(term: &CoreTerm, name: &str) {
    let written = write(term).unwrap_or_else(|| panic!("{name}: no words for {term:?}"));
    let back = read_term(&written).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(&back, term, "{name}");
    assert_eq!(contents(&write(&back).unwrap()), contents(&written), "{name}");
}

#[test]
fn zeros_are_the_defaults() {
    let defaults: [(i32, Loss); kind::COUNT as usize] = [
        (kind::GENERALIZED_DICE, GeneralizedDice::default().into()),
        (kind::SOFT_DICE, SoftDice::default().into()),
        (kind::JACCARD, Jaccard::default().into()),
        (kind::TVERSKY, Tversky::default().into()),
        (kind::FOCAL_TVERSKY, FocalTversky::default().into()),
        (kind::WASSERSTEIN, Wasserstein::default().into()),
        (kind::MCC, Mcc::default().into()),
        (kind::CROSS_ENTROPY, CrossEntropy::default().into()),
        (kind::FOCAL, Focal::default().into()),
    ];
    for (kind, loss) in defaults {
        assert_eq!(read_term(&Term { kind, ..Term::ZERO }).unwrap(), CoreTerm::new(loss));
    }
    let sigmoid = |kind| read_term(&Term { kind, activation: 1, binary: 1, ..Term::ZERO }).unwrap().loss;
    assert_eq!(sigmoid(kind::CROSS_ENTROPY), CrossEntropy::binary().into());
    assert_eq!(sigmoid(kind::FOCAL), Focal::binary().into());
}

#[test]
fn presets_survive() {
    let mut left_out = 0;
    for (name, make) in Compound::PRESETS {
        for term in &make().terms {
            survives(term, name);
            left_out += usize::from(term.factor == 0.0);
        }
    }
    assert!(left_out > 0, "a factor of 0 is among them");
}

/// One of each field that no preset has changed, and every variant of every option.
#[test]
fn every_option_survives() {
    let transforms = [
        Transform::NegativeLog { least: 1e-3 },
        Transform::Power { exponent: 0.75, least: 0.0 },
        Transform::LogCosh,
        Transform::NegativeScore,
        Transform::PowerOfNegativeLog { exponent: 0.3, least: 1e-9 },
    ];
    let options = |place: usize| Options {
        activation: [Activation::Sigmoid, Activation::None][place % 2],
        overlap: [Overlap::Product, Overlap::Difference][place % 2],
        smooth_numerator: 1.0,
        smooth_denominator: 2.0,
        least_denominator: 0.0,
        softening: 0.25,
        complement: true,
        transform: transforms[place % 5],
        exclude_background: true,
        class_weights: ClassWeights { weights: vec![1.0, place as f64], mode: WeightMode::Normalise },
        pooling: [Pooling::AllClasses, Pooling::AllClassesSquared][place % 2],
        empty: [Empty::Ratio, Empty::Skip, Empty::Zero][place % 3],
        grouping: [Grouping::Batch, Grouping::PerSample][place % 2],
        reduction: [Reduction::Sum, Reduction::None][place % 2],
        order: [MeanOrder::ClassesFirst, MeanOrder::GroupsFirst][place % 2],
    };
    let divisors =
        [Divisor::Weights, Divisor::Voxels, Divisor::Elements, Divisor::AllVoxels, Divisor::AllElements, Divisor::One];
    let absents = [
        AbsentClass::MaxFinite,
        AbsentClass::Epsilon(0.5),
        AbsentClass::Epsilon(0.0),
        AbsentClass::Regularised(0.25),
        AbsentClass::Zero,
    ];
    let weightings = [ClassWeighting::Inverse, ClassWeighting::Uniform, ClassWeighting::Fixed(vec![3.0, 4.0])];
    for place in 0..30 {
        let volumes = [Volumes::Squared, Volumes::SquaredPrediction][place % 2];
        let least_denominator = Options { least_denominator: 0.5, ..options(place) };
        let tversky =
            Tversky { options: least_denominator.clone(), volumes, false_positives: 0.0, false_negatives: 0.7 };
        let losses: [Loss; 9] = [
            GeneralizedDice {
                activation: Activation::Sigmoid,
                overlap: Overlap::Difference,
                weighting: weightings[place % 3].clone(),
                weighed_volume: WeighedVolume::Ones,
                absent: absents[place % 5],
                empty: Empty::Skip,
                scale: WeightScale::Raw,
                smooth_numerator: 1.0,
                smooth_denominator: 2.0,
                least_union: 3.0,
                exclude_background: true,
                grouping: Grouping::Batch,
                reduction: Reduction::None,
                non_finite: NonFiniteLoss::Zero,
            }
            .into(),
            SoftDice { options: least_denominator.clone(), volumes, least_intersection: 5.0 }.into(),
            Jaccard { options: least_denominator, doubled: true }.into(),
            tversky.clone().into(),
            FocalTversky { tversky, exponents: vec![0.5, 2.0], least: [0.0, 0.5][place % 2] }.into(),
            Wasserstein {
                activation: Activation::Sigmoid,
                costs: vec![0.0, 1.0, 2.0, 0.0],
                normalise_costs: true,
                weighting: WassersteinWeighting::Inverse,
                class_weights: ClassWeights::new([1.0, 2.0]),
                exclude_background: true,
                smooth_numerator: 1.0,
                smooth_denominator: 2.0,
                empty: Empty::Zero,
                grouping: Grouping::Batch,
                reduction: Reduction::Sum,
            }
            .into(),
            Mcc { options: options(place), smoothing: [0.0, 0.5][place % 2] }.into(),
            CrossEntropy {
                activation: Activation::None,
                binary: true,
                class_weights: ClassWeights { weights: vec![1.0, 2.0], mode: WeightMode::Normalise },
                positive_weights: vec![3.0, 4.0],
                label_smoothing: 0.1,
                divisor: divisors[place % 6],
                exclude_background: true,
                grouping: Grouping::PerSample,
                reduction: Reduction::None,
            }
            .into(),
            Focal {
                activation: Activation::None,
                binary: true,
                exponents: vec![0.0, 3.0],
                alpha: [Some(0.0), Some(0.25), None][place % 3],
                positive_weights: vec![3.0, 4.0],
                class_weights: ClassWeights { weights: vec![1.0, 2.0], mode: WeightMode::Normalise },
                divisor: divisors[place % 6],
                exclude_background: true,
                grouping: Grouping::PerSample,
                reduction: Reduction::Sum,
            }
            .into(),
        ];
        for loss in losses {
            survives(&CoreTerm { loss, transform: transforms[place % 5], factor: -0.5 }, "an option");
        }
    }
}

/// What has no number of its own has one of the same meaning.
#[test]
fn no_exponent_is_an_exponent_of_zero() {
    let none = CoreTerm::new(Focal { exponents: Vec::new(), ..Focal::default() }.into());
    let zero = CoreTerm::new(Focal { exponents: vec![0.0], ..Focal::default() }.into());
    assert_eq!(read_term(&write(&none).unwrap()).unwrap(), zero);
}

#[test]
fn room_is_used_again() {
    let weights = [1.0; 40];
    let term =
        |len| Term { kind: kind::SOFT_DICE, class_weights: weights.as_ptr(), num_class_weights: len, ..Term::ZERO };
    let (mut room, mut compound) = (Room::default(), Compound::default());
    for len in [40, 1, 30, 2, 40] {
        room.clear(&mut compound);
        for _ in 0..3 {
            // SAFETY: the weights are as many at least.
            compound.terms.push(unsafe { read(&term(len), 0, &mut room) }.unwrap());
        }
    }
    room.clear(&mut compound);
    assert_eq!(room.len(), 3 * 40);
}
