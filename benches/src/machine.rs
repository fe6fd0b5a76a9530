//! What the measurements were made on.

use std::fs;

use serde::{Deserialize, Serialize};

/// The machine and the build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The model's name.
    pub cpu: String,
    /// Bytes of the data caches, level 1 first; 1 and 2 belong to a core as a rule.
    pub caches: Vec<usize>,
    /// Threads that the machine runs at once.
    pub cores: usize,
    /// The size of a page, and what the system says of large ones.
    pub pages: String,
    /// The Rust compiler.
    pub compiler: String,
    /// The version of the library.
    pub version: String,
    /// The commit that the binary was built from.
    pub revision: String,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let huge = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        let huge = huge.split(['[', ']']).nth(1).unwrap_or("unknown").to_owned();
        Self {
            cpu: cpu(),
            caches: caches(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            pages: format!("4 KiB, huge: {huge}"),
            compiler: env!("DICE_COMPILER").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: env!("DICE_REVISION").to_owned(),
        }
    }

    /// Bytes of a core's level 2 cache; 512 KiB where the system does not say.
    pub fn level_2(&self) -> usize {
        self.caches.get(1).copied().unwrap_or(512 << 10)
    }

    /// Bytes of the last-level cache; 32 MiB where the system does not say.
    pub fn last_level(&self) -> usize {
        self.caches.iter().copied().max().unwrap_or(32 << 20)
    }
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let numbers = || Some(format!("implementer {} part {}", field("CPU implementer")?, field("CPU part")?));
    let model = field("model name").or_else(numbers).unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    // A virtual machine may hide the name; family and model still tell the generation.
    match (field("cpu family"), field("model\t"), field("stepping")) {
        (Some(family), Some(number), Some(stepping)) => format!("{model} ({family}-{number}-{stepping})"),
        _ => model,
    }
}

fn caches() -> Vec<usize> {
    let read = |index: usize, file: &str| {
        let text = fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}")).ok()?;
        Some(text.trim().to_owned())
    };
    let data = (0..6).filter(|&index| read(index, "type").is_some_and(|kind| kind != "Instruction"));
    data.filter_map(|index| Some(read(index, "size")?.strip_suffix('K')?.parse::<usize>().ok()? << 10)).collect()
}
