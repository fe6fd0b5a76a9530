//! A volume larger than the memory that the program allows itself: the loss and its gradient from memory-mapped files.
//!
//! ```text
//! cargo run --release --example mapped -- [--depth 256] [--memory 128] [--dir DIR] [--check]
//! ```
//!
//! Writes logits `[1, 4, depth, 512, 512]` in f16 and labels to files, then takes statistics range by range, evaluates the
//! generalised Dice loss and writes the gradient to a third file, range by range, giving the pages of a range back when it is
//! done. `--memory` is in MiB; the program fails if its peak was above. `--check` compares with a single call over the whole
//! volume: the same bits.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dice_simd::half::f16;
use dice_simd::half::slice::HalfBitsSliceExt;
use dice_simd::loss::GeneralizedDice;
use dice_simd::{Engine, LossHead, Problem, Statistics, TILE_VOXELS, View, ViewMut};
use memmap2::{Mmap, MmapMut, UncheckedAdvice};

const CLASSES: usize = 4;
const SIDE: usize = 512;

struct Options {
    depth: usize,
    memory: usize,
    dir: PathBuf,
    check: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let Options { depth, memory, ref dir, check } = options;
    let voxels = depth * SIDE * SIDE;
    let shape = [1, CLASSES, depth, SIDE, SIDE];
    std::fs::create_dir_all(dir)?;
    let [logits_path, labels_path, gradient_path] = ["logits.f16", "labels.u8", "gradient.f16"]
        .map(|name| dir.join(format!("mapped-{}-{name}", std::process::id())));
    let _cleanup = Cleanup([&logits_path, &labels_path, &gradient_path]);
    let volume = voxels * (2 * CLASSES * size_of::<f16>() + 1);
    println!("volume {} MiB (logits, labels, gradient), memory {memory} MiB", volume >> 20);
    write_volume(&logits_path, &labels_path, depth)?;

    let logits_map = Pages::open(&logits_path)?;
    let labels_map = Pages::open(&labels_path)?;
    let mut gradient_map = map_output(&gradient_path, voxels * CLASSES * size_of::<f16>())?;

    let logits = View::channels_first(halves(&logits_map.0), &shape)?;
    let problem = Problem::new(View::map(&labels_map.0[..], &[1, depth, SIDE, SIDE])?);
    let loss = GeneralizedDice::default();
    let engine = Engine::new();

    // What a range holds in memory, plus as much again for the rest of the program.
    let per_voxel = 2 * CLASSES * size_of::<f16>() + 1;
    let length = ((memory << 20) / 2 / per_voxel / TILE_VOXELS * TILE_VOXELS).max(TILE_VOXELS);
    let ranges: Vec<Range<usize>> =
        (0..voxels).step_by(length).map(|start| start..(start + length).min(voxels)).collect();

    let started = Instant::now();
    let mut statistics = Statistics::new(1, CLASSES, &loss.request())?;
    for (i, range) in ranges.iter().enumerate() {
        statistics.merge(&engine.statistics_range(&logits, &problem, &loss.request(), range.clone())?)?;
        logits_map.give_back(range, voxels, size_of::<f16>(), CLASSES)?;
        labels_map.give_back(range, voxels, 1, 1)?;
        progress("statistics", i + 1, ranges.len());
    }
    let evaluation = loss.evaluate(&statistics)?;

    let checked = Problem { labels_checked: true, ..problem };
    for (i, range) in ranges.iter().enumerate() {
        let bits: &mut [u16] = bytemuck::cast_slice_mut(&mut gradient_map);
        let mut gradient = ViewMut::channels_first(bits.reinterpret_cast_mut::<f16>(), &shape)?;
        // f16 needs a loss scale: here the number of voxels.
        let scale = [voxels as f64];
        engine.pullback_range(&logits, &checked, &evaluation.cotangent, &scale, range.clone(), &mut gradient)?;
        logits_map.give_back(range, voxels, size_of::<f16>(), CLASSES)?;
        labels_map.give_back(range, voxels, 1, 1)?;
        for class in 0..CLASSES {
            let (start, len) = place(range, class, voxels, size_of::<f16>());
            gradient_map.flush_range(start, len)?;
            // SAFETY: a shared mapping of a file: its pages stay in the file, and no reference into them is held.
            unsafe { gradient_map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, len)? };
        }
        progress("gradient", i + 1, ranges.len());
    }
    let seconds = started.elapsed().as_secs_f64();
    let peak = peak_memory()?;

    if check {
        let whole = engine.statistics(&logits, &problem, &loss.request())?;
        assert_eq!(whole, statistics, "ranges merge to the bits of the whole");
        let mut gradient = vec![f16::ZERO; voxels * CLASSES];
        let mut view = ViewMut::channels_first(&mut gradient, &shape)?;
        engine.pullback(&logits, &checked, &evaluation.cotangent, &[voxels as f64], &mut view)?;
        assert!(gradient == halves(&gradient_map), "the gradient of ranges has the bits of the whole");
        println!("the same bits as in one call");
    }
    println!(
        "RESULT loss={:.12} volume_mib={} memory_mib={memory} peak_mib={peak} seconds={seconds:.1}",
        evaluation.value(),
        volume >> 20
    );
    if peak > memory { Err(format!("peak memory of {peak} MiB above the {memory} MiB allowed").into()) } else { Ok(()) }
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options { depth: 256, memory: 128, dir: std::env::temp_dir(), check: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--depth" => options.depth = value()?.parse()?,
            "--memory" => options.memory = value()?.parse()?,
            "--dir" => options.dir = value()?.into(),
            "--check" => options.check = true,
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    Ok(options)
}

/// A ball of each tissue in the next, with noisy logits that are mostly right.
fn write_volume(logits: &Path, labels: &Path, depth: usize) -> Result<(), Box<dyn Error>> {
    let label = |d: usize, h: usize, w: usize| {
        let centred = |i: usize, n: usize| (2 * i) as f32 / n as f32 - 1.0;
        let radius = (centred(d, depth).powi(2) + centred(h, SIDE).powi(2) + centred(w, SIDE).powi(2)).sqrt();
        (4.0 - 4.0 * radius).clamp(0.0, 3.0) as u8
    };
    let mut state = 1_u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let (mut logits, mut labels) = (BufWriter::new(File::create(logits)?), BufWriter::new(File::create(labels)?));
    for class in 0..=CLASSES {
        for d in 0..depth {
            for h in 0..SIDE {
                let row: [u8; SIDE] = std::array::from_fn(|w| label(d, h, w));
                if class == CLASSES {
                    labels.write_all(&row)?;
                } else {
                    let row =
                        row.map(|label| f16::from_f32(if usize::from(label) == class { 2.0 } else { 0.0 } + noise()));
                    logits.write_all(&row.map(f16::to_le_bytes).concat())?;
                }
            }
        }
        progress("writing", class + 1, CLASSES + 1);
    }
    logits.flush()?;
    labels.flush()?;
    Ok(())
}

/// A file to read.
struct Pages(Mmap);

impl Pages {
    fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let file = File::open(path)?;
        // SAFETY: nobody else knows the file, so nobody changes it.
        Ok(Self(unsafe { Mmap::map(&file)? }))
    }

    /// Gives the memory of the voxels `range` of every channel back: should they be read again, they come from the file.
    fn give_back(&self, range: &Range<usize>, voxels: usize, size: usize, channels: usize) -> std::io::Result<()> {
        (0..channels).try_for_each(|channel| {
            let (start, len) = place(range, channel, voxels, size);
            // SAFETY: a shared read-only mapping of a file reads the same when its pages come back.
            unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, start, len) }
        })
    }
}

/// First byte and length of the voxels `range` of a channel.
fn place(range: &Range<usize>, channel: usize, voxels: usize, size: usize) -> (usize, usize) {
    ((channel * voxels + range.start) * size, range.len() * size)
}

fn map_output(path: &Path, bytes: usize) -> Result<MmapMut, Box<dyn Error>> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    file.set_len(bytes as u64)?;
    // SAFETY: nobody else knows the file, so nobody changes it.
    Ok(unsafe { MmapMut::map_mut(&file)? })
}

fn halves(bytes: &[u8]) -> &[f16] {
    bytemuck::cast_slice::<u8, u16>(bytes).reinterpret_cast()
}

/// The most memory that the program held at any time, in MiB.
fn peak_memory() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<usize>()?.div_ceil(1024))
}

fn progress(what: &str, done: usize, all: usize) {
    print!("\r{what} {done}/{all}   ");
    if done == all {
        println!();
    }
    std::io::stdout().flush().expect("standard output can be written to");
}

/// Removes the files at the end, however it comes.
struct Cleanup<'a>([&'a Path; 3]);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}
