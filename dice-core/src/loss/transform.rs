//! What may become of a value of a loss, on top of its formula.

use crate::error::Error;

/// A function of a value L of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub enum Transform {
    /// L.
    #[default]
    Identity,
    /// −ln(score) with the score 1 − L, which counts as at least `least` > 0; where it is less, the slope is 0.
    NegativeLog {
        /// The least score.
        least: f64,
    },
    /// (−ln score)^e, the power of [`NegativeLog`](Self::NegativeLog): the exponential logarithmic loss (Wong et al. 2018, "3D
    /// segmentation with exponential logarithmic loss for highly unbalanced object sizes"). At the score 1 the slope is 0 unless
    /// e = 1, though that of e < 1 is infinite there.
    PowerOfNegativeLog {
        /// The least score.
        least: f64,
        /// e > 0.
        exponent: f64,
    },
    /// L^e (of a negative L that of 0, unless e = 1), e > 0. Its slope is that at no less than `least`, where that of e < 1 is infinite at 0;
    /// with `least` = 0 the slope at 0 is 0 then.
    Power {
        /// e.
        exponent: f64,
        /// The least L that the slope is taken at.
        least: f64,
    },
    /// ln cosh L (Jadon 2020, "A survey of loss functions for semantic segmentation").
    LogCosh,
    /// L − 1, minus the score (nnU-Net).
    NegativeScore,
}

impl Transform {
    /// The transformed value, and its derivative by `value`.
    pub fn apply(self, value: f64) -> (f64, f64) {
        match self {
            Self::Identity => (value, 1.0),
            Self::NegativeLog { least } => {
                let score = 1.0 - value;
                if score < least { (-libm::log(least), 0.0) } else { (-libm::log(score), 1.0 / score) }
            }
            Self::PowerOfNegativeLog { least, exponent } => {
                let (value, by_score) = Self::NegativeLog { least }.apply(value);
                let (value, slope) = power(value, exponent, 0.0);
                (value, slope * by_score)
            }
            Self::Power { exponent, least } => power(value, exponent, least),
            // Of a large |L|, cosh L = e^|L| / 2 for all that an f64 can tell, and would overflow.
            Self::LogCosh => {
                let size = value.abs();
                (size + libm::log1p(libm::exp(-2.0 * size)) - core::f64::consts::LN_2, libm::tanh(value))
            }
            Self::NegativeScore => (value - 1.0, 1.0),
        }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn check(self) -> Result<(), Error> {
        let exponents = 0.01..=100.0;
        let from_to = |name, value: f64, range: core::ops::RangeInclusive<f64>, requirement| {
            if range.contains(&value) { Ok(()) } else { Err(Error::InvalidParameter { name, value, requirement }) }
        };
        match self {
            Self::NegativeLog { least } => from_to("least score", least, 1e-30..=1.0, "from 1e-30 to 1"),
            Self::PowerOfNegativeLog { least, exponent } => {
                from_to("least score", least, 1e-30..=1.0, "from 1e-30 to 1")?;
                from_to("exponent", exponent, exponents, "from 0.01 to 100")
            }
            Self::Power { exponent, least } => {
                from_to("exponent", exponent, exponents, "from 0.01 to 100")?;
                from_to("least value", least, 0.0..=1.0, "from 0 to 1")
            }
            Self::Identity | Self::LogCosh | Self::NegativeScore => Ok(()),
        }
    }
}

/// See [`Transform::Power`].
pub(super) fn power(value: f64, exponent: f64, least: f64) -> (f64, f64) {
    if value.is_nan() {
        return (value, value);
    }
    if exponent == 1.0 {
        return (value, 1.0);
    }
    let base = value.max(0.0);
    // Below it the slope of e < 1 would leave the range in which products stay finite.
    let at = base.max(least);
    let slope = if at < 1e-30 { 0.0 } else { exponent * libm::pow(at, exponent - 1.0) };
    (libm::pow(base, exponent), if value < 0.0 { 0.0 } else { slope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_values() {
        let transforms = [
            Transform::Identity,
            Transform::NegativeLog { least: 1e-7 },
            Transform::PowerOfNegativeLog { least: 1e-7, exponent: 0.3 },
            Transform::Power { exponent: 0.75, least: 1e-7 },
            Transform::Power { exponent: 2.0, least: 0.0 },
            Transform::LogCosh,
            Transform::NegativeScore,
        ];
        for transform in transforms {
            transform.check().unwrap();
            for value in [0.02, 0.3, 0.9] {
                let step = 1e-6;
                let difference = (transform.apply(value + step).0 - transform.apply(value - step).0) / (2.0 * step);
                let (_, slope) = transform.apply(value);
                assert!((difference - slope).abs() < 1e-8 * (1.0 + slope.abs()), "{transform:?} at {value}");
            }
        }
    }

    #[test]
    fn every_value_stays_finite() {
        for value in [-1e30, -1.0, 0.0, 1e-300, 1.0, 1.5, 1e30] {
            for transform in [
                Transform::NegativeLog { least: 1e-7 },
                Transform::PowerOfNegativeLog { least: 1e-7, exponent: 0.3 },
                Transform::Power { exponent: 0.5, least: 0.0 },
                Transform::Power { exponent: 0.75, least: 1e-7 },
                Transform::LogCosh,
            ] {
                let (result, slope) = transform.apply(value);
                assert!(result.is_finite() && slope.is_finite(), "{transform:?} at {value}: {result}, {slope}");
            }
        }
        assert_eq!(Transform::NegativeLog { least: 1e-7 }.apply(1.0), (-libm::log(1e-7), 0.0));
        assert_eq!(Transform::Power { exponent: 0.5, least: 0.0 }.apply(0.0), (0.0, 0.0));
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Transform::NegativeLog { least: 0.0 }.check().is_err());
        assert!(Transform::PowerOfNegativeLog { least: 0.0, exponent: 1.0 }.check().is_err());
        assert!(Transform::PowerOfNegativeLog { least: 0.1, exponent: 0.0 }.check().is_err());
        assert!(Transform::Power { exponent: 0.0, least: 0.0 }.check().is_err());
        assert!(Transform::Power { exponent: 1.0, least: f64::NAN }.check().is_err());
    }
}
