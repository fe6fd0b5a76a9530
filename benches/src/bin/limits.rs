//! The passes as shares of what the machine's memory allows, measured in the same run.

use dice_bench::volume::Volume;
use dice_bench::{medians, memory};
use dice_simd::core::loss::GeneralizedDice;
use dice_simd::core::{LossHead, Problem, ViewMut};
use dice_simd::{Engine, Isa};
use std::hint::black_box;

const ROUNDS: usize = 9;

fn main() -> Result<(), dice_simd::core::Error> {
    println!("{} threads, median of {ROUNDS} rounds, random data beyond the caches", rayon::current_num_threads());
    println!(
        "{:8} {:>3} {:>18}  {:>8} {:>8} {:>6}  {:>8} {:>6}  {:>8} {:>6}",
        "isa", "C", "shape", "read ms", "value ms", "share", "grad ms", "share", "both ms", "share"
    );
    // Four times the last-level cache: less than that may stay in it from one round to the next.
    let logits = 4 * memory::last_level_cache() / size_of::<f32>();
    for [classes, height, width] in [[2, 256, 256], [4, 192, 192], [14, 128, 128], [32, 128, 128]] {
        let shape = [1, classes, logits.div_ceil(classes * height * width), height, width];
        let volume = Volume::random(shape);
        let (logits, problem) = (volume.logits()?, Problem::new(volume.labels()?));
        let loss = GeneralizedDice::default();
        for isa in Isa::available().filter(|&isa| isa != Isa::Scalar) {
            let engine = Engine::new().with_isa(isa).expect("it is available");
            let cotangent = loss.evaluate(&engine.statistics(&logits, &problem, loss.request())?)?.cotangent;
            let checked = Problem { labels_checked: true, ..problem };
            let mut copy = vec![0.0_f32; volume.logits.len()];
            let mut gradient = vec![0.0_f32; volume.logits.len()];
            let mut gradient = ViewMut::channels_first(&mut gradient, &shape)?;
            let bytes = volume.bytes_read() as f64 / size_of_val(&volume.logits[..]) as f64;
            let [read, copied, value, grad] = medians(
                ROUNDS,
                [
                    &mut || _ = black_box(memory::read(&volume.logits)),
                    &mut || memory::read_and_stream(&volume.logits, &mut copy),
                    &mut || _ = black_box(engine.statistics(&logits, &problem, loss.request())),
                    &mut || engine.pullback(&logits, &checked, &cotangent, &[1.0], &mut gradient).expect("it fits"),
                ],
            );
            // The limits for logits and labels, from those for logits alone.
            let (read, copied) = (read * bytes, copied * (bytes + 1.0) / 2.0);
            println!(
                "{isa:8} {:3} {:>18}  {:8.2} {:8.2} {:6.2}  {:8.2} {:6.2}  {:8.2} {:6.2}   {:.1} GB/s",
                shape[1],
                format!("{:?}", &shape[2..]),
                read * 1e3,
                value * 1e3,
                read / value,
                grad * 1e3,
                copied / grad,
                (value + grad) * 1e3,
                (read + copied) / (value + grad),
                volume.bytes_read() as f64 / read / 1e9,
            );
        }
    }
    Ok(())
}
