//! From `dice_tensor` to checked views.

use std::ffi::c_void;
use std::ops::Range;

use dice_simd::core::{Layout, MAX_AXES, View, ViewMut};

use crate::status::{Failure, Status, checked_pointer, checked_slice};

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

/// An element type with its DLPack code.
pub(crate) trait Element: Copy {
    const CODE: u8;
    const NAME: &str;
}

impl Element for f32 {
    const CODE: u8 = 2;
    const NAME: &str = "f32";
}

impl Element for u8 {
    const CODE: u8 = 1;
    const NAME: &str = "u8";
}

/// A tensor whose elements were found: the memory between its first and its last one, and where in it they lie.
#[derive(Debug)]
pub(crate) struct Located<T> {
    what: &'static str,
    first: *mut T,
    len: usize,
    rank: usize,
    shape: [usize; MAX_AXES],
    strides: [isize; MAX_AXES],
    /// Element of the span that holds index (0, 0, …).
    start: usize,
}

impl<T: Element> Located<T> {
    /// Reads the struct. With `label_map`, a tensor `[N, spatial…]` of one axis less than `prediction_rank` gets a channel
    /// axis.
    ///
    /// # Safety
    /// `tensor` is NULL or points to a `dice_tensor` whose shape and strides have `ndim` numbers.
    pub(crate) unsafe fn read(
        tensor: *const Tensor,
        what: &'static str,
        label_map_of_rank: Option<usize>,
    ) -> Result<Self, Failure> {
        // SAFETY: the caller vouches for the pointer.
        let tensor = unsafe { checked_pointer(tensor, what) }?;
        let unsupported = |sentence: String| Err(Failure::new(Status::Unsupported, sentence));
        if tensor.device_type != CPU {
            return unsupported(format!(
                "{what} is on device type {}; only the CPU's memory (1) can be read",
                tensor.device_type
            ));
        }
        if (tensor.code, usize::from(tensor.bits), tensor.lanes) != (T::CODE, 8 * size_of::<T>(), 1) {
            let (code, bits, lanes) = (tensor.code, tensor.bits, tensor.lanes);
            return unsupported(format!(
                "{what} has type code {code}, {bits} bits, {lanes} lanes; {} is expected",
                T::NAME
            ));
        }
        let rank = usize::try_from(tensor.ndim).ok().filter(|rank| (1..=MAX_AXES).contains(rank)).ok_or_else(|| {
            let sentence = format!("{what} has {} axes; from 1 to {MAX_AXES} are supported", tensor.ndim);
            Failure::new(Status::Shape, sentence).numbers(tensor.ndim.into(), -1)
        })?;
        // SAFETY: the caller vouches for `ndim` extents.
        let dims = unsafe { checked_slice(tensor.shape, rank, &format!("{what}.shape")) }?;
        let mut located = Self {
            what,
            first: tensor.data.cast(),
            len: 0,
            rank,
            shape: [1; MAX_AXES],
            strides: [0; MAX_AXES],
            start: 0,
        };
        for (axis, &dim) in dims.iter().enumerate() {
            located.shape[axis] = usize::try_from(dim).map_err(|_| {
                Failure::new(Status::Shape, format!("{what}: axis {axis} has extent {dim}")).numbers(dim, -1).at(axis)
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
            let strides = unsafe { checked_slice(tensor.strides, rank, &format!("{what}.strides")) }?;
            for (axis, &stride) in strides.iter().enumerate() {
                located.strides[axis] = isize::try_from(stride).map_err(|_| {
                    let sentence = format!("{what}: axis {axis} has the impossible stride {stride}");
                    Failure::new(Status::Layout, sentence).numbers(stride, -1).at(axis)
                })?;
            }
        }
        if label_map_of_rank == Some(rank + 1) {
            located.insert_channel_axis();
        }
        located.locate(tensor)?;
        Ok(located)
    }

    fn insert_channel_axis(&mut self) {
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
            return Err(Failure::new(Status::Shape, format!("{what} has more elements than memory can hold")));
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
        let base = tensor.data.cast::<T>();
        if base.is_null() {
            return Err(Failure::null(&format!("{what}.data")));
        }
        let size = size_of::<T>() as i128;
        let origin = base.addr() as i128 + i128::from(tensor.byte_offset);
        let (start, end) = (origin + lowest * size, origin + (highest + 1) * size);
        if start < 0 || end > usize::MAX as i128 || end - start > isize::MAX as i128 {
            return Err(Failure::new(Status::Layout, format!("{what}: its elements lie outside of the address space")));
        }
        if origin % align_of::<T>() as i128 != 0 {
            return Err(Failure::new(Status::Layout, format!("{what}: data is not aligned to its element type")));
        }
        self.first = base.wrapping_byte_offset((start - base.addr() as i128) as isize);
        self.len = (highest - lowest) as usize + 1;
        self.start = (-lowest) as usize;
        Ok(())
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape[..self.rank]
    }

    /// The addresses from the first element to past the last one.
    fn span(&self) -> Range<usize> {
        let first = self.first.addr();
        if self.len == 0 { first..first } else { first..first + self.len * size_of::<T>() }
    }

    /// Refuses an output whose memory reaches into that of an input.
    pub(crate) fn check_apart<U: Element>(&self, input: &Located<U>) -> Result<(), Failure> {
        let (ours, theirs) = (self.span(), input.span());
        if self.len > 0 && input.len > 0 && ours.start < theirs.end && theirs.start < ours.end {
            let sentence = format!("the memory of {} overlaps that of {}", self.what, input.what);
            return Err(Failure::new(Status::Layout, sentence));
        }
        Ok(())
    }

    /// The tensor as a view.
    ///
    /// # Safety
    /// The span of the elements is valid memory that lives as long as `'a` and that nobody writes to.
    pub(crate) unsafe fn view<'a>(&self) -> Result<View<'a, T>, Failure> {
        // SAFETY: the span was computed from the extents and strides; the caller vouches for the memory.
        let data = unsafe { checked_slice(self.first.cast_const(), self.len, self.what) }?;
        let layout = self.layout()?;
        Ok(View::strided(data, layout.dims(), layout.strides(), self.start)?)
    }

    /// The tensor as a view to write to.
    ///
    /// # Safety
    /// The span of the elements is valid memory that lives as long as `'a` and that nobody else uses.
    pub(crate) unsafe fn view_mut<'a>(&self) -> Result<ViewMut<'a, T>, Failure> {
        let layout = self.layout()?;
        let data = if self.len == 0 {
            &mut []
        } else {
            // SAFETY: not NULL, aligned and of a possible size, as `locate` found; the caller vouches for the memory.
            unsafe { std::slice::from_raw_parts_mut(self.first, self.len) }
        };
        Ok(ViewMut::strided(data, layout.dims(), layout.strides(), self.start)?)
    }

    fn layout(&self) -> Result<Layout, Failure> {
        Ok(Layout::new(self.what, self.shape(), &self.strides[..self.rank], self.start, self.len)?)
    }
}
