//! What a head makes of the statistics.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use crate::error::{Error, reserve, table_len};
use crate::request::{Request, Sum};
use crate::statistics::Statistics;

/// How many values a loss has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Values {
    /// One: a mean or a sum.
    #[default]
    One,
    /// One per group.
    PerGroup,
    /// One per group and class from `first` on, `[group][class]`.
    PerClass {
        /// The first class that has a value.
        first: usize,
    },
}

impl Values {
    /// Their number.
    pub fn len(self, rows: usize, classes: usize) -> usize {
        match self {
            Self::One => 1,
            Self::PerGroup => rows,
            Self::PerClass { first } => rows * classes.saturating_sub(first),
        }
    }

    /// The value that a class of a group adds to, if any.
    pub fn place(self, row: usize, class: usize, classes: usize) -> Option<usize> {
        match self {
            Self::One => Some(0),
            Self::PerGroup => Some(row),
            Self::PerClass { first } => Some(row * classes.checked_sub(first)? + class.checked_sub(first)?),
        }
    }
}

/// The derivative of a loss with respect to the sums of the statistics: ∂L/∂I, ∂L/∂S, … per group and class.
///
/// Rows are groups: one per sample, or a single one that every sample shares. By default it has none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cotangent {
    request: Request,
    rows: usize,
    classes: usize,
    values: Values,
    derivatives: Vec<f64>,
}

impl Cotangent {
    /// Zeros for `rows` groups, of a loss with so many `values`.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn new(request: &Request, rows: usize, classes: usize, values: Values) -> Result<Self, Error> {
        let mut cotangent = Self::default();
        cotangent.reset(request, rows, classes, values)?;
        Ok(cotangent)
    }

    /// Makes it one of zeros, see [`new`](Self::new), reusing the buffer.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::OutOfMemory`]; the cotangent is then as it was.
    pub fn reset(&mut self, request: &Request, rows: usize, classes: usize, values: Values) -> Result<(), Error> {
        let of_row = table_len("cotangent", &[classes, request.columns()], size_of::<f64>())?;
        let len = table_len("cotangent", &[rows, of_row], size_of::<f64>())?;
        reserve("cotangent", &mut self.derivatives, len)?;
        self.derivatives.clear();
        self.derivatives.resize(len, 0.0);
        self.request.copy(request);
        (self.rows, self.classes, self.values) = (rows, classes, values);
        Ok(())
    }

    /// What the statistics were made for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The number of groups: one per sample, or 1.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of values of the loss, each of which may have an upstream gradient of its own.
    pub fn values(&self) -> usize {
        self.values.len(self.rows, self.classes)
    }

    /// How the values belong to groups and classes.
    pub fn kind_of_values(&self) -> Values {
        self.values
    }

    /// The cotangent of the samples `samples` alone, for their pullback. Where the values of the loss are those of the
    /// samples, theirs remain.
    ///
    /// # Errors
    /// [`Error::SampleRange`].
    pub fn samples(&self, samples: Range<usize>) -> Result<Self, Error> {
        if self.rows == 1 {
            return Ok(self.clone());
        }
        let Range { start, end } = samples;
        if start > end || end > self.rows {
            return Err(Error::SampleRange { start, end, samples: self.rows });
        }
        let stride = self.classes * self.request.columns();
        Ok(Self {
            request: self.request.clone(),
            rows: samples.len(),
            derivatives: self.derivatives[start * stride..end * stride].to_vec(),
            ..*self
        })
    }

    /// The row of `sample`.
    pub fn row(&self, sample: usize) -> usize {
        if self.rows == 1 { 0 } else { sample }
    }

    /// ∂L/∂`sum` of a part of the request, 0 for a sum that the table does not hold.
    ///
    /// # Panics
    /// If there is no such row or class.
    pub fn get(&self, row: usize, class: usize, part: usize, sum: Sum) -> f64 {
        self.place(row, class, part, sum).map_or(0.0, |place| self.derivatives[place])
    }

    /// Adds to ∂L/∂`sum` of a part of the request.
    ///
    /// # Panics
    /// If there is no such row or class, or the request lacks the sum.
    pub fn add(&mut self, row: usize, class: usize, part: usize, sum: Sum, derivative: f64) {
        let place = self.place(row, class, part, sum).expect("a head differentiates by the sums that it asked for");
        self.derivatives[place] += derivative;
    }

    fn place(&self, row: usize, class: usize, part: usize, sum: Sum) -> Option<usize> {
        assert!(row < self.rows && class < self.classes, "row {row}, class {class} outside the cotangent");
        Some((row * self.classes + class) * self.request.columns() + self.request.column(part, sum)?)
    }

    /// All derivatives, `[row][class][column]`, in the order of the columns of the [`Request`].
    pub fn as_slice(&self) -> &[f64] {
        &self.derivatives
    }

    /// All derivatives, to read back what was stored or sent.
    pub fn as_mut_slice(&mut self) -> &mut [f64] {
        &mut self.derivatives
    }

    /// Makes the one row that all samples share a row for each of `rows` samples; none where there are none.
    pub(crate) fn spread(&mut self, rows: usize) {
        let stride = self.derivatives.len();
        self.derivatives.resize(rows * stride, 0.0);
        for row in 1..rows {
            self.derivatives.copy_within(..stride, row * stride);
        }
        self.rows = rows;
    }

    /// Adds another cotangent of the same table. A row that the other one's samples share is added to each.
    ///
    /// # Panics
    /// If they do not belong together.
    pub(crate) fn add_from(&mut self, other: &Self) {
        assert!(self.classes == other.classes && self.request == other.request, "cotangents of one table");
        let stride = (self.classes * self.request.columns()).max(1);
        for (row, into) in self.derivatives.chunks_exact_mut(stride).enumerate() {
            let from = &other.derivatives[other.row(row) * stride..][..stride];
            into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
        }
    }

    /// Multiplies the derivatives of each value by a number that depends on it; 0 makes them 0 whatever they are.
    pub(crate) fn scale_by_value(&mut self, values: &[f64], slope: impl Fn(f64) -> f64) {
        let columns = self.request.columns().max(1);
        for (place, derivatives) in self.derivatives.chunks_exact_mut(columns).enumerate() {
            let (row, class) = (place / self.classes, place % self.classes);
            let slope = self.values.place(row, class, self.classes).map_or(0.0, |place| slope(values[place]));
            let scale = |derivative: &mut f64| *derivative = if slope == 0.0 { 0.0 } else { slope * *derivative };
            derivatives.iter_mut().for_each(scale);
        }
    }

    /// Checks that the cotangent and the `upstream` gradients belong to a prediction of `samples` × `classes`.
    ///
    /// # Errors
    /// [`Error::StatisticsMismatch`], [`Error::Length`].
    pub fn check(&self, samples: usize, classes: usize, upstream: &[f64]) -> Result<(), Error> {
        let mismatch = |what, expected, found| Err(Error::StatisticsMismatch { what, expected, found });
        if self.classes != classes {
            return mismatch("classes of the cotangent", classes, self.classes);
        }
        if self.rows != 1 && self.rows != samples {
            return mismatch("rows of the cotangent", samples, self.rows);
        }
        if upstream.len() != 1 && upstream.len() != self.values() {
            return Err(Error::Length { what: "upstream gradient", expected: self.values(), found: upstream.len() });
        }
        Ok(())
    }

    /// The upstream gradient of the value that a class of a row belongs to: `upstream` holds one number, or one per value.
    ///
    /// # Panics
    /// If `upstream` is shorter than that.
    pub fn upstream(&self, row: usize, class: usize, upstream: &[f64]) -> f64 {
        if upstream.len() == 1 {
            return upstream[0];
        }
        self.values.place(row, class, self.classes).map_or(0.0, |place| upstream[place])
    }
}

/// What a head says of one class of one group, for people.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClassReport {
    /// T, the target's volume in voxels.
    pub target: f64,
    /// S, the prediction's volume in voxels.
    pub prediction: f64,
    /// I, the intersection in voxels.
    pub intersection: f64,
    /// The weight of the class in the loss, 0 if the class is left out.
    pub weight: f64,
    /// The soft Dice of the class, 2I/(S+T); NaN if both are empty.
    #[cfg_attr(feature = "serde", serde(with = "number_or_none"))]
    pub dice: f64,
    /// The part of the group's loss, from 0 to 1, that comes from this class.
    pub share: f64,
}

impl ClassReport {
    /// Nothing is known of the class.
    pub const NONE: Self =
        Self { target: 0.0, prediction: 0.0, intersection: 0.0, weight: 0.0, dice: f64::NAN, share: 0.0 };

    fn numbers(&mut self) -> [&mut f64; 6] {
        let Self { target, prediction, intersection, weight, dice, share } = self;
        [target, prediction, intersection, weight, dice, share]
    }
}

/// Value, report and derivative of a loss. By default it is empty, to be filled by
/// [`LossHead::evaluate_into`](crate::LossHead::evaluate_into).
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    /// The loss: one number for a mean or a sum, else one per group, or one per group and class.
    pub values: Vec<f64>,
    /// Per group and class, `[row][class]`, as many rows as the cotangent has.
    pub classes: Vec<ClassReport>,
    /// The derivative with respect to the sums.
    pub cotangent: Cotangent,
    /// Whether [`reset`](Self::reset) was called since a head was last asked.
    is_reset: bool,
    /// What a compound evaluates its terms in.
    pub(crate) room: Option<Box<Self>>,
}

/// A NaN as nothing, for formats that have none.
#[cfg(feature = "serde")]
mod number_or_none {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Some(number).filter(|number| !number.is_nan()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// Equal are what heads have made, whatever buffers they have made it in.
impl PartialEq for Evaluation {
    fn eq(&self, other: &Self) -> bool {
        (&self.values, &self.classes, &self.cotangent) == (&other.values, &other.classes, &other.cotangent)
    }
}

impl Evaluation {
    /// The loss; the sum of the values if there are several.
    pub fn value(&self) -> f64 {
        let sum: f64 = self.values.iter().sum();
        if sum.is_nan() { f64::NAN } else { sum }
    }

    /// Makes room for `rows` groups and so many `values`, all zero, reusing the buffers.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::OutOfMemory`]; the evaluation is then as it was.
    pub fn reset(&mut self, request: &Request, rows: usize, classes: usize, values: Values) -> Result<(), Error> {
        let reports = table_len("reports", &[rows, classes], size_of::<ClassReport>())?;
        reserve("reports", &mut self.classes, reports)?;
        reserve("values", &mut self.values, values.len(rows, classes))?;
        self.cotangent.reset(request, rows, classes, values)?;
        self.values.clear();
        self.values.resize(values.len(rows, classes), 0.0);
        self.classes.clear();
        self.classes.resize(reports, ClassReport::NONE);
        self.is_reset = true;
        Ok(())
    }

    /// Has a head fill it, see [`LossHead::evaluate_into`](crate::LossHead::evaluate_into): what was there before does not pass for
    /// its result, and what it has written belongs to the table.
    ///
    /// # Errors
    /// Those of `head`, and [`Error::Head`].
    pub(crate) fn fill(
        &mut self,
        statistics: &Statistics,
        head: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let was_reset = mem::replace(&mut self.is_reset, false);
        if let Err(error) = head(self) {
            self.is_reset = was_reset;
            return Err(error);
        }
        let Self { values, classes, cotangent, is_reset, .. } = self;
        let fits = cotangent.check(statistics.samples(), statistics.classes(), &[1.0]).is_ok();
        let what = if !*is_reset {
            "it has not reset the evaluation"
        } else if cotangent.request != *statistics.request() || !fits {
            "it has reset the evaluation to another table"
        } else if values.len() != cotangent.values() || classes.len() != cotangent.rows * cotangent.classes {
            "it has changed the number of values or reports"
        } else {
            let derivatives = &mut cotangent.derivatives;
            let reports = classes.iter_mut().flat_map(ClassReport::numbers);
            // The sign of a NaN is that of the CPU that made it, or of an operand.
            values.iter_mut().chain(derivatives).chain(reports).filter(|x| x.is_nan()).for_each(|x| *x = f64::NAN);
            return Ok(());
        };
        self.is_reset = false;
        Err(Error::Head { what })
    }
}
