//! What the benchmarks share: the limits of the machine, test volumes, and the clock.

pub mod memory;
pub mod volume;

use std::time::Instant;

/// Seconds that each of several tasks takes: the median of `rounds` rounds, in each of which every task runs once, so that a
/// slow spell of the machine falls on all of them alike.
pub fn medians<const N: usize>(rounds: usize, mut tasks: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    // One round to touch every page and to start every thread.
    for task in &mut tasks {
        task();
    }
    for _ in 0..rounds {
        for (task, times) in tasks.iter_mut().zip(&mut times) {
            let start = Instant::now();
            task();
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times.map(|mut times| {
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    })
}
