//! The extents of a tensor.

use alloc::boxed::Box;
use core::fmt;

/// The most axes of a tensor: samples, channels and up to six spatial axes.
pub const MAX_AXES: usize = 8;

/// The extents of a tensor, as an [`Error`](crate::Error) names them.
// In a box, so that an error is small: it goes through every function that can fail.
#[derive(Clone, PartialEq, Eq)]
pub struct Dims(Box<Extents>);

#[derive(Clone, PartialEq, Eq)]
struct Extents {
    rank: usize,
    dims: [usize; MAX_AXES],
}

impl Dims {
    /// The first [`MAX_AXES`] extents of `dims`.
    pub fn new(dims: &[usize]) -> Self {
        let rank = dims.len().min(MAX_AXES);
        let mut held = [0; MAX_AXES];
        held[..rank].copy_from_slice(&dims[..rank]);
        Self(Box::new(Extents { rank, dims: held }))
    }

    /// The extents in logical order.
    pub fn as_slice(&self) -> &[usize] {
        &self.0.dims[..self.0.rank]
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
