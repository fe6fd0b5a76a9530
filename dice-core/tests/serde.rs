//! Losses and reports in a file: what is written is read again, what is left out has its default, and what nobody knows is refused.
#![cfg(feature = "serde")]

use dice_core::ClassReport;
use dice_core::loss::{
    ClassWeights, Compound, CrossEntropy, Focal, GeneralizedDice, SoftDice, Transform, Tversky, WeightMode,
};

#[test]
fn every_preset_is_read_as_it_was_written() {
    for &(name, make) in Compound::PRESETS {
        let loss = make();
        let text = serde_json::to_string(&loss).unwrap();
        assert_eq!(serde_json::from_str::<Compound>(&text).unwrap(), loss, "{name}: {text}");
    }
    let weights = ClassWeights { weights: vec![0.5, 2.0], mode: WeightMode::Normalise };
    let entropy = CrossEntropy { class_weights: weights, ..CrossEntropy::default() };
    let mut loss = SoftDice::squared() + 0.5 * entropy + GeneralizedDice::default();
    loss.terms[0].transform = Transform::Power { exponent: 0.75, least: 1e-7 };
    let text = serde_json::to_string(&loss).unwrap();
    assert_eq!(serde_json::from_str::<Compound>(&text).unwrap(), loss, "{text}");
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = r#"{"terms": [{"loss": {"Tversky": {"false_negatives": 0.7, "false_positives": 0.3}}},
                             {"loss": {"Focal": {}}, "factor": 0.5}]}"#;
    let tversky = Tversky { false_positives: 0.3, false_negatives: 0.7, ..Tversky::default() };
    assert_eq!(serde_json::from_str::<Compound>(text).unwrap(), tversky + 0.5 * Focal::default());
}

#[test]
fn what_nobody_knows_is_refused() {
    for text in [
        r#"{"terms": [{"loss": {"Tversky": {"false_negative": 0.7}}}]}"#,
        r#"{"terms": [{"loss": {"Tversky": {"options": {"smooth": 1.0}}}}]}"#,
        r#"{"terms": [{"loss": {"Tversky": {}}, "weight": 0.5}]}"#,
        r#"{"terms": [{"loss": {"Tversky": {}}, "transform": {"Power": {"exponent": 2.0, "least": 0.0, "most": 1.0}}}]}"#,
        r#"{"terms": [], "reduction": "mean"}"#,
    ] {
        let error = serde_json::from_str::<Compound>(text).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{text}: {error}");
    }
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let report =
        ClassReport { target: 3.0, prediction: 2.5, intersection: 2.0, weight: 1.0, dice: 4.0 / 5.5, share: 0.25 };
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ClassReport>(&text).unwrap(), report);
    // That of an empty class has a NaN, which JSON has not.
    let text = serde_json::to_string(&ClassReport::NONE).unwrap();
    let found = serde_json::from_str::<ClassReport>(&text).unwrap();
    assert!(found.dice.is_nan() && text.contains("\"dice\":null"), "{text}");
}
