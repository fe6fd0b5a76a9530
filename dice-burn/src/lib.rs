//! The Dice loss family as losses of [burn](burn): value and gradient in two passes by `dice-simd`, inside burn's automatic
//! differentiation.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Int, Tensor};
//! use dice_burn::{Problem, loss};
//! use dice_simd::loss::{CrossEntropy, SoftDice};
//!
//! let device = Device::flex().autodiff();
//! let logits = Tensor::<5>::random([2, 4, 8, 8, 8], Distribution::Default, &device).require_grad(); // [N, C, D, H, W]
//! let labels = Tensor::<4, Int>::ones([2, 8, 8, 8], &device); // [N, D, H, W]
//!
//! let both = SoftDice::default() + CrossEntropy::default();
//! let value = loss(logits.clone(), &Problem::labels(labels), &both)?; // a tensor of one value
//! let gradient = logits.grad(&value.backward()).unwrap();
//! assert_eq!(gradient.dims(), [2, 4, 8, 8, 8]);
//! # Ok::<(), dice_burn::Error>(())
//! ```
//!
//! Tensors on the CPU (burn's backend `Flex`) are read where they lie, whatever their strides; tensors of other backends are
//! moved there, and the gradient moves back. The forward pass reads the logits once, the backward pass once more: nothing of
//! the volume's size is made but the gradient. Nothing here is differentiable a second time, and targets have no gradient.

mod host;
mod problem;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, CheckpointStrategy, NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, DispatchKindConversion, DispatchTensor, Flex};
use burn::tensor::{Bytes, DType, Device, GradientCheckpointingStrategy, Shape, Tensor, TensorData};
use bytemuck::Zeroable;
use dice_simd::half::{bf16, f16};
use dice_simd::{Confusion, Cotangent, Engine, Float, LossHead, View, ViewMut};

use host::{to_host, view, with_floats};
pub use problem::Problem;

/// What is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor whose element type has no meaning in its place.
    #[error("{what} cannot be {found:?}")]
    ElementType {
        /// Which tensor.
        what: &'static str,
        /// Its type.
        found: DType,
    },
    /// What the passes refuse: shapes that disagree, labels that are no class, parameters out of range.
    #[error(transparent)]
    Loss(#[from] dice_simd::Error),
}

/// The values of `loss` for `logits` `[N, C, spatial…]`: one, or as many as the loss has. They are f64 for f64 logits, else f32.
///
/// If the logits are tracked by automatic differentiation, so are the values; the gradient has the logits' element type.
///
/// # Errors
/// [`Error::ElementType`] of logits that are quantised, or of a part of the problem; [`Error::Loss`].
pub fn loss<const D: usize>(logits: Tensor<D>, problem: &Problem, loss: &impl LossHead) -> Result<Tensor<1>, Error> {
    refuse_quantised(&logits)?;
    let home = logits.device();
    let logits = logits.to_device(&Device::flex());
    let values = match home.gradient_checkpointing_strategy() {
        None => Tensor::from_primitive::<Flex>(forward(&to_host(logits), problem, loss)?.0),
        Some(GradientCheckpointingStrategy::Disabled) => tracked::<NoCheckpointing, D>(logits, problem, loss)?,
        Some(GradientCheckpointingStrategy::Balanced) => tracked::<BalancedCheckpointing, D>(logits, problem, loss)?,
    };
    Ok(values.to_device(&home))
}

/// How many voxels of each true class are predicted as which: see [`Engine::confusion`]. For problems of labels.
///
/// # Errors
/// As [`loss`].
pub fn confusion<const D: usize>(logits: Tensor<D>, problem: &Problem) -> Result<Confusion, Error> {
    refuse_quantised(&logits)?;
    let (logits, problem) = (to_host(logits), problem.view(D)?);
    Ok(with_floats!(&logits, "logits", |view| Engine::new().confusion(&view, &problem)?))
}

fn refuse_quantised<const D: usize>(logits: &Tensor<D>) -> Result<(), Error> {
    match logits.dtype() {
        found @ DType::QFloat(_) => Err(Error::ElementType { what: "logits", found }),
        _ => Ok(()),
    }
}

/// The values, and what the backward pass needs beside the logits and the problem.
fn forward(logits: &FlexTensor, problem: &Problem, loss: &impl LossHead) -> Result<(FlexTensor, Cotangent), Error> {
    let problem = problem.view(logits.layout().num_dims())?;
    let evaluation = with_floats!(logits, "logits", |view| Engine::new().value(&view, &problem, loss)?);
    let values = match logits.dtype() {
        DType::F64 => TensorData::from(&*evaluation.values),
        _ => TensorData::from(&*evaluation.values.iter().map(|&value| value as f32).collect::<Vec<_>>()),
    };
    Ok((FlexTensor::from_data(values), evaluation.cotangent))
}

/// [`forward`] with its backward pass, on the graph of the logits.
fn tracked<C: CheckpointStrategy, const D: usize>(
    logits: Tensor<D>,
    problem: &Problem,
    loss: &impl LossHead,
) -> Result<Tensor<1>, Error>
where
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    let logits = logits.try_into_primitive::<Autodiff<Flex, C>>().expect("moved to Flex, with its own strategy");
    let (values, cotangent) = forward(logits.primitive(), problem, loss)?;
    let (logits, node) = logits.into_parts();
    let values = match Pullback.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((logits, problem.clone(), cotangent), values),
        OpsKind::UnTracked(prepared) => prepared.finish(values),
    };
    Ok(Tensor::from_primitive::<Autodiff<Flex, C>>(values))
}

/// From the gradient by the values to the gradient by the logits.
#[derive(Debug)]
struct Pullback;

impl Backward<Flex, 1> for Pullback {
    type State = (FlexTensor, Problem, Cotangent);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (logits, problem, cotangent) = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, gradients, |upstream| {
            let upstream: Vec<f64> = upstream.into_data().iter().collect();
            // The forward pass has looked at everything.
            gradient(&logits, &problem, &cotangent, &upstream).expect("what the forward pass took")
        });
    }
}

/// The gradient by the logits, compact and of their type.
fn gradient(
    logits: &FlexTensor,
    problem: &Problem,
    cotangent: &Cotangent,
    upstream: &[f64],
) -> Result<FlexTensor, Error> {
    let problem = dice_simd::Problem { labels_checked: true, ..problem.view(logits.layout().num_dims())? };
    with_floats!(logits, "logits", |view| {
        let shape = view.layout().dims();
        let mut gradient = zeros_like(&view);
        let mut output = ViewMut::channels_first(&mut gradient, shape)?;
        Engine::new().pullback(&view, &problem, cotangent, upstream, &mut output)?;
        let bytes = Bytes::from_elems(gradient);
        Ok(FlexTensor::from_data(TensorData::from_bytes(bytes, Shape::from(shape), logits.dtype())))
    })
}

/// As many zeros as a view has elements.
fn zeros_like<T: Float + Zeroable>(view: &View<'_, T>) -> Vec<T> {
    vec![T::zeroed(); view.layout().dims().iter().product()]
}
