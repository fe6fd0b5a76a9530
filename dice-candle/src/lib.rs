//! The Dice loss family as losses of [candle](candle_core): value and gradient in two passes by `dice-simd`, inside candle's
//! automatic differentiation.
//!
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use dice_candle::{Problem, loss};
//! use dice_simd::loss::{CrossEntropy, SoftDice};
//!
//! let logits = Var::randn(0.0_f32, 1.0, (2, 4, 8, 8, 8), &Device::Cpu)?; // [N, C, D, H, W]
//! let labels = Tensor::ones((2, 8, 8, 8), DType::U8, &Device::Cpu)?; // [N, D, H, W]
//!
//! let both = SoftDice::default() + CrossEntropy::default();
//! let value = loss(&logits, &Problem::labels(&labels), &both)?; // a tensor of one value
//! let gradient = value.backward()?.remove(&logits).unwrap();
//! assert_eq!(gradient.dims(), [2, 4, 8, 8, 8]);
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! Tensors on the CPU are read where they lie, whatever their strides; those of other devices are moved there, and the gradient
//! moves back. The forward pass reads the logits once, the backward pass once more: nothing of the volume's size is made but the
//! gradient. Nothing here is differentiable a second time, and targets have no gradient.
//!
//! Errors are candle's; those of the passes (shapes that disagree, labels that are no class, parameters out of range) are
//! [`dice_simd::Error`] in a [`candle_core::Error::Wrapped`].

mod problem;
mod storage;

use bytemuck::Zeroable;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Error, Layout, Result, Shape, Tensor, WithDType};
use dice_simd::{Confusion, Cotangent, Engine, Float, LossHead, View, ViewMut};

pub use problem::Problem;
use storage::with_floats;

/// The values of `loss` for `logits` `[N, C, spatial…]`: one, or as many as the loss has. They are f64 for f64 logits, else f32.
///
/// If the logits depend on a variable, so do the values; the gradient has the logits' element type.
///
/// # Errors
/// [`Error::UnsupportedDTypeForOp`] of logits that are none of f16, bf16, f32 and f64, or of a part of the problem; and those of
/// the passes.
pub fn loss(logits: &Tensor, problem: &Problem, loss: &impl LossHead) -> Result<Tensor> {
    let on_cpu = logits.to_device(&Device::Cpu)?;
    let evaluation = problem.with(logits.rank(), |problem| {
        let (storage, layout) = on_cpu.storage_and_layout();
        with_floats!(&storage, layout, |view| Engine::new().value(&view, &problem, loss).map_err(Error::wrap))
    })?;
    let operation =
        Operation { values: evaluation.values.to_vec(), cotangent: evaluation.cotangent, problem: problem.clone() };
    on_cpu.apply_op1(operation)?.to_device(logits.device())
}

/// How many voxels of each true class are predicted as which: see [`Engine::confusion`]. For problems of labels.
///
/// # Errors
/// As [`loss`].
pub fn confusion(logits: &Tensor, problem: &Problem) -> Result<Confusion> {
    let logits = logits.to_device(&Device::Cpu)?;
    problem.with(logits.rank(), |problem| {
        let (storage, layout) = logits.storage_and_layout();
        with_floats!(&storage, layout, |view| Engine::new().confusion(&view, &problem).map_err(Error::wrap))
    })
}

/// Values that are known, and the way back from them to the logits.
struct Operation {
    values: Vec<f64>,
    cotangent: Cotangent,
    problem: Problem,
}

impl CustomOp1 for Operation {
    fn name(&self) -> &'static str {
        "dice"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = match logits {
            CpuStorage::F64(_) => CpuStorage::F64(self.values.clone()),
            _ => CpuStorage::F32(self.values.iter().map(|&value| value as f32).collect()),
        };
        Ok((values, self.values.len().into()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let upstream = upstream.to_dtype(DType::F64)?.to_vec1()?;
        let gradient = self.problem.with(logits.rank(), |problem| {
            // The forward pass has looked at everything.
            let problem = dice_simd::Problem { labels_checked: true, ..problem };
            let (storage, layout) = logits.storage_and_layout();
            with_floats!(&storage, layout, |view| gradient(&view, &problem, &self.cotangent, &upstream))
        })?;
        Ok(Some(gradient))
    }
}

/// The gradient by the logits, compact and of their type.
fn gradient<T: Float + WithDType + Zeroable>(
    logits: &View<'_, T>,
    problem: &dice_simd::Problem<'_>,
    cotangent: &Cotangent,
    upstream: &[f64],
) -> Result<Tensor> {
    let shape = logits.layout().dims();
    let mut gradient: Vec<T> = vec![T::zeroed(); shape.iter().product()];
    let mut output = ViewMut::channels_first(&mut gradient, shape).map_err(Error::wrap)?;
    Engine::new().pullback(logits, problem, cotangent, upstream, &mut output).map_err(Error::wrap)?;
    Tensor::from_vec(gradient, shape, &Device::Cpu)
}
