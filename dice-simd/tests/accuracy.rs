//! The promise about the loss: within 1e-6 of the exact one in a whole volume, and independent of the volume's size.
//!
//! The textbook would take minutes for such volumes, so they repeat a few distinct voxels, and the exact sums follow from how
//! often each occurs.

mod common;

use common::tolerance::LOSS;
use common::{Level, Placed, Random, Scene, Tensor, map_of, per_level, rounds};
use dice_core::loss::GeneralizedDice;
use dice_core::{Activation, LossHead, Needs, Request, Statistics, Sum, Sums, accumulator};

/// A distinct voxel: its logits and its label.
#[derive(Debug, Clone)]
struct Voxel {
    logits: Vec<f32>,
    label: u8,
}

/// A volume `[1, C, spatial…]` made of the voxels of a palette.
struct Repetition {
    palette: Vec<Voxel>,
    shape: Vec<usize>,
    /// How often each voxel occurs.
    counts: Vec<u64>,
    logits: Vec<f32>,
    labels: Vec<u8>,
}

impl Repetition {
    /// Voxel v is that of `which(v)`.
    fn new(palette: &[Voxel], spatial: &[usize], which: impl Fn(usize) -> usize) -> Self {
        let classes = palette[0].logits.len();
        let voxels: usize = spatial.iter().product();
        let mut counts = vec![0; palette.len()];
        let (mut logits, mut labels) = (vec![0.0; classes * voxels], vec![0; voxels]);
        for v in 0..voxels {
            let voxel = which(v);
            counts[voxel] += 1;
            labels[v] = palette[voxel].label;
            palette[voxel].logits.iter().enumerate().for_each(|(class, &z)| logits[class * voxels + v] = z);
        }
        let shape = [&[1, classes], spatial].concat();
        Self { palette: palette.to_vec(), shape, counts, logits, labels }
    }

    fn scene(self) -> (Scene, Exact) {
        let logits = Tensor { place: Placed::channels_first(&self.shape), data: self.logits };
        let labels = Tensor { place: Placed::channels_first(&map_of(&self.shape)), data: self.labels };
        let gradient = Placed::channels_first(&self.shape);
        (Scene { logits, labels, gradient, ignored: None }, Exact { palette: self.palette, counts: self.counts })
    }
}

/// What is known of a [`Repetition`] without walking over it.
struct Exact {
    palette: Vec<Voxel>,
    counts: Vec<u64>,
}

impl Exact {
    /// The table of the whole volume: each distinct voxel's numbers times how often it occurs, a product rounded by 1e-16.
    fn statistics(&self, request: &Request) -> Statistics {
        let classes = self.palette[0].logits.len();
        let mut statistics = Statistics::new(1, classes, request).unwrap();
        let words = statistics.sample_mut(0);
        for (voxel, &count) in self.palette.iter().zip(&self.counts) {
            let mut p: Vec<f64> = voxel.logits.iter().map(|&z| z.into()).collect();
            request.part(0).activation.apply(&mut p);
            words[..Statistics::OF_NO_CLASS].iter_mut().for_each(|words| accumulator::add(words, count as f64));
            for (class, p) in p.into_iter().enumerate() {
                let g = if usize::from(voxel.label) == class { 1.0 } else { 0.0 };
                let columns = &mut words[Statistics::OF_NO_CLASS + 4 * class..];
                for (words, sum) in columns.iter_mut().zip([g, g, p, p * g]) {
                    accumulator::add(words, count as f64 * sum);
                }
            }
        }
        statistics
    }
}

fn losses() -> Vec<GeneralizedDice> {
    let on_softmax =
        |(_, make): (_, fn() -> GeneralizedDice)| GeneralizedDice { activation: Activation::Softmax, ..make() };
    GeneralizedDice::PRESETS.map(on_softmax).to_vec()
}

/// The loss of each preset within the promise.
fn check(level: &Level, what: &'static str, volume: Repetition) {
    let (scene, exact) = volume.scene();
    // The overlap, and the voxels that a preset weighs by.
    let request = &Request::new(&Needs::new(Activation::Softmax, Sums::OVERLAP.with(Sum::TargetOnes)));
    let found = scene.statistics(&level.engine(), request).unwrap();
    let expected = exact.statistics(request);
    for loss in losses() {
        let [found, expected] = [&found, &expected].map(|table| loss.evaluate(table).unwrap().value());
        level.within(what, (found - expected).abs(), LOSS, || format!("loss {found}, exactly {expected}: {loss:?}"));
    }
}

/// Background and one voxel of foreground in 500, each of one probability: every lane adds the same number over and over.
fn constant(foreground: f32, background: f32, spatial: &[usize]) -> Repetition {
    let voxel = |difference, label| Voxel { logits: vec![0.0, difference], label };
    Repetition::new(&[voxel(background, 0), voxel(foreground, 1)], spatial, |v| usize::from(v % 500 == 7))
}

/// 251 distinct voxels of random logits, a prime, so that each comes to every lane.
fn varied(spatial: &[usize]) -> Repetition {
    let mut random = Random(11);
    let mut voxel = || Voxel {
        logits: vec![random.within(-6.0, 6.0), random.within(-6.0, 6.0)],
        label: u8::from(random.once_in(50)),
    };
    let palette: Vec<Voxel> = (0..251).map(|_| voxel()).collect();
    Repetition::new(&palette, spatial, |v| v % 251)
}

/// The rounding of one tile is that of the volume, so many constants are tried on one tile.
fn constants_on_a_tile(level: &Level) {
    let mut random = Random(12);
    for _ in 0..rounds(300, 20) {
        check(level, "loss", constant(random.within(-8.0, 8.0), random.within(-12.0, 3.0), &[8192]));
    }
}
per_level!(constants_on_a_tile);

fn volume() -> [usize; 3] {
    rounds([128, 128, 256], [32, 64, 128])
}

fn constant_volume(level: &Level) {
    check(level, "loss", constant(0.7, -2.3, &volume()));
    check(level, "loss", constant(-4.0, -9.1, &volume()));
}
per_level!(constant_volume);

fn varied_volume(level: &Level) {
    check(level, "loss", varied(&volume()));
}
per_level!(varied_volume);

fn largest_volume(level: &Level) {
    check(level, "loss of constants", constant(0.7, -2.3, &[512, 512, 256]));
    check(level, "loss", varied(&[512, 512, 256]));
}
per_level!(
    #[ignore = "512 x 512 x 256 voxels of two classes take 600 MB; each tile rounds as in the volumes above"]
    largest_volume
);

/// A prediction of 1/4 for each of four classes that fill a quarter of the volume each: exactly 0.75 at any size. MONAI's
/// absolute smoothing drifts, and the preset of that name with it.
fn uniform_problem_at_any_size(level: &Level) {
    let sizes = [(32_usize, 0.742), (64, 0.693), (128, 0.453), (160, 0.329)];
    for &(size, monai) in &sizes[..rounds(4, 2)] {
        let palette: Vec<Voxel> = (0..4).map(|label| Voxel { logits: vec![0.0; 4], label }).collect();
        let (scene, _) = Repetition::new(&palette, &[size; 3], |v| v % 4).scene();
        let (logits, problem) = (scene.logits.view(), scene.problem());
        let value = |loss: GeneralizedDice| level.engine().value(&logits, &problem, &loss).unwrap().value();
        let (ours, theirs) = (value(GeneralizedDice::default()), value(GeneralizedDice::monai_gdl()));
        level.within("loss", (ours - 0.75).abs(), LOSS, || format!("loss {ours} at {size} cubed"));
        // The published numbers have three digits.
        level.within("loss as MONAI has it", (theirs - monai).abs(), 5e-4, || format!("loss {theirs} at {size} cubed"));
    }
}
per_level!(uniform_problem_at_any_size);

/// One random picture, magnified: each voxel becomes a cube of voxels.
fn same_picture_at_any_size(level: &Level) {
    const SIDE: usize = 32;
    let mut random = Random(13);
    // A rare class and an absent one; the prediction leans towards the truth.
    let mut voxel = || {
        let label = if random.once_in(50) { 2 } else { u8::from(random.once_in(4)) };
        let lean = |class: usize| if class == usize::from(label) { 4.0 } else { 0.0 };
        Voxel { logits: (0..4).map(|class| lean(class) + random.within(-2.0, 2.0)).collect(), label }
    };
    let palette: Vec<Voxel> = (0..SIDE.pow(3)).map(|_| voxel()).collect();
    let mut first = None;
    for size in [32, 64, 128, 160].into_iter().take(rounds(4, 2)) {
        let times = size / SIDE;
        let picture = |v: usize| {
            let at = |axis: u32| v / size.pow(axis) % size / times;
            (at(2) * SIDE + at(1)) * SIDE + at(0)
        };
        let (scene, _) = Repetition::new(&palette, &[size; 3], picture).scene();
        let (logits, problem) = (scene.logits.view(), scene.problem());
        let loss = level.engine().value(&logits, &problem, &GeneralizedDice::default()).unwrap().value();
        let first = *first.get_or_insert(loss);
        assert!((0.1..0.9).contains(&loss), "a loss that says nothing: {loss}");
        level.within("loss at another size", (loss - first).abs(), LOSS, || format!("{loss} at {size}, {first} at 32"));
    }
}
per_level!(same_picture_at_any_size);
