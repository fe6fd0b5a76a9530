//! What the benchmarks share: the limits of the machine, the data, the clock, and reports that can be compared.

pub mod data;
pub mod losses;
pub mod machine;
pub mod memory;
pub mod report;

use std::time::{Duration, Instant};

/// Agreement of the portable level's loss with the others.
pub const PORTABLE_TOLERANCE: f64 = 1e-6;

/// How long a measurement may take.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// All rounds of all tasks together, if the fewest rounds fit.
    pub time: Duration,
    /// The fewest rounds.
    pub least: usize,
    /// The most rounds.
    pub most: usize,
}

/// Shorter measurements are repeated until they take as long.
const SHORTEST: Duration = Duration::from_millis(2);
/// A first call that takes as long needs no other one to warm up for: it counts.
const LONG: Duration = Duration::from_millis(50);

/// Median seconds that each of several tasks takes. The tasks take turns, so that a slow spell of the machine falls on all of
/// them alike; each may take the same part of the time, so slow ones have fewer rounds, spread over those of the others. The
/// memory that they use must have been touched before.
pub fn medians(budget: Budget, tasks: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    struct Series {
        repeats: u32,
        rounds: usize,
        times: Vec<f64>,
    }
    let part = budget.time / tasks.len().max(1) as u32;
    let mut series: Vec<Series> = Vec::new();
    for task in &mut *tasks {
        let start = Instant::now();
        task();
        let mut once = start.elapsed().max(Duration::from_nanos(20));
        let mut times = vec![];
        if once >= LONG {
            times.push(once.as_secs_f64());
        } else {
            let start = Instant::now();
            task();
            once = start.elapsed().max(Duration::from_nanos(20));
        }
        let repeats = SHORTEST.div_duration_f64(once).ceil() as u32;
        let rounds = (part.div_duration_f64(once * repeats) as usize).clamp(budget.least, budget.most) - times.len();
        series.push(Series { repeats, rounds, times });
    }
    let most = series.iter().map(|series| series.rounds).max().unwrap_or(0);
    for round in 0..most {
        for (task, Series { repeats, rounds, times }) in tasks.iter_mut().zip(&mut series) {
            if (round + 1) * *rounds / most == round * *rounds / most {
                continue;
            }
            let start = Instant::now();
            for _ in 0..*repeats {
                task();
            }
            times.push(start.elapsed().as_secs_f64() / f64::from(*repeats));
        }
    }
    series.into_iter().map(|series| median(series.times)).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}
