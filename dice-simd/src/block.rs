//! What the kernels compute with at once: a block of voxels, and the sizes that follow from it.
//!
//! A block is so small that all classes of it stay in the L1 cache between the steps of a pass. Its voxels are a few logical
//! vectors of [`LANES`] each, and [`Row`] holds one number of every voxel.

/// Lanes of a logical vector.
pub(crate) const LANES: usize = 16;
/// Vectors of a block.
pub(crate) const VECTORS: usize = 4;
/// Voxels of a block.
pub(crate) const BLOCK: usize = VECTORS * LANES;
/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// One number per voxel of a block.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Row<T>(pub(crate) [T; BLOCK]);

impl<T: Default> Default for Row<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

impl<T: Copy> Row<T> {
    /// The numbers of one vector of the block.
    #[inline(always)]
    pub(crate) fn vector(&self, vector: usize) -> &[T; LANES] {
        self.0.as_chunks().0.get(vector).expect("a block has four vectors")
    }

    /// The numbers of one vector of the block, to write.
    #[inline(always)]
    pub(crate) fn vector_mut(&mut self, vector: usize) -> &mut [T; LANES] {
        self.0.as_chunks_mut().0.get_mut(vector).expect("a block has four vectors")
    }
}
