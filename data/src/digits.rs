//! Handwritten digits.

use std::io::{Error, ErrorKind, Read};

use flate2::read::GzDecoder;

static IMAGES: &[u8] = include_bytes!("../digits_images.idx3.gz");
static LABELS: &[u8] = include_bytes!("../digits_labels.idx1.gz");

/// 3,000 handwritten digits in grey, 300 of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits {
    /// `[3000, 28, 28]`: from 0, black, to 255, white. The digits are white.
    pub images: Vec<u8>,
    /// Which digit each is.
    pub digits: Vec<u8>,
}

impl Digits {
    /// Rows, and columns, of an image.
    pub const SIDE: usize = 28;

    /// Unpacks the embedded files. Digits come in a random order.
    ///
    /// # Errors
    /// None with the files as they are; [`ErrorKind::InvalidData`] and others if they have been replaced by something else.
    pub fn load() -> Result<Self, Error> {
        let (images, [count, rows, columns]) = unpack(IMAGES)?;
        let (digits, [labels]) = unpack(LABELS)?;
        if [rows, columns] != [Self::SIDE; 2] || labels != count {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Self { images, digits })
    }
}

/// The bytes of an IDX file and their extents: two zeros, 8 for bytes, the number of axes, their extents in four bytes each, the
/// greatest first.
fn unpack<const AXES: usize>(file: &[u8]) -> Result<(Vec<u8>, [usize; AXES]), Error> {
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes)?;
    let wrong = || Error::from(ErrorKind::InvalidData);
    let rest = bytes.strip_prefix(&[0, 0, 8, AXES as u8]).ok_or_else(wrong)?;
    let (extents, data) = rest.split_at_checked(4 * AXES).ok_or_else(wrong)?;
    let mut shape = [0; AXES];
    for (extent, bytes) in shape.iter_mut().zip(extents.as_chunks().0) {
        *extent = u32::from_be_bytes(*bytes) as usize;
    }
    if data.len() == shape.iter().product() { Ok((data.to_vec(), shape)) } else { Err(wrong()) }
}
