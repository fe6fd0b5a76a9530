//! Segments a brain by gradient descent on the default loss, soft Dice and cross-entropy.
//!
//! ```text
//! cargo run --release --example brain [-- --steps N] [--png FILE] [--export DIR]
//! ```
//!
//! Four classes of very different size, 8.7 million voxels: the case that the loss was made for. A model of twelve
//! parameters stands in for the network; the library does what it would do for any network, namely compute the loss of
//! its logits and the gradient to train it with. [`Segmentation::value_and_grad`] is the call that matters.

mod export;
mod model;
mod picture;
mod report;
mod speed;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dice_data::{Brain, CLASSES};
use dice_simd::Engine;
use dice_simd::loss::Compound;
use dice_simd::{Error as DiceError, Evaluation, LossHead, Problem, View, ViewMut};

use model::{Adam, Model};
use picture::GradientSlice;
use report::{hard_dice, thousands, tissue_dice};

/// Lines that the training prints.
const PROGRESS_LINES: usize = 12;

/// What is asked for on the command line.
struct Options {
    steps: usize,
    png: PathBuf,
    export: Option<PathBuf>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { steps: 100, png: PathBuf::from("out/brain.png"), export: None };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--steps" => options.steps = value()?.parse().map_err(|error| format!("--steps: {error}"))?,
                "--png" => options.png = value()?.into(),
                "--export" => options.export = Some(value()?.into()),
                _ => return Err(format!("unknown option {name}; there are --steps N, --png FILE and --export DIR")),
            }
        }
        Ok(options)
    }
}

/// A truth to be compared with any logits of its shape.
struct Segmentation<'a> {
    /// `[N, C, D, H, W]`.
    shape: [usize; 5],
    problem: Problem<'a>,
}

impl<'a> Segmentation<'a> {
    fn new(brain: &'a Brain) -> Result<Self, DiceError> {
        let [depth, height, width] = brain.shape;
        let labels = View::map(&brain.tissues, &[1, depth, height, width])?;
        Ok(Self { shape: [1, CLASSES.len(), depth, height, width], problem: Problem::new(labels) })
    }

    fn voxels(&self) -> usize {
        self.shape[2..].iter().product()
    }

    /// The loss of `logits` and what it is made of.
    fn value(&self, engine: &Engine, loss: &impl LossHead, logits: &[f32]) -> Result<Evaluation, DiceError> {
        engine.value(&View::channels_first(logits, &self.shape)?, &self.problem, loss)
    }

    /// The same, and the derivative of the loss with respect to each logit.
    fn value_and_grad(
        &self,
        engine: &Engine,
        loss: &impl LossHead,
        logits: &[f32],
        gradient: &mut [f32],
    ) -> Result<Evaluation, DiceError> {
        let logits = View::channels_first(logits, &self.shape)?;
        let mut gradient = ViewMut::channels_first(gradient, &self.shape)?;
        engine.value_and_grad(&logits, &self.problem, loss, &[1.0], &mut gradient)
    }
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).map_err(Into::into).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("brain: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let brain = Brain::load()?;
    let image: Vec<f32> = brain.t1.iter().map(|t1| t1 / 255.0).collect();
    let task = Segmentation::new(&brain)?;
    let (engine, loss) = (Engine::new(), Compound::default());
    let [depth, height, width] = brain.shape;
    println!("A brain (MNI152, T1) of {depth} × {height} × {width} = {} voxels", thousands(task.voxels()));
    println!("Instruction set {}, {} threads", engine.isa(), rayon::current_num_threads());

    let mut model = Model::guess();
    let mut logits = vec![0.0; CLASSES.len() * task.voxels()];
    let mut gradient = vec![0.0; logits.len()];
    report::model("The starting model, a guess", &model);
    model.logits(&image, &mut logits);
    report::presets(&task, &engine, &logits)?;

    let before = task.value_and_grad(&engine, &loss, &logits, &mut gradient)?;
    let hard = hard_dice(&brain.tissues, &model::argmax(&logits, task.voxels()));
    report::classes("Before training: what the loss is made of", &before, &hard);
    let gradient_before = GradientSlice::new(&brain, &gradient);
    if let Some(directory) = &options.export {
        export::write(directory, &task, &logits, &brain.tissues)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        println!("\nEXPORT loss={:.17} gradient_fnv={:016x}", before.value(), export::fnv1a(&gradient));
    }

    speed::compare(&task, &logits, &mut gradient)?;

    println!("\nTraining, {} steps", options.steps);
    println!("  {:>5}{:>12}{:>14}{:>12}{:>15}", "step", "loss", "tissue Dice", "ms/step", "in the library");
    let mut adam = Adam::new(options.steps);
    for step in 0..options.steps {
        let start = Instant::now();
        // Forward through the model, forward and backward through the loss, backward through the model, step: a network
        // would change the first and the third.
        model.logits(&image, &mut logits);
        let library = Instant::now();
        let evaluation = task.value_and_grad(&engine, &loss, &logits, &mut gradient)?;
        let library = library.elapsed();
        let slopes = model.pull_back(&image, &gradient);
        adam.descend(&mut model, &slopes);
        if step % options.steps.div_ceil(PROGRESS_LINES) == 0 {
            let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
            let (value, dice) = (evaluation.value(), tissue_dice(&evaluation));
            let (all, library) = (milliseconds(start.elapsed()), milliseconds(library));
            println!("  {step:5}{value:12.6}{dice:14.4}{all:12.1}{library:15.1}");
        }
    }

    model.logits(&image, &mut logits);
    let after = task.value(&engine, &loss, &logits)?;
    let prediction = model::argmax(&logits, task.voxels());
    report::model("The trained model", &model);
    report::classes("After training", &after, &hard_dice(&brain.tissues, &prediction));
    picture::write(&options.png, &brain, &prediction, &gradient_before)
        .map_err(|error| format!("{}: {error}", options.png.display()))?;
    println!("\nThe picture: axial slice {} of {depth}, front of the head on top, its left on the left", depth / 2);
    println!("  T1 | truth | prediction after training | |gradient| before training");
    println!("  CSF is blue, grey matter red, white matter cream; gradients go from black to white on a log scale");

    let (dice_before, dice_after) = (tissue_dice(&before), tissue_dice(&after));
    println!("\nMean Dice of the three tissues: {dice_before:.3} before training, {dice_after:.3} after.");
    println!(
        "RESULT loss_before={:.6} loss_after={:.6} dice_before={dice_before:.6} dice_after={dice_after:.6} png={}",
        before.value(),
        after.value(),
        options.png.display()
    );
    Ok(())
}
