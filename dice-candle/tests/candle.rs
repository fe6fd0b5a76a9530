//! Values and gradients against candle's own operations and automatic differentiation; every element type, stride and option.

use candle_core::{D, DType, Device, Error, Result, Tensor, Var};
use dice_candle::{Problem, loss};
use dice_simd::half::{bf16, f16};
use dice_simd::loss::{CrossEntropy, GeneralizedDice, SoftDice};
use dice_simd::{Activation, Grouping, LossHead, Reduction};

const SHAPE: (usize, usize, usize, usize, usize) = (2, 4, 3, 5, 7);
const MAP: (usize, usize, usize, usize) = (2, 3, 5, 7);

fn logits(dtype: DType) -> Result<Var> {
    Var::from_tensor(&Tensor::randn(0.0_f64, 2.0, SHAPE, &Device::Cpu)?.to_dtype(dtype)?)
}

/// Labels 0 to 2: the last class is absent.
fn labels() -> Result<Tensor> {
    Tensor::rand(0.0_f32, 3.0, MAP, &Device::Cpu)?.to_dtype(DType::U8)
}

fn one_hot(labels: &Tensor, dtype: DType) -> Result<Tensor> {
    let class = Tensor::arange(0_u8, 4, &Device::Cpu)?.reshape((1, 4, 1, 1, 1))?;
    labels.unsqueeze(1)?.broadcast_eq(&class)?.to_dtype(dtype)
}

/// Softmax, and the logarithm of it, over the channels.
fn softmax(z: &Tensor) -> Result<(Tensor, Tensor)> {
    let shifted = z.broadcast_sub(&z.max_keepdim(1)?)?;
    let log = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)?;
    Ok((log.exp()?, log))
}

/// Soft Dice plus half a cross-entropy of voxels with weights `m` `[N, 1, spatial…]`, per sample, in candle's operations. `g` is
/// one-hot; an absent class costs the part of the voxels that it claims.
fn textbook(z: &Tensor, g: &Tensor, m: &Tensor) -> Result<Tensor> {
    let (p, log) = softmax(z)?;
    let sums = |x: &Tensor| x.broadcast_mul(m)?.flatten_from(2)?.sum(D::Minus1);
    let (i, s, t) = (sums(&(&p * g)?)?, sums(&p)?, sums(g)?);
    let valid = m.flatten_from(1)?.sum_keepdim(1)?;
    let present = t.ne(0.0)?;
    let ratio = (1.0 - ((i * 2.0)? / (&s + t)?)?)?;
    let dice = present.where_cond(&ratio, &s.broadcast_div(&valid)?)?.mean_all()?;
    let entropy = ((log * g)?.broadcast_mul(m)?.sum_all()?.neg()? / m.sum_all()?)?;
    dice + (entropy * 0.5)?
}

fn ours() -> impl LossHead {
    SoftDice::default() + 0.5 * CrossEntropy::default()
}

fn ones(dtype: DType) -> Result<Tensor> {
    Tensor::ones((2, 1, 3, 5, 7), dtype, &Device::Cpu)
}

/// The greatest difference.
fn distance(a: &Tensor, b: &Tensor) -> Result<f64> {
    assert_eq!(a.dims(), b.dims());
    (a.to_dtype(DType::F64)? - b.to_dtype(DType::F64)?)?.abs()?.max_all()?.to_scalar()
}

fn gradient(value: &Tensor, of: &Tensor) -> Result<Tensor> {
    Ok(value.backward()?.remove(of).expect("the value depends on it"))
}

#[test]
fn value_and_gradient_are_those_of_candle() -> Result<()> {
    let (z, y) = (logits(DType::F64)?, labels()?);
    let theirs = textbook(&z, &one_hot(&y, DType::F64)?, &ones(DType::F64)?)?;
    // A factor beyond the loss: the gradient from above is not 1.
    let value = loss(&z, &Problem::labels(&y), &ours())?;
    assert_eq!(value.dims(), [1]);
    assert!(distance(&value, &theirs.reshape(1)?)? < 1e-13);
    let expected = gradient(&(theirs * 3.0)?, &z)?;
    assert!(distance(&gradient(&(value * 3.0)?, &z)?, &expected)? < 1e-13);
    Ok(())
}

#[test]
fn every_type_of_logits() -> Result<()> {
    let y = labels()?;
    for (dtype, bound) in [(DType::F32, 1e-6), (DType::F16, 1e-3), (DType::BF16, 1e-2)] {
        let z = logits(dtype)?;
        let exact = Var::from_tensor(&z.to_dtype(DType::F64)?)?;
        let (found, expected) =
            (loss(&z, &Problem::labels(&y), &ours())?, loss(&exact, &Problem::labels(&y), &ours())?);
        assert_eq!(found.dtype(), DType::F32);
        assert!(distance(&found, &expected)? < 1e-6, "{dtype:?}");
        let (found, expected) = (gradient(&found, &z)?, gradient(&expected, &exact)?);
        assert_eq!(found.dtype(), dtype);
        let scale: f64 = expected.abs()?.max_all()?.to_scalar()?;
        assert!(distance(&found, &expected)? < bound * scale, "{dtype:?}");
    }
    Ok(())
}

/// Channels last, cropped, and broadcast: read where they lie.
#[test]
fn any_strides() -> Result<()> {
    let (z, y) = (logits(DType::F32)?, labels()?);
    let wanted = loss(&z, &Problem::labels(&y), &ours())?;
    let expected = gradient(&wanted, &z)?;

    let last = Var::from_tensor(&z.permute((0, 2, 3, 4, 1))?.contiguous()?)?;
    let value = loss(&last.permute((0, 4, 1, 2, 3))?, &Problem::labels(&y), &ours())?;
    assert_eq!(distance(&value, &wanted)?, 0.0);
    assert_eq!(distance(&gradient(&value, &last)?.permute((0, 4, 1, 2, 3))?, &expected)?, 0.0);

    let larger = Var::from_tensor(&z.pad_with_zeros(4, 2, 3)?)?;
    let value =
        loss(&larger.narrow(4, 2, 7)?, &Problem::labels(&y.pad_with_zeros(1, 1, 1)?.narrow(1, 1, 3)?), &ours())?;
    assert_eq!(distance(&value, &wanted)?, 0.0);
    assert_eq!(distance(&gradient(&value, &larger)?.narrow(4, 2, 7)?, &expected)?, 0.0);

    let one = z.narrow(0, 0, 1)?;
    let twice = loss(&one.broadcast_as(SHAPE)?, &Problem::labels(&y), &ours())?;
    let copied = loss(&one.broadcast_as(SHAPE)?.contiguous()?, &Problem::labels(&y), &ours())?;
    assert_eq!(distance(&twice, &copied)?, 0.0);
    assert_eq!(distance(&gradient(&twice, &z)?, &gradient(&copied, &z)?)?, 0.0);
    Ok(())
}

#[test]
fn every_type_of_target() -> Result<()> {
    let (z, y) = (logits(DType::F32)?, labels()?);
    let expected = loss(&z, &Problem::labels(&y), &ours())?;
    for dtype in [DType::U8, DType::U32, DType::I16, DType::I32, DType::I64] {
        let labels = y.to_dtype(dtype)?.unsqueeze(1)?;
        assert_eq!(distance(&loss(&z, &Problem::labels(&labels), &ours())?, &expected)?, 0.0, "{dtype:?}");
    }
    for dtype in [DType::U8, DType::F16, DType::BF16, DType::F32, DType::F64] {
        let dense = Problem::dense(&one_hot(&y, dtype)?);
        assert!(distance(&loss(&z, &dense, &ours())?, &expected)? < 1e-6, "{dtype:?}");
    }
    Ok(())
}

#[test]
fn which_voxels_count() -> Result<()> {
    let (z, y) = (logits(DType::F64)?, labels()?);
    let mask = Tensor::rand(0.0_f32, 2.0, MAP, &Device::Cpu)?.to_dtype(DType::U8)?;
    let weights = Tensor::rand(0.5_f32, 2.0, MAP, &Device::Cpu)?;
    let samples = Tensor::new(&[0.5_f64, 2.0], &Device::Cpu)?.reshape((2, 1, 1, 1))?;
    let m = (mask.to_dtype(DType::F64)? * weights.to_dtype(DType::F64)?)?;
    let m = (m.broadcast_mul(&samples)? * y.ne(2_u8)?.to_dtype(DType::F64)?)?.unsqueeze(1)?;
    let theirs = textbook(&z, &one_hot(&y, DType::F64)?, &m)?;
    let problem = Problem::labels(&y).ignoring(2).masked(&mask).weighted(&weights).sample_weighted(vec![0.5, 2.0]);
    let value = loss(&z, &problem, &ours())?;
    assert!(distance(&value, &theirs.reshape(1)?)? < 1e-12);
    assert!(distance(&gradient(&value, &z)?, &gradient(&theirs, &z)?)? < 1e-12);
    Ok(())
}

/// A value per sample, each with its own gradient from above.
#[test]
fn several_values() -> Result<()> {
    let (z, y) = (logits(DType::F64)?, labels()?);
    let each = GeneralizedDice { reduction: Reduction::None, ..GeneralizedDice::default() };
    let values = loss(&z, &Problem::labels(&y), &each)?;
    assert_eq!(values.dims(), [2]);
    let upstream = Tensor::new(&[2.0_f64, -1.0], &Device::Cpu)?;
    let found = gradient(&(values * upstream)?.sum_all()?, &z)?;
    for (sample, factor) in [(0, 2.0), (1, -1.0)] {
        let alone = Var::from_tensor(&z.narrow(0, sample, 1)?.contiguous()?)?;
        let value = loss(&alone, &Problem::labels(&y.narrow(0, sample, 1)?), &GeneralizedDice::default())?;
        let expected = (gradient(&value, &alone)? * factor)?;
        assert!(distance(&found.narrow(0, sample, 1)?, &expected)? < 1e-15);
    }
    Ok(())
}

#[test]
fn a_tensor_outside_of_the_graph_has_a_value() -> Result<()> {
    let z = logits(DType::F32)?;
    let batch = GeneralizedDice { activation: Activation::Sigmoid, grouping: Grouping::Batch, ..Default::default() };
    let value = loss(&z.detach(), &Problem::labels(&labels()?), &batch)?;
    assert!(value.to_vec1::<f32>()?[0].is_finite());
    Ok(())
}

#[test]
fn what_is_refused() -> Result<()> {
    let (z, y) = (logits(DType::F32)?, labels()?);
    let refused = |logits: &Tensor, problem: &Problem| loss(logits, problem, &ours()).unwrap_err().to_string();
    let wrong = Tensor::full(9_i64, MAP, &Device::Cpu)?;
    assert!(
        refused(&z, &Problem::labels(&wrong)).contains("label 9 at index 0"),
        "{}",
        refused(&z, &Problem::labels(&wrong))
    );
    let narrow = y.narrow(3, 0, 6)?;
    assert!(
        refused(&z, &Problem::labels(&narrow)).contains("[2, 3, 5, 6]"),
        "{}",
        refused(&z, &Problem::labels(&narrow))
    );
    let integers = z.to_dtype(DType::I64)?;
    assert!(matches!(loss(&integers, &Problem::labels(&y), &ours()), Err(Error::UnsupportedDTypeForOp(DType::I64, _))));
    for problem in [
        Problem::labels(&z),
        Problem::dense(&y.to_dtype(DType::I64)?),
        Problem::labels(&y).masked(&y.to_dtype(DType::I64)?),
        Problem::labels(&y).weighted(&y),
    ] {
        assert!(matches!(loss(&z, &problem, &ours()), Err(Error::UnsupportedDTypeForOp(..))));
    }
    Ok(())
}

/// Predicted classes are those of the greatest logits.
#[test]
fn confusion_counts_voxels() -> Result<()> {
    let (z, y) = (logits(DType::F32)?, labels()?);
    let counts = dice_candle::confusion(&z, &Problem::labels(&y))?.pooled();
    let found = z.argmax(1)?;
    for (truth, prediction) in (0..4).flat_map(|truth| (0..4).map(move |prediction| (truth, prediction))) {
        let both = (y.eq(truth as u8)? * found.eq(prediction as u32)?)?;
        let expected = both.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
        assert_eq!(counts.count(0, truth, prediction) as f64, expected);
    }
    Ok(())
}

/// The halves of candle are those of the passes.
#[test]
fn halves_are_the_same() {
    fn same<T: candle_core::WithDType + dice_simd::Float>() -> DType {
        T::DTYPE
    }
    assert_eq!([same::<f16>(), same::<bf16>()], [DType::F16, DType::BF16]);
}
