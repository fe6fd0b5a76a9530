//! What the logits are compared with, in tensors of burn.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Bool, BoolStore, DType, Int, Tensor};
use dice_simd::half::{bf16, f16};
use dice_simd::{Dense, Labels, View};

use crate::Error;
use crate::host::{map, to_host, view, with_floats};

/// What the logits are compared with, and which voxels count: [`dice_simd::Problem`] in tensors.
///
/// Tensors are kept on the CPU; those of burn's backend `Flex` are shared, not copied.
#[derive(Debug, Clone)]
pub struct Problem {
    target: Target,
    ignore_index: Option<i64>,
    mask: Option<FlexTensor>,
    voxel_weights: Option<FlexTensor>,
    sample_weights: Option<Vec<f32>>,
}

#[derive(Debug, Clone)]
enum Target {
    Labels(FlexTensor),
    Dense(FlexTensor),
}

impl Problem {
    fn new(target: Target) -> Self {
        Self { target, ignore_index: None, mask: None, voxel_weights: None, sample_weights: None }
    }

    /// One class per voxel: `[N, spatial…]` or `[N, 1, spatial…]`, integers of any type.
    pub fn labels<const D: usize>(labels: Tensor<D, Int>) -> Self {
        Self::new(Target::Labels(to_host(labels)))
    }

    /// Of a prediction with one channel, the voxels that belong to the class: `[N, spatial…]` or `[N, 1, spatial…]`.
    pub fn of_class<const D: usize>(voxels: Tensor<D, Bool>) -> Self {
        Self::new(Target::Labels(to_host(voxels)))
    }

    /// How much of each voxel belongs to each class, in the logits' shape: soft labels of any floating-point type, not quantised.
    pub fn dense<const D: usize>(target: Tensor<D>) -> Self {
        Self::new(Target::Dense(to_host(target)))
    }

    /// Which classes each voxel belongs to, in the logits' shape: one-hot, or overlapping regions under a sigmoid.
    pub fn regions<const D: usize>(target: Tensor<D, Bool>) -> Self {
        Self::new(Target::Dense(to_host(target)))
    }

    /// The same with a label, inside or outside the classes, whose voxels do not count. Not for dense targets.
    #[must_use]
    pub fn ignoring(self, label: i64) -> Self {
        Self { ignore_index: Some(label), ..self }
    }

    /// The same with only those voxels counting that `mask` holds: `[N, spatial…]` or `[N, 1, spatial…]`.
    #[must_use]
    pub fn masked<const D: usize>(self, mask: Tensor<D, Bool>) -> Self {
        Self { mask: Some(to_host(mask)), ..self }
    }

    /// The same with a weight per voxel, from 0 to 1e8: `[N, spatial…]` or `[N, 1, spatial…]` in f32.
    #[must_use]
    pub fn weighted<const D: usize>(self, weights: Tensor<D>) -> Self {
        Self { voxel_weights: Some(to_host(weights)), ..self }
    }

    /// The same with a weight per sample, from 0 to 1e8.
    #[must_use]
    pub fn sample_weighted(self, weights: Vec<f32>) -> Self {
        Self { sample_weights: Some(weights), ..self }
    }

    /// As the passes take it beside logits of so many axes.
    pub(crate) fn view(&self, axes: usize) -> Result<dice_simd::Problem<'_>, Error> {
        let voxel_weights = self.voxel_weights.as_ref().map(|weights| match weights.dtype() {
            DType::F32 => Ok(map::<f32>(weights, axes)?),
            found => Err(Error::ElementType { what: "voxel weights", found }),
        });
        Ok(dice_simd::Problem {
            ignore_index: self.ignore_index,
            mask: self.mask.as_ref().map(|mask| bytes(mask, "a mask", axes)).transpose()?,
            voxel_weights: voxel_weights.transpose()?,
            sample_weights: self.sample_weights.as_deref(),
            ..dice_simd::Problem::new(match &self.target {
                Target::Labels(labels) => dice_simd::Target::Labels(self::labels(labels, axes)?),
                Target::Dense(dense) => dice_simd::Target::Dense(self::dense(dense)?),
            })
        })
    }
}

/// Labels of any type.
fn labels(tensor: &FlexTensor, axes: usize) -> Result<Labels<'_>, Error> {
    Ok(match tensor.dtype() {
        DType::U8 => map::<u8>(tensor, axes)?.into(),
        DType::I8 => map::<i8>(tensor, axes)?.into(),
        DType::U16 => map::<u16>(tensor, axes)?.into(),
        DType::I16 => map::<i16>(tensor, axes)?.into(),
        DType::U32 => map::<u32>(tensor, axes)?.into(),
        DType::I32 => map::<i32>(tensor, axes)?.into(),
        DType::U64 => map::<u64>(tensor, axes)?.into(),
        DType::I64 => map::<i64>(tensor, axes)?.into(),
        _ => Labels::Bool(bytes(tensor, "a label", axes)?),
    })
}

fn dense(tensor: &FlexTensor) -> Result<Dense<'_>, Error> {
    if let DType::Bool(_) = tensor.dtype() {
        return Ok(Dense::Bool(bytes(tensor, "a target", tensor.layout().num_dims())?));
    }
    Ok(with_floats!(tensor, "a target", |view| view.into()))
}

/// A tensor of bool, as the bytes that it is.
fn bytes<'a>(tensor: &'a FlexTensor, what: &'static str, axes: usize) -> Result<View<'a, u8>, Error> {
    match tensor.dtype() {
        DType::Bool(BoolStore::Native | BoolStore::U8) => Ok(map::<u8>(tensor, axes)?),
        found => Err(Error::ElementType { what, found }),
    }
}
