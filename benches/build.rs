//! Tells the benchmarks what they are built from and with.

use std::path::Path;
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
    // HEAD itself names a branch; every commit adds a line here. A file that is not there would change each time.
    if let Some(log) = line("git", &["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
