//! From a term of a compound to `dice_term`.

use std::ptr;

use dice_simd::loss::{
    AbsentClass, ClassWeighting, ClassWeights, CrossEntropy, Divisor, Focal, FocalTversky, GeneralizedDice, Loss,
    NonFiniteLoss, Options, Term as CoreTerm, Transform, Tversky, Wasserstein, WeightScale,
};
use dice_simd::{Activation, Grouping, Reduction};

use super::fields::{
    ACTIVATIONS, COST_WEIGHTINGS, DIVISORS, EMPTIES, FIXED, GROUPINGS, NAUGHT, ORDERS, OVERLAPS, POOLINGS, REDUCTIONS,
    Term, VOLUMES, WEIGHED_VOLUMES, WEIGHT_MODES, absent, kind, transform,
};

/// The number that stands for a variant.
fn number<T: PartialEq>(variants: &[T], variant: &T) -> Option<i32> {
    variants.iter().position(|known| known == variant).map(|place| place as i32)
}

/// Pointer and length of numbers, NULL if there are none.
fn numbers(numbers: &[f64]) -> (*const f64, usize) {
    if numbers.is_empty() { (ptr::null(), 0) } else { (numbers.as_ptr(), numbers.len()) }
}

/// 0 where a field's 0 stands for another default.
fn or_naught(number: f64) -> f64 {
    if number == 0.0 { NAUGHT } else { number }
}

/// An exponent of 0 for all classes, which a length of 0 does not stand for.
static NO_POWER: f64 = 0.0;

/// The term as numbers, which point to those of `term`; `None` if `dice_term` has no word for it.
pub(crate) fn write(term: &CoreTerm) -> Option<Term> {
    let CoreTerm { loss, transform, factor } = term;
    let (transform, transform_exponent, transform_least) = of_transform(*transform)?;
    let of_loss = match loss {
        Loss::GeneralizedDice(loss) => generalized_dice(loss)?,
        Loss::SoftDice(loss) => Term {
            kind: kind::SOFT_DICE,
            volumes: number(&VOLUMES, &loss.volumes)?,
            least_intersection: loss.least_intersection,
            ..options(&loss.options)?
        },
        Loss::Jaccard(loss) => {
            Term { kind: kind::JACCARD, doubled: i32::from(loss.doubled), ..options(&loss.options)? }
        }
        Loss::Tversky(loss) => tversky(loss)?,
        Loss::FocalTversky(FocalTversky { tversky: of_tversky, exponents, least }) => {
            let (exponents, num_exponents) = numbers(exponents);
            Term {
                kind: kind::FOCAL_TVERSKY,
                exponents,
                num_exponents,
                exponent_least: or_naught(*least),
                ..tversky(of_tversky)?
            }
        }
        Loss::Wasserstein(loss) => wasserstein(loss)?,
        Loss::Mcc(loss) => {
            Term { kind: kind::MCC, mcc_smoothing: or_naught(loss.smoothing), ..options(&loss.options)? }
        }
        Loss::CrossEntropy(loss) => cross_entropy(loss)?,
        Loss::Focal(loss) => focal(loss)?,
        _ => return None,
    };
    let left_out = i32::from(*factor == 0.0);
    Some(Term { transform, transform_exponent, transform_least, factor: *factor, left_out, ..of_loss })
}

/// Number, exponent and least argument.
fn of_transform(transform: Transform) -> Option<(i32, f64, f64)> {
    Some(match transform {
        Transform::Identity => (transform::IDENTITY, 0.0, 0.0),
        Transform::NegativeLog { least } => (transform::NEGATIVE_LOG, 0.0, least),
        Transform::Power { exponent, least } => (transform::POWER, exponent, least),
        Transform::LogCosh => (transform::LOG_COSH, 0.0, 0.0),
        Transform::NegativeScore => (transform::NEGATIVE_SCORE, 0.0, 0.0),
        Transform::PowerOfNegativeLog { exponent, least } => (transform::POWER_OF_NEGATIVE_LOG, exponent, least),
        _ => return None,
    })
}

/// What every kind has.
fn common(activation: Activation, grouping: Grouping, reduction: Reduction, exclude_background: bool) -> Option<Term> {
    Some(Term {
        activation: number(&ACTIVATIONS, &activation)?,
        grouping: number(&GROUPINGS, &Some(grouping))?,
        reduction: number(&REDUCTIONS, &reduction)?,
        exclude_background: i32::from(exclude_background),
        ..Term::ZERO
    })
}

/// With weights of the classes.
fn weighted(term: Term, weights: &ClassWeights) -> Option<Term> {
    let (class_weights, num_class_weights) = numbers(&weights.weights);
    Some(Term { class_weights, num_class_weights, weight_mode: number(&WEIGHT_MODES, &weights.mode)?, ..term })
}

fn generalized_dice(loss: &GeneralizedDice) -> Option<Term> {
    let (absent, absent_epsilon) = match loss.absent {
        AbsentClass::LeastPresent => (absent::LEAST_PRESENT, 0.0),
        AbsentClass::MaxFinite => (absent::MAX_FINITE, 0.0),
        AbsentClass::Epsilon(e) => (absent::EPSILON, e),
        AbsentClass::Regularised(e) => (absent::REGULARISED, e),
        AbsentClass::Zero => (absent::ZERO, 0.0),
    };
    let (weighting, (class_weights, num_class_weights)) = match &loss.weighting {
        ClassWeighting::Inverse => (0, numbers(&[])),
        ClassWeighting::InverseSquare => (1, numbers(&[])),
        ClassWeighting::Uniform => (2, numbers(&[])),
        ClassWeighting::Fixed(weights) => (FIXED, numbers(weights)),
    };
    Some(Term {
        kind: kind::GENERALIZED_DICE,
        overlap: number(&OVERLAPS, &loss.overlap)?,
        weighting,
        class_weights,
        num_class_weights,
        weighed_volume: number(&WEIGHED_VOLUMES, &loss.weighed_volume)?,
        absent,
        absent_epsilon,
        empty: number(&EMPTIES, &loss.empty)?,
        raw_weights: i32::from(loss.scale == WeightScale::Raw),
        smooth_numerator: loss.smooth_numerator,
        smooth_denominator: loss.smooth_denominator,
        least_union: loss.least_union,
        zero_non_finite: i32::from(loss.non_finite == NonFiniteLoss::Zero),
        ..common(loss.activation, loss.grouping, loss.reduction, loss.exclude_background)?
    })
}

fn options(options: &Options) -> Option<Term> {
    let (class_transform, class_transform_exponent, class_transform_least) = of_transform(options.transform)?;
    let common = common(options.activation, options.grouping, options.reduction, options.exclude_background)?;
    Some(Term {
        overlap: number(&OVERLAPS, &options.overlap)?,
        smooth_numerator: options.smooth_numerator,
        smooth_denominator: options.smooth_denominator,
        least_denominator: options.least_denominator,
        softening: options.softening,
        complement: i32::from(options.complement),
        class_transform,
        class_transform_exponent,
        class_transform_least,
        pooling: number(&POOLINGS, &options.pooling)?,
        empty: number(&EMPTIES, &options.empty)?,
        order: number(&ORDERS, &options.order)?,
        ..weighted(common, &options.class_weights)?
    })
}

fn tversky(loss: &Tversky) -> Option<Term> {
    Some(Term {
        kind: kind::TVERSKY,
        volumes: number(&VOLUMES, &loss.volumes)?,
        false_positives: loss.false_positives,
        false_negatives: loss.false_negatives,
        ..options(&loss.options)?
    })
}

fn wasserstein(loss: &Wasserstein) -> Option<Term> {
    let (costs, num_costs) = numbers(&loss.costs);
    let common = common(loss.activation, loss.grouping, loss.reduction, loss.exclude_background)?;
    Some(Term {
        kind: kind::WASSERSTEIN,
        costs,
        num_costs,
        normalise_costs: i32::from(loss.normalise_costs),
        cost_weighting: number(&COST_WEIGHTINGS, &loss.weighting)?,
        smooth_numerator: loss.smooth_numerator,
        smooth_denominator: loss.smooth_denominator,
        empty: number(&EMPTIES, &loss.empty)?,
        ..weighted(common, &loss.class_weights)?
    })
}

/// What cross-entropy and focal have in common.
fn voxel_loss(term: Term, binary: bool, divisor: Divisor, weights: &ClassWeights, positive: &[f64]) -> Option<Term> {
    let (positive_weights, num_positive_weights) = numbers(positive);
    Some(Term {
        binary: i32::from(binary),
        divisor: number(&DIVISORS, &Some(divisor))?,
        positive_weights,
        num_positive_weights,
        ..weighted(term, weights)?
    })
}

fn cross_entropy(loss: &CrossEntropy) -> Option<Term> {
    let common = common(loss.activation, loss.grouping, loss.reduction, loss.exclude_background)?;
    Some(Term {
        kind: kind::CROSS_ENTROPY,
        label_smoothing: loss.label_smoothing,
        ..voxel_loss(common, loss.binary, loss.divisor, &loss.class_weights, &loss.positive_weights)?
    })
}

fn focal(loss: &Focal) -> Option<Term> {
    let common = common(loss.activation, loss.grouping, loss.reduction, loss.exclude_background)?;
    let (exponents, num_exponents) =
        numbers(if loss.exponents.is_empty() { std::slice::from_ref(&NO_POWER) } else { &loss.exponents });
    Some(Term {
        kind: kind::FOCAL,
        exponents,
        num_exponents,
        alpha: loss.alpha.unwrap_or(0.0),
        use_alpha: i32::from(loss.alpha.is_some()),
        ..voxel_loss(common, loss.binary, loss.divisor, &loss.class_weights, &loss.positive_weights)?
    })
}
