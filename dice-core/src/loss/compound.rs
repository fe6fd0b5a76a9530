//! Any loss of this crate as one type, and weighted sums of losses.

use alloc::vec::Vec;
use core::ops::{Add, Mul};

use crate::error::Error;
use crate::evaluation::{ClassReport, Evaluation, Values};
use crate::head::LossHead;
use crate::loss::transform::Transform;
use crate::request::Request;
use crate::statistics::Statistics;

/// Makes the enum of the losses in a list, each named by its file and its type.
macro_rules! any_of {
    ($($(#[$doc:meta])* $file:ident::$loss:ident,)*) => {
        $(use crate::loss::$file::$loss;)*

        /// Any loss of this crate.
        #[derive(Debug, Clone, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[non_exhaustive]
        pub enum Loss {
            $($(#[$doc])* $loss($loss),)*
        }

        $(
            impl From<$loss> for Loss {
                fn from(loss: $loss) -> Self {
                    Self::$loss(loss)
                }
            }

            impl From<$loss> for Compound {
                fn from(loss: $loss) -> Self {
                    Loss::from(loss).into()
                }
            }

            impl<L: Into<Compound>> Add<L> for $loss {
                type Output = Compound;

                fn add(self, other: L) -> Compound {
                    Compound::from(self) + other
                }
            }

            impl Mul<$loss> for f64 {
                type Output = Compound;

                fn mul(self, loss: $loss) -> Compound {
                    self * Compound::from(loss)
                }
            }
        )*

        impl LossHead for Loss {
            fn require(&self, request: &mut Request) {
                match self {
                    $(Self::$loss(loss) => loss.require(request),)*
                }
            }

            fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
                match self {
                    $(Self::$loss(loss) => loss.differentiate(statistics, evaluation),)*
                }
            }
        }
    };
}

losses!(any_of);

/// A loss with a factor.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Term<H = Loss> {
    /// The loss.
    pub loss: H,
    /// What becomes of its values.
    #[cfg_attr(feature = "serde", serde(default))]
    pub transform: Transform,
    /// From 1e-30 to 1e30 in absolute value, or 0: the term is then left out, value and gradient.
    #[cfg_attr(feature = "serde", serde(default = "one"))]
    pub factor: f64,
}

/// The factor of a term that says none.
#[cfg(feature = "serde")]
fn one() -> f64 {
    1.0
}

impl<H> Term<H> {
    /// The loss as it is.
    pub fn new(loss: H) -> Self {
        Self { loss, transform: Transform::Identity, factor: 1.0 }
    }
}

/// A weighted sum of losses, each with its own activation, grouping, weights and background. All of them share one pass over the
/// voxels for the statistics and one for the gradient.
///
/// Terms that have several values, per group or per class, must all have as many. The reports are those of the first term.
/// Losses add and are multiplied: `SoftDice::default() + 0.5 * CrossEntropy::default()`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Compound<H = Loss> {
    /// The losses with their factors.
    pub terms: Vec<Term<H>>,
}

impl<H> Compound<H> {
    /// One loss with a transform of its value.
    pub fn transformed(loss: impl Into<H>, transform: Transform) -> Self {
        Self { terms: [Term { transform, ..Term::new(loss.into()) }].into() }
    }
}

impl Default for Compound {
    /// Soft Dice and cross-entropy: what to take if nothing speaks for another loss. Of all that were tried (docs/study.md) it
    /// is among the best everywhere, with normalisation in the network and without.
    fn default() -> Self {
        SoftDice::default() + CrossEntropy::default()
    }
}

impl<H> From<H> for Compound<H> {
    fn from(loss: H) -> Self {
        Self { terms: [Term::new(loss)].into() }
    }
}

impl<H, L: Into<Compound<H>>> Add<L> for Compound<H> {
    type Output = Self;

    fn add(mut self, other: L) -> Self {
        self.terms.extend(other.into().terms);
        self
    }
}

impl<H> Mul<Compound<H>> for f64 {
    type Output = Compound<H>;

    fn mul(self, mut loss: Compound<H>) -> Compound<H> {
        loss.terms.iter_mut().for_each(|term| term.factor *= self);
        loss
    }
}

impl<H: LossHead> LossHead for Compound<H> {
    fn require(&self, request: &mut Request) {
        self.terms.iter().for_each(|term| term.loss.require(request));
    }

    fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        for Term { transform, factor, .. } in &self.terms {
            transform.check()?;
            if *factor != 0.0 && !(1e-30..=1e30).contains(&factor.abs()) {
                let requirement = "0, or from 1e-30 to 1e30 in absolute value";
                return Err(Error::InvalidParameter { name: "factor", value: *factor, requirement });
            }
        }
        let Some((first, others)) = self.terms.split_first() else {
            evaluation.reset(statistics.request(), 1, statistics.classes(), Values::One)?;
            return Ok(());
        };
        evaluate_term(first, statistics, evaluation)?;
        if others.is_empty() {
            return Ok(());
        }
        let mut room = evaluation.room.take().unwrap_or_default();
        let sum = others.iter().try_for_each(|term| {
            evaluate_term(term, statistics, &mut room)?;
            add(evaluation, &room)
        });
        evaluation.room = Some(room);
        sum
    }
}

/// The term with its transform and its factor.
fn evaluate_term<H: LossHead>(
    term: &Term<H>,
    statistics: &Statistics,
    evaluation: &mut Evaluation,
) -> Result<(), Error> {
    let Term { loss, transform, factor } = term;
    loss.evaluate_into(statistics, evaluation)?;
    if *factor == 0.0 {
        evaluation.values.fill(0.0);
        evaluation.cotangent.as_mut_slice().fill(0.0);
        return Ok(());
    }
    if *transform != Transform::Identity || *factor != 1.0 {
        let slope = |value: f64| factor * transform.apply(value).1;
        evaluation.cotangent.scale_by_value(&evaluation.values, slope);
        evaluation.values.iter_mut().for_each(|value| *value = factor * transform.apply(*value).0);
    }
    Ok(())
}

/// Adds another term to those so far.
fn add(evaluation: &mut Evaluation, other: &Evaluation) -> Result<(), Error> {
    let (expected, found) = (evaluation.values.len(), other.values.len());
    let kinds = [&*evaluation, other].map(|term| term.cotangent.kind_of_values());
    if kinds[0] != kinds[1] || expected != found {
        return Err(Error::StatisticsMismatch { what: "values of each term of a compound", expected, found });
    }
    evaluation.values.iter_mut().zip(&other.values).for_each(|(into, from)| *into += from);
    let (rows, classes) = (other.cotangent.rows(), other.cotangent.classes());
    if evaluation.cotangent.rows() == 1 {
        // All samples share the row, if there are any, and the report of each is that of the group.
        evaluation.cotangent.spread(rows);
        evaluation.classes.resize(rows * classes, ClassReport::NONE);
        for row in 1..rows {
            evaluation.classes.copy_within(..classes, row * classes);
        }
    }
    evaluation.cotangent.add_from(&other.cotangent);
    Ok(())
}
