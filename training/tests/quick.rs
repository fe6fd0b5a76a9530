//! The quick form of the study: the question's loss fails, this library's default and Dice with cross-entropy do not.

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

/// In the toy of the answer, after 300 steps.
#[test]
fn digits() -> Result<(), Box<dyn Error>> {
    let [(question, failed), (default, learnt), (both, learnt_too)] = &results(&["digits", "--quick"])?[..] else {
        panic!("three losses");
    };
    assert_eq!([question, default, both], ["batch_pooled", "default", "dice_ce"]);
    assert!(*failed < 0.15, "{question}: {failed}");
    assert!(*learnt > 0.35, "{default}: {learnt}");
    assert!(*learnt_too > 0.35, "{both}: {learnt_too}");
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
