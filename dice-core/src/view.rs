//! Borrowed strided tensors.
//!
//! A [`View`] is a slice and a [`Layout`]: extents and strides in the logical order `[N, C, spatial…]`. Channels-first
//! and channels-last are the same shape with other strides. Every bound is checked once, when the view is made;
//! afterwards an index inside the shape is inside the slice.

use core::any::type_name;
use core::fmt;
use core::ops::Range;

use crate::dims::{Dims, MAX_AXES};
use crate::error::Error;

/// Extents and strides of a tensor `[N, C, spatial…]`, checked against the slice that it describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    rank: usize,
    dims: [usize; MAX_AXES],
    strides: [isize; MAX_AXES],
    /// Element of the slice that holds index (0, 0, …).
    start: usize,
    /// Whether the caller knows the tensor as `[N, spatial…]`, without the axis of its one channel.
    is_map: bool,
}

/// The spatial axes of a [`Layout`] with neighbours folded into one axis wherever their strides allow it.
///
/// Voxel `v` of a sample, in row-major order of the spatial axes, has coordinates `coords` with
/// `v = (coords[0] · dims[1] + coords[1]) · dims[2] + …` and lies `Σ coords[i] · strides[i]` elements past the sample's
/// first voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    rank: usize,
    dims: [usize; MAX_AXES],
    strides: [isize; MAX_AXES],
}

impl Walk {
    /// The stride from one voxel to the next if one number describes the whole sample.
    pub fn uniform_stride(&self) -> Option<isize> {
        match self.rank {
            0 => Some(1),
            1 => Some(self.strides[0]),
            _ => None,
        }
    }

    /// Calls `visit(voxel, offset, length, stride)` for each run of voxels in `voxels` that one stride describes:
    /// `length` voxels from `voxel` on lie at `offset`, `offset + stride`, … past the sample's first voxel.
    #[inline(always)]
    pub fn runs(&self, voxels: Range<usize>, mut visit: impl FnMut(usize, isize, usize, isize)) {
        // Without axes there is one voxel: an axis of extent 1.
        let inner = self.rank.saturating_sub(1);
        let mut voxel = voxels.start;
        while voxel < voxels.end {
            let mut offset = 0;
            let mut rest = voxel;
            for axis in (0..self.rank).rev() {
                offset += (rest % self.dims[axis]) as isize * self.strides[axis];
                rest /= self.dims[axis];
            }
            let length = (self.dims[inner] - voxel % self.dims[inner]).min(voxels.end - voxel);
            visit(voxel, offset, length, self.strides[inner]);
            voxel += length;
        }
    }
}

impl Layout {
    /// A layout of `shape = [N, C, spatial…]` with `strides` in elements, whose index (0, 0, …) is element `start` of a
    /// slice of `len` elements.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::Strides`], [`Error::TooLarge`], [`Error::OutOfSlice`]; `what` names the tensor in them.
    pub fn new(
        what: &'static str,
        shape: &[usize],
        strides: &[isize],
        start: usize,
        len: usize,
    ) -> Result<Self, Error> {
        let rank = shape.len();
        if !(2..=MAX_AXES).contains(&rank) {
            return Err(Error::Rank { what, least: 2, most: MAX_AXES, found: rank });
        }
        if strides.len() != rank {
            return Err(Error::Strides { what, axes: rank, found: strides.len() });
        }
        let mut layout = Self { rank, dims: [1; MAX_AXES], strides: [0; MAX_AXES], start, is_map: false };
        layout.dims[..rank].copy_from_slice(shape);
        layout.strides[..rank].copy_from_slice(strides);
        layout.check(what, len)?;
        Ok(layout)
    }

    /// Refuses a layout that no memory, or no slice of `len` elements, can have.
    fn check(&self, what: &'static str, len: usize) -> Result<(), Error> {
        // A zero extent must not hide an overflow of the others from code that multiplies them in another order.
        let nonzero = self.dims().iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim.max(1)));
        if nonzero.is_none_or(|product| product > isize::MAX as usize) {
            return Err(Error::TooLarge { what, shape: self.written() });
        }
        self.check_within(what, len)
    }

    /// A layout of a map `shape = [N, spatial…]` with a number per voxel, as [`new`](Self::new): it has one channel.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn map(
        what: &'static str,
        shape: &[usize],
        strides: &[isize],
        start: usize,
        len: usize,
    ) -> Result<Self, Error> {
        let rank = shape.len();
        if !(1..MAX_AXES).contains(&rank) {
            return Err(Error::Rank { what, least: 1, most: MAX_AXES - 1, found: rank });
        }
        if strides.len() != rank {
            return Err(Error::Strides { what, axes: rank, found: strides.len() });
        }
        let mut layout = Self { rank: rank + 1, dims: [1; MAX_AXES], strides: [0; MAX_AXES], start, is_map: true };
        (layout.dims[0], layout.strides[0]) = (shape[0], strides[0]);
        layout.dims[2..=rank].copy_from_slice(&shape[1..]);
        layout.strides[2..=rank].copy_from_slice(&strides[1..]);
        layout.check(what, len)?;
        Ok(layout)
    }

    /// Refuses a slice of `len` elements if the tensor reaches outside.
    fn check_within(&self, what: &'static str, len: usize) -> Result<(), Error> {
        if self.dims().contains(&0) {
            return Ok(());
        }
        let (mut lowest, mut highest) = (self.start as i128, self.start as i128);
        for (&dim, &stride) in self.dims().iter().zip(self.strides()) {
            let reach = (dim as i128 - 1) * stride as i128;
            if reach < 0 { lowest += reach } else { highest += reach }
        }
        if lowest < 0 || highest >= len as i128 {
            let lowest = isize::try_from(lowest).unwrap_or(isize::MIN);
            let highest = isize::try_from(highest).unwrap_or(isize::MAX);
            return Err(Error::OutOfSlice { what, shape: self.written(), lowest, highest, len });
        }
        Ok(())
    }

    /// The extents as the caller knows them: a map has no channels.
    pub fn written(&self) -> Dims {
        if self.is_map {
            let mut dims = [0; MAX_AXES];
            let axes = self.rank - 1;
            dims[..axes].copy_from_slice(&self.dims[1..self.rank]);
            dims[0] = self.dims[0];
            return Dims::new(&dims[..axes]);
        }
        Dims::new(self.dims())
    }

    /// Strides of a compact tensor of `shape` whose axes vary fastest in the reverse of `order`.
    fn compact_strides(shape: &[usize], order: impl DoubleEndedIterator<Item = usize>) -> [isize; MAX_AXES] {
        let mut strides = [0; MAX_AXES];
        let mut stride = 1_isize;
        for axis in order.rev() {
            strides[axis] = stride;
            stride = stride.saturating_mul(isize::try_from(shape[axis].max(1)).unwrap_or(isize::MAX));
        }
        strides
    }

    /// Refuses a layout in which two indices may share one element: sorted by stride, every axis must step over all
    /// that the finer axes span. (A rare interleaving that passes no such test is refused too.)
    fn check_disjoint(&self, what: &'static str) -> Result<(), Error> {
        if self.dims().contains(&0) {
            return Ok(());
        }
        let mut axes: [usize; MAX_AXES] = core::array::from_fn(|axis| axis);
        axes[..self.rank].sort_unstable_by_key(|&axis| self.strides[axis].unsigned_abs());
        let mut span = 0_u128;
        for &axis in axes[..self.rank].iter().filter(|&&axis| self.dims[axis] > 1) {
            let step = self.strides[axis].unsigned_abs() as u128;
            if step <= span {
                return Err(Error::SelfOverlap { what, axis, stride: self.strides[axis] });
            }
            span += step * (self.dims[axis] as u128 - 1);
        }
        Ok(())
    }

    /// The extents `[N, C, spatial…]`.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The strides in elements, one per extent.
    pub fn strides(&self) -> &[isize] {
        &self.strides[..self.rank]
    }

    /// N, the number of samples.
    pub fn samples(&self) -> usize {
        self.dims[0]
    }

    /// C, the number of channels.
    pub fn channels(&self) -> usize {
        self.dims[1]
    }

    /// The spatial extents.
    pub fn spatial(&self) -> &[usize] {
        &self.dims[2..self.rank]
    }

    /// V, the number of voxels of one sample: the product of the spatial extents.
    pub fn voxels(&self) -> usize {
        self.spatial().iter().product()
    }

    /// The stride from one channel to the next.
    pub fn channel_stride(&self) -> isize {
        self.strides[1]
    }

    /// The layout of some of the samples.
    fn samples_of(&self, samples: Range<usize>) -> Result<Self, Error> {
        let Range { start, end } = samples;
        if start > end || end > self.samples() {
            return Err(Error::SampleRange { start, end, samples: self.samples() });
        }
        let mut part = *self;
        part.dims[0] = end - start;
        part.start = self.origin(start, 0);
        Ok(part)
    }

    /// Element of the slice that holds the first voxel of `channel` of `sample`, both inside the shape.
    pub fn origin(&self, sample: usize, channel: usize) -> usize {
        self.start
            .wrapping_add_signed(self.strides[0].wrapping_mul(sample as isize))
            .wrapping_add_signed(self.strides[1].wrapping_mul(channel as isize))
    }

    /// The spatial axes, folded.
    pub fn walk(&self) -> Walk {
        let mut walk = Walk { rank: 0, dims: [1; MAX_AXES], strides: [0; MAX_AXES] };
        for axis in 2..self.rank {
            let (dim, stride) = (self.dims[axis], self.strides[axis]);
            if dim == 1 {
                continue;
            }
            let coarser = walk.rank.checked_sub(1);
            match coarser {
                Some(last) if Some(walk.strides[last]) == stride.checked_mul(dim as isize) => {
                    walk.dims[last] *= dim;
                    walk.strides[last] = stride;
                }
                _ => {
                    walk.dims[walk.rank] = dim;
                    walk.strides[walk.rank] = stride;
                    walk.rank += 1;
                }
            }
        }
        walk
    }

    /// Whether the samples and the spatial extents equal those of `other`.
    pub(crate) fn same_grid(&self, other: &Self) -> bool {
        self.samples() == other.samples() && self.spatial() == other.spatial()
    }
}

/// Refuses a slice that is not as long as a compact tensor of `shape`.
fn check_exact(what: &'static str, shape: &[usize], found: usize) -> Result<(), Error> {
    let expected = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
    let expected = expected.ok_or_else(|| Error::TooLarge { what, shape: Dims::new(shape) })?;
    if found == expected { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}

/// A borrowed, read-only, strided tensor in the logical order `[N, C, spatial…]`.
///
/// ```
/// # use dice_core::View;
/// let numbers: Vec<f32> = (0..24).map(|i| i as f32).collect();
/// let first = View::channels_first(&numbers, &[1, 2, 3, 4])?; // [N, C, H, W]
/// let last = View::channels_last(&numbers, &[1, 2, 3, 4])?; // the same shape, classes side by side in memory
/// assert_eq!((first.layout().strides(), last.layout().strides()), (&[24, 12, 4, 1][..], &[24, 1, 8, 2][..]));
/// // The right half of each row, from bottom to top.
/// let crop = View::strided(&numbers, &[1, 2, 3, 2], &[24, 12, -4, 1], 10)?;
/// assert_eq!(crop.layout().dims(), [1, 2, 3, 2]);
/// # Ok::<(), dice_core::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    data: &'a [T],
    layout: Layout,
}

impl<'a, T> View<'a, T> {
    /// A compact tensor `[N, C, spatial…]` stored in that order (NCDHW).
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::TooLarge`]; [`Error::Length`] of a slice that is not as long as the tensor.
    pub fn channels_first(data: &'a [T], shape: &[usize]) -> Result<Self, Error> {
        Self::compact(data, shape, channels_first_strides(shape))
    }

    /// A compact tensor of logical shape `[N, C, spatial…]` stored as `[N, spatial…, C]` (NDHWC).
    ///
    /// # Errors
    /// As [`channels_first`](Self::channels_first).
    pub fn channels_last(data: &'a [T], shape: &[usize]) -> Result<Self, Error> {
        Self::compact(data, shape, channels_last_strides(shape))
    }

    fn compact(data: &'a [T], shape: &[usize], strides: [isize; MAX_AXES]) -> Result<Self, Error> {
        let view = Self::strided(data, shape, &strides[..shape.len().min(MAX_AXES)], 0);
        // A slice that is too short has the wrong length, whatever it is that the view would reach.
        if let Ok(_) | Err(Error::OutOfSlice { .. }) = view {
            check_exact("view", shape, data.len())?;
        }
        view
    }

    /// A compact map `[N, spatial…]` with a number per voxel: labels, a mask or weights. It is seen as `[N, 1, spatial…]`.
    ///
    /// # Errors
    /// As [`channels_first`](Self::channels_first).
    pub fn map(data: &'a [T], shape: &[usize]) -> Result<Self, Error> {
        let strides = channels_first_strides(shape);
        let view = Self::strided_map(data, shape, &strides[..shape.len().min(MAX_AXES)], 0);
        if let Ok(_) | Err(Error::OutOfSlice { .. }) = view {
            check_exact("map", shape, data.len())?;
        }
        view
    }

    /// A map `[N, spatial…]` of any strides, as [`strided`](Self::strided).
    ///
    /// # Errors
    /// As [`strided`](Self::strided).
    pub fn strided_map(data: &'a [T], shape: &[usize], strides: &[isize], start: usize) -> Result<Self, Error> {
        let layout = Layout::map("map", shape, strides, start, data.len())?;
        Ok(Self { data, layout })
    }

    /// Any strides, in elements; negative and zero (broadcast) ones included. `start` is the element of `data` that
    /// holds index (0, 0, …).
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::Strides`], [`Error::TooLarge`], [`Error::OutOfSlice`].
    pub fn strided(data: &'a [T], shape: &[usize], strides: &[isize], start: usize) -> Result<Self, Error> {
        let layout = Layout::new("view", shape, strides, start, data.len())?;
        Ok(Self { data, layout })
    }

    /// A tensor whose layout is known; `what` names it in an error.
    ///
    /// # Errors
    /// [`Error::OutOfSlice`].
    pub fn with_layout(what: &'static str, data: &'a [T], layout: Layout) -> Result<Self, Error> {
        layout.check_within(what, data.len())?;
        Ok(Self { data, layout })
    }

    /// The borrowed slice.
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// Extents and strides.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The samples `samples` alone.
    ///
    /// # Errors
    /// [`Error::SampleRange`].
    pub fn samples(&self, samples: Range<usize>) -> Result<Self, Error> {
        Ok(Self { data: self.data, layout: self.layout.samples_of(samples)? })
    }
}

impl<'a> View<'a, bool> {
    /// The same as numbers 0 and 1.
    pub fn as_u8(&self) -> View<'a, u8> {
        View { data: bytemuck::cast_slice(self.data), layout: self.layout }
    }
}

/// A borrowed, writable, strided tensor in the logical order `[N, C, spatial…]`, in which no two indices share an
/// element.
pub struct ViewMut<'a, T> {
    data: &'a mut [T],
    layout: Layout,
}

impl<'a, T> ViewMut<'a, T> {
    /// A compact tensor `[N, C, spatial…]` stored in that order (NCDHW).
    ///
    /// # Errors
    /// As [`View::channels_first`].
    pub fn channels_first(data: &'a mut [T], shape: &[usize]) -> Result<Self, Error> {
        Self::compact(data, shape, channels_first_strides(shape))
    }

    /// A compact tensor of logical shape `[N, C, spatial…]` stored as `[N, spatial…, C]` (NDHWC).
    ///
    /// # Errors
    /// As [`View::channels_first`].
    pub fn channels_last(data: &'a mut [T], shape: &[usize]) -> Result<Self, Error> {
        Self::compact(data, shape, channels_last_strides(shape))
    }

    fn compact(data: &'a mut [T], shape: &[usize], strides: [isize; MAX_AXES]) -> Result<Self, Error> {
        let layout = *View::compact(data, shape, strides)?.layout();
        Ok(Self { data, layout })
    }

    /// Any strides under which no two indices share an element.
    ///
    /// # Errors
    /// As [`View::strided`], and [`Error::SelfOverlap`].
    pub fn strided(data: &'a mut [T], shape: &[usize], strides: &[isize], start: usize) -> Result<Self, Error> {
        let layout = Layout::new("output view", shape, strides, start, data.len())?;
        Self::with_layout("output view", data, layout)
    }

    /// A tensor whose layout is known; `what` names it in an error.
    ///
    /// # Errors
    /// [`Error::OutOfSlice`], [`Error::SelfOverlap`].
    pub fn with_layout(what: &'static str, data: &'a mut [T], layout: Layout) -> Result<Self, Error> {
        layout.check_within(what, data.len())?;
        layout.check_disjoint(what)?;
        Ok(Self { data, layout })
    }

    /// The same view for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_, T> {
        ViewMut { data: self.data, layout: self.layout }
    }

    /// The tensor, to read.
    pub fn as_view(&self) -> View<'_, T> {
        View { data: self.data, layout: self.layout }
    }

    /// The samples `samples` alone.
    ///
    /// # Errors
    /// [`Error::SampleRange`].
    pub fn samples(&mut self, samples: Range<usize>) -> Result<ViewMut<'_, T>, Error> {
        let layout = self.layout.samples_of(samples)?;
        Ok(ViewMut { data: self.data, layout })
    }

    /// The borrowed slice, to read.
    pub fn data(&self) -> &[T] {
        self.data
    }

    /// The borrowed slice.
    pub fn data_mut(&mut self) -> &mut [T] {
        self.data
    }

    /// Extents and strides.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// What a view is, but not what it holds.
fn describe<T>(name: &str, layout: &Layout, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut description = f.debug_struct(name);
    description.field("type", &format_args!("{}", type_name::<T>())).field("shape", &layout.dims());
    description.field("strides", &layout.strides()).field("start", &layout.start).finish()
}

impl<T> fmt::Debug for View<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe::<T>("View", &self.layout, f)
    }
}

impl<T> fmt::Debug for ViewMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe::<T>("ViewMut", &self.layout, f)
    }
}

/// Strides of a compact tensor stored in the order of its axes.
fn channels_first_strides(shape: &[usize]) -> [isize; MAX_AXES] {
    let rank = shape.len().min(MAX_AXES);
    Layout::compact_strides(&shape[..rank], 0..rank)
}

/// Strides of `[N, C, spatial…]` stored as `[N, spatial…, C]`.
fn channels_last_strides(shape: &[usize]) -> [isize; MAX_AXES] {
    let rank = shape.len().min(MAX_AXES);
    let channel = 1..rank.min(2);
    Layout::compact_strides(&shape[..rank], (0..rank.min(1)).chain(2..rank).chain(channel))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn compact_layouts_have_the_usual_strides() {
        let data = [0_u8; 120];
        let first = View::channels_first(&data, &[2, 3, 4, 5]).unwrap();
        assert_eq!(first.layout().strides(), [60, 20, 5, 1]);
        let last = View::channels_last(&data, &[2, 3, 4, 5]).unwrap();
        assert_eq!(last.layout().strides(), [60, 1, 15, 3]);
        let labels = View::map(&data[..40], &[2, 4, 5]).unwrap();
        assert_eq!(labels.layout().dims(), [2, 1, 4, 5]);
    }

    #[test]
    fn views_that_leave_their_slice_are_refused() {
        let data = [0_u8; 119];
        let error = View::strided(&data, &[2, 3, 4, 5], &[60, 20, 5, 1], 0).unwrap_err();
        assert!(matches!(error, Error::OutOfSlice { highest: 119, len: 119, .. }), "{error}");
        let error = View::strided(&data, &[1, 2, 3], &[0, -1, 1], 0).unwrap_err();
        assert!(matches!(error, Error::OutOfSlice { lowest: -1, .. }), "{error}");
        assert!(View::strided(&data, &[1, 2, 3], &[0, -1, 1], 1).is_ok());
        let error = View::strided(&data, &[1, usize::MAX, 2, 0], &[0; 4], 0).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        assert!(View::strided(&data, &[1, 3, 0], &[1 << 40, 1 << 40, 1], 500).is_ok(), "no element, no bound");
    }

    #[test]
    fn compact_tensors_are_as_long_as_their_slice() {
        let mut data = [0_u8; 121];
        for len in [119, 121] {
            let refused = |what| Error::Length { what, expected: 120, found: len };
            let shape = [2, 3, 4, 5];
            assert_eq!(View::channels_first(&data[..len], &shape).unwrap_err(), refused("view"));
            assert_eq!(View::channels_last(&data[..len], &shape).unwrap_err(), refused("view"));
            assert_eq!(View::map(&data[..len], &shape).unwrap_err(), refused("map"));
            assert_eq!(ViewMut::channels_first(&mut data[..len], &shape).unwrap_err(), refused("view"));
            assert_eq!(ViewMut::channels_last(&mut data[..len], &shape).unwrap_err(), refused("view"));
        }
        let error = View::channels_first(&data, &[1, usize::MAX, 2]).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }

    #[test]
    fn a_map_is_named_as_it_was_given() {
        let data = [0_u8; 60];
        let map = View::strided_map(&data, &[2, 5, 6], &[30, -6, 1], 24).unwrap();
        assert_eq!((map.layout().dims(), map.layout().strides()), (&[2, 1, 5, 6][..], &[30, 0, -6, 1][..]));
        assert_eq!(map.layout().written(), Dims::new(&[2, 5, 6]));
        assert_eq!(View::map(&data[..2], &[2]).unwrap().layout().written(), Dims::new(&[2]));
        let error = View::strided_map(&data, &[2, 5, 6], &[30, 6, 1], 1).unwrap_err();
        assert_eq!(error.to_string(), "map: a view of shape [2, 5, 6] reaches elements 1..=60 of a slice of 60");
        let error = View::strided_map(&data, &[2, 5, 6], &[6, 1], 0).unwrap_err();
        assert_eq!(error.to_string(), "map: 2 strides for 3 axes");
        assert_eq!(View::map(&data, &[]).unwrap_err().to_string(), "map: 0 axes; from 1 to 7 are supported");
    }

    #[test]
    fn a_view_says_what_it_is_and_not_what_it_holds() {
        let mut data = [7_u8; 1000];
        let text = "{ type: u8, shape: [1, 1, 1000], strides: [1000, 1000, 1], start: 0 }";
        assert_eq!(format!("{:?}", View::channels_first(&data, &[1, 1, 1000]).unwrap()), format!("View {text}"));
        let view = ViewMut::channels_first(&mut data, &[1, 1, 1000]).unwrap();
        assert_eq!(format!("{view:?}"), format!("ViewMut {text}"));
    }

    #[test]
    fn outputs_that_overlap_themselves_are_refused() {
        let mut data = [0_u8; 64];
        let error = ViewMut::strided(&mut data, &[1, 2, 8], &[0, 0, 1], 0).unwrap_err();
        assert!(matches!(error, Error::SelfOverlap { axis: 1, stride: 0, .. }), "{error}");
        let error = ViewMut::strided(&mut data, &[1, 2, 8], &[0, 7, 1], 0).unwrap_err();
        assert!(matches!(error, Error::SelfOverlap { axis: 1, stride: 7, .. }), "{error}");
        assert!(ViewMut::strided(&mut data, &[1, 2, 8], &[0, 8, 1], 0).is_ok());
        assert!(ViewMut::strided(&mut data, &[1, 2, 8], &[0, -8, -1], 15).is_ok());
    }

    #[test]
    fn a_walk_folds_what_it_can_and_visits_every_voxel_once() {
        let data = [0_u8; 1000];
        for (strides, rank) in [([0, 0, 100, 10, 1], 3), ([0, 0, 30, 6, 1], 1), ([0, 0, 60, 6, 1], 2)] {
            let view = View::strided(&data, &[1, 1, 4, 5, 6], &strides, 3).unwrap();
            let walk = view.layout().walk();
            assert_eq!(walk.rank, rank);
            let mut seen = Vec::new();
            walk.runs(7..118, |voxel, offset, length, stride| {
                for i in 0..length {
                    seen.push((voxel + i, offset + stride * i as isize));
                }
            });
            let expected: Vec<_> = (7..118_usize)
                .map(|v| (v, (v / 30) as isize * strides[2] + (v / 6 % 5) as isize * strides[3] + (v % 6) as isize))
                .collect();
            assert_eq!(seen, expected);
        }
    }
}
