//! Drawn problems and losses of the whole family, with every option.
#![allow(dead_code, reason = "every test file is a crate of its own and uses its own part of this module")]

use dice_core::loss::{
    AbsentClass, ClassWeighting, ClassWeights, Compound, CrossEntropy, Divisor, Empty, Focal, FocalTversky,
    GeneralizedDice, Jaccard, Loss, Mcc, MeanOrder, Options, Overlap, Pooling, Preset, SoftDice, Term, Transform,
    Tversky, Volumes, Wasserstein, WassersteinWeighting, WeighedVolume, WeightMode, WeightScale,
};
use dice_core::{Activation, Dense, Error, Grouping, Labels, LossHead, Problem, Reduction, View, ViewMut, reference};

use crate::common::{Random, UNWRITTEN};

/// One of several.
pub(crate) fn one<T: Clone>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len())].clone()
}

pub(crate) fn coin(random: &mut Random) -> bool {
    random.below(2) == 1
}

/// The truth of a [`Scene`].
#[derive(Debug, Clone)]
pub(crate) enum Truth {
    /// `[N, spatial…]`.
    Labels(Vec<u8>),
    /// `[N, C, spatial…]`.
    Dense(Vec<f64>),
}

/// A compact channels-first problem with everything that it may have.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    /// `[N, C, voxels]`.
    pub(crate) shape: [usize; 3],
    pub(crate) logits: Vec<f64>,
    pub(crate) truth: Truth,
    pub(crate) ignored: Option<i64>,
    pub(crate) mask: Option<Vec<u8>>,
    pub(crate) weights: Option<Vec<f32>>,
    pub(crate) sample_weights: Option<Vec<f32>>,
}

/// What a target is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Labels,
    OneHot,
    Soft,
}

impl Scene {
    /// Logits, or probabilities if there is no activation, away from where a clamp holds.
    pub(crate) fn draw(random: &mut Random, activation: Activation, kind: Kind) -> Self {
        let classes = if activation == Activation::Softmax { 2 + random.below(3) } else { 1 + random.below(3) };
        let shape = [1 + random.below(3), classes, 2 + random.below(6)];
        Self::of_shape(random, activation, kind, shape)
    }

    pub(crate) fn of_shape(random: &mut Random, activation: Activation, kind: Kind, shape: [usize; 3]) -> Self {
        let [samples, classes, voxels] = shape;
        let (low, high) = if activation == Activation::None { (0.05, 0.95) } else { (-2.0, 2.0) };
        let logits = (0..samples * classes * voxels).map(|_| random.within(low, high)).collect();
        let of = samples * voxels;
        // In a third of the scenes a class is nowhere.
        let present = if random.below(3) == 0 { classes.max(2) - 1 } else { classes.max(2) };
        let labels: Vec<u8> = (0..of).map(|_| random.below(present) as u8).collect();
        let mut scene = Self {
            shape,
            logits,
            truth: Truth::Labels(labels),
            ignored: None,
            mask: None,
            weights: None,
            sample_weights: None,
        };
        match kind {
            Kind::Labels if coin(random) => {
                let Truth::Labels(labels) = &mut scene.truth else { unreachable!() };
                let ignored = one(random, &[0, 1, 255]);
                scene.ignored = Some(ignored.into());
                labels[random.below(of)] = ignored;
            }
            Kind::Labels => {}
            Kind::OneHot => scene.truth = scene.one_hot(),
            Kind::Soft => {
                scene.truth = scene.soft(random);
            }
        }
        if coin(random) {
            scene.mask = Some((0..of).map(|_| u8::from(random.below(4) > 0)).collect());
        }
        if coin(random) {
            scene.weights = Some((0..of).map(|_| one(random, &[0.0_f32, 0.25, 1.0, 1.0, 2.5])).collect());
        }
        if coin(random) {
            scene.sample_weights = Some((0..samples).map(|_| one(random, &[0.5_f32, 1.0, 2.0])).collect());
        }
        scene
    }

    /// A soft target, away from the probabilities of every activation, where |p − g| has a kink.
    fn soft(&self, random: &mut Random) -> Truth {
        let [samples, classes, voxels] = self.shape;
        let mut target = vec![0.0; self.logits.len()];
        for (sample, voxel) in (0..samples).flat_map(|sample| (0..voxels).map(move |voxel| (sample, voxel))) {
            let at = |class: usize| (sample * classes + class) * voxels + voxel;
            let of = |activation: Activation| {
                let mut p: Vec<f64> = (0..classes).map(|class| self.logits[at(class)]).collect();
                activation.apply(&mut p);
                p
            };
            let probabilities = [Activation::Softmax, Activation::Sigmoid, Activation::None].map(of);
            for class in 0..classes {
                let is_near = |g: f64| probabilities.iter().any(|p| (p[class] - g).abs() < 0.02);
                let g = (0..).map(|_| random.within(0.0, 1.0)).find(|&g| !is_near(g));
                target[at(class)] = g.unwrap_or_default();
            }
        }
        Truth::Dense(target)
    }

    /// The labels as a dense target.
    pub(crate) fn one_hot(&self) -> Truth {
        let Truth::Labels(labels) = &self.truth else { return self.truth.clone() };
        let [_, classes, voxels] = self.shape;
        let mut dense = vec![0.0; self.logits.len()];
        for (at, &label) in labels.iter().enumerate() {
            let class = usize::from(label).wrapping_sub(usize::from(classes == 1));
            if class < classes {
                dense[(at / voxels * classes + class) * voxels + at % voxels] = 1.0;
            }
        }
        Truth::Dense(dense)
    }

    pub(crate) fn problem(&self) -> Problem<'_> {
        let [samples, _, voxels] = self.shape;
        let map = [samples, voxels];
        let mut problem = match &self.truth {
            Truth::Labels(labels) => Problem::new(Labels::from(View::map(labels, &map).unwrap())),
            Truth::Dense(target) => Problem::new(Dense::from(View::channels_first(target, &self.shape).unwrap())),
        };
        problem.ignore_index = self.ignored;
        problem.mask = self.mask.as_ref().map(|mask| View::map(mask, &map).unwrap());
        problem.voxel_weights = self.weights.as_ref().map(|weights| View::map(weights, &map).unwrap());
        problem.sample_weights = self.sample_weights.as_deref();
        problem
    }

    /// The values for other logits.
    pub(crate) fn values(&self, loss: &dyn LossHead, logits: &[f64]) -> Vec<f64> {
        let view = View::channels_first(logits, &self.shape).unwrap();
        let statistics = reference::statistics(&view, &self.problem(), &loss.request()).unwrap();
        loss.evaluate(&statistics).unwrap().values
    }

    /// The values, and the gradient of Σ upstream · value.
    pub(crate) fn run(&self, loss: &dyn LossHead, upstream: &[f64]) -> Result<(Vec<f64>, Vec<f64>), Error> {
        let view = View::channels_first(&self.logits, &self.shape).unwrap();
        let problem = self.problem();
        let evaluation = loss.evaluate(&reference::statistics(&view, &problem, &loss.request())?)?;
        let mut gradient = vec![UNWRITTEN; self.logits.len()];
        let mut output = ViewMut::channels_first(&mut gradient, &self.shape)?;
        reference::pullback(&view, &problem, &evaluation.cotangent, upstream, &mut output)?;
        Ok((evaluation.values, gradient))
    }
}

/// Weights of `kept` classes, or none.
fn class_weights(random: &mut Random, kept: usize) -> ClassWeights {
    let weights =
        if coin(random) { (0..kept).map(|_| one(random, &[0.0, 0.5, 1.0, 3.0])).collect() } else { Vec::new() };
    ClassWeights { weights, mode: one(random, &[WeightMode::Multiply, WeightMode::Normalise]) }
}

fn empty(random: &mut Random) -> Empty {
    one(random, &[Empty::FalsePositives, Empty::Ratio, Empty::Skip, Empty::Zero])
}

fn smoothing(random: &mut Random) -> f64 {
    one(random, &[0.0, 1e-5, 0.5])
}

pub(crate) fn transform(random: &mut Random) -> Transform {
    one(
        random,
        &[
            Transform::Identity,
            Transform::Identity,
            Transform::NegativeLog { least: 1e-7 },
            Transform::PowerOfNegativeLog { least: 1e-7, exponent: 0.5 },
            Transform::PowerOfNegativeLog { least: 1e-7, exponent: 2.0 },
            Transform::Power { exponent: 0.75, least: 1e-7 },
            Transform::Power { exponent: 2.0, least: 0.0 },
            Transform::LogCosh,
            Transform::NegativeScore,
        ],
    )
}

/// Options of a loss with a ratio per class.
pub(crate) fn options(random: &mut Random, activation: Activation, classes: usize) -> Options {
    let exclude_background = coin(random);
    Options {
        activation,
        overlap: one(random, &[Overlap::Product, Overlap::Difference]),
        smooth_numerator: smoothing(random),
        smooth_denominator: smoothing(random),
        least_denominator: one(random, &[0.0, 1e-8]),
        softening: one(random, &[0.0, 0.0, 1e-6, 0.125]),
        complement: random.below(4) == 0,
        transform: transform(random),
        exclude_background,
        class_weights: class_weights(random, classes - usize::from(exclude_background && classes > 1)),
        pooling: one(random, &[Pooling::PerClass, Pooling::PerClass, Pooling::AllClasses, Pooling::AllClassesSquared]),
        empty: empty(random),
        grouping: one(random, &[Grouping::PerSample, Grouping::Batch]),
        reduction: one(random, &[Reduction::Mean, Reduction::Mean, Reduction::Sum, Reduction::None]),
        order: one(random, &[MeanOrder::AtOnce, MeanOrder::ClassesFirst, MeanOrder::GroupsFirst]),
    }
}

/// Volumes, with the options that they go with.
fn volumes(random: &mut Random, options: &mut Options) -> Volumes {
    let volumes = one(random, &[Volumes::Plain, Volumes::Plain, Volumes::Squared, Volumes::SquaredPrediction]);
    if volumes != Volumes::Plain {
        (options.overlap, options.complement) = (Overlap::Product, false);
    }
    volumes
}

/// The names of the losses that [`draw`] knows.
pub(crate) const LOSSES: [&str; 9] =
    ["generalized", "soft", "jaccard", "tversky", "focal tversky", "wasserstein", "mcc", "cross-entropy", "focal"];

/// The loss of that name with drawn options, for a prediction of `classes` classes.
pub(crate) fn draw(random: &mut Random, name: &str, activation: Activation, classes: usize) -> Loss {
    let mut options = options(random, activation, classes);
    let (exclude_background, kept) = (options.exclude_background, classes - options.first(classes));
    let tversky = |random: &mut Random, mut options: Options| Tversky {
        volumes: volumes(random, &mut options),
        options,
        false_positives: one(random, &[0.3, 0.5, 1.0]),
        false_negatives: one(random, &[0.5, 0.7, 1.0]),
    };
    match name {
        "generalized" => generalized(random, &options, kept).into(),
        "soft" => {
            let volumes = volumes(random, &mut options);
            SoftDice { options, volumes, least_intersection: one(random, &[0.0, 0.0, 1.0]) }.into()
        }
        "jaccard" => Jaccard { options, doubled: coin(random) }.into(),
        "tversky" => tversky(random, options).into(),
        "focal tversky" => {
            let many = options.pooling == Pooling::PerClass && coin(random);
            let exponents = (0..if many { kept } else { 1 }).map(|_| one(random, &[0.75, 1.0, 2.0])).collect();
            FocalTversky { tversky: tversky(random, options), exponents, least: 1e-7 }.into()
        }
        "wasserstein" => Wasserstein {
            activation,
            costs: (0..classes * classes).map(|_| one(random, &[0.0, 0.25, 1.0, 2.0])).collect(),
            normalise_costs: coin(random),
            weighting: one(random, &[WassersteinWeighting::Foreground, WassersteinWeighting::Inverse]),
            class_weights: options.class_weights,
            exclude_background,
            smooth_numerator: options.smooth_numerator,
            smooth_denominator: options.smooth_denominator,
            empty: options.empty,
            grouping: options.grouping,
            reduction: options.reduction,
        }
        .into(),
        "mcc" => Mcc { options, smoothing: one(random, &[1e-5, 0.0]) }.into(),
        "cross-entropy" => {
            let binary = coin(random);
            let positives =
                if activation == Activation::Sigmoid || (binary && activation == Activation::None) { kept } else { 0 };
            CrossEntropy {
                activation,
                binary,
                class_weights: options.class_weights,
                positive_weights: (0..positives).map(|_| one(random, &[0.0, 1.0, 2.0])).collect(),
                label_smoothing: one(random, &[0.0, 0.125, 1.0]),
                divisor: divisor(random),
                exclude_background,
                grouping: options.grouping,
                reduction: options.reduction,
            }
            .into()
        }
        "focal" => {
            let binary = coin(random);
            let positives =
                if activation == Activation::Sigmoid || (binary && activation == Activation::None) { kept } else { 0 };
            let many = one(random, &[0, 1, classes]);
            Focal {
                activation,
                binary,
                exponents: (0..many).map(|_| one(random, &[0.0, 0.5, 2.0])).collect(),
                alpha: one(random, &[None, Some(0.25)]),
                positive_weights: (0..positives).map(|_| one(random, &[0.0, 1.0, 2.0])).collect(),
                class_weights: options.class_weights,
                divisor: divisor(random),
                exclude_background,
                grouping: options.grouping,
                reduction: options.reduction,
            }
            .into()
        }
        other => panic!("no loss {other}"),
    }
}

fn divisor(random: &mut Random) -> Divisor {
    let all =
        [Divisor::Weights, Divisor::Voxels, Divisor::Elements, Divisor::AllVoxels, Divisor::AllElements, Divisor::One];
    one(random, &all)
}

fn generalized(random: &mut Random, options: &Options, kept: usize) -> GeneralizedDice {
    let weightings = [
        ClassWeighting::InverseSquare,
        ClassWeighting::Inverse,
        ClassWeighting::Uniform,
        ClassWeighting::Fixed((0..kept).map(|_| one(random, &[0.0, 0.5, 2.0])).collect()),
    ];
    let absent = [
        AbsentClass::LeastPresent,
        AbsentClass::MaxFinite,
        AbsentClass::Epsilon(1e-2),
        AbsentClass::Regularised(1e-2),
        AbsentClass::Zero,
    ];
    GeneralizedDice {
        activation: options.activation,
        overlap: options.overlap,
        weighting: one(random, &weightings),
        weighed_volume: one(random, &[WeighedVolume::Target, WeighedVolume::Ones]),
        absent: one(random, &absent),
        empty: options.empty,
        scale: one(random, &[WeightScale::RarestPresent, WeightScale::Raw]),
        smooth_numerator: options.smooth_numerator,
        smooth_denominator: options.smooth_denominator,
        least_union: one(random, &[0.0, 1.0]),
        exclude_background: options.exclude_background,
        grouping: options.grouping,
        reduction: options.reduction,
        ..GeneralizedDice::default()
    }
}

/// One to three terms of losses of these names, each with its own activation, transform and factor; of several, each
/// has one value.
pub(crate) fn compound(random: &mut Random, names: &[&str], activations: &[Activation], classes: usize) -> Compound {
    let terms = 1 + random.below(3);
    let term = |random: &mut Random| {
        let (name, mut activation) = (one(random, names), one(random, activations));
        if classes == 1 && activation == Activation::Softmax {
            activation = Activation::Sigmoid;
        }
        let mut loss = draw(random, name, activation, classes);
        if terms > 1 {
            reduce(&mut loss, one(random, &[Reduction::Mean, Reduction::Sum]));
        }
        Term { loss, transform: transform(random), factor: one(random, &[1.0, 0.5, -2.0]) }
    };
    Compound { terms: (0..terms).map(|_| term(random)).collect() }
}

/// Sets the reduction of a loss.
pub(crate) fn reduce(loss: &mut Loss, reduction: Reduction) {
    *match loss {
        Loss::GeneralizedDice(loss) => &mut loss.reduction,
        Loss::SoftDice(loss) => &mut loss.options.reduction,
        Loss::Jaccard(loss) => &mut loss.options.reduction,
        Loss::Tversky(loss) => &mut loss.options.reduction,
        Loss::FocalTversky(loss) => &mut loss.tversky.options.reduction,
        Loss::Wasserstein(loss) => &mut loss.reduction,
        Loss::Mcc(loss) => &mut loss.options.reduction,
        Loss::CrossEntropy(loss) => &mut loss.reduction,
        Loss::Focal(loss) => &mut loss.reduction,
        other => panic!("no reduction of {other:?}"),
    } = reduction;
}

/// A cost for every mistake in losses that have none yet.
pub(crate) fn with_costs(mut loss: Compound, classes: usize) -> Compound {
    for term in &mut loss.terms {
        if let Loss::Wasserstein(loss) = &mut term.loss
            && loss.costs.is_empty()
        {
            loss.costs = Wasserstein::uniform_costs(classes);
        }
    }
    loss
}

/// A preset, with costs if it needs some, its activation, and the classes that it is for, or three.
pub(crate) fn preset(&(name, make): &Preset) -> (Compound, Activation, usize) {
    let classes = match name {
        "monai_unified_focal" | "monai_asymmetric_focal" | "monai_asymmetric_focal_tversky" => 2,
        "monai_unified_focal_one_channel" => 1,
        _ => 3,
    };
    (with_costs(make(), classes), make().request().part(0).activation, classes)
}
