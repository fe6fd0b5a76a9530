//! Views of tensors in the memory of the CPU.

use candle_core::{CpuStorage, DType, Error, Layout, Result, Storage};
use dice_simd::View;

/// A view of numbers, whatever their strides.
pub(crate) fn view<'a, T>(numbers: &'a [T], layout: &Layout) -> Result<View<'a, T>> {
    // A stride of a tensor in memory is less than its length, which isize holds.
    let strides: Vec<isize> = layout.stride().iter().map(|&stride| stride as isize).collect();
    View::strided(numbers, layout.dims(), &strides, layout.start_offset()).map_err(Error::wrap)
}

/// A view of a map beside logits of so many axes: one that has one less gets an axis for its only channel.
pub(crate) fn map<'a, T>(numbers: &'a [T], layout: &Layout, axes: usize) -> Result<View<'a, T>> {
    let (mut shape, mut strides) = (layout.dims().to_vec(), layout.stride().to_vec());
    if shape.len() + 1 == axes && !shape.is_empty() {
        shape.insert(1, 1);
        strides.insert(1, 0);
    }
    view(numbers, &Layout::new(shape.into(), strides, layout.start_offset()))
}

/// What a tensor on the CPU holds.
pub(crate) fn on_cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => Err(Error::Msg("a tensor of dice is on the CPU".into())),
    }
}

pub(crate) fn unsupported<T>(dtype: DType, what: &'static str) -> Result<T> {
    Err(Error::UnsupportedDTypeForOp(dtype, what))
}

/// Evaluates an expression with a view of whatever floating-point numbers a tensor holds.
macro_rules! with_floats {
    ($storage:expr, $layout:expr, |$view:ident| $body:expr) => {
        match $crate::storage::on_cpu($storage)? {
            CpuStorage::F32(numbers) => {
                let $view = $crate::storage::view(numbers, $layout)?;
                $body
            }
            CpuStorage::F64(numbers) => {
                let $view = $crate::storage::view(numbers, $layout)?;
                $body
            }
            CpuStorage::F16(numbers) => {
                let $view = $crate::storage::view(numbers, $layout)?;
                $body
            }
            CpuStorage::BF16(numbers) => {
                let $view = $crate::storage::view(numbers, $layout)?;
                $body
            }
            other => $crate::storage::unsupported(candle_core::backend::BackendStorage::dtype(other), "dice"),
        }
    };
}
pub(crate) use with_floats;
