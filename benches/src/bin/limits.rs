//! The passes as shares of what the machine's memory allows, measured in the same run.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use dice_bench::data::{self, Aligned, Data, Element, Order};
use dice_bench::losses::{self, DENSE, LOSSES, PLAIN};
use dice_bench::machine::Machine;
use dice_bench::report::{self, Case, Report, Row, SCHEMA};
use dice_bench::{Budget, PORTABLE_TOLERANCE, medians, memory};
use dice_simd::half::{bf16, f16};
use dice_simd::{Confusion, Error, LossHead, Problem, Target, View};
use dice_simd::{Engine, Isa, Workspace};

/// Measures the limits of this machine, then the library, and prints each as a share of its limit.
#[derive(Debug, Parser)]
struct Options {
    /// Volumes beyond the caches, f32, channels first, all threads; at most 40 s.
    #[arg(long)]
    quick: bool,
    /// Every loss, of 4 and 14 classes, beside the generalised Dice loss.
    #[arg(long, conflicts_with = "quick")]
    losses: bool,
    /// Store the measurements.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the shares.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Only what each of these words is true of: C4, dice+ce, f32, last, 2T, brain, dram.
    #[arg(long)]
    only: Vec<String>,
}

/// What lies where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resident {
    L2,
    L3,
    Dram,
}

/// Measurements that share data and limits: every instruction set is measured on it.
#[derive(Debug, Clone, Copy)]
struct Group {
    classes: usize,
    dtype: Dtype,
    order: Order,
    threads: usize,
    data: Data,
    resident: Resident,
    losses: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dtype {
    F32,
    F64,
    F16,
    Bf16,
    /// Two label maps.
    Labels,
}

const CLASSES: [usize; 4] = [2, 4, 14, 32];

/// Voxels of which each level's answer is checked before it is timed.
const CHECKED: usize = 5 * 8192 + 77;

fn main() -> Result<(), Box<dyn StdError>> {
    let options = Options::parse();
    let machine = Machine::this();
    let mut groups = if options.losses { plan_losses(&machine) } else { plan(&machine, options.quick) };
    // The passes and levels of a group, each a word, are measured together.
    let of_group = |group: &Group, word: &String| {
        let levels = Isa::available().filter(|&isa| isa != Isa::Scalar);
        let mut cases = levels.flat_map(|isa| group.passes().iter().map(move |pass| (isa, pass)));
        cases.any(|(isa, pass)| {
            group
                .losses
                .iter()
                .any(|loss| report::has_words(&group.case(pass, loss, isa, 0), std::slice::from_ref(word)))
        })
    };
    groups.retain(|group| options.only.iter().all(|word| of_group(group, word)));
    if groups.is_empty() {
        return Err(format!("no measurement has all of the words {:?}", options.only).into());
    }
    let budget = if options.quick {
        Budget { time: Duration::from_millis(500), least: 1, most: 9 }
    } else {
        Budget { time: Duration::from_secs(4), least: 5, most: 25 }
    };
    eprintln!("{}, {} threads, {} measurements", machine.cpu, machine.cores, groups.len());
    println!("{}", Report::HEADER);
    let mut bench = Bench { machine, budget, started: Instant::now(), rows: Vec::new() };
    for (i, group) in groups.iter().enumerate() {
        eprint!("\r{}/{} {:.0} s ", i + 1, groups.len(), bench.started.elapsed().as_secs_f64());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(group.threads).build()?;
        pool.install(|| bench.run(group))?;
    }
    eprintln!("\r{:.0} s", bench.started.elapsed().as_secs_f64());
    let report = Report { schema: SCHEMA, machine: bench.machine, rows: bench.rows };
    if let Some(path) = &options.json {
        report.store(path)?;
    }
    if let Some(path) = &options.svg {
        report::svg(&[("this machine".to_owned(), report)], path)?;
    }
    Ok(())
}

/// All measurements: everything for the plain form beyond the caches, and every other dimension along one line through it.
fn plan(machine: &Machine, quick: bool) -> Vec<Group> {
    let all = machine.cores;
    let plain = |classes, data| Group {
        classes,
        dtype: Dtype::F32,
        order: Order::ChannelsFirst,
        threads: all,
        data,
        resident: Resident::Dram,
        losses: &[PLAIN],
    };
    let mut groups = Vec::new();
    let kinds: &[Data] = if quick { &[Data::Random, Data::Brain] } else { &Data::ALL };
    for classes in CLASSES {
        groups.extend(kinds.iter().map(|&data| plain(classes, data)));
        let base = plain(classes, Data::Random);
        if !quick {
            let mut threads = vec![1, all / 2];
            threads.retain(|&threads| threads > 0 && threads < all);
            threads.dedup();
            groups.extend(threads.into_iter().map(|threads| Group { threads, ..base }));
            groups.push(Group { threads: 1, resident: Resident::L2, ..base });
            groups.push(Group { resident: Resident::L3, ..base });
            for dtype in [Dtype::F16, Dtype::Bf16, Dtype::F64] {
                groups.push(Group { dtype, ..base });
            }
            for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64] {
                groups.push(Group { dtype, order: Order::ChannelsLast, ..base });
            }
        }
        for &data in kinds.iter().filter(|&&data| data != Data::Confident) {
            groups.push(Group { dtype: Dtype::Labels, losses: &["-"], ..plain(classes, data) });
        }
    }
    groups
}

/// Every loss beside the plain one.
fn plan_losses(machine: &Machine) -> Vec<Group> {
    const NAMES: [&str; LOSSES.len()] = {
        let mut names = [""; LOSSES.len()];
        let mut i = 0;
        while i < names.len() {
            names[i] = LOSSES[i].0;
            i += 1;
        }
        names
    };
    let group = |classes, data| Group {
        classes,
        dtype: Dtype::F32,
        order: Order::ChannelsFirst,
        threads: machine.cores,
        data,
        resident: Resident::Dram,
        losses: &NAMES,
    };
    [4, 14].into_iter().flat_map(|classes| [Data::Random, Data::Brain].map(|data| group(classes, data))).collect()
}

impl Group {
    fn passes(&self) -> &'static [&'static str] {
        if self.dtype == Dtype::Labels { &["confusion"] } else { &["value", "value_and_grad"] }
    }

    fn case(&self, pass: &str, loss: &str, isa: Isa, voxels: usize) -> Case {
        let dtype = match self.dtype {
            Dtype::F32 => f32::NAME,
            Dtype::F64 => f64::NAME,
            Dtype::F16 => f16::NAME,
            Dtype::Bf16 => bf16::NAME,
            Dtype::Labels => "u8",
        };
        let resident = match self.resident {
            Resident::L2 => "l2",
            Resident::L3 => "l3",
            Resident::Dram => "dram",
        };
        Case {
            pass: pass.to_owned(),
            loss: loss.to_owned(),
            classes: self.classes,
            voxels,
            dtype: dtype.to_owned(),
            layout: self.order.name().to_owned(),
            isa: isa.to_string(),
            threads: self.threads,
            data: self.data.name().to_owned(),
            resident: resident.to_owned(),
        }
    }
}

/// Median seconds of each task.
fn take(budget: Budget, tasks: &mut [Box<dyn FnMut() + '_>]) -> Vec<f64> {
    let mut tasks: Vec<&mut dyn FnMut()> = tasks.iter_mut().map(|task| &mut **task as &mut dyn FnMut()).collect();
    medians(budget, &mut tasks)
}

struct Bench {
    machine: Machine,
    budget: Budget,
    started: Instant,
    rows: Vec<Row>,
}

impl Bench {
    fn run(&mut self, group: &Group) -> Result<(), Error> {
        match group.dtype {
            Dtype::F32 => self.passes::<f32>(group),
            Dtype::F64 => self.passes::<f64>(group),
            Dtype::F16 => self.passes::<f16>(group),
            Dtype::Bf16 => self.passes::<bf16>(group),
            Dtype::Labels => self.confusion(group),
        }
    }

    /// Bytes of the prediction.
    fn bytes(&self, group: &Group) -> usize {
        match group.resident {
            // Logits, labels and gradient of a thread in half of its cache.
            Resident::L2 => self.machine.level_2() / 5 * group.threads,
            Resident::L3 => (self.machine.last_level() / 6).min(64 << 20),
            // Less than four times the last-level cache may stay in it from one round to the next.
            Resident::Dram => 4 * self.machine.last_level(),
        }
    }

    fn passes<T: Element>(&mut self, group: &Group) -> Result<(), Error> {
        let &Group { classes, order, data, resident, .. } = group;
        let voxels = (self.bytes(group) / size_of::<T>() / classes).next_multiple_of(64);
        let labels = data::labels(data, classes, voxels);
        let logits = data::logits::<T>(data, classes, order, &labels);
        let mut gradient = Aligned::<T>::new(logits.len());
        let z = data::view(&logits, classes, order)?;
        let of_labels = Problem::new(View::map(&labels, &[1, voxels])?);
        let has_dense = group.losses.iter().any(|name| name.starts_with(DENSE));
        let soft = if has_dense { data::soft_target(classes, &labels) } else { Aligned::new(0) };
        let dense = if has_dense {
            Problem::new(Target::Dense(data::view(&soft, classes, Order::ChannelsFirst)?.into()))
        } else {
            of_labels
        };
        let problem_of = |name: &str| if name.starts_with(DENSE) { &dense } else { &of_labels };
        let losses: Vec<_> = group.losses.iter().map(|name| (*name, losses::loss(name, classes))).collect();
        let isas: Vec<Isa> = Isa::available().filter(|&isa| isa != Isa::Scalar).collect();

        let few = 0..voxels.min(CHECKED);
        for (name, loss) in &losses {
            let statistics = |isa| {
                let engine = Engine::serial().with_isa(isa).expect("it is available");
                engine.statistics_range(&z, problem_of(name), &loss.request(), few.clone())
            };
            let expected = statistics(Isa::Scalar)?;
            for &isa in &isas {
                let found = statistics(isa)?;
                let difference = loss.evaluate(&found)?.value() - loss.evaluate(&expected)?.value();
                let right = if isa.is_exact() { found == expected } else { difference.abs() <= PORTABLE_TOLERANCE };
                assert!(right, "{isa}: wrong sums of {name}");
            }
        }
        let stream = resident == Resident::Dram;
        memory::copy(&logits, &mut gradient, stream);
        let gradient = RefCell::new(gradient);
        let mut tasks: Vec<Box<dyn FnMut() + '_>> = vec![
            Box::new(|| _ = black_box(memory::read(&logits))),
            Box::new(|| memory::copy(&logits, &mut gradient.borrow_mut(), stream)),
        ];
        let each = || losses.iter().flat_map(|loss| isas.iter().map(move |&isa| (loss, isa)));
        for ((name, loss), isa) in each() {
            let engine = Engine::new().with_isa(isa).expect("it is available");
            let (z, problem, gradient) = (&z, problem_of(name), &gradient);
            let mut workspace = Workspace::default();
            tasks.push(Box::new(move || {
                engine.value_into(z, problem, loss, &mut workspace).expect("the problem is sound");
            }));
            let mut workspace = Workspace::default();
            tasks.push(Box::new(move || {
                let mut gradient = gradient.borrow_mut();
                let mut view = data::view_mut(&mut gradient, classes, order).expect("it is compact");
                engine
                    .value_and_grad_into(z, problem, loss, &[1.0], &mut view, &mut workspace)
                    .expect("the problem is sound");
            }));
        }
        let seconds = take(self.budget, &mut tasks);
        drop(tasks);
        // Compulsory bytes, and the limits with the target, from those measured without it.
        let prediction = size_of_val(&*logits) as f64;
        for (((name, _), isa), passes) in each().zip(seconds[2..].chunks_exact(2)) {
            let target = if name.starts_with(DENSE) { size_of_val(&*soft) } else { voxels };
            let input = prediction + target as f64;
            let read = seconds[0] * input / prediction;
            let copy = seconds[1] * (input + prediction) / (2.0 * prediction);
            self.push(group, ["value", name], isa, voxels, [input, passes[0], read]);
            let bytes = 2.0 * input + prediction;
            self.push(group, ["value_and_grad", name], isa, voxels, [bytes, passes[1], read + copy]);
        }
        Ok(())
    }

    fn confusion(&mut self, group: &Group) -> Result<(), Error> {
        let &Group { classes, data, .. } = group;
        // Both maps together as large as a prediction is elsewhere.
        let voxels = (self.bytes(group) / 2).next_multiple_of(64);
        let truth = data::labels(data, classes, voxels);
        let mut prediction = data::labels(data, classes, voxels);
        if data == Data::Brain {
            // Displaced by a voxel: as real ones are, it is wrong where the classes meet.
            prediction.rotate_left(1);
        } else {
            prediction.reverse();
        }
        let map = View::map(&prediction, &[1, voxels])?;
        let problem = Problem::new(View::map(&truth, &[1, voxels])?);
        let isas: Vec<Isa> = Isa::available().filter(|&isa| isa != Isa::Scalar).collect();
        let few = voxels.min(CHECKED);
        let few_labels = View::map(&prediction[..few], &[1, few])?;
        let few_voxels = Problem::new(View::map(&truth[..few], &[1, few])?);
        let count = |isa| {
            let engine = Engine::serial().with_isa(isa).expect("it is available");
            engine.confusion_of_labels(few_labels, classes, &few_voxels)
        };
        let expected = count(Isa::Scalar)?;
        for &isa in &isas {
            assert_eq!(count(isa)?, expected, "{isa}: wrong counts");
        }
        let mut tasks: Vec<Box<dyn FnMut() + '_>> =
            vec![Box::new(|| _ = black_box(memory::read_both(&truth, &prediction)))];
        for &isa in &isas {
            let engine = Engine::new().with_isa(isa).expect("it is available");
            let (problem, mut counts) = (&problem, Confusion::default());
            tasks.push(Box::new(move || {
                engine.confusion_of_labels_into(map, classes, problem, &mut counts).expect("the maps are sound");
            }));
        }
        let seconds = take(self.budget, &mut tasks);
        drop(tasks);
        for (isa, &time) in isas.into_iter().zip(&seconds[1..]) {
            self.push(group, ["confusion", "-"], isa, voxels, [2.0 * voxels as f64, time, seconds[0]]);
        }
        Ok(())
    }

    fn push(&mut self, group: &Group, [pass, loss]: [&str; 2], isa: Isa, voxels: usize, numbers: [f64; 3]) {
        let case = group.case(pass, loss, isa, voxels);
        let [bytes, seconds, limit] = numbers;
        let row = Row::new(case, bytes, seconds, limit);
        eprint!("\r");
        println!("{}", row.line());
        std::io::stdout().flush().expect("standard output can be written to");
        self.rows.push(row);
    }
}
