//! Gives libdice.so its soname, and keeps it loaded: its threads and its fork handler must not lose their code.

use std::env::var;

fn main() {
    let target = var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target == "linux" {
        let [major, minor] =
            ["MAJOR", "MINOR"].map(|part| var(format!("CARGO_PKG_VERSION_{part}")).expect("cargo tells the version"));
        // While the major version is 0, a minor one may break.
        let compatible = if major == "0" { format!("{major}.{minor}") } else { major };
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libdice.so.{compatible}");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
