//! Logits and labels to run on.

use dice_simd::core::{Error, View};

/// A prediction and its target, channels first.
#[derive(Debug, Clone)]
pub struct Volume {
    /// `[N, C, D, H, W]`.
    pub shape: [usize; 5],
    /// The prediction.
    pub logits: Vec<f32>,
    /// The target `[N, D, H, W]`.
    pub labels: Vec<u8>,
}

impl Volume {
    /// Logits and labels without structure: what no branch predictor knows.
    pub fn random(shape: [usize; 5]) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let logits = (0..shape.iter().product()).map(|_| next() as f32 / (1 << 29) as f32 - 2.0).collect();
        let voxels = shape.iter().product::<usize>() / shape[1];
        let labels = (0..voxels).map(|_| (next() as usize % shape[1]) as u8).collect();
        Self { shape, logits, labels }
    }

    /// The prediction.
    ///
    /// # Errors
    /// If the fields were made to disagree.
    pub fn logits(&self) -> Result<View<'_, f32>, Error> {
        View::channels_first(&self.logits, &self.shape)
    }

    /// The target.
    ///
    /// # Errors
    /// If the fields were made to disagree.
    pub fn labels(&self) -> Result<View<'_, u8>, Error> {
        let [n, _, d, h, w] = self.shape;
        View::label_map(&self.labels, &[n, d, h, w])
    }

    /// The logits stored channels last.
    pub fn channels_last(&self) -> Vec<f32> {
        let [samples, classes, ..] = self.shape;
        let voxels = self.logits.len() / (samples * classes).max(1);
        let element = |i: usize| {
            let (class, voxel, sample) = (i % classes, i / classes % voxels, i / classes / voxels);
            self.logits[(sample * classes + class) * voxels + voxel]
        };
        (0..self.logits.len()).map(element).collect()
    }

    /// Bytes of logits and labels.
    pub fn bytes_read(&self) -> usize {
        size_of_val(&self.logits[..]) + self.labels.len()
    }
}
