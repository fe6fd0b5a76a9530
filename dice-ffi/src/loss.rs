//! From `dice_loss` to a head.

use std::ffi::{CStr, c_char};

use dice_simd::core::loss::{AbsentClass, ClassWeighting, GeneralizedDice, NonFiniteLoss, WeightScale};
use dice_simd::core::{Activation, Cotangent, Error, Evaluation, Grouping, LossHead, Reduction, Request, Statistics};

use crate::memory;
use crate::status::{
    Described, Failure, Status, call, checked_pointer, checked_slice, checked_struct, flag, reserved, variant,
};

/// `dice_term`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Term {
    kind: i32,
    activation: i32,
    weighting: i32,
    absent: i32,
    raw_weights: i32,
    exclude_background: i32,
    grouping: i32,
    reduction: i32,
    zero_non_finite: i32,
    reserved: i32,
    absent_epsilon: f64,
    smooth_numerator: f64,
    smooth_denominator: f64,
    least_union: f64,
    factor: f64,
    class_weights: *const f64,
    num_class_weights: usize,
}

/// `dice_loss`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct LossStruct {
    struct_size: usize,
    term_size: usize,
    terms: *const Term,
    num_terms: usize,
}

// SAFETY: any bits are valid, `struct_size` first.
unsafe impl Described for LossStruct {}

/// The variants of a term's options, each at the place that is its number.
const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];
const GROUPINGS: [Grouping; 2] = [Grouping::PerSample, Grouping::Batch];
const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

/// The number that stands for a variant.
fn number<T: PartialEq>(variants: &[T], variant: &T) -> i32 {
    variants.iter().position(|known| known == variant).map_or(-1, |place| place as i32)
}

/// A head of the caller's description.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loss {
    head: GeneralizedDice,
    factor: f64,
    /// The room of the last class weights.
    class_weights: Vec<f64>,
}

impl Loss {
    /// Reads the struct.
    ///
    /// # Safety
    /// `loss` is NULL or points to a `dice_loss` whose pointers are NULL or valid.
    pub(crate) unsafe fn read(&mut self, loss: *const LossStruct) -> Result<(), Failure> {
        if let ClassWeighting::Fixed(room) = std::mem::take(&mut self.head.weighting) {
            self.class_weights = room;
        }
        // SAFETY: the caller vouches for the pointer.
        let loss = unsafe { checked_struct(loss, "loss") }?;
        if loss.num_terms == 0 {
            (self.head, self.factor) = (GeneralizedDice::default(), 1.0);
            return Ok(());
        }
        if loss.term_size != size_of::<Term>() {
            let sentence = format!("loss.term_size is {} where {} is expected", loss.term_size, size_of::<Term>());
            let failure = Failure::new(Status::StructSize, sentence);
            return Err(failure.numbers(i64::try_from(loss.term_size).unwrap_or(i64::MAX), size_of::<Term>() as i64));
        }
        if loss.num_terms > 1 {
            let sentence = format!("loss.num_terms = {}: this version takes one term", loss.num_terms);
            return Err(Failure::new(Status::Unsupported, sentence));
        }
        // SAFETY: the caller vouches for the pointer.
        let term = unsafe { checked_pointer(loss.terms, "loss.terms") }?;
        // SAFETY: the caller vouches for the weights.
        let class_weights = unsafe { checked_slice(term.class_weights, term.num_class_weights, "class_weights") }?;
        reserved(term.reserved, "term")?;
        variant(&[()], term.kind, "kind")?;
        let e = term.absent_epsilon;
        let absent = [
            AbsentClass::LeastPresent,
            AbsentClass::MaxFinite,
            AbsentClass::Epsilon(e),
            AbsentClass::Regularised(e),
            AbsentClass::Zero,
        ];
        let weighting = [ClassWeighting::InverseSquare, ClassWeighting::Inverse, ClassWeighting::Uniform];
        const FIXED: i32 = 3;
        // The bounds of dice-core for the other parameters.
        if term.factor != 0.0 && !(1e-30..=1e30).contains(&term.factor.abs()) {
            let sentence = format!("factor = {:?}: must be 0, or from 1e-30 to 1e30 in absolute value", term.factor);
            return Err(Failure::new(Status::InvalidArgument, sentence));
        }
        self.head = GeneralizedDice {
            activation: variant(&ACTIVATIONS, term.activation, "activation")?,
            weighting: if term.weighting == FIXED {
                memory::find(Some(size_of_val(class_weights)), || "the class weights".into())?;
                let mut room = std::mem::take(&mut self.class_weights);
                room.clear();
                room.extend_from_slice(class_weights);
                ClassWeighting::Fixed(room)
            } else {
                let place = variant(&[0, 1, 2, 3], term.weighting, "weighting")?;
                weighting[place].clone()
            },
            absent: variant(&absent, term.absent, "absent")?,
            scale: if flag(term.raw_weights, "raw_weights")? { WeightScale::Raw } else { WeightScale::RarestPresent },
            smooth_numerator: term.smooth_numerator,
            smooth_denominator: term.smooth_denominator,
            least_union: term.least_union,
            exclude_background: flag(term.exclude_background, "exclude_background")?,
            grouping: variant(&GROUPINGS, term.grouping, "grouping")?,
            reduction: variant(&REDUCTIONS, term.reduction, "reduction")?,
            non_finite: if flag(term.zero_non_finite, "zero_non_finite")? {
                NonFiniteLoss::Zero
            } else {
                NonFiniteLoss::Propagate
            },
        };
        self.factor = if term.factor == 0.0 { 1.0 } else { term.factor };
        Ok(())
    }

    /// The rows of the cotangent and the values of the loss, for a table of `samples`.
    pub(crate) fn rows_and_values(&self, samples: usize) -> (usize, usize) {
        let rows = if self.head.grouping == Grouping::Batch { 1 } else { samples };
        (rows, if self.head.reduction == Reduction::None { rows } else { 1 })
    }

    /// Makes `cotangent` that of `samples` × `classes`, from its derivatives.
    pub(crate) fn read_cotangent(
        &self,
        samples: usize,
        classes: usize,
        derivatives: &[f64],
        cotangent: &mut Cotangent,
    ) -> Result<(), Failure> {
        let (rows, values) = self.rows_and_values(samples);
        let found = derivatives.len();
        let expected = rows.checked_mul(classes).and_then(|n| n.checked_mul(self.request().sums.len()));
        if expected != Some(found) {
            return Err(Error::Length { what: "cotangent", expected: expected.unwrap_or(usize::MAX), found }.into());
        }
        cotangent.reset(self.request(), rows, classes, values);
        cotangent.as_mut_slice().copy_from_slice(derivatives);
        Ok(())
    }
}

impl LossHead for Loss {
    fn request(&self) -> Request {
        self.head.request()
    }

    fn evaluate_into(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        self.head.evaluate_into(statistics, evaluation)?;
        let scaled = evaluation.values.iter_mut().chain(evaluation.cotangent.as_mut_slice());
        scaled.for_each(|number| *number *= self.factor);
        Ok(())
    }
}

/// See `dice.h`.
///
/// # Safety
/// `name` is NULL or a C string, `term` is NULL or points to a `dice_term`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_loss_preset(name: *const c_char, term: *mut Term) -> i32 {
    call(|| {
        if name.is_null() {
            return Err(Failure::null("name"));
        }
        // SAFETY: the caller vouches for the pointer.
        unsafe { checked_pointer(term.cast_const(), "term") }?;
        // SAFETY: not NULL; the caller vouches for the string.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let head = GeneralizedDice::preset(&name).ok_or_else(|| {
            let known = GeneralizedDice::PRESETS.map(|(name, _)| name).join(", ");
            Failure::new(Status::InvalidArgument, format!("no preset is named {name:?}; there are {known}"))
        })?;
        let (absent, absent_epsilon) = match head.absent {
            AbsentClass::LeastPresent => (0, 0.0),
            AbsentClass::MaxFinite => (1, 0.0),
            AbsentClass::Epsilon(e) => (2, e),
            AbsentClass::Regularised(e) => (3, e),
            AbsentClass::Zero => (4, 0.0),
        };
        let weighting = [ClassWeighting::InverseSquare, ClassWeighting::Inverse, ClassWeighting::Uniform];
        let preset = Term {
            kind: 0,
            activation: number(&ACTIVATIONS, &head.activation),
            weighting: number(&weighting, &head.weighting),
            absent,
            raw_weights: i32::from(head.scale == WeightScale::Raw),
            exclude_background: i32::from(head.exclude_background),
            grouping: number(&GROUPINGS, &head.grouping),
            reduction: number(&REDUCTIONS, &head.reduction),
            zero_non_finite: i32::from(head.non_finite == NonFiniteLoss::Zero),
            reserved: 0,
            absent_epsilon,
            smooth_numerator: head.smooth_numerator,
            smooth_denominator: head.smooth_denominator,
            least_union: head.least_union,
            factor: 0.0,
            class_weights: std::ptr::null(),
            num_class_weights: 0,
        };
        // SAFETY: not NULL and aligned, as checked.
        unsafe { term.write(preset) };
        Ok(())
    })
}
