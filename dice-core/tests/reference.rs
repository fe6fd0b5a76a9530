//! The textbook passes read and write what a view says, however it lies in memory: every layout of the same prediction,
//! labels and gradient gives the same statistics, word for word, and the same gradient, bit for bit. Tables of parts
//! merge to the table of the whole.

mod common;

use common::{Random, UNWRITTEN, bits};
use dice_core::loss::{AbsentClass, GeneralizedDice};
use dice_core::{
    Activation, Error, Group, Grouping, LossHead, NonFinite, Problem, Reduction, Request, Statistics, Sum, View,
    ViewMut, reference,
};
use proptest::prelude::*;

/// A plain sum of at most 200 numbers in 0..1, against a compensated one: 200 roundings of a sum below 200.
const PLAIN_SUM: f64 = 200.0 * 200.0 * f64::EPSILON;

const ACTIVATIONS: [Activation; 3] = [Activation::Softmax, Activation::Sigmoid, Activation::None];

/// How a tensor of some shape lies in a slice.
#[derive(Debug, Clone)]
struct Placed {
    shape: Vec<usize>,
    strides: Vec<isize>,
    start: usize,
    len: usize,
}

impl Placed {
    /// `order` lists the axes from the coarsest to the finest; an axis takes every `step`-th place, after `gap` more
    /// unused ones, runs backwards if `flipped`, and stands still if `repeated`.
    fn new(shape: &[usize], order: &[usize], axes: &[Axis]) -> Self {
        let mut placed = Self { shape: shape.to_vec(), strides: vec![0; shape.len()], start: 0, len: 1 };
        for &axis in order.iter().rev() {
            let Axis { step, gap, flipped, repeated } = axes[axis];
            if repeated {
                continue;
            }
            let stride = (placed.len + gap) * step;
            // An axis without extent has nowhere to reach, and no element at all.
            let reach = stride * shape[axis].saturating_sub(1);
            placed.strides[axis] = if flipped { -(stride as isize) } else { stride as isize };
            placed.start += if flipped { reach } else { 0 };
            placed.len += reach;
        }
        placed
    }

    /// The same after `margin` places of something else.
    fn behind(self, margin: usize) -> Self {
        Self { start: self.start + margin, len: self.len + margin, ..self }
    }

    fn compact(shape: &[usize]) -> Self {
        let order: Vec<usize> = (0..shape.len()).collect();
        Self::new(shape, &order, &vec![Axis::PLAIN; shape.len()])
    }

    /// The element of every index, in the order of the indices (row-major).
    fn elements(&self) -> Vec<usize> {
        let mut elements = vec![self.start as isize];
        for (&dim, &stride) in self.shape.iter().zip(&self.strides) {
            let along = |&first: &isize| (0..dim as isize).map(move |i| first + i * stride);
            elements = elements.iter().flat_map(along).collect();
        }
        elements.into_iter().map(|element| usize::try_from(element).unwrap()).collect()
    }

    /// The tensor as a compact one.
    fn gather<T: Copy>(&self, data: &[T]) -> Vec<T> {
        self.elements().into_iter().map(|element| data[element]).collect()
    }

    fn view<'a, T>(&self, data: &'a [T]) -> View<'a, T> {
        View::strided(data, &self.shape, &self.strides, self.start).unwrap()
    }
}

#[derive(Debug, Clone, Copy)]
struct Axis {
    step: usize,
    gap: usize,
    flipped: bool,
    repeated: bool,
}

impl Axis {
    const PLAIN: Self = Self { step: 1, gap: 0, flipped: false, repeated: false };
}

/// A prediction, its labels `[N, 1, spatial…]` and a gradient, each placed in its own way.
#[derive(Debug, Clone)]
struct Scene {
    logits: Placed,
    labels: Placed,
    gradient: Placed,
    logit_data: Vec<f64>,
    label_data: Vec<u8>,
}

/// Statistics and gradient in compact form.
#[derive(Debug, PartialEq)]
struct Outcome {
    words: Vec<i64>,
    values: Vec<u64>,
    gradient: Vec<u64>,
}

/// Ignored in every scene, so that the paths of ignored voxels are walked too.
const IGNORED: u8 = 7;

impl Scene {
    /// Random contents for three placements of one grid; labels are classes or ignored.
    fn new(seed: u64, logits: Placed, labels: Placed, gradient: Placed) -> Self {
        let mut random = Random(seed);
        let known = logits.shape[1].max(2);
        let label = |drawn: usize| if drawn < known { drawn as u8 } else { IGNORED };
        Self {
            logit_data: (0..logits.len).map(|_| random.within(-3.0, 3.0)).collect(),
            label_data: (0..labels.len).map(|_| label(random.below(known + 1))).collect(),
            logits,
            labels,
            gradient,
        }
    }

    /// The same contents with every tensor compact and channels first.
    fn compact(&self) -> Self {
        Self {
            logits: Placed::compact(&self.logits.shape),
            labels: Placed::compact(&self.labels.shape),
            gradient: Placed::compact(&self.gradient.shape),
            logit_data: self.logits.gather(&self.logit_data),
            label_data: self.labels.gather(&self.label_data),
        }
    }

    fn problem(&self) -> Problem<'_> {
        Problem::new(self.labels.view(&self.label_data)).ignoring(i64::from(IGNORED))
    }

    fn statistics(&self, request: &Request) -> Statistics {
        reference::statistics(&self.logits.view(&self.logit_data), &self.problem(), request).unwrap()
    }

    fn outcome(&self, loss: &GeneralizedDice) -> Outcome {
        let mut gradient = vec![UNWRITTEN; self.gradient.len];
        let Placed { shape, strides, start, .. } = &self.gradient;
        let mut output = ViewMut::strided(&mut gradient, shape, strides, *start).unwrap();
        let logits = self.logits.view(&self.logit_data);
        let values = reference::value_and_grad(&logits, &self.problem(), loss, &mut output).unwrap();
        let written = self.gradient.gather(&gradient);
        let elsewhere = gradient.iter().filter(|&&x| x == UNWRITTEN).count();
        assert_eq!(elsewhere, gradient.len() - written.len(), "exactly the elements of the view are written");
        let words = self.statistics(&loss.request()).as_limbs().to_vec();
        Outcome { words, values: bits(&values), gradient: bits(&written) }
    }
}

/// Of every activation that a prediction of so many channels can have.
fn losses(channels: usize) -> impl Iterator<Item = GeneralizedDice> {
    let possible = move |activation: &Activation| channels > 1 || *activation != Activation::Softmax;
    ACTIVATIONS.into_iter().filter(possible).flat_map(|activation| {
        [Grouping::PerSample, Grouping::Batch].map(|grouping| GeneralizedDice {
            activation,
            grouping,
            reduction: Reduction::None,
            absent: AbsentClass::MaxFinite,
            ..GeneralizedDice::default()
        })
    })
}

/// `[N, 1, spatial…]` of `[N, C, spatial…]`.
fn map_of(shape: &[usize]) -> Vec<usize> {
    let mut map = shape.to_vec();
    map[1] = 1;
    map
}

const SHAPE: [usize; 5] = [2, 3, 4, 5, 6];

/// Places prediction and gradient by `order` and `axes`, the labels likewise without channels.
fn same_as_compact(order: &[usize; 5], axes: &[Axis; 5]) {
    let placed = Placed::new(&SHAPE, order, axes);
    let labels = Placed::new(&map_of(&SHAPE), order, axes);
    // A gradient must not hold one element twice.
    let gradient = Placed::new(&SHAPE, order, &axes.map(|axis| Axis { repeated: false, ..axis }));
    let scene = Scene::new(1, placed.behind(7), labels.behind(3), gradient.behind(11));
    let compact = scene.compact();
    assert_ne!(scene.logits.strides, compact.logits.strides, "this would compare a thing with itself");
    for loss in losses(SHAPE[1]) {
        assert_eq!(scene.outcome(&loss), compact.outcome(&loss), "{loss:?}");
    }
}

const CHANNELS_FIRST: [usize; 5] = [0, 1, 2, 3, 4];
const CHANNELS_LAST: [usize; 5] = [0, 2, 3, 4, 1];

#[test]
fn channels_last() {
    same_as_compact(&CHANNELS_LAST, &[Axis::PLAIN; 5]);
}

#[test]
fn axes_in_reverse() {
    same_as_compact(&[4, 3, 2, 1, 0], &[Axis::PLAIN; 5]);
}

#[test]
fn strided_crops() {
    // A crop leaves a gap after every row, plane and volume; a sub-sampling takes every second or third voxel.
    let cropped = Axis { gap: 3, ..Axis::PLAIN };
    let sampled = Axis { step: 2, gap: 1, ..Axis::PLAIN };
    same_as_compact(&CHANNELS_FIRST, &[cropped; 5]);
    same_as_compact(&CHANNELS_LAST, &[cropped; 5]);
    same_as_compact(&CHANNELS_FIRST, &[Axis::PLAIN, cropped, sampled, cropped, sampled]);
}

#[test]
fn negative_strides() {
    let flipped = Axis { flipped: true, ..Axis::PLAIN };
    same_as_compact(&CHANNELS_FIRST, &[flipped; 5]);
    same_as_compact(&CHANNELS_LAST, &[Axis::PLAIN, flipped, Axis::PLAIN, flipped, flipped]);
    same_as_compact(&CHANNELS_FIRST, &[Axis::PLAIN, Axis::PLAIN, Axis::PLAIN, Axis::PLAIN, flipped]);
}

#[test]
fn broadcast_inputs() {
    for axis in 0..5 {
        let mut axes = [Axis::PLAIN; 5];
        axes[axis].repeated = true;
        same_as_compact(&CHANNELS_FIRST, &axes);
    }
    same_as_compact(&CHANNELS_FIRST, &[Axis { repeated: true, ..Axis::PLAIN }; 5]);
}

/// The constructors for compact layouts against the placements of this file, which are written without them.
#[test]
fn the_named_layouts_are_what_they_say() {
    let order_of = |last: bool| if last { CHANNELS_LAST } else { CHANNELS_FIRST };
    for last in [false, true] {
        let placed = Placed::new(&SHAPE, &order_of(last), &[Axis::PLAIN; 5]);
        let mut data: Vec<f64> = (0..placed.len).map(|i| i as f64).collect();
        let layout = if last {
            *View::channels_last(&data, &SHAPE).unwrap().layout()
        } else {
            *View::channels_first(&data, &SHAPE).unwrap().layout()
        };
        assert_eq!(layout, *placed.view(&data).layout());
        let output = if last {
            *ViewMut::channels_last(&mut data, &SHAPE).unwrap().layout()
        } else {
            *ViewMut::channels_first(&mut data, &SHAPE).unwrap().layout()
        };
        assert_eq!(output, layout);
    }
    let labels = [0_u8; 240];
    let map = View::map(&labels, &[2, 4, 5, 6]).unwrap();
    let (map, with_channel) = (map.layout(), Placed::compact(&map_of(&SHAPE)));
    let with_channel = with_channel.view(&labels);
    assert_eq!(map.dims(), with_channel.layout().dims());
    assert_eq!([map.strides()[0], map.strides()[2]], [120, 30]);
    assert_eq!(map.walk(), with_channel.layout().walk());
}

/// A prediction without spatial axes has one voxel per sample, and a label map of rank 1.
#[test]
fn no_spatial_axes() {
    let logits = [0.5, -1.0, 2.0, 1.5, 0.0, -0.25];
    let flat = View::channels_first(&logits, &[2, 3]).unwrap();
    let spatial = View::channels_first(&logits, &[2, 3, 1]).unwrap();
    let labels = [2, 0];
    let of_flat = Problem::new(View::map(&labels, &[2]).unwrap());
    let of_spatial = Problem::new(View::map(&labels, &[2, 1]).unwrap());
    let request = &Request::overlap(Activation::Softmax);
    let found = reference::statistics(&flat, &of_flat, request).unwrap();
    assert_eq!(found, reference::statistics(&spatial, &of_spatial, request).unwrap());
    assert_eq!(found.sum(Group::Sample(0), 2, 0, Sum::Target), Ok(1.0));
    assert_eq!(found.valid_weight(Group::All), Ok(2.0));
    // The two differ in rank all the same.
    assert!(reference::statistics(&flat, &of_spatial, request).is_err());
}

/// Errors count in the logical order of the tensor, not in that of the memory.
#[test]
fn indices_in_errors_are_logical() {
    let reversed = [4, 3, 2, 1, 0];
    let placed = Placed::new(&SHAPE, &reversed, &[Axis::PLAIN; 5]);
    let labels = Placed::new(&map_of(&SHAPE), &reversed, &[Axis { flipped: true, ..Axis::PLAIN }; 5]);
    let mut scene = Scene::new(2, placed.clone(), labels.clone(), placed.clone());
    let request = &Request::overlap(Activation::Softmax);
    let logit_places = placed.elements();
    for index in [700, 411, 500] {
        scene.logit_data[logit_places[index]] = f64::INFINITY;
    }
    // Ignored voxels may hold anything; none of these may be one.
    let label_places = labels.elements();
    for index in [700, 411, 500] {
        let voxel = index / 360 * 120 + index % 120;
        scene.label_data[label_places[voxel]] = 0;
    }
    let logits = scene.logits.view(&scene.logit_data);
    let asked = Problem { non_finite: NonFinite::Error, ..scene.problem() };
    let blamed = Err(Error::NonFiniteLogit { index: 411, value: f64::INFINITY });
    assert_eq!(reference::statistics(&logits, &asked, request), blamed);

    for index in [239, 77, 130] {
        scene.label_data[label_places[index]] = 9;
    }
    let logits = scene.logits.view(&scene.logit_data);
    let blamed = Err(Error::LabelOutOfRange { index: 77, label: 9, classes: 3 });
    assert_eq!(reference::statistics(&logits, &scene.problem(), request), blamed);
}

/// T, S, I per class of one sample of a compact scene, and the number of its voxels that count, as a beginner would add
/// them.
fn textbook_sums(scene: &Scene, activation: Activation, sample: usize) -> (Vec<[f64; 3]>, f64) {
    let (classes, voxels) = (scene.logits.shape[1], scene.logits.shape[2]);
    let mut sums = vec![[0.0; 3]; classes];
    let mut valid = 0.0;
    for voxel in 0..voxels {
        let label = scene.label_data[sample * voxels + voxel];
        if label == IGNORED {
            continue;
        }
        valid += 1.0;
        let z = |class: usize| scene.logit_data[(sample * classes + class) * voxels + voxel];
        let exponentials: f64 = (0..classes).map(|class| z(class).exp()).sum();
        for (class, [target, prediction, intersection]) in sums.iter_mut().enumerate() {
            let p = match activation {
                Activation::Softmax => z(class).exp() / exponentials,
                Activation::Sigmoid => 1.0 / (1.0 + (-z(class)).exp()),
                Activation::None => z(class),
            };
            *prediction += p;
            if usize::from(label) == class {
                *target += 1.0;
                *intersection += p;
            }
        }
    }
    (sums, valid)
}

#[test]
fn statistics_are_the_textbook_sums() {
    let (samples, classes, voxels) = (3, 4, 60);
    let shape = [samples, classes, voxels];
    let placed = Placed::compact(&shape);
    let scene = Scene::new(3, placed.clone(), Placed::compact(&map_of(&shape)), placed);
    for activation in ACTIVATIONS {
        let statistics = scene.statistics(&Request::overlap(activation));
        assert_eq!((statistics.samples(), statistics.classes()), (samples, classes));
        let per_sample: Vec<_> = (0..samples).map(|sample| textbook_sums(&scene, activation, sample)).collect();
        let check = |group: Group, parts: &[(Vec<[f64; 3]>, f64)]| {
            let valid: f64 = parts.iter().map(|(_, valid)| valid).sum();
            assert_eq!(statistics.valid_weight(group), Ok(valid), "counts are exact");
            for class in 0..classes {
                for (place, sum) in [Sum::Target, Sum::Prediction, Sum::Intersection].into_iter().enumerate() {
                    let expected: f64 = parts.iter().map(|(sums, _)| sums[class][place]).sum();
                    let found = statistics.sum(group, class, 0, sum).unwrap();
                    let bound = if sum == Sum::Target { 0.0 } else { PLAIN_SUM };
                    assert!((found - expected).abs() <= bound, "{activation:?}, {group:?}: {found}, {expected}");
                }
            }
            assert!(valid > 0.0 && valid < (parts.len() * voxels) as f64, "some voxels count, some do not");
        };
        for sample in 0..samples {
            check(Group::Sample(sample), &per_sample[sample..][..1]);
        }
        check(Group::All, &per_sample);
    }
}

/// Without an activation an infinite prediction is an infinite volume, and only two of unlike sign have none.
#[test]
fn infinite_predictions_sum_to_infinity() {
    let infinity = f64::INFINITY;
    let labels = [1, 0, 1, 0];
    let map = View::map(&labels, &[1, 4]).unwrap();
    let request = &Request::overlap(Activation::None);
    for (data, prediction, intersection) in [
        ([0.5, infinity, 0.25, 1.0], infinity, 0.75),
        ([-infinity, 1.0, -infinity, 1.0], -infinity, -infinity),
        ([infinity, -infinity, 0.0, 1.0], f64::NAN, infinity),
        ([0.5, f64::NAN, 0.25, infinity], f64::NAN, 0.75),
    ] {
        let view = View::channels_first(&data, &[1, 1, 4]).unwrap();
        let statistics = reference::statistics(&view, &Problem::new(map), request).unwrap();
        let sums = [Sum::Target, Sum::Prediction, Sum::Intersection]
            .map(|sum| statistics.sum(Group::Sample(0), 0, 0, sum).unwrap());
        assert!(bits(&sums) == bits(&[2.0, prediction, intersection]), "{data:?}: {sums:?}");
    }
}

/// f32 logits are read as the f64 numbers that they are.
#[test]
fn single_precision_logits() {
    let placed = Placed::compact(&SHAPE);
    let mut scene = Scene::new(4, placed.clone(), Placed::compact(&map_of(&SHAPE)), placed);
    let single: Vec<f32> = scene.logit_data.iter().map(|&z| z as f32).collect();
    scene.logit_data = single.iter().map(|&z| f64::from(z)).collect();
    for loss in losses(SHAPE[1]) {
        let mut gradient = vec![UNWRITTEN; single.len()];
        let mut output = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
        let logits = View::channels_first(&single, &SHAPE).unwrap();
        let values = reference::value_and_grad(&logits, &scene.problem(), &loss, &mut output).unwrap();
        let words = reference::statistics(&logits, &scene.problem(), &loss.request()).unwrap().as_limbs().to_vec();
        let found = Outcome { words, values: bits(&values), gradient: bits(&gradient) };
        assert_eq!(found, scene.outcome(&loss), "{loss:?}");
    }
}

/// The table of samples `range` alone, in a table for all samples: what a rank or a file contributes.
fn part(scene: &Scene, range: std::ops::Range<usize>, request: &Request) -> Statistics {
    let Scene { logits, labels, .. } = scene;
    let cut = |placed: &Placed| {
        let start = placed.start.wrapping_add_signed(placed.strides[0] * range.start as isize);
        let shape = [&[range.len()], &placed.shape[1..]].concat();
        Placed { shape, start, ..placed.clone() }
    };
    let local = Scene { logits: cut(logits), labels: cut(labels), ..scene.clone() };
    let mut local = local.statistics(request);
    let mut whole = Statistics::new(logits.shape[0], logits.shape[1], request).unwrap();
    for (i, sample) in range.enumerate() {
        whole.sample_mut(sample).copy_from_slice(local.sample_mut(i));
    }
    whole
}

/// A random way to place `rank` axes.
fn placement(rank: usize) -> impl Strategy<Value = (Vec<usize>, Vec<Axis>)> {
    let axis = (1_usize..4, 0_usize..4, any::<bool>(), prop::bool::weighted(0.15))
        .prop_map(|(step, gap, flipped, repeated)| Axis { step, gap, flipped, repeated });
    (Just((0..rank).collect::<Vec<_>>()).prop_shuffle(), prop::collection::vec(axis, rank))
}

/// `[N, C, spatial…]` of rank 2 to 6.
fn shape() -> impl Strategy<Value = Vec<usize>> {
    (0_usize..4, 1_usize..6, prop::collection::vec(1_usize..5, 0..5))
        .prop_map(|(samples, classes, spatial)| [&[samples, classes], &spatial[..]].concat())
}

fn scene() -> impl Strategy<Value = Scene> {
    let placements = |shape: Vec<usize>| {
        let rank = shape.len();
        (Just(shape), [placement(rank), placement(rank), placement(rank)], any::<u64>(), 0_usize..5)
    };
    shape().prop_flat_map(placements).prop_map(|(shape, [logits, labels, mut gradient], seed, margin)| {
        gradient.1.iter_mut().for_each(|axis| axis.repeated = false);
        let placed =
            |shape: &[usize], (order, axes): (Vec<usize>, Vec<Axis>)| Placed::new(shape, &order, &axes).behind(margin);
        let map = map_of(&shape);
        Scene::new(seed, placed(&shape, logits), placed(&map, labels), placed(&shape, gradient))
    })
}

proptest! {
    #[test]
    fn any_layout_gives_the_same_words_and_the_same_gradient(scene in scene()) {
        let compact = scene.compact();
        for loss in losses(scene.logits.shape[1]) {
            prop_assert_eq!(scene.outcome(&loss), compact.outcome(&loss));
        }
    }

    /// Also in any order, and pooled before or after.
    #[test]
    fn tables_of_samples_merge_to_the_table_of_the_whole(scene in scene(), cuts in [0_usize..4, 0_usize..4]) {
        let activation = if scene.logits.shape[1] > 1 { Activation::Softmax } else { Activation::Sigmoid };
        let request = &Request::overlap(activation);
        let samples = scene.logits.shape[0];
        let [first, second] = { let mut cuts = cuts.map(|cut| cut.min(samples)); cuts.sort_unstable(); cuts };
        let parts = [0..first, first..second, second..samples].map(|range| part(&scene, range, request));
        let whole = scene.statistics(request);
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut merged = parts[order[0]].clone();
            merged.merge(&parts[order[1]]).unwrap();
            merged.merge(&parts[order[2]]).unwrap();
            prop_assert_eq!(merged.as_limbs(), whole.as_limbs());
            prop_assert_eq!(&merged, &whole);
            // An all-reduce adds the words blindly; normalising afterwards gives the same table.
            let mut reduced = parts[order[0]].clone();
            for &other in &order[1..] {
                for (word, &add) in reduced.as_mut_limbs().iter_mut().zip(parts[other].as_limbs()) {
                    *word += add;
                }
            }
            reduced.normalise();
            prop_assert_eq!(&reduced, &whole);

            let mut pooled = parts[order[0]].pooled();
            pooled.merge(&parts[order[1]].pooled()).unwrap();
            pooled.merge(&parts[order[2]].pooled()).unwrap();
            prop_assert_eq!(&pooled, &whole.pooled());
        }
    }

    /// Where no sum rounds, a sample may be cut at any voxel: the accumulators add exactly.
    #[test]
    fn exact_sums_merge_at_any_voxel(seed in any::<u64>(), voxels in 1_usize..80, cut in 0_usize..80) {
        let request = &Request::overlap(Activation::None);
        let shape = [1, 3, voxels];
        let placed = Placed::compact(&shape);
        let mut scene = Scene::new(seed, placed.clone(), Placed::compact(&map_of(&shape)), placed);
        scene.logit_data.iter_mut().for_each(|p| *p = (*p * 64.0).round() / 64.0);
        let cut = cut.min(voxels);
        let between = |range: std::ops::Range<usize>| {
            let slice = |placed: &Placed| Placed {
                shape: vec![1, placed.shape[1], range.len()],
                // Past the last voxel there is no element to start at, and none is read.
                start: range.start,
                ..placed.clone()
            };
            Scene { logits: slice(&scene.logits), labels: slice(&scene.labels), ..scene.clone() }.statistics(request)
        };
        let mut merged = between(0..cut);
        merged.merge(&between(cut..voxels)).unwrap();
        prop_assert_eq!(merged, scene.statistics(request));
    }
}
