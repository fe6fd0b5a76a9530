//! The exponential of the f64 kernels, against one computed in pairs of f64 numbers.

mod common;

use common::pair::{Pair, error_of, exp, power_of_two};
use common::tolerance::{EXP_F64, EXP_F64_PORTABLE};
use common::{Level, Random, per_level, rounds};

/// The error of `found` as exp(d), in units in the last place.
fn error(d: f64, found: f64) -> f64 {
    let (n, p) = exp(d);
    // Exact, as long as the result is normal.
    error_of(found * power_of_two(-n), p)
}

/// The pairs give the digits that are known.
#[test]
fn known_exponentials() {
    // exp(−1) and exp(−0.5) to 32 digits.
    for (d, high, low) in [
        (-1.0, 0.367_879_441_171_442_33, -1.242_875_367_278_836_3e-17),
        (-0.5, 0.606_530_659_712_633_4, -6.593_178_415_491_414e-19),
    ] {
        let (n, p) = exp(d);
        let scale = power_of_two(n);
        let found = Pair::quick(p.0 * scale, p.1 * scale);
        assert_eq!(found.0, high, "exp({d})");
        assert!((found.1 - low).abs() < 1e-23, "exp({d}): {found:?}");
    }
}

/// Arguments of one call and their greatest errors: on [−1, 0] and below.
fn check(level: &Level, d: &[f64]) {
    let mut found = vec![f64::NAN; d.len()];
    level.exp_f64(d, &mut found);
    let (near, far) = if level.isa.is_exact() { EXP_F64 } else { EXP_F64_PORTABLE };
    for (&d, &found) in d.iter().zip(&found) {
        if d < -692.81 {
            assert_eq!(found.to_bits(), 0, "exp({d:e}) is {found:e}, not +0");
        } else if d < -692.79 && found.to_bits() == 0 {
            // round(d / ln 2) is −1000 from here on.
        } else if d >= -1.0 {
            level.within("exp of f64 on [-1, 0], ULP", error(d, found), near, || format!("exp({d:e}) is {found:e}"));
        } else {
            level.within("exp of f64 on [-692, 0], ULP", error(d, found), far, || format!("exp({d:e}) is {found:e}"));
        }
    }
}

fn random_arguments(level: &Level) {
    let mut random = Random(1);
    let mut uniform = |below: f64| -below * (random.bits() >> 11) as f64 / (1_u64 << 53) as f64;
    for _ in 0..rounds(25, 1) {
        for below in [1.0, 40.0, 700.0] {
            let d: Vec<f64> = (0..rounds(20_000, 2000)).map(|_| uniform(below)).collect();
            check(level, &d);
        }
        // Of every size down to the least.
        let d: Vec<f64> = (0..rounds(4000, 400)).map(|_| uniform(1.0) * (uniform(1070.0) * 0.693).exp()).collect();
        check(level, &d);
    }
}
per_level!(random_arguments);

/// Around the bounds of the reduction, n + 1/2 times ln 2, and around its multiples.
fn breakpoints(level: &Level) {
    for half in (0..2000).step_by(rounds(1, 41)) {
        let edge = f64::from(half) * 0.5 * std::f64::consts::LN_2;
        let first = edge.to_bits().saturating_sub(100);
        let next = (0..200).map(|i| -f64::from_bits(first + i));
        // And a little farther away.
        let around = (0..200).map(|i| -(edge + (f64::from(i) - 100.0) * 1e-6).max(0.0));
        check(level, &next.chain(around).collect::<Vec<f64>>());
    }
}
per_level!(breakpoints);

fn special_arguments(level: &Level) {
    let d =
        [0.0, -0.0, f64::NEG_INFINITY, f64::MIN, -1e30, -745.0, -693.2, -692.81, f64::NAN, -f64::NAN, -1e-320, -1e-17];
    // At every place of a vector, and in lengths that fill none.
    for shift in 0..40 {
        let mut padded = vec![-1.0; shift];
        padded.extend(d);
        let mut found = vec![f64::INFINITY; padded.len()];
        level.exp_f64(&padded, &mut found);
        for (&d, &found) in padded[shift..].iter().zip(&found[shift..]) {
            if d.is_nan() {
                assert!(found.is_nan(), "exp(NaN) is {found}");
            } else {
                let expected: f64 = if d < -1.0 { 0.0 } else { 1.0 };
                assert_eq!(found.to_bits(), expected.to_bits(), "exp({d:e}) is {found:e}");
            }
        }
    }
    level.exp_f64(&[], &mut []);
}
per_level!(special_arguments);
