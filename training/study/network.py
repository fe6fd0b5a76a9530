"""A small U-Net in two or three dimensions, as `dice-training` has it in Rust: three resolutions, convolutions of 3 voxels each
followed by a normalisation or none and a ReLU, steps down by strides of 2, up by repeating voxels."""

import torch
from torch import nn

WIDTH = {2: 16, 3: 8}
NORMS = {
    "batch": (nn.BatchNorm2d, nn.BatchNorm3d),
    "instance": (nn.InstanceNorm2d, nn.InstanceNorm3d),
}


class UNet(nn.Module):
    def __init__(self, axes, classes, norm):
        super().__init__()
        convolution = nn.Conv2d if axes == 2 else nn.Conv3d

        def layer(inputs, outputs, stride=1):
            # A bias has no effect before a normalisation, but stays: the layers are the same with and without one.
            parts = [convolution(inputs, outputs, 3, stride=stride, padding=1)]
            if norm != "none":
                options = {"affine": True} if norm == "instance" else {}
                parts.append(NORMS[norm][axes - 2](outputs, **options))
            return nn.Sequential(*parts, nn.ReLU())

        w = WIDTH[axes]
        self.fine, self.middle, self.coarse = layer(1, w), layer(w, 2 * w, 2), layer(2 * w, 2 * w, 2)
        self.deepest = layer(2 * w, 2 * w)
        self.up_to_middle, self.up_to_fine = layer(2 * w, w), layer(w, w)
        self.logits = convolution(w, classes, 1)
        # Voxel by voxel in memory, which takes half the time on a CPU.
        self.layout = torch.channels_last if axes == 2 else torch.channels_last_3d
        self.to(memory_format=self.layout)

    def forward(self, x):
        fine = self.fine(x.contiguous(memory_format=self.layout))
        middle = self.middle(fine)
        coarse = self.deepest(self.coarse(middle))
        # What the whole image holds: a digit is known by its shape.
        coarse = coarse + coarse.mean(tuple(range(2, x.ndim)), keepdim=True)
        middle = self.up_to_middle(nn.functional.interpolate(coarse, scale_factor=2) + middle)
        return self.logits(self.up_to_fine(nn.functional.interpolate(middle, scale_factor=2) + fine))
