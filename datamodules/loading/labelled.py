"""Labelled images, and frames of labelled videos, for the linear probe."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcorr.videos.images import read_photo
from vidcorr.videos.source import open_video

from .clips import Key, ReplacingDataset, Transform, draw_frames
from .sampling import seeded_generator

Read = Callable[[Path, torch.Generator | None], np.ndarray]
"""(path, generator in training or None) → image (H, W, 3) uint8."""
LabelledPaths = Sequence[tuple[str | Path, int]]
"""(path, class) pairs."""


class LabelledImages(ReplacingDataset):
    """Images with a class; draws are a function of (seed, epoch, index).

    In training another image replaces an unusable image; in evaluation an unusable image ends the run.

    Args:
        samples: (path, class) pairs, at least one.
        reader: reads the image of a path; its second argument is the generator that may draw a frame in training, and
            None in evaluation.
        transform: ([image], generator) → (1, 3, size, size) uint8.
        seed: seed of all draws.
        training: draw frames and replace unusable images.
    """

    def __init__(self, samples: LabelledPaths, reader: Read, transform: Transform, seed: int, training: bool) -> None:
        paths, labels = zip(*samples, strict=True)
        super().__init__(paths, len(paths), seed, replaces=training)
        self.labels = np.array(labels)
        self.reader = reader
        self.transform = transform

    def draws(self, key: Key, attempt: int) -> torch.Generator:
        """Return the generator of an attempt; the first attempt depends on (seed, epoch, index) only."""
        return super().draws(key, attempt) if attempt else seeded_generator(self.seed, *key)

    def read(self, item: int, generator: torch.Generator) -> dict[str, Any]:
        """Read and transform an image; only training, which also replaces images, lets the reader draw."""
        image = self.reader(self.path(item), generator if self.replaces else None)
        return {"image": self.transform([image], generator)[0], "label": int(self.labels[item])}


def resize_center_crop(images: Sequence[np.ndarray], generator: torch.Generator, resize: int, size: int) -> Tensor:
    """Resize the short side and take the centre `size` × `size`, as in the usual evaluation on ImageNet."""
    from PIL import Image
    from torchvision.transforms.v2 import functional

    cropped: list[Tensor] = []
    for image in images:
        resized = functional.resize(Image.fromarray(image), [resize])
        cropped.append(functional.pil_to_tensor(functional.center_crop(resized, [size])))
    return torch.stack(cropped)


def read_image_file(path: Path, generator: torch.Generator | None) -> np.ndarray:
    """Read an image, RGB (H, W, 3) uint8; nothing is drawn."""
    return read_photo(path)


def read_frame(path: Path, generator: torch.Generator | None) -> np.ndarray:
    """Read a random frame of a video, or the middle frame without a generator."""
    sampling = _middle_index if generator is None else _random_index
    with open_video(path) as video:
        # draw_frames needs a generator, also where nothing is drawn
        _, (frame,) = draw_frames(video, sampling, generator or torch.Generator())
        return frame


def _random_index(num_frames: int, generator: torch.Generator) -> Tensor:
    return torch.randint(num_frames, (1,), generator=generator)


def _middle_index(num_frames: int, generator: torch.Generator) -> Tensor:
    return torch.tensor([num_frames // 2])
