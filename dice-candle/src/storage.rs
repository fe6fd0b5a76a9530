//! Views of tensors in the memory of the CPU.

use candle_core::{CpuStorage, DType, Error, Layout, Result, Storage};
use dice_simd::View;

/// A view of numbers, whatever their strides.
pub(crate) fn view<'a, T>(numbers: &'a [T], layout: &Layout) -> Result<View<'a, T>> {
    View::strided(numbers, layout.dims(), &strides(layout), layout.start_offset()).map_err(Error::wrap)
}

/// A view of a map beside logits of so many axes: it may have an axis for its only channel.
pub(crate) fn map<'a, T>(numbers: &'a [T], layout: &Layout, axes: usize) -> Result<View<'a, T>> {
    let view = if layout.dims().len() + 1 == axes { View::strided_map } else { View::strided };
    view(numbers, layout.dims(), &strides(layout), layout.start_offset()).map_err(Error::wrap)
}

// A stride of a tensor in memory is less than its length, which isize holds.
fn strides(layout: &Layout) -> Vec<isize> {
    layout.stride().iter().map(|&stride| stride as isize).collect()
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
