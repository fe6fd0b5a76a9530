//! Values and gradients against burn's own operations and automatic differentiation; every element type, stride and option.

use burn::tensor::activation::log_softmax;
use burn::tensor::quantization::QuantScheme;
use burn::tensor::{DType, Device, Distribution, FloatDType, Int, IntDType, Tensor};
use dice_burn::{Error, Problem, loss};
use dice_core::loss::{CrossEntropy, GeneralizedDice, SoftDice};
use dice_core::{LossHead, Reduction};

const SHAPE: [usize; 5] = [2, 4, 3, 5, 7];
const MAP: [usize; 4] = [2, 3, 5, 7];

/// On which gradients are asked for.
fn tracking() -> Device {
    Device::flex().autodiff()
}

fn logits(dtype: FloatDType, device: &Device) -> Tensor<5> {
    Tensor::<5>::random(SHAPE, Distribution::Normal(0.0, 2.0), device).cast(dtype).detach().require_grad()
}

/// Labels 0 to 2: the last class is absent.
fn labels(device: &Device) -> Tensor<4, Int> {
    Tensor::<4>::random(MAP, Distribution::Uniform(0.0, 3.0), device).detach().int()
}

fn one_hot(labels: &Tensor<4, Int>) -> Tensor<5> {
    let class = Tensor::<1, Int>::arange(0..4, &labels.device()).reshape([1, 4, 1, 1, 1]).expand(SHAPE);
    labels.clone().unsqueeze_dim::<5>(1).expand(SHAPE).equal(class).float()
}

/// Soft Dice plus half a cross-entropy of voxels with weights `m` `[N, 1, spatial…]`, per sample, in burn's operations. `g` is
/// one-hot; an absent class costs the part of the voxels that it claims.
fn textbook(z: Tensor<5>, g: Tensor<5>, m: Tensor<5>) -> Tensor<1> {
    let log = log_softmax(z, 1);
    let p = log.clone().exp();
    let sums = |x: Tensor<5>| (x * m.clone().expand(SHAPE)).sum_dims(&[2, 3, 4]);
    let (i, s, t) = (sums(p.clone() * g.clone()), sums(p), sums(g.clone()));
    let valid = m.clone().sum_dims(&[1, 2, 3, 4]).expand([2, 4, 1, 1, 1]);
    let absent = t.clone().equal_elem(0.0);
    let ratio = (i * -2.0) / (s.clone() + t) + 1.0;
    let dice = ratio.mask_where(absent, s / valid).mean();
    let entropy = (log * g * m.clone().expand(SHAPE)).sum() / m.sum();
    dice - entropy * 0.5
}

fn ours() -> impl LossHead {
    SoftDice::default() + 0.5 * CrossEntropy::default()
}

/// The greatest difference.
fn distance<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f64 {
    let host = |x: Tensor<D>| x.without_autodiff().cast(FloatDType::F64);
    (host(a) - host(b)).abs().max().into_scalar::<f64>()
}

fn gradient(value: &Tensor<1>, of: &Tensor<5>) -> Tensor<5> {
    of.grad(&value.clone().sum().backward()).expect("the value depends on it")
}

#[test]
fn value_and_gradient_are_those_of_burn() {
    for device in [tracking(), tracking().gradient_checkpointing()] {
        let (z, y) = (logits(FloatDType::F64, &device), labels(&device));
        let ones = Tensor::<5>::ones([2, 1, 3, 5, 7], &device).cast(FloatDType::F64);
        let theirs = textbook(z.clone(), one_hot(&y).cast(FloatDType::F64), ones) * 3.0;
        // A factor beyond the loss: the gradient from above is not 1.
        let value = loss(z.clone(), &Problem::labels(y), &ours()).unwrap() * 3.0;
        assert_eq!((value.dims(), value.dtype()), ([1], DType::F64));
        assert!(distance(value.clone(), theirs.clone()) < 1e-13);
        assert!(distance(gradient(&value, &z), gradient(&theirs, &z)) < 1e-13);
    }
}

#[test]
fn every_type_of_logits() {
    let device = tracking();
    let y = labels(&device);
    for (dtype, bound) in [(FloatDType::F32, 1e-6), (FloatDType::F16, 1e-3), (FloatDType::BF16, 1e-2)] {
        let z = logits(dtype, &device);
        let exact = z.clone().cast(FloatDType::F64).detach().require_grad();
        let problem = Problem::labels(y.clone());
        let (found, expected) =
            (loss(z.clone(), &problem, &ours()).unwrap(), loss(exact.clone(), &problem, &ours()).unwrap());
        assert_eq!(found.dtype(), DType::F32);
        assert!(distance(found.clone(), expected.clone()) < 1e-6, "{dtype:?}");
        let (found, expected) = (gradient(&found, &z), gradient(&expected, &exact));
        assert_eq!(found.dtype(), z.dtype());
        let scale = expected.clone().abs().max().into_scalar::<f64>();
        assert!(distance(found, expected) < bound * scale, "{dtype:?}");
    }
}

/// Channels last, cropped, flipped and broadcast: read where they lie.
#[test]
fn any_strides() {
    let device = tracking();
    let (z, y) = (logits(FloatDType::F32, &device), labels(&device));
    let wanted = loss(z.clone(), &Problem::labels(y.clone()), &ours()).unwrap();
    let expected = gradient(&wanted, &z);
    let leaf = |x: Tensor<5>| x.detach().require_grad();

    let last = leaf(z.clone().permute([0, 2, 3, 4, 1]).mul_scalar(1.0));
    let value = loss(last.clone().permute([0, 4, 1, 2, 3]), &Problem::labels(y.clone()), &ours()).unwrap();
    assert_eq!(distance(value.clone(), wanted.clone()), 0.0);
    assert_eq!(distance(gradient(&value, &last).permute([0, 4, 1, 2, 3]), expected.clone()), 0.0);

    let larger = leaf(z.clone().pad((2, 3, 0, 0), 9.0));
    let crop = larger.clone().narrow(4, 2, 7);
    let value = loss(crop, &Problem::labels(y.clone().pad((1, 1, 0, 0), 0).narrow(3, 1, 7)), &ours()).unwrap();
    assert_eq!(distance(value.clone(), wanted.clone()), 0.0);
    assert_eq!(distance(gradient(&value, &larger).narrow(4, 2, 7), expected.clone()), 0.0);

    let value = loss(z.clone().flip([3]).flip([3]), &Problem::labels(y.clone().flip([2]).flip([2])), &ours()).unwrap();
    assert_eq!(distance(value, wanted), 0.0);

    let one = || z.clone().narrow(0, 0, 1).expand(SHAPE);
    let both = [one(), one().mul_scalar(1.0)].map(|z| loss(z, &Problem::labels(y.clone()), &ours()).unwrap());
    assert_eq!(distance(both[0].clone(), both[1].clone()), 0.0);
    assert_eq!(distance(gradient(&both[0], &z), gradient(&both[1], &z)), 0.0);
}

#[test]
fn every_type_of_target() {
    let device = tracking();
    let (z, y) = (logits(FloatDType::F32, &device), labels(&device));
    let value = |problem: Problem| loss(z.clone(), &problem, &ours()).unwrap();
    let expected = value(Problem::labels(y.clone()));
    for dtype in [
        IntDType::U8,
        IntDType::I8,
        IntDType::U16,
        IntDType::I16,
        IntDType::U32,
        IntDType::I32,
        IntDType::U64,
        IntDType::I64,
    ] {
        let labels = y.clone().cast(dtype).unsqueeze_dim::<5>(1);
        assert_eq!(distance(value(Problem::labels(labels)), expected.clone()), 0.0, "{dtype:?}");
    }
    let hot = one_hot(&y);
    for dtype in [FloatDType::F16, FloatDType::BF16, FloatDType::F32, FloatDType::F64] {
        assert!(distance(value(Problem::dense(hot.clone().cast(dtype))), expected.clone()) < 1e-6, "{dtype:?}");
    }
    assert!(distance(value(Problem::regions(hot.equal_elem(1.0))), expected) < 1e-6);

    // One channel: the voxels of the class.
    let one = z.narrow(1, 0, 1);
    let binary = CrossEntropy::binary();
    let of_class = loss(one.clone(), &Problem::of_class(y.clone().equal_elem(1)), &binary).unwrap();
    let labels = Problem::labels(y.equal_elem(1).int());
    assert_eq!(distance(of_class, loss(one, &labels, &binary).unwrap()), 0.0);
}

#[test]
fn which_voxels_count() {
    let device = tracking();
    let (z, y) = (logits(FloatDType::F64, &device), labels(&device));
    let mask = Tensor::<4>::random(MAP, Distribution::Uniform(0.0, 1.0), &device).greater_elem(0.3);
    let weights = Tensor::<4>::random(MAP, Distribution::Uniform(0.5, 2.0), &device);
    let samples = Tensor::<1>::from_data([0.5, 2.0], &device).reshape([2, 1, 1, 1]).expand(MAP);
    let m = mask.clone().float() * weights.clone() * samples * y.clone().not_equal_elem(2).float();
    let theirs = textbook(z.clone(), one_hot(&y).cast(FloatDType::F64), m.unsqueeze_dim::<5>(1).cast(FloatDType::F64));
    let problem = Problem::labels(y).ignoring(2).masked(mask).weighted(weights).sample_weighted(vec![0.5, 2.0]);
    let value = loss(z.clone(), &problem, &ours()).unwrap();
    assert!(distance(value.clone(), theirs.clone()) < 1e-6);
    assert!(distance(gradient(&value, &z), gradient(&theirs, &z)) < 1e-6);
}

/// A value per sample, each with its own gradient from above.
#[test]
fn several_values() {
    let device = tracking();
    let (z, y) = (logits(FloatDType::F64, &device), labels(&device));
    let each = GeneralizedDice { reduction: Reduction::None, ..GeneralizedDice::default() };
    let values = loss(z.clone(), &Problem::labels(y.clone()), &each).unwrap();
    assert_eq!(values.dims(), [2]);
    let upstream = Tensor::<1>::from_data([2.0, -1.0], &device).cast(FloatDType::F64);
    let found = gradient(&(values * upstream), &z);
    for (sample, factor) in [(0, 2.0), (1, -1.0)] {
        let alone = z.clone().narrow(0, sample, 1).detach().require_grad();
        let problem = Problem::labels(y.clone().narrow(0, sample, 1));
        let value = loss(alone.clone(), &problem, &GeneralizedDice::default()).unwrap();
        let expected = gradient(&value, &alone) * factor;
        assert!(distance(found.clone().narrow(0, sample, 1), expected) < 1e-15);
    }
}

/// Without automatic differentiation, and on a part of a graph that no gradient is asked of, there is a value.
#[test]
fn what_is_not_tracked_has_a_value() {
    let y = labels(&Device::flex());
    let plain = Tensor::<5>::random(SHAPE, Distribution::Default, &Device::flex());
    let value = loss(plain.clone(), &Problem::labels(y.clone()), &ours()).unwrap();
    assert!(!value.device().is_autodiff());
    let constant = loss(plain.to_device(&tracking()).autodiff(), &Problem::labels(y), &ours()).unwrap();
    assert!(!constant.is_tracked());
    assert_eq!(distance(value, constant), 0.0);
}

#[test]
fn what_is_refused() {
    let device = Device::flex();
    let z = Tensor::<5>::random(SHAPE, Distribution::Default, &device);
    let y = labels(&device);
    let refused = |problem: Problem| loss(z.clone(), &problem, &ours()).unwrap_err();
    let wrong = refused(Problem::labels(y.clone().mul_scalar(0).add_scalar(9)));
    assert!(matches!(wrong, Error::Loss(dice_core::Error::LabelOutOfRange { label: 9, index: 0, .. })), "{wrong}");
    let narrow = refused(Problem::labels(y.clone().narrow(3, 0, 6)));
    assert!(narrow.to_string().contains("[2, 3, 5, 6]"), "{narrow}");
    let weights = refused(Problem::labels(y.clone()).weighted(y.float().cast(FloatDType::F64)));
    assert_eq!(weights, Error::ElementType { what: "voxel weights", found: DType::F64 });
    let quantised = z.clone().quantize_dynamic(&QuantScheme::default());
    let refused = loss(quantised, &Problem::labels(labels(&device)), &ours()).unwrap_err();
    assert!(matches!(refused, Error::ElementType { what: "logits", .. }), "{refused}");
}

/// Predicted classes are those of the greatest logits.
#[test]
fn confusion_counts_voxels() {
    let device = Device::flex();
    let (z, y) = (Tensor::<5>::random(SHAPE, Distribution::Default, &device), labels(&device));
    let counts = dice_burn::confusion(z.clone(), &Problem::labels(y.clone())).unwrap().pooled();
    let found: Tensor<4, Int> = z.argmax(1).squeeze_dim(1);
    for (truth, prediction) in (0..4).flat_map(|truth| (0..4).map(move |prediction| (truth, prediction))) {
        let both = y.clone().equal_elem(truth as i64).bool_and(found.clone().equal_elem(prediction as i64));
        let expected = both.int().sum().into_scalar::<i64>();
        assert_eq!(counts.count(0, truth, prediction), expected as u64);
    }
}
