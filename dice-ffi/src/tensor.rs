//! From `dice_tensor` to checked views.

use std::ffi::c_void;

use dice_simd::core::{Layout, MAX_AXES, View, ViewMut};
use dice_simd::half::{bf16, f16};

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

elements! {
    u8: UINT, "u8 (or bool)";
    i8: INT, "i8";
    u16: UINT, "u16";
    i16: INT, "i16";
    i32: INT, "i32";
    i64: INT, "i64";
    f16: FLOAT, "f16";
    bf16: BFLOAT, "bf16";
    f32: FLOAT, "f32";
    f64: FLOAT, "f64";
}

/// What logits may be.
pub(crate) const FLOATS: &[Dtype] = &[f16::DTYPE, bf16::DTYPE, f32::DTYPE, f64::DTYPE];

impl Dtype {
    /// The type that DLPack describes so. A bool is a byte: memory that C wrote may hold any.
    fn find(code: u8, bits: u8, lanes: u16) -> Option<Self> {
        let code = if code == BOOL && bits == 8 { UINT } else { code };
        let is_it = |known: &&Self| (known.code, 8 * known.size, 1) == (code, usize::from(bits), lanes);
        DTYPES.iter().find(is_it).copied()
    }

    pub(crate) fn is_integer(self) -> bool {
        self.code == INT || self.code == UINT
    }
}

/// Evaluates `$body`, a `Result`, with `$T` standing for the element type of a tensor if it is one of those listed; otherwise
/// the failure says which it must be, and ends with `$why`.
macro_rules! with_element {
    ($located:expr, [$($element:ty),*], $why:expr, $T:ident => $body:expr) => {
        $(if $located.dtype() == <$element as $crate::tensor::Element>::DTYPE {
            type $T = $element;
            $body
        } else)* {
            Err($located.unexpected(&[$(<$element as $crate::tensor::Element>::DTYPE),*], $why))
        }
    };
}
pub(crate) use with_element;

/// [`with_element`] for a tensor of logits.
macro_rules! with_logits {
    ($located:expr, $T:ident => $body:expr) => {
        $crate::tensor::with_element!($located, [f16, bf16, f32, f64], "", $T => $body)
    };
}
pub(crate) use with_logits;

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
}

impl Located {
    /// Reads the struct.
    ///
    /// # Safety
    /// `tensor` is NULL or points to a `dice_tensor` whose shape and strides have `ndim` numbers.
    pub(crate) unsafe fn read(tensor: *const Tensor, what: &'static str) -> Result<Self, Failure> {
        // SAFETY: the caller vouches for the pointer.
        let tensor = unsafe { checked_pointer(tensor, what) }?;
        if tensor.device_type != CPU {
            let device = tensor.device_type;
            let sentence = format_args!("{what} is on device type {device}; only the CPU's memory (1) can be read");
            return Err(Failure::new(Status::Unsupported, sentence));
        }
        let dtype = Dtype::find(tensor.code, tensor.bits, tensor.lanes).ok_or_else(|| {
            let (code, bits, lanes) = (tensor.code, tensor.bits, tensor.lanes);
            let known = Alternatives(DTYPES.iter().map(|dtype| dtype.name));
            let sentence =
                format_args!("{what} has type code {code}, {bits} bits, {lanes} lanes; it must be of {known}");
            Failure::new(Status::Unsupported, sentence)
        })?;
        let rank = usize::try_from(tensor.ndim).ok().filter(|rank| (1..=MAX_AXES).contains(rank)).ok_or_else(|| {
            let sentence = format_args!("{what} has {} axes; from 1 to {MAX_AXES} are supported", tensor.ndim);
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

    /// Gives a map `[N, spatial…]` of one axis less than `rank` a channel axis.
    pub(crate) fn as_map_of_rank(&mut self, rank: usize) {
        if self.rank + 1 != rank || rank > MAX_AXES {
            return;
        }
        self.shape.copy_within(1..self.rank, 2);
        self.strides.copy_within(1..self.rank, 2);
        (self.shape[1], self.strides[1]) = (1, 0);
        self.rank += 1;
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

    /// The failure of a tensor whose element type is none of those that are `expected`.
    pub(crate) fn unexpected(&self, expected: &[Dtype], why: &str) -> Failure {
        let sentence = format_args!(
            "{} is {}: must be {}{why}",
            self.what,
            self.dtype.name,
            Alternatives(expected.iter().map(|dtype| dtype.name))
        );
        Failure::new(Status::Unsupported, sentence)
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
        let layout = self.layout()?;
        Ok(View::strided(data, layout.dims(), layout.strides(), self.start)?)
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
        Ok(ViewMut::strided(data, layout.dims(), layout.strides(), self.start)?)
    }

    /// Extents and strides.
    pub(crate) fn layout(&self) -> Result<Layout, Failure> {
        Ok(Layout::new(self.what, self.shape(), &self.strides[..self.rank], self.start, self.len)?)
    }
}
