"""Labelled images, and frames of labelled videos, for the linear probe."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcorr.videos.folders import is_photo
from vidcorr.videos.images import read_photo
from vidcorr.videos.source import open_video

from .clips import Key, ReplacingDataset, Sampling, Transform, draw_frames
from .sampling import continuous_indices, seeded_generator

LabelledPaths = Sequence[tuple[str | Path, int]]
"""(path, class) pairs."""


class LabelledImages(ReplacingDataset):
    """Images with a class, or a frame of each labelled video; draws are a function of (seed, epoch, index).

    In training it takes a random frame of a video, and another image replaces an unusable image; in evaluation it takes
    the middle frame, and an unusable image ends the run.

    Args:
        samples: (path, class) pairs, at least one.
        transform: ([image], generator) → (1, 3, size, size) uint8.
        seed: seed of all draws.
        training: draw frames and replace unusable images.
    """

    def __init__(self, samples: LabelledPaths, transform: Transform, seed: int, training: bool) -> None:
        paths, labels = zip(*samples, strict=True)
        super().__init__(paths, len(paths), seed, replaces=training)
        self.labels = np.array(labels)
        self.transform = transform
        self.frame_sampling: Sampling = partial(continuous_indices, n=1, interval=1) if training else _middle_index

    def draws(self, key: Key, attempt: int) -> torch.Generator:
        """Return the random generator for an attempt; attempt 0 has the key (seed, epoch, index), as published runs."""
        return super().draws(key, attempt) if attempt else seeded_generator(self.seed, *key)

    def read(self, item: int, generator: torch.Generator) -> dict[str, Any]:
        """Read and transform an image or a frame of a video: `image` (3, size, size) uint8, and `label`."""
        path = self.path(item)
        if is_photo(path.name):
            image = read_photo(path)
        else:
            with open_video(path) as video:
                _, (image,) = draw_frames(video, self.frame_sampling, generator)
        return {"image": self.transform([image], generator)[0], "label": int(self.labels[item])}


def _middle_index(num_frames: int, generator: torch.Generator) -> Tensor:
    """Return the index of the middle frame, (1,) long; a `Sampling` that draws nothing."""
    return torch.tensor([num_frames // 2])


def resize_center_crop(images: Sequence[np.ndarray], generator: torch.Generator, resize: int, size: int) -> Tensor:
    """Resize the short side and take the centre `size` × `size`, as in the usual evaluation on ImageNet.

    Args:
        images: a single image (H, W, 3) uint8.
        generator: unused, as nothing is drawn; every `Transform` takes it.
        resize: short side after resizing, pixels.
        size: side of the centre, pixels.

    Returns:
        (1, 3, size, size) uint8.
    """
    from PIL import Image
    from torchvision.transforms.v2 import functional

    (image,) = images
    resized = functional.resize(Image.fromarray(image), [resize])
    return functional.pil_to_tensor(functional.center_crop(resized, [size]))[None]
