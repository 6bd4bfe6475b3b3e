"""Labelled images, for the linear probe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcorr.videos.image_files import read_photo

from .clips import ReplacingDataset, Transform


class LabelledImages(ReplacingDataset):
    """Images with a class; draws are a function of (seed, epoch, index).

    In training another image replaces an unusable image; in evaluation an unusable image ends the run.

    Args:
        samples: (path, class) pairs, at least one.
        transform: ([image], generator) → (1, 3, size, size) uint8.
        seed: seed of all draws.
        training: replace unusable images.
    """

    def __init__(
        self, samples: Sequence[tuple[str | Path, int]], transform: Transform, seed: int, training: bool
    ) -> None:
        paths, labels = zip(*samples, strict=True)
        super().__init__(paths, len(paths), seed, replaces=training)
        self.labels = np.array(labels)
        self.transform = transform

    def read(self, item: int, generator: torch.Generator) -> dict[str, Any]:
        """Read and transform an image: `image` (3, size, size) uint8, and `label`."""
        image = read_photo(self.path(item))
        return {"image": self.transform([image], generator)[0], "label": int(self.labels[item])}


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
