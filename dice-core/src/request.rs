//! What a head needs of the statistics pass, and where a table holds it.

use alloc::vec::Vec;
use core::ops::Range;

use crate::activation::Activation;
use crate::error::Error;

/// A sum over the voxels of a sample, per class. m is the weight of a voxel, p its probability, g its target, γ the exponent of
/// the class, which is 0 where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Sum {
    /// T = Σ m g, the target's volume in voxels.
    Target,
    /// T2 = Σ m g².
    TargetSquares,
    /// Σ m over the voxels where g is 1 exactly.
    TargetOnes,
    /// S = Σ m p, the prediction's volume in voxels.
    Prediction,
    /// I = Σ m p g, the intersection in voxels.
    Intersection,
    /// S2 = Σ m p².
    PredictionSquares,
    /// A = Σ m |p − g|.
    Difference,
    /// F⁺ = Σ m g (1 − p)^γ (−ln p): cross-entropy and focal loss of the voxels that belong to the class.
    LogInside,
    /// F⁻ = Σ m (1 − g) p^γ (−ln(1 − p)): the same of those that do not. Not under a softmax.
    LogOutside,
    /// U = −Σ m ln p, whatever the target: label smoothing.
    LogEverywhere,
    /// −Σ m ln(1 − p), whatever the target. Not under a softmax.
    LogComplement,
    /// W = Σ m Σ_c `M[k][c]` p_c over the voxels whose label is the class k, with the costs M. Of labels only.
    Cost,
}

impl Sum {
    /// Every sum, in the order in which a table holds them.
    pub const ALL: [Self; 12] = [
        Self::Target,
        Self::TargetSquares,
        Self::TargetOnes,
        Self::Prediction,
        Self::Intersection,
        Self::PredictionSquares,
        Self::Difference,
        Self::LogInside,
        Self::LogOutside,
        Self::LogEverywhere,
        Self::LogComplement,
        Self::Cost,
    ];
}

/// A set of [`Sum`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums(u32);

impl Sums {
    /// No sum.
    pub const NONE: Self = Self(0);
    /// Target, prediction and intersection: what every overlap ratio is made of.
    pub const OVERLAP: Self = Self::NONE.with(Sum::Target).with(Sum::Prediction).with(Sum::Intersection);
    /// Those of the target alone, the same under every activation.
    pub const OF_TARGET: Self = Self::NONE.with(Sum::Target).with(Sum::TargetSquares).with(Sum::TargetOnes);
    /// Those with a logarithm of the probability.
    pub const LOGS: Self =
        Self::NONE.with(Sum::LogInside).with(Sum::LogOutside).with(Sum::LogEverywhere).with(Sum::LogComplement);
    /// Those whose logarithm is weighted by a power.
    pub const POWERS: Self = Self::NONE.with(Sum::LogInside).with(Sum::LogOutside);
    /// Those with ln(1 − p).
    pub const COMPLEMENTS: Self = Self::NONE.with(Sum::LogOutside).with(Sum::LogComplement);

    /// The set with `sum` in it.
    #[must_use]
    pub const fn with(self, sum: Sum) -> Self {
        Self(self.0 | 1 << sum as u32)
    }

    /// The sums of either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The sums of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The sums that `other` has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `sum` is in the set.
    pub const fn contains(self, sum: Sum) -> bool {
        self.0 & 1 << sum as u32 != 0
    }

    /// Whether every sum of `other` is in the set.
    pub const fn contains_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The number of sums in the set.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The place of `sum` among the sums of the set, if it is in it.
    pub const fn position(self, sum: Sum) -> Option<usize> {
        if self.contains(sum) { Some((self.0 & ((1 << sum as u32) - 1)).count_ones() as usize) } else { None }
    }

    /// The sums in the order of [`Sum::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Sum> {
        Sum::ALL.into_iter().filter(move |&sum| self.contains(sum))
    }
}

/// What one term of a loss asks for: sums under one activation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Needs<'a> {
    /// How logits become probabilities.
    pub activation: Activation,
    /// The sums to take.
    pub sums: Sums,
    /// γ of the [powers](Sums::POWERS): none is 0, one is that of every class, or one per class; from 0 to
    /// [`GREATEST_EXPONENT`](Request::GREATEST_EXPONENT).
    pub exponents: &'a [f64],
    /// M of [`Sum::Cost`], `[true class][predicted class]`.
    pub costs: &'a [f64],
}

impl Needs<'_> {
    /// `sums` under `activation`.
    pub fn new(activation: Activation, sums: Sums) -> Self {
        Self { activation, sums, exponents: &[], costs: &[] }
    }
}

/// The sums under one activation.
#[derive(Debug, Clone, PartialEq, Default)]
struct Part {
    activation: Activation,
    /// None [of the target](Sums::OF_TARGET).
    sums: Sums,
    /// Where γ stands among the numbers.
    exponents: Range<usize>,
    /// Where M stands.
    costs: Range<usize>,
}

/// What the heads of a loss need of the statistics pass together; by default no sums at all.
///
/// It has a *part* per activation, or several where exponents or costs differ: terms of a compound that ask for the same share
/// it. All parts are summed in one pass over the voxels. The columns of a table are the sums [of the target](Sums::OF_TARGET),
/// then those of part after part, each in the order of [`Sum::ALL`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    of_target: Sums,
    parts: Vec<Part>,
    numbers: Vec<f64>,
}

impl Request {
    /// Exponents of a focal loss are at most this.
    pub const GREATEST_EXPONENT: f64 = 100.0;

    /// The sums that `needs` asks for.
    pub fn new(needs: &Needs<'_>) -> Self {
        let mut request = Self::default();
        request.add(needs);
        request
    }

    /// Target, prediction and intersection under `activation`.
    pub fn overlap(activation: Activation) -> Self {
        Self::new(&Needs::new(activation, Sums::OVERLAP))
    }

    /// Asks for nothing, reusing the buffers.
    pub fn clear(&mut self) {
        self.of_target = Sums::NONE;
        self.parts.clear();
        self.numbers.clear();
    }

    /// Makes it equal to `other`, reusing the buffers.
    pub fn copy(&mut self, other: &Self) {
        self.of_target = other.of_target;
        self.parts.clone_from(&other.parts);
        self.numbers.clone_from(&other.numbers);
    }

    /// Asks for more, in a part that there is if it has the same activation, and exponents and costs that do not contradict.
    pub fn add(&mut self, needs: &Needs<'_>) {
        self.of_target = self.of_target.or(needs.sums.and(Sums::OF_TARGET));
        let sums = needs.sums.without(Sums::OF_TARGET);
        let agrees = |part: &Part| {
            part.activation == needs.activation
                && (part.sums.and(Sums::POWERS).is_empty()
                    || sums.and(Sums::POWERS).is_empty()
                    || self.numbers[part.exponents.clone()] == *needs.exponents)
                && (!part.sums.contains(Sum::Cost)
                    || !sums.contains(Sum::Cost)
                    || self.numbers[part.costs.clone()] == *needs.costs)
        };
        let place = self.parts.iter().position(agrees).unwrap_or_else(|| {
            self.parts.push(Part { activation: needs.activation, ..Part::default() });
            self.parts.len() - 1
        });
        let part = &mut self.parts[place];
        let mut keep = |numbers: &[f64]| {
            let start = self.numbers.len();
            self.numbers.extend_from_slice(numbers);
            start..self.numbers.len()
        };
        if part.sums.and(Sums::POWERS).is_empty() && !sums.and(Sums::POWERS).is_empty() {
            part.exponents = keep(needs.exponents);
        }
        if !part.sums.contains(Sum::Cost) && sums.contains(Sum::Cost) {
            part.costs = keep(needs.costs);
        }
        part.sums = part.sums.or(sums);
    }

    /// The part that holds what `needs` asks for.
    ///
    /// # Errors
    /// [`Error::OtherSums`] if none does.
    pub fn find(&self, needs: &Needs<'_>) -> Result<usize, Error> {
        let sums = needs.sums.without(Sums::OF_TARGET);
        let holds = |part: &Part| {
            part.activation == needs.activation
                && part.sums.contains_all(sums)
                && (sums.and(Sums::POWERS).is_empty() || self.numbers[part.exponents.clone()] == *needs.exponents)
                && (!sums.contains(Sum::Cost) || self.numbers[part.costs.clone()] == *needs.costs)
        };
        let found =
            self.parts.iter().position(holds).filter(|_| self.of_target.contains_all(needs.sums.and(Sums::OF_TARGET)));
        found.ok_or(Error::OtherSums { what: "the table" })
    }

    /// The sums of the target alone.
    pub fn of_target(&self) -> Sums {
        self.of_target
    }

    /// The number of parts.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// What a part holds, the sums of the target apart.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn part(&self, part: usize) -> Needs<'_> {
        let Part { activation, sums, exponents, costs } = &self.parts[part];
        Needs {
            activation: *activation,
            sums: *sums,
            exponents: &self.numbers[exponents.clone()],
            costs: &self.numbers[costs.clone()],
        }
    }

    /// The columns of a table: sums per class.
    pub fn columns(&self) -> usize {
        self.of_target.len() + self.parts.iter().map(|part| part.sums.len()).sum::<usize>()
    }

    /// The column of a sum of a part; that of a sum [of the target](Sums::OF_TARGET), whatever the part.
    pub fn column(&self, part: usize, sum: Sum) -> Option<usize> {
        if Sums::OF_TARGET.contains(sum) {
            return self.of_target.position(sum);
        }
        let before = self.parts.iter().take(part).map(|part| part.sums.len()).sum::<usize>();
        Some(self.of_target.len() + before + self.parts.get(part)?.sums.position(sum)?)
    }

    /// Checks that the request can be met for a prediction of `classes` classes, with `labels` as target or a dense one.
    ///
    /// # Errors
    /// [`Error::OneChannelSoftmax`]; [`Error::Length`] and [`Error::InvalidParameter`] of exponents and costs;
    /// [`Error::UnsupportedSum`].
    pub fn check(&self, classes: usize, labels: bool) -> Result<(), Error> {
        for part in 0..self.parts() {
            let Needs { activation, sums, exponents, costs } = self.part(part);
            if classes == 1 && activation == Activation::Softmax {
                return Err(Error::OneChannelSoftmax);
            }
            if exponents.len() > 1 && exponents.len() != classes {
                return Err(Error::Length { what: "exponents", expected: classes, found: exponents.len() });
            }
            if let Some(&value) = exponents.iter().find(|value| !(0.0..=Self::GREATEST_EXPONENT).contains(*value)) {
                return Err(Error::InvalidParameter { name: "exponent", value, requirement: "from 0 to 100" });
            }
            if !sums.and(Sums::COMPLEMENTS).is_empty() && activation == Activation::Softmax {
                return Err(Error::UnsupportedSum { what: "ln(1 - p) under a softmax" });
            }
            if sums.contains(Sum::Cost) {
                if !labels {
                    return Err(Error::UnsupportedSum { what: "costs of a dense target" });
                }
                if Some(costs.len()) != classes.checked_mul(classes) {
                    let expected = classes.saturating_mul(classes);
                    return Err(Error::Length { what: "costs", expected, found: costs.len() });
                }
                if let Some(&value) = costs.iter().find(|&&cost| cost != 0.0 && !(1e-30..=1e30).contains(&cost)) {
                    return Err(Error::InvalidParameter {
                        name: "cost",
                        value,
                        requirement: "0, or from 1e-30 to 1e30",
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_places_in_their_set() {
        let sums = Sums::NONE.with(Sum::Intersection).with(Sum::Target);
        assert_eq!(sums.len(), 2);
        assert_eq!(sums.position(Sum::Target), Some(0));
        assert_eq!(sums.position(Sum::Prediction), None);
        assert_eq!(sums.position(Sum::Intersection), Some(1));
        assert!(sums.iter().eq([Sum::Target, Sum::Intersection]));
        assert_eq!(Sum::ALL.into_iter().fold(Sums::NONE, Sums::with).len(), Sum::ALL.len());
    }

    #[test]
    fn terms_share_a_part_unless_they_contradict() {
        let logs = Sums::NONE.with(Sum::LogInside).with(Sum::Target);
        let overlap = Needs::new(Activation::Softmax, Sums::OVERLAP);
        let cross_entropy = Needs::new(Activation::Softmax, logs);
        let focal = Needs { exponents: &[2.0], ..cross_entropy };
        let sigmoid = Needs { activation: Activation::Sigmoid, ..focal };
        let mut request = Request::new(&overlap);
        request.add(&focal);
        assert_eq!((request.parts(), request.columns()), (1, 4));
        request.add(&cross_entropy);
        assert_eq!((request.parts(), request.columns()), (2, 5));
        request.add(&sigmoid);
        request.add(&focal);
        request.add(&overlap);
        assert_eq!((request.parts(), request.columns()), (3, 6));
        assert_eq!(
            [&overlap, &focal, &cross_entropy, &sigmoid].map(|needs| request.find(needs).unwrap()),
            [0, 0, 1, 2]
        );
        assert_eq!(request.column(0, Sum::LogInside), Some(3));
        assert_eq!(request.column(1, Sum::LogInside), Some(4));
        assert_eq!(request.column(2, Sum::Target), Some(0));
        assert_eq!(request.column(1, Sum::Prediction), None);
        assert_eq!(request.part(2), Needs { sums: logs.without(Sums::OF_TARGET), ..sigmoid });
        assert!(request.find(&Needs { exponents: &[1.0], ..focal }).is_err());
        assert!(request.check(3, true).is_ok());
    }

    #[test]
    fn what_cannot_be_met_is_refused() {
        let of = |needs: Needs<'_>, labels| Request::new(&needs).check(3, labels);
        let logs = Needs::new(Activation::Sigmoid, Sums::LOGS);
        assert!(of(logs, false).is_ok());
        assert!(matches!(
            of(Needs { activation: Activation::Softmax, ..logs }, true),
            Err(Error::UnsupportedSum { .. })
        ));
        assert!(matches!(of(Needs { exponents: &[1.0, 2.0], ..logs }, true), Err(Error::Length { .. })));
        assert!(matches!(of(Needs { exponents: &[-1.0], ..logs }, true), Err(Error::InvalidParameter { .. })));
        let cost = Needs { costs: &[0.0; 9], ..Needs::new(Activation::Softmax, Sums::NONE.with(Sum::Cost)) };
        assert!(of(cost, true).is_ok());
        assert!(matches!(of(cost, false), Err(Error::UnsupportedSum { .. })));
        assert!(matches!(of(Needs { costs: &[0.0; 4], ..cost }, true), Err(Error::Length { .. })));
        assert!(matches!(of(Needs { costs: &[f64::NAN; 9], ..cost }, true), Err(Error::InvalidParameter { .. })));
    }
}
