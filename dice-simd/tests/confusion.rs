//! Confusion matrices: of logits against the reference, of label maps against a plain count, exactly; and volumes likewise.

mod common;

use common::draw::{Wish, draw};
use common::inputs::{Inputs, LabelTensor, Number, Truth, with_types};
use common::{Level, Placed, Random, for_any, map_of, per_level, rounds};
use dice_core::half::{bf16, f16};
use dice_core::{Confusion, Dense, Dims, Error, Labels, Problem, View, reference};
use dice_simd::{Engine, Isa, Serial};
use proptest::prelude::*;

/// Coarse logits, so that many are equal; some are none at all.
fn logit(random: &mut Random) -> f64 {
    match random.below(30) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 | 3 => f64::NEG_INFINITY,
        4 => -0.0,
        5 => random.within(-1e-4, 1e-4).into(),
        _ => random.below(7) as f64 - 3.0,
    }
}

/// Labels of any type, mask, weights and an ignored label or not.
fn wish(random: &mut Random, classes: usize) -> Wish {
    Wish {
        target: "labels",
        target_type: random.pick(LabelTensor::holding(classes)),
        mask: random.once_in(2),
        weights: random.once_in(2),
        sample_weights: random.once_in(3),
        ignored: random.pick(&["none", "a class", "no class"]),
        in_place: false,
    }
}

fn of_logits(level: &Level) {
    let types = [("f16", "f16"), ("bf16", "bf16"), ("f32", "f32"), ("f64", "f64")];
    let plan = (any::<u64>(), prop::sample::select(types.to_vec()), prop::sample::select(vec![1, 2, 3, 5, 40]));
    for_any(rounds(200, 8), plan, |(seed, types, classes)| {
        let mut random = Random(seed);
        let voxels = if random.once_in(4) { rounds(9000, 300) } else { 1 + random.below(300) };
        let shape = [1 + random.below(3), classes, 1 + random.below(2), voxels];
        let wish = wish(&mut random, classes);
        with_types!(types, |T, G| {
            let (inputs, _) = draw::<T>(&mut random, &shape, &wish, logit);
            let (logits, problem) = (inputs.logits.view(), inputs.problem());
            let expected = reference::confusion(&logits, &problem).unwrap();
            let found = level.engine().confusion(&logits, &problem).unwrap();
            assert_eq!(found, expected, "{} {shape:?} {wish:?}", G::NAME);
        });
    });
}
per_level!(of_logits);

/// The class of the greatest logit, by hand.
fn ties_and_what_is_no_number(level: &Level) {
    let (nan, infinity) = (f64::NAN, f64::INFINITY);
    // The logits of a voxel, and the class.
    let several: [([f64; 3], usize); 11] = [
        ([1.0, 2.0, 3.0], 2),
        ([3.0, 3.0, 1.0], 0),
        ([1.0, 3.0, 3.0], 1),
        ([nan, 1.0, 2.0], 2),
        ([1.0, nan, 0.0], 0),
        ([nan, nan, nan], 0),
        ([-infinity, -infinity, -infinity], 0),
        ([-infinity, -1e4, nan], 1),
        ([0.0, -0.0, 0.0], 0),
        ([infinity, 5.0, infinity], 0),
        ([-5.0, infinity, 5.0], 1),
    ];
    let single = [(0.0, 0), (-0.0, 0), (1e-4, 1), (-1e-4, 0), (nan, 0), (infinity, 1), (-infinity, 0)];
    fn check<T: Number>(level: &Level, voxels: &[(Vec<f64>, usize)], classes: usize) {
        // Each voxel at each place of a block.
        for shift in 0..70 {
            let all: Vec<_> = voxels.iter().cycle().skip(shift % voxels.len()).take(voxels.len() + shift).collect();
            let logits: Vec<f64> = (0..classes).flat_map(|class| all.iter().map(move |(z, _)| z[class])).collect();
            let labels = vec![1; all.len()];
            let inputs = Inputs::<T>::labelled(&[1, classes, all.len()], &logits, &labels);
            let found = level.engine().confusion(&inputs.logits.view(), &inputs.problem()).unwrap();
            for class in 0..classes.max(2) {
                let expected = all.iter().filter(|(_, predicted)| *predicted == class).count() as u64;
                assert_eq!(found.count(0, 1, class), expected, "{} of {classes}, class {class}", T::NAME);
                assert_eq!(found.count(0, 0, class), 0);
            }
        }
    }
    let several: Vec<_> = several.iter().map(|(z, class)| (z.to_vec(), *class)).collect();
    let single: Vec<_> = single.iter().map(|&(z, class)| (vec![z], class)).collect();
    for (voxels, classes) in [(&several, 3), (&single, 1)] {
        check::<f32>(level, voxels, classes);
        check::<f64>(level, voxels, classes);
        check::<f16>(level, voxels, classes);
        check::<bf16>(level, voxels, classes);
    }
}
per_level!(ties_and_what_is_no_number);

/// The counts, one voxel after the other.
fn count(inputs: &Inputs<f32>, prediction: &[i64], classes: usize) -> Confusion {
    let Truth::Labels(labels) = &inputs.truth else { unreachable!("made of labels") };
    let (m, _) = inputs.weights_and_targets();
    let mut confusion = Confusion::new(inputs.samples(), classes).unwrap();
    for (at, (truth, &prediction)) in labels.numbers().into_iter().zip(prediction).enumerate() {
        if m[at] > 0.0 {
            confusion.sample_mut(at / inputs.voxels())[truth as usize * classes + prediction as usize] += 1;
        }
    }
    confusion
}

/// A prediction of any label type, whose classes are impossible where nothing counts.
fn predicted(random: &mut Random, inputs: &Inputs<f32>, name: &str, classes: usize) -> (LabelTensor, Vec<i64>) {
    let (m, _) = inputs.weights_and_targets();
    let map = map_of(inputs.shape());
    let place = random.pick(&[Placed::channels_first, Placed::channels_last])(&map).behind(random.below(3));
    let bad = match name {
        "bool" | "truth" => 1,
        "i8" | "i16" | "i32" => -1,
        "i64" => i64::MIN,
        _ => 250,
    };
    let numbers: Vec<i64> = m.iter().map(|&m| if m > 0.0 { random.below(classes) as i64 } else { bad }).collect();
    (LabelTensor::new(name, place, &numbers, 0), numbers)
}

fn of_labels(level: &Level) {
    for_any(rounds(150, 8), any::<u64>(), |seed| {
        let mut random = Random(seed);
        let classes = random.pick(&[2, 2, 3, 5, 40]);
        let voxels = if random.once_in(4) { rounds(9000, 300) } else { 1 + random.below(300) };
        let shape = [1 + random.below(3), classes, 1 + random.below(2), voxels];
        let wish = wish(&mut random, classes);
        let (inputs, _) = draw::<f32>(&mut random, &shape, &wish, |_| 0.0);
        let name = random.pick(LabelTensor::holding(classes));
        let (prediction, numbers) = predicted(&mut random, &inputs, name, classes);
        let expected = count(&inputs, &numbers, classes);
        let found = level.engine().confusion_of_labels(prediction.view(), classes, &inputs.problem()).unwrap();
        assert_eq!(found, expected, "{name} against {wish:?}");
    });
}
per_level!(of_labels);

/// Volumes are added to what is there, map by map.
fn volumes(level: &Level) {
    for_any(rounds(150, 8), any::<u64>(), |seed| {
        let mut random = Random(seed);
        let classes = random.pick(&[2, 2, 3, 5, 40]);
        let (mut found, mut expected) = (vec![7.0; classes], vec![7.0; classes]);
        for _ in 0..2 {
            let voxels = if random.once_in(4) { rounds(9000, 300) } else { 1 + random.below(300) };
            let shape = [1 + random.below(3), classes, 1 + random.below(2), voxels];
            let wish = wish(&mut random, classes);
            let (inputs, _) = draw::<f32>(&mut random, &shape, &wish, |_| 0.0);
            let Truth::Labels(labels) = &inputs.truth else { unreachable!("made of labels") };
            let table = count(&inputs, &labels.numbers(), classes).pooled();
            (0..classes).for_each(|class| expected[class] += table.count(0, class, class) as f64);
            level.engine().add_volumes(&inputs.problem(), &mut found).unwrap();
            assert_eq!(found, expected, "{shape:?} {wish:?}");
        }
    });
}
per_level!(volumes);

#[cfg(feature = "rayon")]
fn volumes_on_threads(level: &Level) {
    let mut random = Random(5);
    let labels: Vec<i16> = (0..200_000).map(|_| random.below(300) as i16).collect();
    let (mut found, mut expected) = (vec![0.0; 300], vec![0.0; 300]);
    labels.iter().for_each(|&label| expected[label as usize] += 1.0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let problem = Problem::new(Labels::from(View::map(&labels, &[2, 100, 1000]).unwrap()));
    pool.install(|| level.engine_on(dice_simd::Rayon).add_volumes(&problem, &mut found)).unwrap();
    assert_eq!(found, expected);
}
#[cfg(feature = "rayon")]
per_level!(volumes_on_threads);

/// Bytes of some of the classes in each stretch of the volume, as organs are; in some volumes of all of them throughout.
fn stretches(random: &mut Random, classes: usize, voxels: usize) -> Vec<u8> {
    let everywhere = random.once_in(3);
    let mut labels = Vec::with_capacity(voxels + 4000);
    while labels.len() < voxels {
        let of_stretch: Vec<u8> = (0..1 + random.below(6)).map(|_| random.below(classes) as u8).collect();
        let stretch = 1 + random.below(4000);
        labels.extend((0..stretch).map(|_| match everywhere {
            true => random.below(classes) as u8,
            false => random.pick(&of_stretch),
        }));
    }
    labels.truncate(voxels);
    labels
}

/// The counts of pairs of bytes, one voxel after the other.
fn count_bytes(truth: &[u8], prediction: &[u8], samples: usize, classes: usize) -> Confusion {
    let mut confusion = Confusion::new(samples, classes).unwrap();
    let voxels = truth.len() / samples;
    for (at, (&truth, &prediction)) in truth.iter().zip(prediction).enumerate() {
        confusion.sample_mut(at / voxels)[usize::from(truth) * classes + usize::from(prediction)] += 1;
    }
    confusion
}

/// What an engine finds.
fn confusion_of_bytes(
    engine: &Engine<Serial>,
    truth: &[u8],
    prediction: &[u8],
    samples: usize,
    classes: usize,
) -> Result<Confusion, Error> {
    let [truth, prediction] = [truth, prediction].map(|map| View::map(map, &[samples, map.len() / samples]).unwrap());
    engine.confusion_of_labels(prediction, classes, &Problem::new(truth))
}

const CLASSES: [usize; 12] = [1, 2, 3, 4, 5, 8, 9, 14, 16, 17, 40, 256];

/// Byte labels that all count: the ways to count them depend on how many classes there are, here and altogether.
fn of_plain_bytes(level: &Level) {
    for_any(rounds(200, 8), (any::<u64>(), prop::sample::select(CLASSES.to_vec())), |(seed, classes)| {
        let mut random = Random(seed);
        let (samples, voxels) = (1 + random.below(3), 1 + random.below(rounds(30_000, 5_000)));
        let [truth, prediction] = [(); 2].map(|()| stretches(&mut random, classes, samples * voxels));
        let expected = count_bytes(&truth, &prediction, samples, classes);
        let found = confusion_of_bytes(&level.engine(), &truth, &prediction, samples, classes).unwrap();
        assert_eq!(found, expected, "{classes} classes, {samples} samples of {voxels} voxels");
    });
}
per_level!(of_plain_bytes);

/// Here and there a voxel is ignored or masked out, and its labels may be no classes: none of the others is counted twice.
fn of_bytes_some_of_which_are_left_out(level: &Level) {
    for_any(rounds(200, 8), (any::<u64>(), prop::sample::select(CLASSES[..11].to_vec())), |(seed, classes)| {
        let mut random = Random(seed);
        let (samples, voxels) = (1 + random.below(3), 1 + random.below(rounds(30_000, 5_000)));
        let (rarely, offset) = (random.pick(&[20, 700, 5_000]), random.pick(&[0, 0, 100, 8192]));
        let left_out: Vec<bool> = (0..samples * voxels).map(|_| random.once_in(rarely)).collect();
        // Not a class.
        let no_class = random.pick(&[255, classes as u8]);
        let maps = [(); 2].map(|()| {
            let mut labels = stretches(&mut random, classes, samples * voxels);
            labels
                .iter_mut()
                .zip(&left_out)
                .filter(|(_, left_out)| **left_out)
                .for_each(|(label, _)| *label = no_class);
            labels
        });
        let mask: Vec<u8> = left_out.iter().map(|&left_out| u8::from(!left_out)).collect();
        let shape = [samples, voxels];
        let [truth, prediction, view] = [&maps[0], &maps[1], &mask].map(|map| View::map(map, &shape).unwrap());
        let problem = Problem { offset, ..Problem::new(truth) };
        let no_class = i64::from(no_class);
        for (ignored, mask) in
            [(Some(no_class), None), (None, Some(view)), (Some(no_class), Some(view)), (Some(0), Some(view))]
        {
            let mut expected = Confusion::new(samples, classes).unwrap();
            for (at, (&truth, &prediction)) in maps[0].iter().zip(&maps[1]).enumerate() {
                if !left_out[at] && ignored != Some(truth.into()) {
                    expected.sample_mut(at / voxels)[usize::from(truth) * classes + usize::from(prediction)] += 1;
                }
            }
            let problem = Problem { ignore_index: ignored, mask, ..problem };
            let found = level.engine().confusion_of_labels(prediction, classes, &problem).unwrap();
            assert_eq!(found, expected, "{classes} classes, {shape:?}, one of {rarely} left out, {ignored:?}");
        }
    });
}
per_level!(of_bytes_some_of_which_are_left_out);

/// A thread keeps what it counts with; levels and numbers of classes may take turns on it.
#[test]
fn levels_take_turns_on_a_thread() {
    for_any(rounds(200, 8), (any::<u64>(), prop::sample::select(CLASSES.to_vec())), |(seed, classes)| {
        let mut random = Random(seed);
        let voxels = 1 + random.below(rounds(30_000, 5_000));
        let [truth, prediction] = [(); 2].map(|()| stretches(&mut random, classes, voxels));
        let expected = count_bytes(&truth, &prediction, 1, classes);
        for isa in Isa::available() {
            let engine = Engine::serial().with_isa(isa).unwrap();
            let found = confusion_of_bytes(&engine, &truth, &prediction, 1, classes).unwrap();
            assert_eq!(found, expected, "{classes} classes, {voxels} voxels, {isa}");
        }
    });
}

/// A byte that is no class is named, though its low bits are those of one; the next count knows nothing of it.
fn of_bytes_that_are_no_class(level: &Level) {
    for_any(rounds(200, 8), (any::<u64>(), prop::sample::select(CLASSES[..11].to_vec())), |(seed, classes)| {
        let mut random = Random(seed);
        let voxels = 1 + random.below(rounds(30_000, 5_000));
        let [truth, prediction] = [(); 2].map(|()| stretches(&mut random, classes, voxels));
        let (at, bad) = (random.below(voxels), classes + random.below(256 - classes));
        let run = |truth: &[u8], prediction: &[u8]| confusion_of_bytes(&level.engine(), truth, prediction, 1, classes);
        let (index, label) = (at as u64, bad as i64);
        let mut wrong = truth.clone();
        wrong[at] = bad as u8;
        assert_eq!(run(&wrong, &prediction), Err(Error::LabelOutOfRange { index, label, classes }));
        let mut wrong = prediction.clone();
        wrong[at] = bad as u8;
        assert_eq!(run(&truth, &wrong), Err(Error::PredictionOutOfRange { index, label, classes }));
        assert_eq!(run(&truth, &prediction), Ok(count_bytes(&truth, &prediction, 1, classes)));
    });
}
per_level!(of_bytes_that_are_no_class);

/// On threads the counts are the same; and a prediction that is the truth has nothing off the diagonal.
fn on_threads(level: &Level) {
    let shape = [3, 2, rounds(30_000, 24_000)];
    let mut random = Random(42);
    let logits: Vec<f64> = (0..shape.iter().product()).map(|_| random.within(-1.0, 1.0).into()).collect();
    let labels: Vec<i64> = (0..shape[0] * shape[2]).map(|_| random.below(2) as i64).collect();
    let inputs = Inputs::<f32>::labelled(&shape, &logits, &labels).weighted(&mut random);
    let (logits, problem) = (inputs.logits.view(), inputs.problem());
    let expected = reference::confusion(&logits, &problem).unwrap();
    assert_eq!(level.engine().confusion(&logits, &problem).unwrap(), expected);
    #[cfg(feature = "rayon")]
    for threads in [2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| level.engine_on(dice_simd::Rayon).confusion(&logits, &problem));
        assert_eq!(found.unwrap(), expected);
    }
    let Truth::Labels(map) = &inputs.truth else { unreachable!("made of labels") };
    let found = level.engine().confusion_of_labels(map.view(), 2, &problem).unwrap();
    assert_eq!(found, count(&inputs, &labels, 2));
    for sample in 0..3 {
        assert_eq!((found.count(sample, 0, 1), found.count(sample, 1, 0)), (0, 0));
        assert_eq!((found.dice(sample, 0), found.dice(sample, 1)), (1.0, 1.0));
        assert_eq!(found.target(sample, 1), expected.target(sample, 1));
    }
}
per_level!(on_threads);

/// Of all that cannot be, on either side, the first is named; at one voxel the weight before the label before the prediction.
fn what_cannot_be_is_named(level: &Level) {
    let shape = [2, 3, 9000];
    let clean = Inputs::<f32>::labelled(&shape, &vec![0.0; 54_000], &vec![1; 18_000]).weighted(&mut Random(1));
    let mut clean = Inputs { sample_weights: None, ..clean };
    clean.mask.as_mut().unwrap().data.fill(1);
    let prediction = vec![2_i16; 18_000];
    let run = |inputs: &Inputs<f32>, prediction: &[i16]| {
        let view = View::map(prediction, &[2, 9000]).unwrap();
        level.engine().confusion_of_labels(view, 3, &inputs.problem()).unwrap_err()
    };
    for at in [0, 63, 64, 8191, 8192, 8999, 9000, 17_999] {
        let index = at as u64;
        let (mut inputs, mut bad) = (clean.clone(), prediction.clone());
        // Others behind it.
        bad[at..].fill(-7);
        let wrong = Error::PredictionOutOfRange { index, label: -7, classes: 3 };
        assert_eq!(run(&inputs, &bad), wrong);
        assert_eq!(
            wrong.to_string(),
            format!("label -7 at index {at} of the predicted label map: must be from 0 to 2")
        );

        let Truth::Labels(labels) = &mut inputs.truth else { unreachable!("made of labels") };
        labels.set(at, 3);
        let wrong = Error::LabelOutOfRange { index, label: 3, classes: 3 };
        assert_eq!(run(&inputs, &bad), wrong);
        assert_eq!(level.engine().confusion(&inputs.logits.view(), &inputs.problem()).unwrap_err(), wrong);
        assert_eq!(reference::confusion(&inputs.logits.view(), &inputs.problem()).unwrap_err(), wrong);

        inputs.weights.as_mut().unwrap().data[at] = -1.0;
        let wrong = Error::Weight { what: "voxel weights", index, value: -1.0 };
        assert_eq!(run(&inputs, &bad), wrong);
        assert_eq!(level.engine().confusion(&inputs.logits.view(), &inputs.problem()).unwrap_err(), wrong);

        // Where the voxel is masked, nothing of it is looked at.
        inputs.mask.as_mut().unwrap().data[at] = 0;
        if at + 1 < bad.len() {
            let next = Error::PredictionOutOfRange { index: index + 1, label: -7, classes: 3 };
            assert_eq!(run(&inputs, &bad), next);
        }
        assert!(level.engine().confusion(&inputs.logits.view(), &inputs.problem()).is_ok());
    }
}
per_level!(what_cannot_be_is_named);

/// Nothing is added to volumes when something is wrong.
fn volumes_of_what_cannot_be(level: &Level) {
    let inputs = Inputs::<f32>::labelled(&[2, 3, 9000], &vec![0.0; 54_000], &vec![2; 18_000]);
    let (problem, mut volumes) = (inputs.problem(), [0.0, 1.0, 2.0]);
    let mut run = |problem: &Problem<'_>, classes: usize| {
        let error = level.engine().add_volumes(problem, &mut volumes[..classes]).unwrap_err();
        assert_eq!(volumes, [0.0, 1.0, 2.0]);
        error
    };
    assert_eq!(run(&problem, 2), Error::LabelOutOfRange { index: 0, label: 2, classes: 2 });
    assert_eq!(run(&problem, 0), Error::ZeroClasses { shape: Dims::new(&[2, 1, 9000]) });
    let dense = Problem { target: Dense::from(inputs.logits.view()).into(), ..problem };
    assert_eq!(run(&dense, 3), Error::DenseTarget);
    let mut weights = vec![1.0; 18_000];
    weights[9003] = f32::NAN;
    let weighted = Problem { voxel_weights: Some(View::map(&weights, &[2, 9000]).unwrap()), ..problem };
    assert!(matches!(run(&weighted, 3), Error::Weight { what: "voxel weights", index: 9003, .. }));
    let turned = View::map(&weights, &[9000, 2]).unwrap();
    let turned = Problem { voxel_weights: Some(turned), ..problem };
    assert!(matches!(run(&turned, 3), Error::ShapeMismatch { .. }));
    let empty = Problem::new(View::map(&[0_u8; 0], &[1, 0]).unwrap());
    level.engine().add_volumes(&empty, &mut volumes).unwrap();
    assert_eq!(volumes, [0.0, 1.0, 2.0]);
}
per_level!(volumes_of_what_cannot_be);

fn what_does_not_fit(level: &Level) {
    let inputs = Inputs::<f32>::labelled(&[1, 2, 4, 5], &[0.5; 40], &[0; 20]);
    let (logits, problem) = (inputs.logits.view(), inputs.problem());
    let engine = level.engine();
    let dense = Problem { target: Dense::from(logits).into(), ..problem };
    assert_eq!(engine.confusion(&logits, &dense).unwrap_err(), Error::DenseTarget);
    assert_eq!(reference::confusion(&logits, &dense).unwrap_err(), Error::DenseTarget);
    let bytes = [0_u8; 60];
    let map = View::map(&bytes[..20], &[1, 4, 5]).unwrap();
    assert_eq!(engine.confusion_of_labels(map, 2, &dense).unwrap_err(), Error::DenseTarget);
    let error = engine.confusion_of_labels(map, 0, &problem).unwrap_err();
    assert_eq!(error, Error::ZeroClasses { shape: Dims::new(&[1, 4, 5]) });
    let channels = View::channels_first(&bytes, &[1, 3, 4, 5]).unwrap();
    // Each shape as it was given.
    let given = Problem::new(map);
    let misfit = |what, whose, found: &[usize]| {
        let (expected, found) = (Dims::new(&[1, 4, 5]), Dims::new(found));
        Error::ShapeMismatch { what, whose, expected, found }
    };
    let error = engine.confusion_of_labels(channels, 2, &given).unwrap_err();
    assert_eq!(error, Error::MapWithChannels { what: "predicted label map", shape: Dims::new(&[1, 3, 4, 5]) });
    let turned = View::map(&bytes[..20], &[1, 5, 4]).unwrap();
    let error = engine.confusion_of_labels(turned, 2, &given).unwrap_err();
    assert_eq!(error, misfit("predicted label map", "the target's", &[1, 5, 4]));
    let error = engine.confusion_of_labels(map, 2, &given.masked(turned)).unwrap_err();
    assert_eq!(error, misfit("mask", "the label maps'", &[1, 5, 4]));
    // Tables that no memory can hold, and a number of classes that no label can have.
    for classes in [usize::MAX, usize::MAX - 1, 1 << 33, (1 << 31) - 1] {
        let error = engine.confusion_of_labels(map, classes, &problem).unwrap_err();
        let named = matches!(error, Error::InvalidParameter { name: "classes", .. } | Error::TooLarge { .. });
        assert!(named, "{classes} classes: {error}");
    }
    assert_eq!(engine.confusion_of_labels(map, 1, &problem).unwrap().as_slice(), [20]);
    let empty = Problem::new(View::map(&[0_u8; 0], &[1, 0]).unwrap());
    let none = View::map(&[0_u8; 0], &[1, 0]).unwrap();
    assert_eq!(engine.confusion_of_labels(none, 2, &empty).unwrap(), Confusion::new(1, 2).unwrap());
}
per_level!(what_does_not_fit);
