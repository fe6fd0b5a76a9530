//! Inputs of any kind, drawn at random, with poison wherever nothing counts.

use super::inputs::{DenseTensor, Inputs, LabelTensor, Number, Truth};
use super::{Axis, Placed, Random, Tensor, map_of};

/// A way to lie in memory, and what it is called.
pub(crate) fn any_place(random: &mut Random, shape: &[usize], may_repeat: bool) -> (&'static str, Placed) {
    let rank = shape.len();
    let first: Vec<usize> = (0..rank).collect();
    let margin = random.pick(&[0, 0, 1, 3, 16]);
    let (name, place) = match random.below(if may_repeat { 7 } else { 6 }) {
        0 => ("channels first", Placed::channels_first(shape)),
        1 => ("channels last", Placed::channels_last(shape)),
        2 => {
            let mut order = first;
            random.shuffle(&mut order);
            ("any order", Placed::new(shape, &order, &vec![Axis::PLAIN; rank]))
        }
        3 => ("strided", Placed::new(shape, &first, &vec![Axis::SAMPLED; rank])),
        4 => {
            let axes: Vec<Axis> = (0..rank).map(|_| random.pick(&[Axis::PLAIN, Axis::FLIPPED])).collect();
            ("flipped", Placed::new(shape, &first, &axes))
        }
        5 => ("cropped", Placed::new(shape, &first, &vec![Axis::CROPPED; rank])),
        _ => {
            let mut axes = vec![Axis::PLAIN; rank];
            axes[random.below(rank)] = Axis::REPEATED;
            ("broadcast", Placed::new(shape, &first, &axes))
        }
    };
    (name, place.behind(margin))
}

/// What [`draw`] is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// Labels, one-hot or soft.
    pub(crate) target: &'static str,
    /// The element type of the target.
    pub(crate) target_type: &'static str,
    pub(crate) mask: bool,
    pub(crate) weights: bool,
    pub(crate) sample_weights: bool,
    /// "none", "a class" or "no class".
    pub(crate) ignored: &'static str,
    /// The gradient is to take the place of the logits.
    pub(crate) in_place: bool,
}

/// A label that no prediction of a few classes has, of this type.
fn impossible(label_type: &str) -> Option<i64> {
    match label_type {
        "u8" => Some(255),
        "i8" => Some(-1),
        "u16" => Some(65_535),
        "i16" => Some(-32_768),
        "u32" => Some(u32::MAX.into()),
        "i32" => Some(i32::MIN.into()),
        "u64" => Some(i64::MAX),
        "i64" => Some(i64::MIN),
        _ => None,
    }
}

/// Random inputs of this kind. What no voxel that counts uses is poison: NaN and infinite logits, impossible labels, weights
/// that are none. The names are those of the places of logits, truth and gradient.
pub(crate) fn draw<T: Number>(
    random: &mut Random,
    shape: &[usize],
    wish: &Wish,
    logit: impl Fn(&mut Random) -> f64,
) -> (Inputs<T>, [&'static str; 3]) {
    let (classes, map) = (shape[1], map_of(shape));
    let voxels: usize = shape[2..].iter().product();
    let labels_known = classes.max(2);
    let (logits_name, place) = any_place(random, shape, !wish.in_place);
    let logits: Vec<T> = place.elements().iter().map(|_| T::of(logit(random))).collect();
    let logits = Tensor::placed(place, &logits, T::of(f64::NAN));
    // Every voxel's label; now and then one class is absent.
    let absent = random.below(3 * labels_known);
    let label = |random: &mut Random| {
        let drawn = random.below(labels_known);
        if drawn == absent { (drawn + 1) % labels_known } else { drawn }
    };
    let ignored = match wish.ignored {
        "none" => None,
        "a class" => Some(random.below(labels_known) as i64),
        _ => Some(impossible(wish.target_type).unwrap_or(7)),
    };
    let (truth_name, truth) = if wish.target == "labels" {
        let (name, place) = any_place(random, &map, true);
        // A `bool` holds no third label, and the two others come up anyway.
        let ignorable = ignored.filter(|_| !matches!(wish.target_type, "bool" | "truth"));
        let labels: Vec<i64> = (0..shape[0] * voxels)
            .map(|_| match ignorable {
                Some(ignored) if random.once_in(6) => ignored,
                _ => label(random) as i64,
            })
            .collect();
        (
            name,
            Truth::Labels(LabelTensor::new(
                wish.target_type,
                place,
                &labels,
                impossible(wish.target_type).unwrap_or(1),
            )),
        )
    } else {
        let (name, place) = any_place(random, shape, true);
        let mut g = vec![0.0; shape[0] * classes * voxels];
        if wish.target == "one-hot" {
            for at in 0..shape[0] * voxels {
                let label = label(random);
                let channel = if classes == 1 { label.checked_sub(1) } else { Some(label) };
                if let Some(channel) = channel {
                    g[(at / voxels * classes + channel) * voxels + at % voxels] = 1.0;
                }
            }
        } else {
            // Bytes count more than once.
            let whole = matches!(wish.target_type, "u8" | "bool" | "truth");
            g.iter_mut().for_each(|g| {
                *g = if whole {
                    random.below(4) as f64
                } else {
                    random.pick(&[0.0, 0.25, 1.0, random.clone().within(0.0, 1.0)]).into()
                };
                random.bits();
            });
        }
        (name, Truth::Dense(DenseTensor::new(wish.target_type, place, &g, 0.0)))
    };
    let mask_of = |random: &mut Random| {
        // Now and then a long run is taken out, so that no voxel of a block counts, or a longer one is not.
        let ((mut byte, mut left), (_, place)) = ((0, 0), any_place(random, &map, true));
        let mask: Vec<u8> = (0..shape[0] * voxels)
            .map(|_| {
                if left == 0 && random.once_in(300) {
                    (byte, left) = random.pick(&[(0, 200), (1, 1000)]);
                }
                if left == 0 {
                    return random.pick(&[0, 1, 1, 1, 2, 255]);
                }
                left -= 1;
                byte
            })
            .collect();
        Tensor::placed(place, &mask, 1)
    };
    let mask = wish.mask.then(|| mask_of(random));
    let weights_of = |random: &mut Random| {
        let (_, place) = any_place(random, &map, true);
        let weights: Vec<f32> = (0..shape[0] * voxels)
            .map(|_| random.below(4))
            .map(|kind| [0.0, 1.0, 0.25, 0.0][kind])
            .collect::<Vec<_>>()
            .into_iter()
            .map(|fixed| if random.once_in(2) { fixed } else { random.within(0.0, 3.0) })
            .collect();
        Tensor::placed(place, &weights, f32::NAN)
    };
    let weights = wish.weights.then(|| weights_of(random));
    let sample_weights = wish.sample_weights.then(|| {
        (0..shape[0]).map(|_| if random.once_in(5) { 0.0 } else { random.within(0.1, 2.0) }).collect::<Vec<f32>>()
    });
    let (gradient_name, gradient) =
        if wish.in_place { (logits_name, logits.place.clone()) } else { any_place(random, shape, false) };
    let mut inputs = Inputs { logits, truth, mask, weights, sample_weights, ignored, offset: 0, gradient };
    poison(random, &mut inputs);
    (inputs, [logits_name, truth_name, gradient_name])
}

/// The places of memory that only voxels use for which `spare` is true; `per_voxel` is the number of places per voxel.
fn spare_places(place: &Placed, voxels: usize, spare: &[bool]) -> Vec<usize> {
    let classes = place.shape[1];
    let mut used = vec![false; place.len];
    let elements = place.elements();
    for (at, &element) in elements.iter().enumerate() {
        let voxel = at / (classes * voxels) * voxels + at % voxels;
        used[element] |= !spare[voxel];
    }
    let mut places: Vec<usize> = elements.into_iter().filter(|&element| !used[element]).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// Puts what must not be looked at wherever nothing else is.
fn poison<T: Number>(random: &mut Random, inputs: &mut Inputs<T>) {
    let voxels = inputs.voxels();
    let (m, _) = inputs.weights_and_targets();
    let left_out: Vec<bool> = m.iter().map(|&m| m == 0.0).collect();
    let by_mask: Vec<bool> = match &inputs.mask {
        Some(mask) => mask.place.gather(&mask.data).into_iter().map(|byte| byte == 0).collect(),
        None => vec![false; m.len()],
    };
    let ignored: Vec<bool> = match &inputs.truth {
        Truth::Labels(labels) => labels.numbers().into_iter().map(|label| Some(label) == inputs.ignored).collect(),
        Truth::Dense(_) => vec![false; m.len()],
    };
    for element in spare_places(&inputs.logits.place, voxels, &left_out) {
        inputs.logits.data[element] = T::of(random.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e4]));
    }
    if let Some(weights) = &mut inputs.weights {
        let free: Vec<bool> = by_mask.iter().zip(&ignored).map(|(a, b)| a | b).collect();
        for element in spare_places(&weights.place, voxels, &free) {
            weights.data[element] = random.pick(&[f32::NAN, f32::INFINITY, -1.0, 2e8]);
        }
    }
    match &mut inputs.truth {
        Truth::Labels(labels) => {
            // An ignored label that becomes another one would have its weight looked at.
            let free: Vec<bool> = (0..m.len()).map(|at| by_mask[at] || (left_out[at] && !ignored[at])).collect();
            if let Some(label) = impossible(labels.name()) {
                for element in spare_places(labels.place(), voxels, &free) {
                    labels.set(element, label);
                }
            }
        }
        Truth::Dense(dense) => {
            for element in spare_places(dense.place(), voxels, &left_out) {
                dense.set(element, random.pick(&[f64::NAN, f64::INFINITY, -3.0]));
            }
        }
    }
}
