//! Every form that an input may have, beside the plain one: f32 logits, channels first, labels in bytes.

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use clap::Parser;
use dice_bench::data::{self, Aligned, Data, Element, Order};
use dice_bench::machine::Machine;
use dice_bench::{Budget, medians, memory};
use dice_simd::half::{bf16, f16};
use dice_simd::loss::GeneralizedDice;
use dice_simd::{Activation, Dense, Labels, LossHead, Problem, Target, View};
use dice_simd::{Engine, Gradient, Isa};

/// Measures value and gradient pass of every input form as a share of the time that memory needs for its bytes.
#[derive(Debug, Parser)]
struct Options {
    /// Numbers of classes.
    #[arg(long, value_delimiter = ',', default_value = "4,14")]
    classes: Vec<usize>,
    /// MiB of f32 logits; by default four times the last-level cache.
    #[arg(long)]
    mib: Option<usize>,
    /// The instruction set; by default the best of this CPU.
    #[arg(long)]
    isa: Option<Isa>,
    /// Only forms whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

struct Bench<'o> {
    options: &'o Options,
    engine: Engine,
    classes: usize,
    voxels: usize,
    labels: Aligned<u8>,
    /// Seconds per byte to read, and to read and stream.
    limits: [f64; 2],
    plain: [f64; 2],
}

/// What a form differs in from the plain one.
#[derive(Clone, Copy)]
struct Form<'a> {
    name: &'a str,
    problem: Problem<'a>,
    activation: Activation,
    /// Bytes per voxel that the problem reads.
    problem_bytes: usize,
    accumulate: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let bytes = options.mib.map_or(4 * Machine::this().last_level(), |mib| mib << 20);
    let engine = match options.isa {
        Some(isa) => Engine::new().with_isa(isa)?,
        None => Engine::new(),
    };
    println!("{}, {} threads, random data", engine.isa(), rayon::current_num_threads());
    println!(
        "share: of the limit of memory for the bytes of the form; against: voxels per second against the plain form"
    );
    for &classes in &options.classes {
        let voxels = (bytes / size_of::<f32>() / classes).next_multiple_of(64 * 64);
        let labels = data::labels(Data::Random, classes, voxels);
        let bench = Bench { options: &options, engine, classes, voxels, labels, limits: [0.0; 2], plain: [0.0; 2] };
        bench.run()?;
    }
    Ok(())
}

const BUDGET: Budget = Budget { time: Duration::from_secs(2), least: 3, most: 9 };

impl Bench<'_> {
    fn run(mut self) -> Result<(), Box<dyn Error>> {
        let Self { classes, voxels, .. } = self;
        println!("\nC = {classes}, {voxels} voxels");
        println!(
            "  {:34} {:>9} {:>6} {:>8}   {:>9} {:>6} {:>8}",
            "form", "value ms", "share", "against", "grad ms", "share", "against"
        );
        let owned_labels = Aligned::<u8>::new(0);
        let labels = std::mem::replace(&mut self.labels, owned_labels);
        let plain = Problem::new(View::map(&labels, &[1, voxels])?);
        let form = Form {
            name: "plain",
            problem: plain,
            activation: Activation::Softmax,
            problem_bytes: 1,
            accumulate: false,
        };
        let logits = data::logits::<f32>(Data::Random, classes, Order::ChannelsFirst, &labels);
        let z = data::view(&logits, classes, Order::ChannelsFirst)?;
        {
            let mut copy = Aligned::<f32>::new(logits.len());
            memory::copy(&logits, &mut copy, true);
            let times = medians(
                BUDGET,
                &mut [&mut || _ = black_box(memory::read(&logits)), &mut || memory::copy(&logits, &mut copy, true)],
            );
            let bytes = size_of_val(&*logits) as f64;
            self.limits = [times[0] / bytes, times[1] / (2.0 * bytes)];
        }
        let mut gradient = Aligned::<f32>::new(logits.len());
        let first = Order::ChannelsFirst;

        self.measure(form, &z, &mut gradient, first)?;
        for activation in [Activation::Sigmoid, Activation::None] {
            let name = format!("activation {activation:?}").to_lowercase();
            self.measure(Form { name: &name, activation, ..form }, &z, &mut gradient, first)?;
        }
        self.measure(Form { name: "gradient accumulated", accumulate: true, ..form }, &z, &mut gradient, first)?;

        // Labels.
        macro_rules! labels_as {
            ($($type:ty),*) => {$({
                let map: Vec<$type> = labels.iter().map(|&label| label as $type).collect();
                let target = Target::from(Labels::from(View::map(&map, &[1, voxels])?));
                let name = concat!("labels ", stringify!($type));
                let problem = Problem { target, ..plain };
                self.measure(Form { name, problem, problem_bytes: size_of::<$type>(), ..form }, &z, &mut gradient, first)?;
            })*};
        }
        labels_as!(i8, u16, i16, i32, i64);
        let ignored = Problem { ignore_index: Some(1), ..plain };
        self.measure(Form { name: "class 1 ignored, random", problem: ignored, ..form }, &z, &mut gradient, first)?;

        // Masks and weights.
        let ball: Vec<u8> = (0..voxels).map(|voxel| u8::from(voxel / 512 % 3 > 0)).collect();
        let noise: Vec<u8> = (0..voxels).map(|voxel| u8::from(labels[voxel] != 1)).collect();
        let weights: Vec<f32> = (0..voxels).map(|voxel| (voxel % 7) as f32 * 0.25 + 0.25).collect();
        let runs = Problem { mask: Some(View::map(&ball, &[1, voxels])?), ..plain };
        self.measure(
            Form { name: "mask, runs of 512", problem: runs, problem_bytes: 2, ..form },
            &z,
            &mut gradient,
            first,
        )?;
        let random = Problem { mask: Some(View::map(&noise, &[1, voxels])?), ..plain };
        self.measure(
            Form { name: "mask, random", problem: random, problem_bytes: 2, ..form },
            &z,
            &mut gradient,
            first,
        )?;
        let weighted = Problem { voxel_weights: Some(View::map(&weights, &[1, voxels])?), ..plain };
        self.measure(
            Form { name: "voxel weights", problem: weighted, problem_bytes: 5, ..form },
            &z,
            &mut gradient,
            first,
        )?;
        let sampled = Problem { sample_weights: Some(&[2.0]), ..plain };
        self.measure(Form { name: "sample weights", problem: sampled, ..form }, &z, &mut gradient, first)?;
        let all = Problem { ignore_index: Some(0), mask: runs.mask, sample_weights: Some(&[2.0]), ..weighted };
        self.measure(Form { name: "all of these", problem: all, problem_bytes: 6, ..form }, &z, &mut gradient, first)?;

        // Dense targets.
        macro_rules! dense_as {
            ($($name:literal $type:ty: $convert:expr),*) => {$({
                let one_hot: Vec<$type> = (0..classes * voxels)
                    .map(|i| $convert(u8::from(usize::from(labels[i % voxels]) == i / voxels)))
                    .collect();
                let target = Target::from(Dense::from(View::channels_first(&one_hot, &[1, classes, voxels])?));
                let problem_bytes = classes * size_of::<$type>();
                let form = Form { name: $name, problem: Problem { target, ..plain }, problem_bytes, ..form };
                self.measure(form, &z, &mut gradient, first)?;
            })*};
        }
        dense_as!(
            "dense u8" u8: u8::from, "dense f16" f16: |x| f16::from_f32(f32::from(x)),
            "dense bf16" bf16: |x| bf16::from_f32(f32::from(x)), "dense f32" f32: f32::from
        );

        // Layouts.
        let last = data::logits::<f32>(Data::Random, classes, Order::ChannelsLast, &labels);
        let z_last = data::view(&last, classes, Order::ChannelsLast)?;
        self.measure(Form { name: "channels last", ..form }, &z_last, &mut gradient, Order::ChannelsLast)?;
        drop(last);
        // A crop: rows of 61 of 64 voxels.
        let rows = voxels / 64;
        let shape = [1, classes, rows, 61];
        let crop = View::strided(&logits, &shape, &[0, voxels as isize, 64, 1], 1)?;
        let target = Target::from(View::strided(&labels, &[1, 1, rows, 61], &[0, 0, 64, 1], 1)?);
        let cropped = Form { name: "crop, rows of 61 of 64", problem: Problem { target, ..plain }, ..form };
        self.measure_with(
            cropped,
            &crop,
            |gradient| Ok(dice_simd::ViewMut::strided(gradient, &shape, &[0, voxels as isize, 64, 1], 1)?),
            &mut gradient,
            rows * 61,
        )?;
        drop(gradient);

        // Element types.
        drop(logits);
        self.dtype::<f16>(form, &labels)?;
        self.dtype::<bf16>(form, &labels)?;
        self.dtype::<f64>(form, &labels)
    }

    fn dtype<T: Element>(&mut self, form: Form<'_>, labels: &[u8]) -> Result<(), Box<dyn Error>> {
        for order in [Order::ChannelsFirst, Order::ChannelsLast] {
            let name = format!("{}, {}", T::NAME, order.name());
            if !name.contains(&self.options.only) {
                continue;
            }
            let logits = data::logits::<T>(Data::Random, self.classes, order, labels);
            let mut gradient = Aligned::<T>::new(logits.len());
            let z = data::view(&logits, self.classes, order)?;
            self.measure(Form { name: &name, ..form }, &z, &mut gradient, order)?;
        }
        Ok(())
    }

    fn measure<T: Element>(
        &mut self,
        form: Form<'_>,
        z: &View<'_, T>,
        gradient: &mut [T],
        order: Order,
    ) -> Result<(), Box<dyn Error>> {
        let classes = self.classes;
        self.measure_with(form, z, |gradient| Ok(data::view_mut(gradient, classes, order)?), gradient, self.voxels)
    }

    fn measure_with<T: Element>(
        &mut self,
        form: Form<'_>,
        z: &View<'_, T>,
        view: impl Fn(&mut [T]) -> Result<dice_simd::ViewMut<'_, T>, Box<dyn Error>>,
        gradient: &mut [T],
        voxels: usize,
    ) -> Result<(), Box<dyn Error>> {
        let Form { name, problem, activation, problem_bytes, accumulate } = form;
        if !name.contains(&self.options.only) && name != "plain" {
            return Ok(());
        }
        let loss = GeneralizedDice { activation, ..GeneralizedDice::default() };
        let cotangent = loss.evaluate(&self.engine.statistics(z, &problem, &loss.request())?)?.cotangent;
        let checked = Problem { labels_checked: true, ..problem };
        let engine = self.engine;
        gradient.fill(T::from_f32(0.0));
        let times = medians(
            BUDGET,
            &mut [
                &mut || _ = black_box(engine.statistics(z, &problem, &loss.request()).expect("the problem is sound")),
                &mut || {
                    let mut view = view(gradient).expect("the gradient has the shape of the logits");
                    let output = if accumulate { Gradient::Accumulate(view) } else { Gradient::from(&mut view) };
                    engine.pullback(z, &checked, &cotangent, &[1.0], output).expect("the problem is sound");
                },
            ],
        );
        let prediction = (self.classes * voxels * size_of::<T>()) as f64;
        let input = prediction + (problem_bytes * voxels) as f64;
        let written = if accumulate { 2.0 * prediction } else { prediction };
        let limits = [input * self.limits[0], (input + written) * self.limits[1]];
        let rates = [voxels as f64 / times[0], voxels as f64 / times[1]];
        if name == "plain" {
            self.plain = rates;
        }
        println!(
            "  {name:34} {:9.2} {:6.2} {:8.2}   {:9.2} {:6.2} {:8.2}",
            times[0] * 1e3,
            limits[0] / times[0],
            rates[0] / self.plain[0],
            times[1] * 1e3,
            limits[1] / times[1],
            rates[1] / self.plain[1],
        );
        Ok(())
    }
}
