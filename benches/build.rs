//! Tells the benchmarks what they are built from and with.

use std::process::Command;

fn main() {
    let line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let compiler = line(&std::env::var("RUSTC").unwrap_or("rustc".to_owned()), &["--version"]);
    let revision = line("git", &["rev-parse", "--short=12", "HEAD"]);
    println!("cargo::rustc-env=DICE_COMPILER={}", compiler.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=DICE_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=build.rs");
}
