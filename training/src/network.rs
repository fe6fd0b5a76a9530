//! A small U-Net: three resolutions, convolutions followed by a normalisation or none and a ReLU, steps down by strides of 2, up
//! by repeating voxels and adding what was there on the way down.

use burn::module::Module;
use burn::nn::conv::{Conv3d, Conv3dConfig};
use burn::nn::norm::{Normalization, NormalizationConfig};
use burn::nn::{BatchNormConfig, InstanceNormConfig, PaddingConfig3d, Relu};
use burn::tensor::{Device, Tensor};
use clap::ValueEnum;

/// What follows each convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Norm {
    None,
    Batch,
    Instance,
}

#[derive(Module, Debug)]
struct Layer {
    convolution: Conv3d,
    norm: Option<Normalization>,
    relu: Relu,
}

impl Layer {
    fn new(kernel: [usize; 3], norm: Norm, channels: [usize; 2], stride: usize, device: &Device) -> Self {
        let norm: Option<NormalizationConfig> = match norm {
            Norm::None => None,
            Norm::Batch => Some(BatchNormConfig::new(channels[1]).into()),
            Norm::Instance => Some(InstanceNormConfig::new(channels[1]).into()),
        };
        let [d, h, w] = kernel.map(|size| size / 2);
        Self {
            convolution: Conv3dConfig::new(channels, kernel)
                .with_stride(kernel.map(|size| if size == 1 { 1 } else { stride }))
                .with_padding(PaddingConfig3d::Explicit(d, h, w))
                .init(device),
            norm: norm.map(|norm| norm.init(device)),
            relu: Relu::new(),
        }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.convolution.forward(x);
        self.relu.forward(match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        })
    }
}

/// From images `[N, 1, D, H, W]` to logits `[N, C, D, H, W]`.
#[derive(Module, Debug)]
pub(crate) struct UNet {
    fine: Layer,
    middle: Layer,
    coarse: Layer,
    deepest: Layer,
    up_to_middle: Layer,
    up_to_fine: Layer,
    logits: Conv3d,
    /// How many voxels of a fine axis are one of a coarser one.
    steps: [usize; 3],
}

impl UNet {
    /// Random weights, as the device draws them.
    pub(crate) fn new(kernel: [usize; 3], width: usize, classes: usize, norm: Norm, device: &Device) -> Self {
        let layer = |inputs, outputs, stride| Layer::new(kernel, norm, [inputs, outputs], stride, device);
        let w = width;
        Self {
            fine: layer(1, w, 1),
            middle: layer(w, 2 * w, 2),
            coarse: layer(2 * w, 2 * w, 2),
            deepest: layer(2 * w, 2 * w, 1),
            up_to_middle: layer(2 * w, w, 1),
            up_to_fine: layer(w, w, 1),
            logits: Conv3dConfig::new([w, classes], [1, 1, 1]).init(device),
            steps: kernel.map(|size| if size == 1 { 1 } else { 2 }),
        }
    }

    pub(crate) fn forward(&self, images: Tensor<5>) -> Tensor<5> {
        let fine = self.fine.forward(images);
        let middle = self.middle.forward(fine.clone());
        let coarse = self.deepest.forward(self.coarse.forward(middle.clone()));
        // What the whole image holds: a digit is known by its shape.
        let mean = coarse.clone().mean_dims(&[2, 3, 4]);
        let middle = self.up_to_middle.forward(self.up(coarse + mean) + middle);
        self.logits.forward(self.up_to_fine.forward(self.up(middle) + fine))
    }

    /// Repeats voxels.
    fn up(&self, x: Tensor<5>) -> Tensor<5> {
        let ([n, c, d, h, w], [i, j, k]) = (x.dims(), self.steps);
        let repeated: Tensor<8> = x.reshape([n, c, d, 1, h, 1, w, 1]).expand([n, c, d, i, h, j, w, k]);
        repeated.reshape([n, c, d * i, h * j, w * k])
    }
}
