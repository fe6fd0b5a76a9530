//! Several reports of `limits` (other CPUs, before and after a change) side by side.

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use dice_bench::report::{self, Report};

/// Compares reports of `limits --json`.
#[derive(Debug, Parser)]
struct Options {
    /// The reports; a file's name without its extension names it.
    #[arg(required = true)]
    reports: Vec<PathBuf>,
    /// Write the table here instead of to standard output.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Draw the shares here.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Only cases of which each of these words is true: value, C4, f32, last, avx2, 2T, brain, dram.
    #[arg(long)]
    only: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut reports = Vec::new();
    for path in &options.reports {
        let mut report = Report::load(path)?;
        report.rows.retain(|row| report::has_words(&row.case, &options.only));
        reports.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), report));
    }
    let table = report::markdown(&reports)?;
    match &options.markdown {
        Some(path) => std::fs::write(path, table)?,
        None => print!("{table}"),
    }
    if let Some(path) = &options.svg {
        report::svg(&reports, path)?;
    }
    Ok(())
}
