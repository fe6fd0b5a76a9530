//! A real brain for the examples, tests and benchmarks of `dice`: the MNI152 template, embedded; and handwritten digits to train
//! with.
//!
//! One T1-weighted image and one label map of four classes: an outside that fills four fifths of the volume, and three
//! tissues of very different size. That is the setting which the generalised Dice loss was made for. Origin and licence of
//! the files stand in the package's README.md.

mod digits;

use std::io::Read;

pub use digits::Digits;
use flate2::read::GzDecoder;
pub use nifti::NiftiError;
use nifti::{InMemNiftiObject, NiftiObject, NiftiVolume};

static T1: &[u8] = include_bytes!("../mni152_t1.nii.gz");
static TISSUES: &[u8] = include_bytes!("../mni152_tissues.nii.gz");

/// The classes by label: everything that is not brain, cerebrospinal fluid, grey matter, white matter.
pub const CLASSES: [&str; 4] = ["outside", "CSF", "grey matter", "white matter"];

/// The MNI152 template at 1 mm: an average of 152 young adults.
///
/// Both volumes hold their voxels in the order of [`shape`](Self::shape), the last axis contiguous. NIfTI lists its axes the
/// other way round, the first one varying fastest, so its x, y, z are the axes 2, 1, 0 here. Indices grow towards the head's
/// superior (axis 0), anterior (axis 1) and right (axis 2) side.
#[derive(Debug, Clone, PartialEq)]
pub struct Brain {
    /// `[D, H, W]` = `[189, 233, 197]`: axial slices, their rows, and the voxels of a row.
    pub shape: [usize; 3],
    /// The T1-weighted intensity, from 0 to 255; exactly 0 outside the brain.
    pub t1: Vec<f32>,
    /// The label of each voxel, an index into [`CLASSES`].
    pub tissues: Vec<u8>,
}

impl Brain {
    /// Unpacks the embedded files.
    ///
    /// # Errors
    /// None with the files as they are; [`NiftiError`] if they have been replaced by something else.
    pub fn load() -> Result<Self, NiftiError> {
        let (shape, t1) = decode(GzDecoder::new(T1))?;
        let (tissues_shape, tissues) = decode(GzDecoder::new(TISSUES))?;
        if tissues_shape != shape {
            return Err(NiftiError::IncompatibleLength(tissues.len(), t1.len()));
        }
        Ok(Self { shape, t1: t1.into_iter().map(f32::from).collect(), tissues })
    }
}

/// The `[D, H, W]` and the voxels of a volume of bytes.
fn decode(source: impl Read) -> Result<([usize; 3], Vec<u8>), NiftiError> {
    let volume = InMemNiftiObject::from_reader(source)?.into_volume();
    let &[width, height, depth] = volume.dim() else {
        return Err(NiftiError::IncorrectVolumeDimensionality(3, volume.dimensionality() as u16));
    };
    let shape = [depth, height, width].map(usize::from);
    Ok((shape, volume.into_nifti_typed_data()?))
}
