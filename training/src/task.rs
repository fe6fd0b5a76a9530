//! What a network is shown, and what it is held to.

use std::error::Error;
use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dice_data::{Brain, Digits};
use dice_simd::{Engine, Problem, View};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::network::Norm;

/// Voxels of labelled volumes, one after the other: digits are volumes of one slice.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) name: &'static str,
    pub(crate) classes: Vec<&'static str>,
    /// The classes of the final score: all but the background.
    pub(crate) matter: Range<usize>,
    /// Voxels of each class in the training data.
    pub(crate) volumes: Vec<f64>,
    /// Of a convolution: one slice of a digit, three of a brain.
    pub(crate) kernel: [usize; 3],
    pub(crate) width: usize,
    pub(crate) norm: Norm,
    pub(crate) batch: usize,
    /// Of Adam.
    pub(crate) rate: f64,
    pub(crate) steps: usize,
    pub(crate) quick_steps: usize,
    images: Vec<f32>,
    labels: Vec<u8>,
    /// `[D, H, W]` of all volumes together, one upon the other.
    shape: [usize; 3],
    /// A part for training, and one that is held out.
    training: Part,
    held_out: Part,
}

/// Where patches are taken from.
#[derive(Debug)]
struct Part {
    /// First voxels of patches along each axis.
    places: [Range<usize>; 3],
    size: [usize; 3],
}

/// Images `[N, 1, D, H, W]` and labels `[N, D, H, W]`.
pub(crate) struct Batch {
    pub(crate) images: Tensor<5>,
    pub(crate) labels: Tensor<4, Int>,
}

impl Task {
    /// 28×28 handwritten digits, the toy of the answer: pixels under 0.4 of white are background, others the digit's class. An
    /// image lacks nine of the eleven classes.
    pub(crate) fn digits() -> Result<Self, Box<dyn Error>> {
        const TRAINING: usize = 2500;
        let Digits { images, digits } = Digits::load()?;
        let size = [1, Digits::SIDE, Digits::SIDE];
        let pixels = Digits::SIDE * Digits::SIDE;
        let images: Vec<f32> = images.into_iter().map(|white| f32::from(white) / 255.0).collect();
        let digit = |at: usize| digits[at / pixels] + 1;
        let labels = images.iter().enumerate().map(|(at, &white)| if white < 0.4 { 0 } else { digit(at) }).collect();
        let places = |numbers| [numbers, 0..1, 0..1];
        Self {
            name: "digits",
            classes: vec!["back", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            matter: 1..11,
            volumes: Vec::new(),
            kernel: [1, 3, 3],
            width: 16,
            norm: Norm::Batch,
            batch: 16,
            rate: 1e-3,
            steps: 2000,
            quick_steps: 400,
            images,
            labels,
            shape: [digits.len(), Digits::SIDE, Digits::SIDE],
            training: Part { places: places(0..TRAINING), size },
            held_out: Part { places: places(TRAINING..digits.len()), size },
        }
        .counted()
    }

    /// The question itself: patches of 32³ voxels of the left half of a brain, a bit less than half of them without some class.
    /// Held out are patches of 48³ of the right half. Grey values have mean 0 and deviation 1 over the left half.
    pub(crate) fn brain() -> Result<Self, Box<dyn Error>> {
        let Brain { shape, t1, tissues } = Brain::load()?;
        let half = shape[2] / 2;
        let training = || t1.chunks_exact(shape[2]).flat_map(|row| &row[..half]).map(|&t1| f64::from(t1));
        let voxels = (shape[0] * shape[1] * half) as f64;
        let mean = training().sum::<f64>() / voxels;
        let deviation = (training().map(|t1| (t1 - mean).powi(2)).sum::<f64>() / voxels).sqrt();
        let part = |size: usize, columns: Range<usize>| Part {
            places: [0..shape[0] - size + 1, 0..shape[1] - size + 1, columns.start..columns.end - size + 1],
            size: [size; 3],
        };
        Self {
            name: "brain",
            classes: vec!["outside", "CSF", "grey", "white"],
            matter: 1..4,
            volumes: Vec::new(),
            kernel: [3, 3, 3],
            width: 8,
            norm: Norm::Instance,
            batch: 2,
            rate: 3e-3,
            steps: 600,
            quick_steps: 100,
            images: t1.iter().map(|&t1| ((f64::from(t1) - mean) / deviation) as f32).collect(),
            labels: tissues,
            shape,
            training: part(32, 0..half),
            held_out: part(48, half..shape[2]),
        }
        .counted()
    }

    /// Counts the voxels that can be trained on.
    fn counted(mut self) -> Result<Self, Box<dyn Error>> {
        let Part { places, size } = &self.training;
        let [_, height, width] = self.shape;
        let [d, h, w] = [0, 1, 2].map(|axis| places[axis].end - places[axis].start + size[axis] - 1);
        let start = (places[0].start * height + places[1].start) * width + places[2].start;
        let plane = height * width;
        let strides = [0, 0, plane as isize, width as isize, 1];
        let labels = View::strided(&self.labels, &[1, 1, d, h, w], &strides, start)?;
        self.volumes = vec![0.0; self.classes.len()];
        Engine::new().add_volumes(&Problem::new(labels), &mut self.volumes)?;
        Ok(self)
    }

    /// A batch of patches, drawn anew.
    pub(crate) fn draw(&self, random: &mut StdRng, size: usize, device: &Device) -> Batch {
        let places: Vec<[usize; 3]> = (0..size).map(|_| self.training.place(random)).collect();
        self.patches(&places, self.training.size, device)
    }

    /// What is held out, the same at each call: for a curve a quarter of it.
    pub(crate) fn held_out(&self, all: bool, device: &Device) -> impl Iterator<Item = Batch> {
        let (patches, together) = if self.kernel[0] == 1 { (500, 125) } else { (24, 1) };
        let mut random = StdRng::seed_from_u64(100);
        let places: Vec<_> = (0..patches).map(|_| self.held_out.place(&mut random)).collect();
        let places = places[..if all { patches } else { patches / 4 }].to_vec();
        let chunks: Vec<_> = places.chunks(together).map(<[_]>::to_vec).collect();
        chunks.into_iter().map(move |places| self.patches(&places, self.held_out.size, device))
    }

    fn patches(&self, places: &[[usize; 3]], size: [usize; 3], device: &Device) -> Batch {
        let [depth, height, width] = size;
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for &[d, h, w] in places {
            for (d, h) in (d..d + depth).flat_map(|d| (h..h + height).map(move |h| (d, h))) {
                let first = (d * self.shape[1] + h) * self.shape[2] + w;
                images.extend_from_slice(&self.images[first..first + width]);
                labels.extend_from_slice(&self.labels[first..first + width]);
            }
        }
        let images = TensorData::new(images, [places.len(), 1, depth, height, width]);
        let labels = TensorData::new(labels, [places.len(), depth, height, width]);
        Batch { images: Tensor::from_data(images, device), labels: Tensor::from_data(labels, device) }
    }
}

impl Part {
    fn place(&self, random: &mut StdRng) -> [usize; 3] {
        self.places.clone().map(|places| random.random_range(places))
    }
}
