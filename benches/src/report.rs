//! Measurements in a form that can be stored and compared.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// The version of the file's form.
pub const SCHEMA: u32 = 2;

/// All measurements of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was measured on.
    pub machine: Machine,
    /// The measurements.
    pub rows: Vec<Row>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    #[serde(flatten)]
    pub case: Case,
    /// The median duration of a call, in nanoseconds.
    pub ns: f64,
    /// Compulsory bytes over the duration: value = logits + labels; value and gradient = twice these, and the gradient;
    /// confusion = both maps.
    pub gbps: f64,
    /// The same bytes over the time that the machine needs for them alone, in the same run.
    pub limit_gbps: f64,
    /// `gbps / limit_gbps`.
    pub share: f64,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Case {
    /// `value`, `value_and_grad`, `confusion`.
    pub pass: String,
    /// A short name, see [`LOSSES`](crate::losses::LOSSES); `-` for the confusion.
    pub loss: String,
    /// C.
    pub classes: usize,
    /// Voxels of the one sample.
    pub voxels: usize,
    /// Element type of logits and gradient; `u8` for the confusion of label maps.
    pub dtype: String,
    /// `channels_first`, `channels_last`.
    pub layout: String,
    /// The instruction set.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// What logits and labels look like.
    pub data: String,
    /// Where they lie: `l2`, `l3`, `dram`.
    pub resident: String,
}

impl Row {
    /// The measurement of `case`: `bytes` in `seconds`, where the machine needs `limit` seconds.
    pub fn new(case: Case, bytes: f64, seconds: f64, limit: f64) -> Self {
        let (gbps, limit_gbps) = (bytes / seconds / 1e9, bytes / limit / 1e9);
        Self { case, ns: seconds * 1e9, gbps, limit_gbps, share: gbps / limit_gbps }
    }

    /// A line of a table, see [`Report::HEADER`].
    pub fn line(&self) -> String {
        let Case { pass, loss, classes, dtype, layout, isa, threads, data, resident, .. } = &self.case;
        let Self { ns, gbps, limit_gbps, share, .. } = self;
        let ms = ns / 1e6;
        format!(
            "{pass:14} {loss:18} {classes:3} {dtype:4} {layout:14} {isa:8} {threads:3} {data:10} {resident:4} \
             {ms:9.3} {gbps:7.1} {limit_gbps:7.1} {share:6.2}"
        )
    }
}

impl Case {
    /// The case without the number of voxels, which differs between machines.
    fn key(&self) -> Self {
        Self { voxels: 0, ..self.clone() }
    }

    fn name(&self) -> String {
        let Self { pass, loss, classes, dtype, layout, isa, threads, data, resident, .. } = self;
        let last = if layout == "channels_last" { " last" } else { "" };
        format!("{pass} {loss} C{classes} {dtype}{last} {isa} {threads}T {data} {resident}")
    }
}

/// Whether each of the words is one of the case's name: `value gdl C4 f32 last avx2 2T random dram`, without `last` for
/// channels-first.
pub fn has_words(case: &Case, words: &[String]) -> bool {
    let name = case.name();
    words.iter().all(|word| name.split(' ').any(|of_name| of_name == word))
}

impl Report {
    /// The head of the table of [`Row::line`]s.
    pub const HEADER: &str = "pass           loss                 C type layout         isa      thr data       in          ms    GB/s   limit  share";

    /// Reads a stored report.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another form.
    pub fn load(path: &Path) -> Result<Self, Box<dyn Error>> {
        let report: Self = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        if report.schema != SCHEMA {
            return Err(format!("{}: schema {} where {SCHEMA} is expected", path.display(), report.schema).into());
        }
        Ok(report)
    }

    /// Stores the report.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn store(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?)
    }

    fn find(&self, key: &Case) -> Option<&Row> {
        self.rows.iter().find(|row| row.case.key() == *key)
    }
}

/// The cases of several reports, each once, in the order of the first that has it.
fn keys(reports: &[(String, Report)]) -> Vec<Case> {
    let mut keys: Vec<Case> = Vec::new();
    for row in reports.iter().flat_map(|(_, report)| &report.rows) {
        let key = row.case.key();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Several reports side by side, in Markdown: milliseconds per million voxels, and the share of the limit.
///
/// # Errors
/// None; writing to a string does not fail.
pub fn markdown(reports: &[(String, Report)]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (name, Report { machine, .. }) in reports {
        let Machine { cpu, caches, cores, pages, compiler, version, revision } = machine;
        let caches: Vec<String> = caches.iter().map(|bytes| format!("{} KiB", bytes >> 10)).collect();
        writeln!(text, "- **{name}**: {cpu}, {cores} threads, caches {}, pages {pages}; ", caches.join(" / "))?;
        writeln!(text, "  dice {version} ({revision}), {compiler}")?;
    }
    write!(text, "\n| pass | loss | C | type | layout | isa | threads | data | in |")?;
    reports.iter().try_for_each(|(name, _)| write!(text, " {name}: GB/s | share |"))?;
    write!(text, "\n|---|---|---|---|---|---|---|---|---|")?;
    reports.iter().try_for_each(|_| write!(text, "---|---|"))?;
    for key in keys(reports) {
        let Case { pass, loss, classes, dtype, layout, isa, threads, data, resident, .. } = &key;
        write!(
            text,
            "\n| {pass} | {loss} | {classes} | {dtype} | {layout} | {isa} | {threads} | {data} | {resident} |"
        )?;
        for (_, report) in reports {
            match report.find(&key) {
                Some(row) => write!(text, " {:.1} | {:.2} |", row.gbps, row.share)?,
                None => write!(text, " | |")?,
            }
        }
    }
    text.push('\n');
    Ok(text)
}

/// Height of a bar, in pixels.
const BAR: i32 = 14;
/// Space for the names of the cases.
const NAMES: i32 = 430;
/// Length of a share of 1.
const LIMIT: i32 = 500;

/// The shares of the limit of several reports, as bars beside a line at 1.
///
/// # Errors
/// If the file cannot be written.
pub fn svg(reports: &[(String, Report)], path: &Path) -> Result<(), Box<dyn Error>> {
    let keys = keys(reports);
    let group = BAR * reports.len() as i32 + 6;
    let top = 30 + 16 * reports.len() as i32;
    let size = ((NAMES + LIMIT * 6 / 5 + 80) as u32, (top + group * keys.len() as i32 + 40) as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let text = ("sans-serif", 12).into_font().color(&BLACK);
    for (i, (name, report)) in reports.iter().enumerate() {
        let y = 10 + 16 * i as i32;
        root.draw(&Rectangle::new([(10, y), (24, y + 10)], Palette99::pick(i).filled()))?;
        root.draw(&Text::new(
            format!("{name}: {}, {} threads", report.machine.cpu, report.machine.cores),
            (30, y),
            &text,
        ))?;
    }
    root.draw(&Text::new("share of the machine's own limit, measured in the same run", (NAMES, top - 14), &text))?;
    for (row, key) in keys.iter().enumerate() {
        let y = top + group * row as i32;
        root.draw(&Text::new(key.name(), (10, y), &text))?;
        for (i, (_, report)) in reports.iter().enumerate() {
            let Some(found) = report.find(key) else { continue };
            let (from, to) = (y + BAR * i as i32, y + BAR * (i as i32 + 1) - 2);
            let end = NAMES + (found.share.min(1.2) * f64::from(LIMIT)) as i32;
            root.draw(&Rectangle::new([(NAMES, from), (end, to)], Palette99::pick(i).filled()))?;
            root.draw(&Text::new(format!("{:.2}", found.share), (end + 4, from), &text))?;
        }
    }
    let bottom = top + group * keys.len() as i32;
    root.draw(&PathElement::new([(NAMES + LIMIT, top - 2), (NAMES + LIMIT, bottom)], BLACK))?;
    root.present()?;
    Ok(())
}
