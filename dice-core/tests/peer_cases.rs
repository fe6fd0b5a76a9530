//! Every recorded case of other libraries, `data/peer_cases.json`: value and gradient, or the reason why not. `peers/record.py` records
//! them.

mod common;
mod peers;

use std::collections::BTreeMap;

use common::{bits, largest};
use peers::{File, Form, Input, REFUSED};

/// Recorded f64 values and ours differ by the order of their sums and by the owners' exp, both near 1e-16; relative to
/// 1 or the value, whichever is more.
const VALUE: f64 = 1e-12;
/// The same for gradients, relative to the largest element or [`LEAST_SCALE`].
const GRADIENT: f64 = 1e-12;
/// A gradient of less is what remains of a difference of probabilities that are nearly sure, and has their roundings.
const LEAST_SCALE: f64 = 1e-6;

/// Where the owner gives NaN or infinity: ours is finite, and what is finite of theirs is compared.
/// [`recorded_values_and_gradients`] holds the list to the file in both directions.
const OWNER_IS_NOT_FINITE: [(&str, &str); 6] = [
    ("gen_torch_ce_none_valid", "0/0, here 0"),
    ("gen_monai_focal_sat_use_softmax=True_gamma=0.5", "the slope at p = 1 with an exponent below 1"),
    ("gen_monai_asymtversky_none_valid", "the slope of a power below 1 at 0"),
    ("gen_smp_focal_multiclass_none_valid_gamma=2", "0/0, here 0"),
    ("gen_smp_focal_sat_gamma=0.5", "the slope at p = 1 with an exponent below 1"),
    ("gen_smp_tversky_perfect_alpha=0.25_beta=0.75_gamma=0.75_from_logits=False", "the slope of a power below 1 at 0"),
];

fn refusal(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(_, names)| names.contains(&name)).map(|(reason, _)| *reason)
}

#[test]
fn every_case_runs_or_is_refused() {
    let file = File::read();
    let mut refused = 0;
    for recorded in file.cases() {
        let name = recorded.name();
        match (recorded.translate(), refusal(name)) {
            (Ok(_), Some(reason)) => panic!("{name} is refused ({reason}) but can be expressed"),
            (Err(lack), None) => panic!("{name} neither runs nor is refused: {lack}"),
            (Err(_), Some(_)) => refused += 1,
            (Ok(_), None) => {}
        }
        let owner = recorded.owner();
        assert!(file.meta()["licences"][owner].is_string(), "{name}: no licence of {owner}");
    }
    let listed: usize = REFUSED.iter().map(|(_, names)| names.len()).sum();
    assert_eq!(refused, listed, "names are listed that the file has not, or has twice");
}

#[test]
fn recorded_values_and_gradients() {
    let file = File::read();
    let mut worst: BTreeMap<&str, (usize, f64, f64)> = BTreeMap::new();
    let mut not_finite = 0;
    for recorded in file.cases() {
        let name = recorded.name();
        let Ok(case) = recorded.translate() else { continue };
        let (values, gradient) = case.run(Form::Recorded);
        assert!(values.iter().chain(&gradient).all(|x| x.is_finite()), "{name}: {values:?}, {gradient:?}");

        let (expected, slopes) = recorded.expected();
        let is_listed = OWNER_IS_NOT_FINITE.iter().any(|(listed, _)| *listed == name);
        let is_finite = expected.iter().chain(slopes.iter().flatten()).all(|x| x.is_finite());
        assert_eq!(is_listed, !is_finite, "{name}: listed as not finite, and is");
        not_finite += usize::from(is_listed);
        // Zero where the owner gives no number, or a sum of finite terms.
        let difference = |found: &[f64], expected: &[f64]| -> Vec<f64> {
            assert_eq!(found.len(), expected.len(), "{name}");
            let pairs = found.iter().zip(expected);
            pairs.map(|(a, b)| if b.is_finite() { a - b } else { 0.0 }).collect()
        };
        let finite: Vec<f64> = expected.iter().copied().filter(|x| x.is_finite()).collect();
        let value_error = largest(&difference(&values, &expected)) / largest(&finite).max(1.0);
        assert!(value_error <= VALUE, "{name}: {values:?}, recorded {expected:?}");
        let gradient_error = slopes.map_or(0.0, |slopes| {
            let finite: Vec<f64> = slopes.iter().copied().filter(|x| x.is_finite()).collect();
            largest(&difference(&gradient, &slopes)) / largest(&finite).max(LEAST_SCALE)
        });
        assert!(gradient_error <= GRADIENT, "{name}: gradient is off by {gradient_error:e} of its largest element");
        if let Some((published, relative, absolute)) = recorded.published() {
            for (value, published) in values.iter().zip(&published) {
                assert!(
                    (value - published).abs() <= absolute + relative * published.abs(),
                    "{name}: {value}, {published}"
                );
            }
        }

        // The recorded inputs are exact in f32: reading them as such changes no bit.
        let same = |other: (Vec<f64>, Vec<f64>)| bits(&other.0) == bits(&values) && bits(&other.1) == bits(&gradient);
        assert!(case.input != Input::Plain || same(case.run(Form::Single)), "{name} in f32");
        // A one-hot target and a mask, as the owners have them, are the same.
        assert!(case.is_of_labels_only() || same(case.run(Form::Dense)), "{name} with a dense target");
        let (cases, of_values, of_gradients) = worst.entry(recorded.text("loss")).or_default();
        *cases += 1;
        (*of_values, *of_gradients) = (of_values.max(value_error), of_gradients.max(gradient_error));
    }
    assert_eq!(not_finite, OWNER_IS_NOT_FINITE.len());
    for (loss, (cases, value, gradient)) in &worst {
        println!("{loss}: {cases} cases, values to {value:.1e}, gradients to {gradient:.1e}");
    }
    let [value, gradient] =
        [|x: &(usize, f64, f64)| x.1, |x: &(usize, f64, f64)| x.2].map(|of| worst.values().map(of).fold(0.0, f64::max));
    println!(
        "{} cases, values to {value:.1e}, gradients to {gradient:.1e}",
        worst.values().map(|x| x.0).sum::<usize>()
    );
}
