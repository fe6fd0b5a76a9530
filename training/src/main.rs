//! `dice-training digits | brain`: trains a small U-Net with several losses, and shows which of them learn.
//!
//! Each loss is trained from the same random networks on the same patches. Along the way it prints the Dice of each class on
//! held-out data, at the end one line, `RESULT`, with the mean Dice of the classes that matter by loss. What the two tasks are,
//! and what came of many more runs, stands in docs/study.md.

mod losses;
mod network;
mod task;
mod train;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use losses::LOSSES;
use network::Norm;
use task::Task;
use train::{Settings, train};

/// Trains a small U-Net with several losses, and shows which of them learn.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is learnt: handwritten digits, or the tissues of a brain.
    task: TaskName,
    /// A few minutes at most: few steps, and the three losses that tell most.
    #[arg(long)]
    quick: bool,
    /// How many networks each loss trains.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Losses by name, separated by commas; by default those of the table.
    #[arg(long, value_delimiter = ',')]
    losses: Vec<String>,
    /// Normalisation of the network: by default of the batch for digits, of each instance for the brain.
    #[arg(long)]
    norm: Option<Norm>,
    /// Images or patches per step.
    #[arg(long)]
    batch: Option<usize>,
    /// Learning rate of Adam.
    #[arg(long)]
    rate: Option<f64>,
    /// Steps.
    #[arg(long)]
    steps: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TaskName {
    Digits,
    Brain,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let task = match arguments.task {
        TaskName::Digits => Task::digits()?,
        TaskName::Brain => Task::brain()?,
    };
    let names: Vec<&str> = match (&*arguments.losses, arguments.quick) {
        ([], false) => LOSSES[..losses::IN_TABLE].iter().map(|loss| loss.name).collect(),
        ([], true) => losses::QUICK.to_vec(),
        (names, _) => names.iter().map(|name| &**name).collect(),
    };
    let chosen = names.iter().map(|name| losses::find(name)).collect::<Result<Vec<_>, _>>()?;
    let settings = Settings {
        norm: arguments.norm.unwrap_or(task.norm),
        batch: arguments.batch.unwrap_or(task.batch),
        rate: arguments.rate.unwrap_or(task.rate),
        steps: arguments.steps.unwrap_or(if arguments.quick { task.quick_steps } else { task.steps }),
    };
    println!(
        "{}: {} losses, {} each, {} steps of {}, {:?} normalisation, learning rate {}",
        task.name,
        chosen.len(),
        if arguments.seeds == 1 { "1 network".into() } else { format!("{} networks", arguments.seeds) },
        settings.steps,
        settings.batch,
        settings.norm,
        settings.rate
    );
    let classes: String = task.classes.iter().map(|class| format!("{class:>7}")).collect();
    println!("{:22} seed   step  {classes}", "loss");

    let losses: Vec<_> = chosen.iter().map(|loss| loss.make(&task.volumes)).collect();
    // A loss that has two names is trained once.
    let first_name = |at: usize| losses.iter().position(|loss| *loss == losses[at]).unwrap_or(at);
    let trained: Vec<usize> = (0..losses.len()).filter(|&at| first_name(at) == at).collect();
    let (started, runs) = (Instant::now(), trained.len() * arguments.seeds as usize);
    let mut results = vec![0.0; chosen.len()];
    for (run, (seed, at)) in
        (1..=arguments.seeds).flat_map(|seed| trained.iter().map(move |&at| (seed, at))).enumerate()
    {
        let loss = chosen[at];
        let outcome = train(&task, &losses[at], &settings, seed, |progress| {
            let done = run as f64 + progress.step as f64 / settings.steps as f64;
            if let Some(dice) = &progress.dice {
                say_over(&format!("{:22} {seed:4} {:6}  {}", loss.name, progress.step, row(dice)), true);
            } else {
                let left = Duration::from_secs_f64(started.elapsed().as_secs_f64() / done * (runs as f64 - done));
                say_over(&format!("{} seed {seed} step {}: {} left", loss.name, progress.step, in_words(left)), false);
            }
        })?;
        let matter = &outcome.dice[task.matter.clone()];
        results[at] += matter.iter().sum::<f64>() / matter.len() as f64 / arguments.seeds as f64;
        say_over(
            &format!(
                "{:22} {seed:4}    end  {}  loss {:.4}, {:.0} s, {:.1} % of them in the loss; greatest first gradient {:.0e}",
                loss.name,
                row(&outcome.dice),
                outcome.last_value,
                outcome.seconds,
                100.0 * outcome.loss_share,
                outcome.first_gradient
            ),
            true,
        );
    }
    let results: Vec<String> =
        chosen.iter().enumerate().map(|(at, loss)| format!("{}={:.3}", loss.name, results[first_name(at)])).collect();
    println!("RESULT {}", results.join(" "));
    Ok(())
}

/// The Dice of each class.
fn row(dice: &[f64]) -> String {
    dice.iter().map(|dice| format!("{dice:7.3}")).collect()
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds => format!("{} minutes", seconds / 60),
    }
}

/// Prints a line over the one that told of the progress, which is for somebody who watches.
fn say_over(line: &str, stays: bool) {
    if io::stdout().is_terminal() {
        print!("\r{line:100}{}", if stays { "\n" } else { "" });
        let _ = io::stdout().flush();
    } else if stays {
        println!("{line}");
    }
}
