"""The two tasks: what a network is shown, and what it is held to. As `dice-training` has them in Rust.

A task has `classes`, `volumes` (voxels of each class in the training data), `batch(random, size)` and `held_out()`, both of which
give images [N, 1, spatial...] in f32 and labels [N, spatial...] in u8.
"""

import gzip
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).resolve().parents[2] / "data"


def unpack(name):
    return gzip.decompress((DATA / name).read_bytes())


class Digits:
    """28×28 handwritten digits: pixels under 0.4 of white are background, the others the digit's class. A batch of 16 lacks
    several of the eleven classes, and an image nine."""

    classes = ["background", *"0123456789"]
    axes = 2
    matter = slice(1, 11)

    def __init__(self):
        images = np.frombuffer(unpack("digits_images.idx3.gz"), np.uint8, offset=16).reshape(-1, 28, 28)
        digits = np.frombuffer(unpack("digits_labels.idx1.gz"), np.uint8, offset=8)
        self.images = (images / 255).astype(np.float32)
        self.labels = np.where(self.images < 0.4, 0, digits[:, None, None] + 1).astype(np.uint8)
        self.training = 2500
        self.volumes = np.bincount(self.labels[: self.training].ravel(), minlength=11).astype(float)

    def batch(self, random, size):
        return self.tensors(random.integers(0, self.training, size))

    def held_out(self, part):
        """In pieces that fit; a part of them for a curve, all for the end."""
        end = len(self.images) if part == "all" else self.training + 250
        for first in range(self.training, end, 250):
            yield self.tensors(np.arange(first, first + 250))

    def shown(self):
        """What a picture shows: the first image of each digit that is held out, side by side when `seen`."""
        digits = self.labels[self.training :].reshape(-1, 28 * 28).max(1)
        return self.tensors(self.training + np.array([np.argmax(digits == digit + 1) for digit in range(10)]))

    @staticmethod
    def seen(labels):
        return np.concatenate(list(labels), 1)

    def tensors(self, which):
        return torch.from_numpy(self.images[which])[:, None], torch.from_numpy(self.labels[which])


class Brain:
    """Patches of 32³ voxels of the left half of a brain, a bit less than half of them without some class; held out are patches
    of 48³ of the right half. Grey values have mean 0 and deviation 1 over the left half."""

    classes = ["outside", "CSF", "grey", "white"]
    axes = 3
    matter = slice(1, 4)
    size, held_out_size = 32, 48

    def __init__(self):
        read = lambda name: np.frombuffer(unpack(name), np.uint8, offset=352).reshape(189, 233, 197)
        image = read("mni152_t1.nii.gz").astype(np.float32)
        self.tissues = read("mni152_tissues.nii.gz")
        self.half = image.shape[2] // 2
        training = image[:, :, : self.half]
        self.image = (image - training.mean()) / training.std()
        self.volumes = np.bincount(self.tissues[:, :, : self.half].ravel(), minlength=4).astype(float)

    def batch(self, random, size):
        return self.patches([self.place(random, self.size, 0, self.half) for _ in range(size)], self.size)

    def held_out(self, part):
        for index in range(24 if part == "all" else 3):
            random = np.random.default_rng(100 + index)
            place = self.place(random, self.held_out_size, self.half, self.image.shape[2])
            yield self.patches([place], self.held_out_size)

    def shown(self):
        """What a picture shows: of the right half a slab through the middle, of which one slice is `seen`."""
        return self.cut([(70, 0, self.half)], (32, 232, 96))

    @staticmethod
    def seen(labels):
        return labels[0, 16, ::-1]

    def place(self, random, size, first, end):
        depth, height, _ = self.image.shape
        return [int(random.integers(low, high - size + 1)) for low, high in [(0, depth), (0, height), (first, end)]]

    def patches(self, places, size):
        return self.cut(places, (size, size, size))

    def cut(self, places, size):
        slices = [tuple(slice(first, first + length) for first, length in zip(place, size)) for place in places]
        cut = lambda volume: np.stack([volume[slice] for slice in slices])
        return torch.from_numpy(cut(self.image))[:, None], torch.from_numpy(cut(self.tissues))


TASKS = {"digits": Digits, "brain": Brain}
