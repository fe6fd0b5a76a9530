//! From `dice_tensor` to checked views.

use std::ffi::c_void;
use std::fmt::Display;

use dice_simd::half::{bf16, f16};
use dice_simd::{Labels, Layout, MAX_AXES, View, ViewMut};

use crate::arguments::{Alternatives, Memory, checked_pointer, checked_slice};
use crate::status::{Failure, Status};

/// `dice_tensor`: DLPack's `DLTensor`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Tensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

/// DLPack's `kDLCPU`.
const CPU: i32 = 1;
/// DLPack's codes of the kinds of numbers.
const INT: u8 = 0;
const UINT: u8 = 1;
const FLOAT: u8 = 2;
const BFLOAT: u8 = 4;
const BOOL: u8 = 6;

/// What the elements of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dtype {
    name: &'static str,
    code: u8,
    size: usize,
    align: usize,
}

/// An element type.
///
/// # Safety
/// Any bits are a value of it.
pub(crate) unsafe trait Element: Copy {
    const DTYPE: Dtype;
}

macro_rules! elements {
    ($($element:ident: $code:ident, $name:literal;)*) => {
        $(
            // SAFETY: all bits of a number are used, and any bits are a number.
            unsafe impl Element for $element {
                const DTYPE: Dtype =
                    Dtype { name: $name, code: $code, size: size_of::<Self>(), align: align_of::<Self>() };
            }
        )*
        const DTYPES: &[Dtype] = &[$($element::DTYPE),*];
    };
}

/// A byte that any memory may hold: 0 is false, and any other is true.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Bool(u8);

elements! {
    Bool: BOOL, "bool";
    u8: UINT, "u8";
    i8: INT, "i8";
    u16: UINT, "u16";
    i16: INT, "i16";
    u32: UINT, "u32";
    i32: INT, "i32";
    u64: UINT, "u64";
    i64: INT, "i64";
    f16: FLOAT, "f16";
    bf16: BFLOAT, "bf16";
    f32: FLOAT, "f32";
    f64: FLOAT, "f64";
}

/// What is asked of a tensor, as the caller knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    /// The fewest axes.
    pub(crate) least_axes: usize,
    pub(crate) dtypes: &'static [Dtype],
    /// Why no other element type will do, or nothing.
    pub(crate) why: &'static str,
}

/// What logits may be.
pub(crate) const FLOATS: &[Dtype] = &[f16::DTYPE, bf16::DTYPE, f32::DTYPE, f64::DTYPE];
/// What label maps may be.
pub(crate) const INTEGERS: &[Dtype] =
    &[Bool::DTYPE, u8::DTYPE, i8::DTYPE, u16::DTYPE, i16::DTYPE, u32::DTYPE, i32::DTYPE, u64::DTYPE, i64::DTYPE];

impl Dtype {
    /// The type that DLPack describes so.
    fn find(code: u8, bits: u8, lanes: u16) -> Option<Self> {
        let is_it = |known: &&Self| (known.code, 8 * known.size, 1) == (code, usize::from(bits), lanes);
        DTYPES.iter().find(is_it).copied()
    }

    pub(crate) fn is_integer(self) -> bool {
        INTEGERS.contains(&self)
    }
}

/// Evaluates `$body` with `$T` standing for the element type of a tensor, which is one of those listed: those of its role.
macro_rules! with_element {
    ($located:expr, [$($element:ty),*], $T:ident => $body:expr) => {
        $(if $located.dtype() == <$element as $crate::tensor::Element>::DTYPE {
            type $T = $element;
            $body
        } else)* {
            unreachable!("the element type was looked at when the tensor was found")
        }
    };
}
pub(crate) use with_element;

/// [`with_element`] for a tensor of logits.
macro_rules! with_logits {
    ($located:expr, $T:ident => $body:expr) => {
        $crate::tensor::with_element!($located, [f16, bf16, f32, f64], $T => $body)
    };
}
pub(crate) use with_logits;

/// The labels of a located map.
///
/// # Safety
/// As [`Located::view`].
pub(crate) unsafe fn labels<'a>(map: &Located) -> Result<Labels<'a>, Failure> {
    if map.dtype() == Bool::DTYPE {
        // SAFETY: the caller vouches for the memory.
        return Ok(Labels::Bool(unsafe { map.view_of_bytes() }?));
    }
    // SAFETY: the caller vouches for the memory.
    with_element!(map, [u8, i8, u16, i16, u32, i32, u64, i64], T => unsafe { map.view::<T>() }.map(Labels::from))
}

/// A tensor whose elements were found: the memory between its first and its last one, and where in it they lie.
#[derive(Debug)]
pub(crate) struct Located {
    what: &'static str,
    dtype: Dtype,
    first: *mut u8,
    len: usize,
    rank: usize,
    shape: [usize; MAX_AXES],
    strides: [isize; MAX_AXES],
    /// Element of the span that holds index (0, 0, …).
    start: usize,
    /// Whether it is a map without an axis for its one channel.
    is_map: bool,
}

impl Located {
    /// Reads the struct.
    ///
    /// # Safety
    /// `tensor` is NULL or points to a `dice_tensor` whose shape and strides have `ndim` numbers.
    pub(crate) unsafe fn read(tensor: *const Tensor, role: &Role) -> Result<Self, Failure> {
        let &Role { name: what, least_axes, dtypes, why } = role;
        // SAFETY: the caller vouches for the pointer.
        let tensor = unsafe { checked_pointer(tensor, what) }?;
        if tensor.device_type != CPU {
            let device = tensor.device_type;
            let sentence = format_args!("{what} is on device type {device}; only the CPU's memory (1) can be read");
            return Err(Failure::new(Status::Unsupported, sentence));
        }
        let unexpected = |found: &dyn Display| {
            let expected = Alternatives(dtypes.iter().map(|dtype| dtype.name));
            Failure::new(Status::Unsupported, format_args!("{what} is {found}: must be {expected}{why}"))
        };
        let dtype = Dtype::find(tensor.code, tensor.bits, tensor.lanes).ok_or_else(|| {
            let (code, bits, lanes) = (tensor.code, tensor.bits, tensor.lanes);
            unexpected(&format_args!("of type code {code}, {bits} bits, {lanes} lanes"))
        })?;
        if !dtypes.contains(&dtype) {
            return Err(unexpected(&dtype.name));
        }
        let axes = least_axes..=MAX_AXES;
        let rank = usize::try_from(tensor.ndim).ok().filter(|rank| axes.contains(rank)).ok_or_else(|| {
            let sentence =
                format_args!("{what} has {} axes; from {least_axes} to {MAX_AXES} are supported", tensor.ndim);
            Failure::new(Status::Shape, sentence).numbers(tensor.ndim.into(), -1)
        })?;
        // SAFETY: the caller vouches for `ndim` extents.
        let dims = unsafe { checked_slice(tensor.shape, rank, format_args!("{what}.shape")) }?;
        let mut located = Self {
            what,
            dtype,
            first: tensor.data.cast(),
            len: 0,
            rank,
            shape: [1; MAX_AXES],
            strides: [0; MAX_AXES],
            start: 0,
            is_map: false,
        };
        for (axis, &dim) in dims.iter().enumerate() {
            located.shape[axis] = usize::try_from(dim).map_err(|_| {
                Failure::new(Status::Shape, format_args!("{what}: axis {axis} has extent {dim}"))
                    .numbers(dim, -1)
                    .at(axis)
            })?;
        }
        if tensor.strides.is_null() {
            let mut stride = 1_isize;
            for axis in (0..rank).rev() {
                located.strides[axis] = stride;
                stride = stride.saturating_mul(isize::try_from(located.shape[axis].max(1)).unwrap_or(isize::MAX));
            }
        } else {
            // SAFETY: the caller vouches for `ndim` strides.
            let strides = unsafe { checked_slice(tensor.strides, rank, format_args!("{what}.strides")) }?;
            for (axis, &stride) in strides.iter().enumerate() {
                located.strides[axis] = isize::try_from(stride).map_err(|_| {
                    let sentence = format_args!("{what}: axis {axis} has the impossible stride {stride}");
                    Failure::new(Status::Layout, sentence).numbers(stride, -1).at(axis)
                })?;
            }
        }
        located.locate(tensor)?;
        Ok(located)
    }

    /// Takes it for a map `[N, spatial…]` if it has one axis less than `rank`.
    pub(crate) fn as_map_of_rank(&mut self, rank: usize) {
        self.is_map = self.rank + 1 == rank && rank <= MAX_AXES;
    }

    /// Finds the span of the elements.
    fn locate(&mut self, tensor: &Tensor) -> Result<(), Failure> {
        let what = self.what;
        let shape = &self.shape[..self.rank];
        // A zero extent must not hide the others: N × C alone must be a possible number.
        let elements = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim.max(1)));
        if elements.is_none_or(|elements| isize::try_from(elements).is_err()) {
            return Err(Failure::new(Status::Shape, format_args!("{what} has more elements than memory can hold")));
        }
        if shape.contains(&0) {
            return Ok(());
        }
        // No overflow: the extents' product is below 2^63, so the sum of the reaches is below 2^126.
        let (mut lowest, mut highest) = (0_i128, 0_i128);
        for (&dim, &stride) in shape.iter().zip(&self.strides) {
            let reach = (dim as i128 - 1) * stride as i128;
            if reach < 0 { lowest += reach } else { highest += reach }
        }
        let base = self.first;
        if base.is_null() {
            return Err(Failure::null(format_args!("{what}.data")));
        }
        let size = self.dtype.size as i128;
        let origin = base.addr() as i128 + i128::from(tensor.byte_offset);
        let (start, end) = (origin + lowest * size, origin + (highest + 1) * size);
        if start < 0 || end > usize::MAX as i128 || end - start > isize::MAX as i128 {
            return Err(Failure::new(
                Status::Layout,
                format_args!("{what}: its elements lie outside of the address space"),
            ));
        }
        if origin % self.dtype.align as i128 != 0 {
            return Err(Failure::new(Status::Layout, format_args!("{what}: data is not aligned to its element type")));
        }
        self.first = base.wrapping_byte_offset((start - base.addr() as i128) as isize);
        self.len = (highest - lowest) as usize + 1;
        self.start = (-lowest) as usize;
        Ok(())
    }

    pub(crate) fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape[..self.rank]
    }

    /// From the first element to past the last one.
    pub(crate) fn memory(&self) -> Memory {
        Memory::new(self.first.cast_const(), self.len * self.dtype.size, self.what)
    }

    /// Whether both tensors have the same elements at the same indices.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same_stride = |axis: usize| self.shape[axis] == 1 || self.strides[axis] == other.strides[axis];
        (self.first, self.len, self.start) == (other.first, other.len, other.start)
            && self.dtype == other.dtype
            && self.shape() == other.shape()
            && self.len > 0
            && (0..self.rank).all(same_stride)
    }

    /// The first element, as a pointer to the type that it has.
    ///
    /// # Panics
    /// If it has not.
    fn first<T: Element>(&self) -> *mut T {
        assert_eq!(self.dtype, T::DTYPE, "the element type was looked at");
        self.first.cast()
    }

    /// The tensor as a view.
    ///
    /// # Safety
    /// The span of the elements is valid memory that lives as long as `'a` and that nobody writes to.
    pub(crate) unsafe fn view<'a, T: Element>(&self) -> Result<View<'a, T>, Failure> {
        // SAFETY: the span was computed from the extents and strides; the caller vouches for the memory.
        let data = unsafe { checked_slice(self.first::<T>().cast_const(), self.len, self.what) }?;
        Ok(View::with_layout(self.what, data, self.layout()?)?)
    }

    /// A tensor of u8 or bool as a view of its bytes.
    ///
    /// # Safety
    /// As [`view`](Self::view).
    pub(crate) unsafe fn view_of_bytes<'a>(&self) -> Result<View<'a, u8>, Failure> {
        assert_eq!(self.dtype.size, 1, "the element type was looked at");
        // SAFETY: as in `view`; a bool is a byte, too.
        let data = unsafe { checked_slice(self.first.cast_const(), self.len, self.what) }?;
        Ok(View::with_layout(self.what, data, self.layout()?)?)
    }

    /// The tensor as a view to write to.
    ///
    /// # Safety
    /// The span of the elements is valid memory that lives as long as `'a` and that nobody else uses.
    pub(crate) unsafe fn view_mut<'a, T: Element>(&self) -> Result<ViewMut<'a, T>, Failure> {
        let layout = self.layout()?;
        let data = if self.len == 0 {
            &mut []
        } else {
            // SAFETY: not NULL, aligned and of a possible size, as `locate` found; the caller vouches for the memory, whose bits,
            // whatever they are, are numbers.
            unsafe { std::slice::from_raw_parts_mut(self.first::<T>(), self.len) }
        };
        Ok(ViewMut::with_layout(self.what, data, layout)?)
    }

    /// Extents and strides.
    pub(crate) fn layout(&self) -> Result<Layout, Failure> {
        let new = if self.is_map { Layout::map } else { Layout::new };
        Ok(new(self.what, self.shape(), &self.strides[..self.rank], self.start, self.len)?)
    }
}
