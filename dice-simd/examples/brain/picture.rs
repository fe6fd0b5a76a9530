//! One axial slice as a picture: the image, the truth, the prediction, and where the gradient acts.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use dice_data::Brain;
use png::{BitDepth, ColorType, Encoder};

type Rgb = [u8; 3];

/// The colour of each class: outside, CSF, grey matter, white matter.
const CLASS_COLOURS: [Rgb; 4] = [[0, 0, 0], [64, 156, 255], [226, 92, 88], [250, 236, 200]];
/// From the weakest gradient to the strongest.
const HEAT: [Rgb; 5] = [[0, 0, 0], [90, 20, 110], [215, 60, 60], [252, 165, 40], [255, 255, 220]];
const GAP_COLOUR: Rgb = [70, 70, 78];

/// Pixels per voxel, and between panels.
const SCALE: usize = 2;
const GAP: usize = 8;

/// Length of the gradient at the voxels of one axial slice.
#[derive(Debug)]
pub(crate) struct GradientSlice(Vec<f32>);

impl GradientSlice {
    /// Takes the middle slice out of a `gradient` `[C, D, H, W]`.
    pub(crate) fn new(brain: &Brain, gradient: &[f32]) -> Self {
        let voxels = brain.tissues.len();
        let length = |voxel| gradient.iter().skip(voxel).step_by(voxels).map(|g| g * g).sum::<f32>().sqrt();
        Self(middle(brain).map(length).collect())
    }
}

/// The voxels of the middle axial slice: a contiguous range, since axial slices are the slowest axis.
fn middle(brain: &Brain) -> std::ops::Range<usize> {
    let [depth, height, width] = brain.shape;
    let first = depth / 2 * height * width;
    first..first + height * width
}

/// Writes the four panels side by side as a PNG, making its directory if need be.
pub(crate) fn write(
    path: &Path,
    brain: &Brain,
    prediction: &[u8],
    gradient: &GradientSlice,
) -> Result<(), Box<dyn Error>> {
    let [_, height, width] = brain.shape;
    let slice = middle(brain);
    let (t1, truth, prediction) = (&brain.t1[slice.clone()], &brain.tissues[slice.clone()], &prediction[slice]);
    // The rarest class weighs a thousand times more than the largest, so gradients differ by decades.
    let decades: Vec<f32> = gradient.0.iter().map(|length| length.max(f32::MIN_POSITIVE).log10()).collect();
    let strongest = decades.iter().copied().fold(f32::MIN, f32::max);
    let weakest = decades.iter().copied().fold(strongest, f32::min).clamp(strongest - 3.0, strongest - 0.1);
    let panels: [&dyn Fn(usize) -> Rgb; 4] = [
        &|voxel| [t1[voxel] as u8; 3],
        &|voxel| CLASS_COLOURS[usize::from(truth[voxel])],
        &|voxel| CLASS_COLOURS[usize::from(prediction[voxel])],
        &|voxel| heat((decades[voxel] - weakest) / (strongest - weakest)),
    ];

    let mut pixels: Vec<Rgb> = Vec::new();
    // Rows grow towards the front of the head, which belongs on top; columns grow from left to right as they are.
    for row in (0..height).rev() {
        let start = pixels.len();
        for (index, panel) in panels.iter().enumerate() {
            if index > 0 {
                pixels.extend([GAP_COLOUR; GAP]);
            }
            for column in 0..width {
                pixels.extend([panel(row * width + column); SCALE]);
            }
        }
        let line = start..pixels.len();
        for _ in 1..SCALE {
            pixels.extend_from_within(line.clone());
        }
    }

    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let (columns, rows) = (panels.len() * (width * SCALE + GAP) - GAP, height * SCALE);
    let mut encoder = Encoder::new(BufWriter::new(File::create(path)?), columns as u32, rows as u32);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels.as_flattened())?;
    Ok(writer.finish()?)
}

/// The colour of a strength from 0 (or below) to 1, between its neighbours in [`HEAT`].
fn heat(strength: f32) -> Rgb {
    let place = strength.max(0.0) * (HEAT.len() - 1) as f32;
    let below = (place as usize).min(HEAT.len() - 2);
    let part = place - below as f32;
    std::array::from_fn(|i| {
        let (low, high) = (f32::from(HEAT[below][i]), f32::from(HEAT[below + 1][i]));
        (low + part * (high - low)) as u8
    })
}
