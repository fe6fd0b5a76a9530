//! From `dice_term` to a term of a compound.

use std::fmt::{Display, Formatter, Result as Written};
use std::mem::take;

use dice_simd::loss::{
    AbsentClass, ClassWeighting, ClassWeights, Compound, CrossEntropy, Divisor, Focal, FocalTversky, GeneralizedDice,
    Jaccard, Loss, Mcc, NonFiniteLoss, Options, SoftDice, Term as CoreTerm, Transform, Tversky, Wasserstein,
    WeightScale,
};
use dice_simd::{Activation, Grouping};

use super::fields::{
    ACTIVATIONS, COST_WEIGHTINGS, DIVISORS, EMPTIES, FIXED, GROUPINGS, LEAST_SCORE, NAUGHT, ORDERS, OVERLAPS, POOLINGS,
    REDUCTIONS, Term, VOLUMES, WEIGHED_VOLUMES, WEIGHT_MODES, absent, kind, transform,
};
use crate::arguments::{checked_slice, flag, variant};
use crate::status::{Failure, Status};

/// Vectors of losses that are no more, to be filled again.
#[derive(Debug, Default)]
pub(crate) struct Room(Vec<Vec<f64>>);

impl Room {
    /// Empties a compound.
    pub(crate) fn clear(&mut self, compound: &mut Compound) {
        let mut keep = |numbers: &mut Vec<f64>| {
            if numbers.capacity() > 0 {
                self.0.push(take(numbers));
            }
        };
        for term in &mut compound.terms {
            match &mut term.loss {
                Loss::GeneralizedDice(loss) => {
                    if let ClassWeighting::Fixed(weights) = &mut loss.weighting {
                        keep(weights);
                    }
                }
                Loss::SoftDice(loss) => keep(&mut loss.options.class_weights.weights),
                Loss::Jaccard(loss) => keep(&mut loss.options.class_weights.weights),
                Loss::Tversky(loss) => keep(&mut loss.options.class_weights.weights),
                Loss::Mcc(loss) => keep(&mut loss.options.class_weights.weights),
                Loss::FocalTversky(loss) => {
                    keep(&mut loss.tversky.options.class_weights.weights);
                    keep(&mut loss.exponents);
                }
                Loss::Wasserstein(loss) => {
                    keep(&mut loss.class_weights.weights);
                    keep(&mut loss.costs);
                }
                Loss::CrossEntropy(loss) => {
                    keep(&mut loss.class_weights.weights);
                    keep(&mut loss.positive_weights);
                }
                Loss::Focal(loss) => {
                    keep(&mut loss.class_weights.weights);
                    keep(&mut loss.positive_weights);
                    keep(&mut loss.exponents);
                }
                _ => {}
            }
        }
        compound.terms.clear();
    }

    /// The numbers that there is room for.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Vec::capacity).sum()
    }

    /// These numbers.
    fn fill(&mut self, numbers: &[f64]) -> Vec<f64> {
        if numbers.is_empty() {
            return Vec::new();
        }
        // The smallest that is large enough, or else the largest: whatever order they come in, they are soon enough.
        let fits = |room: &Vec<f64>| (room.capacity() < numbers.len(), room.capacity().abs_diff(numbers.len()));
        let place = (0..self.0.len()).min_by_key(|&place| fits(&self.0[place]));
        let mut room = place.map_or_else(Vec::new, |place| self.0.swap_remove(place));
        room.clear();
        room.extend_from_slice(numbers);
        room
    }
}

/// Reads the term of this place of a loss.
///
/// # Safety
/// The pointers of the term are NULL or point to as many numbers as it says.
pub(crate) unsafe fn read(term: &Term, index: usize, room: &mut Room) -> Result<CoreTerm, Failure> {
    let (_, factor) = (variant(&[(); kind::COUNT as usize], term.kind, Name(index, "kind"))?, term.factor);
    if let Some(field) = term.unread() {
        return Err(refused(Name(index, field), "must be 0, since this kind does not read it"));
    }
    let left_out = flag(term.left_out, Name(index, "left_out"))?;
    if left_out && factor != 0.0 {
        return Err(refused(Name(index, "factor"), "must be 0 where the term is left_out"));
    }
    let mut reader = Reader { term, index, room };
    let transform =
        reader.transform([term.transform_exponent, term.transform_least], term.transform, TRANSFORM_FIELDS)?;
    // SAFETY: the caller vouches for the numbers.
    let loss = unsafe { reader.loss() }?;
    let factor = if left_out {
        0.0
    } else if factor == 0.0 {
        1.0
    } else {
        factor
    };
    if factor != 0.0 && !(1e-30..=1e30).contains(&factor.abs()) {
        let requirement = format_args!("= {factor:?}: must be 0, or from 1e-30 to 1e30 in absolute value");
        return Err(refused(Name(index, "factor"), requirement));
    }
    Ok(CoreTerm { transform, factor, ..CoreTerm::new(loss) })
}

/// A field of a term in a sentence.
#[derive(Clone, Copy)]
struct Name(usize, &'static str);

impl Display for Name {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Written {
        write!(formatter, "terms[{}].{}", self.0, self.1)
    }
}

fn refused(name: Name, requirement: impl Display) -> Failure {
    Failure::new(Status::InvalidArgument, format_args!("{name} {requirement}"))
}

/// The names of a transform's fields.
type TransformFields = [&'static str; 3];
const TRANSFORM_FIELDS: TransformFields = ["transform", "transform_exponent", "transform_least"];
const CLASS_TRANSFORM_FIELDS: TransformFields =
    ["class_transform", "class_transform_exponent", "class_transform_least"];

/// A term while it is read.
struct Reader<'t, 'r> {
    term: &'t Term,
    index: usize,
    room: &'r mut Room,
}

impl Reader<'_, '_> {
    fn name(&self, field: &'static str) -> Name {
        Name(self.index, field)
    }

    fn variant<T: Copy>(&self, variants: &[T], number: i32, field: &'static str) -> Result<T, Failure> {
        variant(variants, number, self.name(field))
    }

    fn flag(&self, number: i32, field: &'static str) -> Result<bool, Failure> {
        flag(number, self.name(field))
    }

    /// The numbers of a field.
    ///
    /// # Safety
    /// The pointer is NULL or points to `len` numbers.
    unsafe fn numbers(&mut self, pointer: *const f64, len: usize, field: &'static str) -> Result<Vec<f64>, Failure> {
        // SAFETY: as the caller vouches.
        let numbers = unsafe { self.slice(pointer, len, field) }?;
        Ok(self.room.fill(numbers))
    }

    /// The numbers of a field, where they are.
    ///
    /// # Safety
    /// As [`numbers`](Self::numbers); they live as long as `'a`.
    unsafe fn slice<'a>(&self, pointer: *const f64, len: usize, field: &'static str) -> Result<&'a [f64], Failure> {
        if len == 0 && !pointer.is_null() {
            let sentence = format_args!("{} is not NULL, but its length is 0", self.name(field));
            return Err(Failure::new(Status::Length, sentence).numbers(0, -1));
        }
        // SAFETY: as the caller vouches.
        unsafe { checked_slice(pointer, len, self.name(field)) }
    }

    /// The transform of this number with its two parameters, the exponent and the least argument.
    fn transform(
        &self,
        [exponent, least]: [f64; 2],
        number: i32,
        [name, of_exponent, of_least]: TransformFields,
    ) -> Result<Transform, Failure> {
        let number = self.variant(&[0, 1, 2, 3, 4, 5], number, name)?;
        let least_score = if least == 0.0 { LEAST_SCORE } else { least };
        let (transform, has_exponent, has_least) = match number {
            transform::NEGATIVE_LOG => (Transform::NegativeLog { least: least_score }, false, true),
            transform::POWER => (Transform::Power { exponent, least }, true, true),
            transform::LOG_COSH => (Transform::LogCosh, false, false),
            transform::NEGATIVE_SCORE => (Transform::NegativeScore, false, false),
            transform::POWER_OF_NEGATIVE_LOG => {
                (Transform::PowerOfNegativeLog { exponent, least: least_score }, true, true)
            }
            _ => (Transform::Identity, false, false),
        };
        for (value, is_read, field) in [(exponent, has_exponent, of_exponent), (least, has_least, of_least)] {
            if !is_read && value != 0.0 {
                return Err(refused(self.name(field), "must be 0, since this transform does not read it"));
            }
        }
        Ok(transform)
    }

    /// The weights of the classes, and what a mean divides by.
    ///
    /// # Safety
    /// The pointer is NULL or points to as many numbers as the term says.
    unsafe fn class_weights(&mut self) -> Result<ClassWeights, Failure> {
        let (pointer, len) = (self.term.class_weights, self.term.num_class_weights);
        let mode = self.variant(&WEIGHT_MODES, self.term.weight_mode, "weight_mode")?;
        // SAFETY: as the caller vouches.
        Ok(ClassWeights { weights: unsafe { self.numbers(pointer, len, "class_weights") }?, mode })
    }

    /// The grouping; that of the kind where none is given.
    fn grouping(&self, of_kind: Grouping) -> Result<Grouping, Failure> {
        Ok(self.variant(&GROUPINGS, self.term.grouping, "grouping")?.unwrap_or(of_kind))
    }

    /// What the kinds with a ratio per class have in common.
    ///
    /// # Safety
    /// As [`class_weights`](Self::class_weights).
    unsafe fn options(&mut self) -> Result<Options, Failure> {
        let term = self.term;
        let of_transform = [term.class_transform_exponent, term.class_transform_least];
        Ok(Options {
            activation: self.variant(&ACTIVATIONS, term.activation, "activation")?,
            overlap: self.variant(&OVERLAPS, term.overlap, "overlap")?,
            smooth_numerator: term.smooth_numerator,
            smooth_denominator: term.smooth_denominator,
            least_denominator: term.least_denominator,
            softening: term.softening,
            complement: self.flag(term.complement, "complement")?,
            transform: self.transform(of_transform, term.class_transform, CLASS_TRANSFORM_FIELDS)?,
            exclude_background: self.flag(term.exclude_background, "exclude_background")?,
            pooling: self.variant(&POOLINGS, term.pooling, "pooling")?,
            empty: self.variant(&EMPTIES, term.empty, "empty")?,
            grouping: self.grouping(Grouping::PerSample)?,
            reduction: self.variant(&REDUCTIONS, term.reduction, "reduction")?,
            order: self.variant(&ORDERS, term.order, "order")?,
            // SAFETY: as the caller vouches.
            class_weights: unsafe { self.class_weights() }?,
        })
    }

    /// # Safety
    /// As [`read`].
    unsafe fn loss(&mut self) -> Result<Loss, Failure> {
        Ok(match self.term.kind {
            // SAFETY: as the caller vouches.
            kind::GENERALIZED_DICE => unsafe { self.generalized_dice() }?.into(),
            kind::SOFT_DICE => SoftDice {
                volumes: self.variant(&VOLUMES, self.term.volumes, "volumes")?,
                least_intersection: self.term.least_intersection,
                // SAFETY: as the caller vouches.
                options: unsafe { self.options() }?,
            }
            .into(),
            kind::JACCARD => Jaccard {
                doubled: self.flag(self.term.doubled, "doubled")?,
                // SAFETY: as the caller vouches.
                options: unsafe { self.options() }?,
            }
            .into(),
            // SAFETY: as the caller vouches.
            kind::TVERSKY => unsafe { self.tversky() }?.into(),
            // SAFETY: as the caller vouches.
            kind::FOCAL_TVERSKY => unsafe { self.focal_tversky() }?.into(),
            // SAFETY: as the caller vouches.
            kind::WASSERSTEIN => unsafe { self.wasserstein() }?.into(),
            kind::MCC => Mcc {
                smoothing: or_default(self.term.mcc_smoothing, 1e-5),
                // SAFETY: as the caller vouches.
                options: unsafe { self.options() }?,
            }
            .into(),
            // SAFETY: as the caller vouches.
            kind::CROSS_ENTROPY => unsafe { self.cross_entropy() }?.into(),
            // SAFETY: as the caller vouches.
            _ => unsafe { self.focal() }?.into(),
        })
    }

    /// # Safety
    /// As [`read`].
    unsafe fn generalized_dice(&mut self) -> Result<GeneralizedDice, Failure> {
        let term = self.term;
        let weighting = match self.variant(&[0, 1, 2, FIXED], term.weighting, "weighting")? {
            0 => ClassWeighting::Inverse,
            1 => ClassWeighting::InverseSquare,
            2 => ClassWeighting::Uniform,
            // SAFETY: as the caller vouches.
            _ => ClassWeighting::Fixed(unsafe {
                self.numbers(term.class_weights, term.num_class_weights, "class_weights")
            }?),
        };
        if term.weighting != FIXED && (!term.class_weights.is_null() || term.num_class_weights != 0) {
            return Err(refused(self.name("class_weights"), "must be NULL where the weighting is not DICE_FIXED"));
        }
        let e = term.absent_epsilon;
        let absent = match self.variant(&[0, 1, 2, 3, 4], term.absent, "absent")? {
            absent::MAX_FINITE => AbsentClass::MaxFinite,
            absent::EPSILON => AbsentClass::Epsilon(e),
            absent::REGULARISED => AbsentClass::Regularised(e),
            absent::ZERO => AbsentClass::Zero,
            _ => AbsentClass::LeastPresent,
        };
        if e != 0.0 && !matches!(absent, AbsentClass::Epsilon(_) | AbsentClass::Regularised(_)) {
            return Err(refused(self.name("absent_epsilon"), "must be 0, since this policy does not read it"));
        }
        let is_raw = self.flag(term.raw_weights, "raw_weights")?;
        let is_silent = self.flag(term.zero_non_finite, "zero_non_finite")?;
        Ok(GeneralizedDice {
            activation: self.variant(&ACTIVATIONS, term.activation, "activation")?,
            overlap: self.variant(&OVERLAPS, term.overlap, "overlap")?,
            weighting,
            weighed_volume: self.variant(&WEIGHED_VOLUMES, term.weighed_volume, "weighed_volume")?,
            absent,
            empty: self.variant(&EMPTIES, term.empty, "empty")?,
            scale: if is_raw { WeightScale::Raw } else { WeightScale::RarestPresent },
            smooth_numerator: term.smooth_numerator,
            smooth_denominator: term.smooth_denominator,
            least_union: term.least_union,
            exclude_background: self.flag(term.exclude_background, "exclude_background")?,
            grouping: self.grouping(Grouping::PerSample)?,
            reduction: self.variant(&REDUCTIONS, term.reduction, "reduction")?,
            non_finite: if is_silent { NonFiniteLoss::Zero } else { NonFiniteLoss::Propagate },
        })
    }

    /// # Safety
    /// As [`read`].
    unsafe fn tversky(&mut self) -> Result<Tversky, Failure> {
        let (alpha, beta) = (self.term.false_positives, self.term.false_negatives);
        let (false_positives, false_negatives) = if alpha == 0.0 && beta == 0.0 { (0.5, 0.5) } else { (alpha, beta) };
        Ok(Tversky {
            volumes: self.variant(&VOLUMES, self.term.volumes, "volumes")?,
            false_positives,
            false_negatives,
            // SAFETY: as the caller vouches.
            options: unsafe { self.options() }?,
        })
    }

    /// # Safety
    /// As [`read`].
    unsafe fn focal_tversky(&mut self) -> Result<FocalTversky, Failure> {
        Ok(FocalTversky {
            least: or_default(self.term.exponent_least, 1e-7),
            // SAFETY: as the caller vouches.
            tversky: unsafe { self.tversky() }?,
            // SAFETY: as the caller vouches.
            exponents: unsafe { self.exponents(0.75) }?,
        })
    }

    /// The exponents; one where none is given.
    ///
    /// # Safety
    /// The pointer is NULL or points to as many numbers as the term says.
    unsafe fn exponents(&mut self, of_kind: f64) -> Result<Vec<f64>, Failure> {
        let (pointer, len) = (self.term.exponents, self.term.num_exponents);
        // SAFETY: as the caller vouches.
        let exponents = unsafe { self.slice(pointer, len, "exponents") }?;
        Ok(self.room.fill(if exponents.is_empty() { std::slice::from_ref(&of_kind) } else { exponents }))
    }

    /// # Safety
    /// As [`read`].
    unsafe fn wasserstein(&mut self) -> Result<Wasserstein, Failure> {
        let term = self.term;
        Ok(Wasserstein {
            activation: self.variant(&ACTIVATIONS, term.activation, "activation")?,
            normalise_costs: self.flag(term.normalise_costs, "normalise_costs")?,
            weighting: self.variant(&COST_WEIGHTINGS, term.cost_weighting, "cost_weighting")?,
            exclude_background: self.flag(term.exclude_background, "exclude_background")?,
            smooth_numerator: term.smooth_numerator,
            smooth_denominator: term.smooth_denominator,
            empty: self.variant(&EMPTIES, term.empty, "empty")?,
            grouping: self.grouping(Grouping::PerSample)?,
            reduction: self.variant(&REDUCTIONS, term.reduction, "reduction")?,
            // SAFETY: as the caller vouches.
            class_weights: unsafe { self.class_weights() }?,
            // SAFETY: as the caller vouches.
            costs: unsafe { self.numbers(term.costs, term.num_costs, "costs") }?,
        })
    }

    /// Activation and whether the classes are questions of their own, and the divisor, which depends on it.
    fn voxel_loss(&self, exclusive: Divisor) -> Result<(Activation, bool, Divisor), Failure> {
        let activation = self.variant(&ACTIVATIONS, self.term.activation, "activation")?;
        let binary = self.flag(self.term.binary, "binary")?;
        if binary && activation == Activation::Softmax {
            return Err(refused(self.name("binary"), "must be 0 under a softmax, whose classes exclude each other"));
        }
        let of_kind = if binary || activation == Activation::Sigmoid { Divisor::Elements } else { exclusive };
        let divisor = self.variant(&DIVISORS, self.term.divisor, "divisor")?.unwrap_or(of_kind);
        Ok((activation, binary, divisor))
    }

    /// # Safety
    /// As [`read`].
    unsafe fn positive_weights(&mut self) -> Result<Vec<f64>, Failure> {
        let (pointer, len) = (self.term.positive_weights, self.term.num_positive_weights);
        // SAFETY: as the caller vouches.
        unsafe { self.numbers(pointer, len, "positive_weights") }
    }

    /// # Safety
    /// As [`read`].
    unsafe fn cross_entropy(&mut self) -> Result<CrossEntropy, Failure> {
        let term = self.term;
        let (activation, binary, divisor) = self.voxel_loss(Divisor::Weights)?;
        Ok(CrossEntropy {
            activation,
            binary,
            label_smoothing: term.label_smoothing,
            divisor,
            exclude_background: self.flag(term.exclude_background, "exclude_background")?,
            grouping: self.grouping(Grouping::Batch)?,
            reduction: self.variant(&REDUCTIONS, term.reduction, "reduction")?,
            // SAFETY: as the caller vouches.
            class_weights: unsafe { self.class_weights() }?,
            // SAFETY: as the caller vouches.
            positive_weights: unsafe { self.positive_weights() }?,
        })
    }

    /// # Safety
    /// As [`read`].
    unsafe fn focal(&mut self) -> Result<Focal, Failure> {
        let term = self.term;
        let (activation, binary, divisor) = self.voxel_loss(Divisor::Voxels)?;
        let alpha = self.flag(term.use_alpha, "use_alpha")?.then_some(term.alpha);
        if alpha.is_none() && term.alpha != 0.0 {
            return Err(refused(self.name("alpha"), "must be 0 where use_alpha is 0"));
        }
        Ok(Focal {
            activation,
            binary,
            alpha,
            divisor,
            exclude_background: self.flag(term.exclude_background, "exclude_background")?,
            grouping: self.grouping(Grouping::Batch)?,
            reduction: self.variant(&REDUCTIONS, term.reduction, "reduction")?,
            // SAFETY: as the caller vouches.
            class_weights: unsafe { self.class_weights() }?,
            // SAFETY: as the caller vouches.
            positive_weights: unsafe { self.positive_weights() }?,
            // SAFETY: as the caller vouches.
            exponents: unsafe { self.exponents(2.0) }?,
        })
    }
}

/// A number of which 0 stands for a default, and [`NAUGHT`] for 0.
fn or_default(number: f64, default: f64) -> f64 {
    if number == 0.0 {
        default
    } else if number == NAUGHT {
        0.0
    } else {
        number
    }
}
