//! The quick form of the study: the question's loss fails, this library's generalised Dice loss and its default, soft Dice with
//! cross-entropy, do not.

use std::error::Error;
use std::process::Command;

/// The mean Dice of each loss in the last line that `dice-training` prints.
fn results(arguments: &[&str]) -> Result<Vec<(String, f64)>, Box<dyn Error>> {
    let output = Command::new(env!("CARGO_BIN_EXE_dice-training")).args(arguments).output()?;
    let text = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    let line = text.lines().last().and_then(|line| line.strip_prefix("RESULT ")).expect("a last line of results");
    line.split(' ')
        .map(|result| {
            let (name, dice) = result.split_once('=').ok_or("name=dice")?;
            Ok((name.into(), dice.parse()?))
        })
        .collect()
}

/// In the toy of the answer, after 400 steps.
#[test]
fn digits() -> Result<(), Box<dyn Error>> {
    let found = results(&["digits", "--quick"])?;
    let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["batch_pooled", "generalized_dice", "default", "dice_ce"]);
    let dice = |name: &str| found.iter().find(|(known, _)| known == name).map(|&(_, dice)| dice).expect("found above");
    assert!(dice("batch_pooled") < 0.15, "{found:?}");
    assert!(dice("generalized_dice") > 0.35, "{found:?}");
    assert!(dice("default") > 0.35, "{found:?}");
    // One loss of two names.
    assert_eq!(dice("default"), dice("dice_ce"));
    Ok(())
}

/// A loss that is not there is named, beside those that are.
#[test]
fn an_unknown_loss() -> Result<(), Box<dyn Error>> {
    let output = Command::new(env!("CARGO_BIN_EXE_dice-training")).args(["digits", "--losses", "dise"]).output()?;
    let text = String::from_utf8(output.stderr)?;
    assert!(!output.status.success());
    assert!(text.contains("no loss dise") && text.contains("dice_ce"), "{text}");
    Ok(())
}
