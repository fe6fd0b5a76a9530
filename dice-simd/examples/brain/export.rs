//! The starting point as plain files, so that another program, in C say, can compute the same loss and the same gradient.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::Segmentation;

/// Writes `logits.f32` (little-endian, channels first), `labels.u8` and `shape.txt` (C D H W) to `directory`.
pub(crate) fn write(directory: &Path, task: &Segmentation<'_>, logits: &[f32], labels: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut file = BufWriter::new(fs::File::create(directory.join("logits.f32"))?);
    for z in logits {
        file.write_all(&z.to_le_bytes())?;
    }
    file.flush()?;
    fs::write(directory.join("labels.u8"), labels)?;
    let [_, classes, depth, height, width] = task.shape;
    fs::write(directory.join("shape.txt"), format!("{classes} {depth} {height} {width}\n"))
}

/// The 64-bit FNV-1a hash of the little-endian bytes of `data`: equal hashes, equal bits.
pub(crate) fn fnv1a(data: &[f32]) -> u64 {
    let bytes = data.iter().flat_map(|x| x.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
