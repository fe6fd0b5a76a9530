//! What the benchmarks share: the limits of the machine, the data, the clock, and reports that can be compared.

pub mod data;
pub mod machine;
pub mod memory;
pub mod report;

use std::time::{Duration, Instant};

/// How long a measurement may take.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// All rounds together, if the fewest rounds fit.
    pub time: Duration,
    /// The fewest rounds.
    pub least: usize,
    /// The most rounds.
    pub most: usize,
}

/// Shorter measurements are repeated until they take as long.
const SHORTEST: Duration = Duration::from_millis(2);

/// Median seconds that each of several tasks takes. In each round every task runs once, so that a slow spell of the machine
/// falls on all of them alike; a first round touches every page and starts every thread.
pub fn medians(budget: Budget, tasks: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let mut estimates = Vec::new();
    for task in &mut *tasks {
        task();
        let start = Instant::now();
        task();
        estimates.push(start.elapsed().max(Duration::from_nanos(20)));
    }
    let repeats: Vec<u32> = estimates.iter().map(|once| SHORTEST.div_duration_f64(*once).ceil() as u32).collect();
    let round: Duration = estimates.iter().zip(&repeats).map(|(&once, &repeats)| once * repeats).sum();
    let rounds = (budget.time.div_duration_f64(round) as usize).clamp(budget.least, budget.most);
    let mut times = vec![Vec::with_capacity(rounds); tasks.len()];
    for _ in 0..rounds {
        for ((task, times), &repeats) in tasks.iter_mut().zip(&mut times).zip(&repeats) {
            let start = Instant::now();
            for _ in 0..repeats {
                task();
            }
            times.push(start.elapsed().as_secs_f64() / f64::from(repeats));
        }
    }
    times.into_iter().map(median).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}
