//! How fast the passes are, beside how fast this machine can read.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use dice_simd::Error as DiceError;
use dice_simd::loss::Compound;
use dice_simd::{Engine, Isa};
use rayon::prelude::*;

use crate::Segmentation;
use crate::export::fnv1a;

/// Rounds per measurement, if they fit into [`SECONDS`].
const ROUNDS: usize = 9;
const SECONDS: f64 = 1.0;

/// Prints time and throughput of value, and of value and gradient, on every instruction set of this CPU.
pub(crate) fn compare(task: &Segmentation<'_>, logits: &[f32], gradient: &mut [f32]) -> Result<(), Box<dyn Error>> {
    // What the passes must move: the first reads logits and labels, the second reads them again and writes the gradient.
    let gigabytes = |buffer: &[f32]| size_of_val(buffer) as f64 / 1e9;
    let value_bytes = gigabytes(logits) + task.voxels() as f64 / 1e9;
    let both_bytes = 2.0 * value_bytes + gigabytes(gradient);

    println!("\nSpeed with {} threads, median of up to {ROUNDS} rounds", rayon::current_num_threads());
    let seconds = median(|| Ok(read(logits)))?;
    let limit = gigabytes(logits) / seconds;
    let (megabytes, milliseconds) = (gigabytes(logits) * 1e3, seconds * 1e3);
    println!("  to read the {megabytes:.0} MB of logits and do nothing else: {milliseconds:.1} ms, {limit:.1} GB/s\n");

    println!("  {:10}{:>28}{:>34}{:>20}", "", "value", "value and gradient", "hash of gradient");
    for isa in Isa::available() {
        let (engine, loss) = (Engine::new().with_isa(isa)?, Compound::default());
        let value = median(|| task.value(&engine, &loss, logits))?;
        let both = median(|| task.value_and_grad(&engine, &loss, logits, gradient))?;
        print!("  {isa:10}");
        for (seconds, bytes) in [(value, value_bytes), (both, both_bytes)] {
            let rate = bytes / seconds;
            print!("{:9.1} ms{rate:6.1} GB/s{:5.0} %     ", seconds * 1e3, rate / limit * 100.0);
        }
        println!("{:016x}", fnv1a(gradient));
    }
    println!("  GB/s: logits and labels read once per pass, gradient written; %: of the rate of reading alone");
    println!(
        "  Equal hashes, equal bits: every level but portable, which rounds a·b + c twice, gives the same gradient."
    );
    Ok(())
}

/// The median duration of `task` in seconds. A round slowed down by another process leaves no trace.
fn median<T>(mut task: impl FnMut() -> Result<T, DiceError>) -> Result<f64, DiceError> {
    let mut times = Vec::with_capacity(ROUNDS);
    let start = Instant::now();
    loop {
        let round = Instant::now();
        black_box(task()?);
        times.push(round.elapsed().as_secs_f64());
        if times.len() == ROUNDS || start.elapsed().as_secs_f64() > SECONDS {
            times.sort_unstable_by(f64::total_cmp);
            return Ok(times[times.len() / 2]);
        }
    }
}

/// Reads `data` on all threads, with enough independent sums that no addition waits for the one before.
fn read(data: &[f32]) -> f32 {
    let sum = |data: &[f32]| {
        let (blocks, rest) = data.as_chunks::<64>();
        let sums = blocks.iter().fold([0.0_f32; 64], |mut sums, block| {
            sums.iter_mut().zip(block).for_each(|(sum, x)| *sum += x);
            sums
        });
        sums.iter().chain(rest).sum::<f32>()
    };
    data.par_chunks(1 << 15).map(sum).sum()
}
