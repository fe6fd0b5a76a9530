//! The logarithm, exp − 1 and the powers of the f64 kernels, against those computed in pairs of f64 numbers; equal bits on the
//! exact levels.

mod common;

use common::pair::{self, Pair, error_of, power_of_two};
use common::tolerance::Elementary;
use common::{Level, Random, per_level, rounds};
use dice_simd::{Isa, exp_m1_nonpositive_f64, ln_1p_unit_f64, ln_positive_f64, pow_unit_f64};

/// The pairs give the digits that are known.
#[test]
fn known_values() {
    let near = |found: Pair, high: f64, low: f64| {
        assert_eq!(found.0, high);
        assert!((found.1 - low).abs() <= high.abs() * 1e-21, "{found:?}");
    };
    // ln 2, ln 3, ln(1 + 1/128), exp(−1) − 1 and exp(−1/128) − 1 to 32 digits.
    near(pair::ln(2.0), std::f64::consts::LN_2, 2.319_046_813_846_3e-17);
    near(pair::ln_1p(1.0), std::f64::consts::LN_2, 2.319_046_813_846_3e-17);
    near(pair::ln(3.0), 1.098_612_288_668_109_8, -9.071_297_235_001_53e-17);
    near(pair::ln(1.0 + 1.0 / 128.0), 0.007_782_140_442_054_949, -1.281_917_912_334_384_5e-20);
    near(pair::exp_m1(-1.0), -0.632_120_558_828_557_7, -1.242_875_367_278_836_3e-17);
    near(pair::exp_m1(-1.0 / 128.0), -0.007_782_061_739_756_488, -2.171_849_242_067_691e-19);
}

/// Checks `function` at each x, and that the exact levels agree.
fn check(
    level: &Level,
    (name, bound): (&'static str, f64),
    function: impl Fn(Isa, &[f64], &mut [f64]),
    exact: impl Fn(f64) -> Pair,
    x: &[f64],
) {
    let mut found = vec![f64::NAN; x.len()];
    level.apply(&function, x, &mut found);
    for (&x, &found) in x.iter().zip(&found) {
        let exact = exact(x);
        if exact.0 == 0.0 {
            assert_eq!(found, 0.0, "{name} at {x:e}");
        } else {
            level.within(name, error_of(found, exact), bound, || format!("at {x:e} it is {found:e}"));
        }
    }
    check_bits(level, name, function, x, &found);
}

/// Checks that the exact levels agree.
fn check_bits(level: &Level, name: &str, function: impl Fn(Isa, &[f64], &mut [f64]), x: &[f64], found: &[f64]) {
    if level.isa.is_exact() && level.isa != Isa::Scalar {
        let mut scalar = vec![f64::NAN; x.len()];
        function(Isa::Scalar, x, &mut scalar);
        for ((x, found), scalar) in x.iter().zip(found).zip(&scalar) {
            let equal = found.to_bits() == scalar.to_bits() || (found.is_nan() && scalar.is_nan());
            assert!(equal, "{name} at {x:e} is {found:e}, and {scalar:e} on the scalar level");
        }
    }
}

fn check_ln(level: &Level, x: &[f64]) {
    check(level, ("ln of f64, ULP", Elementary::of_f64(level.isa).ln), ln_positive_f64, pair::ln, x);
}

fn check_ln_1p(level: &Level, e: &[f64]) {
    check(level, ("ln(1 + e) of f64, ULP", Elementary::of_f64(level.isa).ln_1p), ln_1p_unit_f64, pair::ln_1p, e);
}

fn exp_m1(isa: Isa, d: &[f64], less_one: &mut [f64]) {
    exp_m1_nonpositive_f64(isa, d, &mut vec![0.0; d.len()], less_one);
}

fn check_exp_m1(level: &Level, d: &[f64]) {
    check(level, ("exp - 1 of f64, ULP", Elementary::of_f64(level.isa).exp_m1), exp_m1, pair::exp_m1, d);
    // The exponential beside it is the one that is tested by itself.
    let [mut beside, mut alone] = [(); 2].map(|()| vec![f64::NAN; d.len()]);
    exp_m1_nonpositive_f64(level.isa, d, &mut beside, &mut vec![0.0; d.len()]);
    level.exp_f64(d, &mut alone);
    assert_eq!(beside, alone);
}

/// A number of [0, 1).
fn unit(random: &mut Random) -> f64 {
    (random.bits() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number of every size from the least normal one to 1.
fn of_any_size(random: &mut Random) -> f64 {
    (1.0 + unit(random)) * power_of_two(-1 - random.below(1022) as i32)
}

fn random_arguments(level: &Level) {
    let mut random = Random(1);
    let mut draw = |number: &mut dyn FnMut(&mut Random) -> f64| -> Vec<f64> {
        (0..rounds(20_000, 2000)).map(|_| number(&mut random)).collect()
    };
    for _ in 0..rounds(20, 1) {
        check_ln(level, &draw(&mut |r| 0.5 + 1.5 * unit(r)));
        check_ln(level, &draw(&mut |r| 1.0 + (unit(r) - 0.5) * of_any_size(r).powf(0.05)));
        check_ln(level, &draw(&mut of_any_size));
        check_ln(level, &draw(&mut |r| 1.0 / of_any_size(r)));
        check_ln_1p(level, &draw(&mut unit));
        check_ln_1p(level, &draw(&mut of_any_size));
        check_exp_m1(level, &draw(&mut |r| -unit(r)));
        check_exp_m1(level, &draw(&mut |r| -40.0 * unit(r)));
        check_exp_m1(level, &draw(&mut |r| -of_any_size(r)));
    }
}
per_level!(random_arguments);

/// Around the numbers at which another octave begins, or the polynomial is that of another argument.
fn breakpoints(level: &Level) {
    let around = |edge: f64| -> Vec<f64> { (0..200).map(|i| f64::from_bits(edge.to_bits() + i - 100)).collect() };
    for exponent in (-1021..1023).step_by(rounds(1, 41)) {
        for mantissa in [1.0, 1.5] {
            check_ln(level, &around(mantissa * power_of_two(exponent)));
        }
    }
    check_ln_1p(level, &around(0.5));
    for half in (1..2000).step_by(rounds(1, 41)) {
        let d: Vec<f64> = around(f64::from(half) * 0.5 * std::f64::consts::LN_2).iter().map(|d| -d).collect();
        check_exp_m1(level, &d);
    }
}
per_level!(breakpoints);

fn special_arguments(level: &Level) {
    let check = |name: &str, function: fn(Isa, &[f64], &mut [f64]), special: &[(f64, f64)]| {
        // At every place of a vector, and in lengths that fill none.
        for shift in 0..40 {
            let mut x = vec![1.0; shift];
            x.extend(special.iter().map(|(x, _)| x));
            let mut found = vec![f64::INFINITY; x.len()];
            level.apply(function, &x, &mut found);
            for ((x, expected), found) in special.iter().zip(&found[shift..]) {
                let right = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
                assert!(right, "{name} at {x:e} is {found:e}, not {expected:e}");
            }
            check_bits(level, name, function, &x, &found);
        }
        level.apply(function, &[], &mut []);
    };
    let nan = f64::NAN;
    // ln of the least normal number.
    let least = -708.396_418_532_264_1;
    let ln_2 = std::f64::consts::LN_2;
    let ln_at = [
        (1.0, 0.0),
        (0.0, least),
        (-0.0, least),
        (f64::MIN_POSITIVE, least),
        (5e-324, least),
        (-1.0, least),
        (f64::NEG_INFINITY, least),
        (2.0, ln_2),
        (0.5, -ln_2),
        (f64::MAX, 709.782_712_893_384),
        (f64::INFINITY, nan),
        (nan, nan),
        (-nan, nan),
    ];
    check("ln", ln_positive_f64, &ln_at);
    let ln_1p_at = [(0.0, 0.0), (1.0, ln_2), (1e-17, 1e-17), (5e-324, 5e-324), (nan, nan), (-nan, nan)];
    check("ln(1 + e)", ln_1p_unit_f64, &ln_1p_at);
    let exp_m1_at = [
        (0.0, 0.0),
        (-1e-17, -1e-17),
        (-693.2, -1.0),
        (-1e30, -1.0),
        (f64::NEG_INFINITY, -1.0),
        (nan, nan),
        (-nan, nan),
    ];
    check("exp - 1", exp_m1, &exp_m1_at);
    let pow = |isa: Isa, r: &[f64], power: &mut [f64]| pow_unit_f64(isa, r, 1.5, power);
    check("r^1.5", pow, &[(0.0, 0.0), (1.0, 1.0), (1e-300, 0.0), (nan, nan), (-nan, nan)]);
}
per_level!(special_arguments);

fn powers(level: &Level) {
    let mut random = Random(2);
    let bound = Elementary::of_f64(level.isa).pow;
    for exponent in [1e-3, 0.25, 0.5, 0.75, 1.5, 2.5, 5.0, 10.0, 1e3] {
        let least = (-690.0_f64 / exponent).exp();
        let r =
            (0..rounds(20_000, 2000)).map(|i| if i % 2 == 0 { unit(&mut random) } else { of_any_size(&mut random) });
        let r: Vec<f64> = r.filter(|&r| r > least && r >= f64::MIN_POSITIVE).collect();
        let function = |isa, r: &[f64], power: &mut [f64]| pow_unit_f64(isa, r, exponent, power);
        let mut found = vec![f64::NAN; r.len()];
        level.apply(function, &r, &mut found);
        for (&r, &found) in r.iter().zip(&found) {
            let (n, p) = pair::pow(r, exponent);
            let size = 1.0 + exponent * r.ln().abs();
            let error = error_of(found * power_of_two(-n), p) / size;
            level.within("power of f64, ULP per 1 + |ln|", error, bound, || format!("{r:e}^{exponent} is {found:e}"));
        }
        check_bits(level, "power", function, &r, &found);
    }
}
per_level!(powers);
