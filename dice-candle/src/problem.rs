//! What the logits are compared with, in tensors of candle.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Device, Layout, Result, Tensor};
use dice_simd::{Dense, Labels, Target, View};

use crate::storage::{map, on_cpu, unsupported, view};

/// What the logits are compared with, and which voxels count: [`dice_simd::Problem`] in tensors, which are shared, not copied.
/// Tensors of other devices are moved to the CPU at each call: move them once.
#[derive(Debug, Clone)]
pub struct Problem {
    target: Tensor,
    is_dense: bool,
    ignore_index: Option<i64>,
    mask: Option<Tensor>,
    voxel_weights: Option<Tensor>,
    sample_weights: Option<Vec<f32>>,
}

impl Problem {
    fn new(target: &Tensor, is_dense: bool) -> Self {
        let target = target.clone();
        Self { target, is_dense, ignore_index: None, mask: None, voxel_weights: None, sample_weights: None }
    }

    /// One class per voxel: `[N, spatial…]` or `[N, 1, spatial…]`, integers of any type; u32 is taken as i32.
    pub fn labels(labels: &Tensor) -> Self {
        Self::new(labels, false)
    }

    /// How much of each voxel belongs to each class, in the logits' shape: soft in a floating-point type, or u8.
    pub fn dense(target: &Tensor) -> Self {
        Self::new(target, true)
    }

    /// The same with a label, inside or outside the classes, whose voxels do not count. Not for dense targets.
    #[must_use]
    pub fn ignoring(self, label: i64) -> Self {
        Self { ignore_index: Some(label), ..self }
    }

    /// The same with only those voxels counting where `mask` is not 0: `[N, spatial…]` or `[N, 1, spatial…]` in u8.
    #[must_use]
    pub fn masked(self, mask: &Tensor) -> Self {
        Self { mask: Some(mask.clone()), ..self }
    }

    /// The same with a weight per voxel, from 0 to 1e8: `[N, spatial…]` or `[N, 1, spatial…]` in f32.
    #[must_use]
    pub fn weighted(self, weights: &Tensor) -> Self {
        Self { voxel_weights: Some(weights.clone()), ..self }
    }

    /// The same with a weight per sample, from 0 to 1e8.
    #[must_use]
    pub fn sample_weighted(self, weights: Vec<f32>) -> Self {
        Self { sample_weights: Some(weights), ..self }
    }

    /// Calls `work` with the problem as the passes take it beside logits of so many axes.
    pub(crate) fn with<R>(&self, axes: usize, work: impl FnOnce(dice_simd::Problem<'_>) -> Result<R>) -> Result<R> {
        let on_cpu = |tensor: &Option<Tensor>| tensor.as_ref().map(|t| t.to_device(&Device::Cpu)).transpose();
        let target = self.target.to_device(&Device::Cpu)?;
        let (mask, weights) = (on_cpu(&self.mask)?, on_cpu(&self.voxel_weights)?);
        let (storage, layout) = target.storage_and_layout();
        let (mask, weights) =
            (mask.as_ref().map(Tensor::storage_and_layout), weights.as_ref().map(Tensor::storage_and_layout));
        work(dice_simd::Problem {
            ignore_index: self.ignore_index,
            mask: mask.as_ref().map(|(storage, layout)| bytes(self::on_cpu(storage)?, layout, axes)).transpose()?,
            voxel_weights: weights
                .as_ref()
                .map(|(storage, layout)| floats(self::on_cpu(storage)?, layout, axes))
                .transpose()?,
            sample_weights: self.sample_weights.as_deref(),
            ..dice_simd::Problem::new(if self.is_dense {
                Target::Dense(dense(self::on_cpu(&storage)?, layout)?)
            } else {
                Target::Labels(labels(self::on_cpu(&storage)?, layout, axes)?)
            })
        })
    }
}

fn labels<'a>(storage: &'a CpuStorage, layout: &Layout, axes: usize) -> Result<Labels<'a>> {
    Ok(match storage {
        CpuStorage::U8(numbers) => map(numbers, layout, axes)?.into(),
        CpuStorage::I16(numbers) => map(numbers, layout, axes)?.into(),
        CpuStorage::U32(numbers) => map(numbers, layout, axes)?.into(),
        CpuStorage::I32(numbers) => map(numbers, layout, axes)?.into(),
        CpuStorage::I64(numbers) => map(numbers, layout, axes)?.into(),
        other => return unsupported(other.dtype(), "labels of dice"),
    })
}

fn dense<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Dense<'a>> {
    match storage {
        CpuStorage::U8(numbers) => Ok(view(numbers, layout)?.into()),
        CpuStorage::F16(numbers) => Ok(view(numbers, layout)?.into()),
        CpuStorage::BF16(numbers) => Ok(view(numbers, layout)?.into()),
        CpuStorage::F32(numbers) => Ok(view(numbers, layout)?.into()),
        CpuStorage::F64(numbers) => Ok(view(numbers, layout)?.into()),
        other => unsupported(other.dtype(), "a dense target of dice"),
    }
}

fn bytes<'a>(storage: &'a CpuStorage, layout: &Layout, axes: usize) -> Result<View<'a, u8>> {
    match storage {
        CpuStorage::U8(numbers) => map(numbers, layout, axes),
        other => unsupported(other.dtype(), "a mask of dice"),
    }
}

fn floats<'a>(storage: &'a CpuStorage, layout: &Layout, axes: usize) -> Result<View<'a, f32>> {
    match storage {
        CpuStorage::F32(numbers) => map(numbers, layout, axes),
        other => unsupported(other.dtype(), "voxel weights of dice"),
    }
}
