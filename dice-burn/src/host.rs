//! Tensors in the memory of the CPU, and views of them.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchKindConversion, DispatchTensor};
use burn::tensor::kind::Autodiff;
use burn::tensor::{BackendPrimitive, Device, Element, Tensor};
use bytemuck::Pod;
use dice_simd::View;

/// The tensor on the CPU, outside of automatic differentiation: where it is there already, it is not copied.
pub(crate) fn to_host<const D: usize, K>(tensor: Tensor<D, K>) -> FlexTensor
where
    K: Autodiff + BackendPrimitive<Flex, Primitive = FlexTensor>,
    DispatchTensor: DispatchKindConversion<Flex>,
{
    let tensor = tensor.without_autodiff().to_device(&Device::flex());
    tensor.try_into_primitive::<Flex>().expect("moved to Flex, and of the kind that it says")
}

/// A view of a tensor of the type `T`, whatever its strides.
pub(crate) fn view<T: Element + Pod>(tensor: &FlexTensor) -> Result<View<'_, T>, dice_simd::Error> {
    map(tensor, tensor.layout().num_dims())
}

/// A view of a map of the type `T` beside logits of so many axes: it may have an axis for its only channel.
pub(crate) fn map<T: Element + Pod>(tensor: &FlexTensor, axes: usize) -> Result<View<'_, T>, dice_simd::Error> {
    let layout = tensor.layout();
    let shape = layout.shape().to_vec();
    let view = if shape.len() + 1 == axes { View::strided_map } else { View::strided };
    view(tensor.storage::<T>(), &shape, layout.strides(), layout.start_offset())
}

/// Evaluates an expression with a view of a tensor of whatever floating-point type it has.
macro_rules! with_floats {
    ($tensor:expr, $what:literal, |$view:ident| $body:expr) => {
        match $tensor.dtype() {
            DType::F32 => {
                let $view = view::<f32>($tensor)?;
                $body
            }
            DType::F64 => {
                let $view = view::<f64>($tensor)?;
                $body
            }
            DType::F16 => {
                let $view = view::<f16>($tensor)?;
                $body
            }
            DType::BF16 => {
                let $view = view::<bf16>($tensor)?;
                $body
            }
            found => return Err(Error::ElementType { what: $what, found }),
        }
    };
}
pub(crate) use with_floats;
