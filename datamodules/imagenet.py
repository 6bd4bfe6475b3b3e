"""Labelled images for the linear probe: folders of images, one per class, and single frames of folders of videos."""

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .loading.clips import Key, ReplacingDataset, Transform, draw_frames
from .loading.loader import SampledDataModule
from .loading.sampling import random_resized_crop, seeded_generator
from .reading.guards import DataError, require_at_least
from .reading.images import opened_image
from .reading.source import VideoEntry, hashed_rank, list_videos, open_video

Read = Callable[[Path, torch.Generator | None], np.ndarray]
"""From a path, and a generator in training, to an image (H, W, 3) uint8."""


class LabelledImages(ReplacingDataset):
    """Images with a class; what is drawn is a function of (seed, epoch, index).

    An image that cannot be used is replaced by another one in training; in evaluation it ends the run.

    Args:
        samples: path and class of each image.
        reader: reads one.
        transform: from ([image], generator) to a (1, 3, size, size) uint8 tensor.
        seed: seed of all draws.
        training: whether images are drawn and replaced.
    """

    def __init__(
        self, samples: Sequence[tuple[Path, int]], reader: Read, transform: Transform, seed: int, training: bool
    ) -> None:
        super().__init__(len(samples), len(samples), seed, replaces=training)
        self.samples, self.reader, self.transform = samples, reader, transform

    def draws(self, key: Key, attempt: int) -> torch.Generator:
        """Return the generator of an attempt; that of the first is of (seed, epoch, index) alone."""
        return super().draws(key, attempt) if attempt else seeded_generator(self.seed, *key)

    def read(self, item: int, generator: torch.Generator) -> dict[str, Any]:
        """Read an image, and cut out what the network sees."""
        path, label = self.samples[item]
        image = self.reader(path, generator if self.replaces else None)
        return {"image": self.transform([image], generator)[0], "label": label}


def resized_centre(images: Sequence[np.ndarray], generator: torch.Generator, resize: int, size: int) -> Tensor:
    """Resize the short side and take the centre `size` × `size`, as in the usual evaluation on ImageNet."""
    from PIL import Image
    from torchvision.transforms.v2 import functional

    resized = (functional.resize(Image.fromarray(image), [resize]) for image in images)
    return torch.stack([functional.pil_to_tensor(functional.center_crop(image, [size])) for image in resized])


def read_photo(path: Path, generator: torch.Generator | None) -> np.ndarray:
    """Read an image of any kind that Pillow reads."""
    with opened_image(path) as image:
        return np.asarray(image.convert("RGB"))


def read_frame(path: Path, generator: torch.Generator | None) -> np.ndarray:
    """Read one frame of a video: a random one with a generator, else the middle one."""

    def sample(num_frames: int, draws: torch.Generator) -> Tensor:
        if generator is None:
            return torch.tensor([num_frames // 2])
        return torch.randint(num_frames, (1,), generator=draws)

    with open_video(path) as video:
        _, (frame,), _ = draw_frames(video, sample, generator or torch.Generator())
        return frame


class LabelledDataModule(SampledDataModule):
    """Images with labels, of which a subclass lists those to train on and those to evaluate on.

    A batch is a dictionary: `image` float RGB `(B, 3, size, size)` in [0, 1] and `label` long `(B,)`; `failures` has a
    line for each image that had to be replaced in training.

    Args:
        source: folder or list.
        size: side of the images, pixels.
        resize: short side before the centre crop of evaluation.
        area: fraction of an image that a random crop takes, least and largest.
        batch_size: images per rank.
        num_workers: processes that decode, per rank; by default the usable cores, at most 8.
        seed: seed of every draw, and of the split of videos.
    """

    classes: list[str]

    def __init__(
        self,
        source: str | os.PathLike[str],
        size: int = 224,
        resize: int = 256,
        area: tuple[float, float] = (0.08, 1.0),
        batch_size: int = 256,
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(Path(source).expanduser(), batch_size, num_workers, seed)
        require_at_least(1, size=size)
        if size > resize:
            raise ValueError(f"size {size} is cut from images whose short side is resize {resize}: it cannot be more")
        self.size, self.resize, self.area = size, resize, area

    def _use(self, training: Sequence[tuple[Path, int]], held_out: Sequence[tuple[Path, int]], reader: Read) -> None:
        crop = partial(random_resized_crop, size=self.size, area=self.area)
        centre = partial(resized_centre, resize=self.resize, size=self.size)
        self.training = LabelledImages(training, reader, crop, self.seed, True)
        self.held_out = LabelledImages(held_out, reader, centre, self.seed, False)


class ImageFolderDataModule(LabelledDataModule):
    """ImageNet, or any folders of images: `<root>/train/<class>/…` and `<root>/val/<class>/…`.

    Args:
        root: folder with `train` and `val`.
        kwargs: as of `LabelledDataModule`, without `source`.

    Raises:
        DataError: from `setup`, if there are no such folders, a class has no images, or both have other classes.
    """

    def __init__(self, root: str | os.PathLike[str], **kwargs: Any) -> None:
        super().__init__(root, **kwargs)

    def setup(self, stage: str) -> None:
        """List both folders."""
        from torchvision.datasets import ImageFolder

        try:
            training, held_out = ImageFolder(self.source / "train"), ImageFolder(self.source / "val")
        except OSError as error:
            raise DataError(
                f"{error}; expected train and val in {self.source}, with a folder for each class"
            ) from error
        self.classes = training.classes
        if only := sorted(set(training.classes) ^ set(held_out.classes))[:3]:
            raise DataError(
                f"{self.source}: train and val have other classes: {', '.join(only)} is in one of them only"
            )
        self._use(training.samples, held_out.samples, read_photo)


class VideoFrameDataModule(LabelledDataModule):
    """Single frames of videos with a folder for each class, `<source>/<class>/…/<video>`, or of a list with labels.

    Training takes a random frame of each video, evaluation the middle one. Of each class a fraction of the videos is
    held out, by hashes of their paths; clips cut from one video may still fall on both sides.

    Args:
        source: folder of a folder for each class, or a .txt or .csv list with labels; both as of `list_videos`.
        validation_fraction: fraction of each class's videos that is kept for validation, at least one.
        repeat: frames of each video in an epoch.
        kwargs: as of `LabelledDataModule`, without `source`.

    Raises:
        DataError: from `setup`, if the source has no classes or only one, or a class fewer than two videos.
    """

    def __init__(
        self, source: str | os.PathLike[str], validation_fraction: float = 0.2, repeat: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(source, **kwargs)
        require_at_least(1, repeat=repeat)
        if not 0 < validation_fraction < 1:
            raise ValueError(f"validation_fraction must be in (0, 1), got {validation_fraction}")
        self.validation_fraction, self.repeat = validation_fraction, repeat

    def setup(self, stage: str) -> None:
        """List the videos and keep some of each class for validation."""
        videos: dict[Any, list[Path]] = defaultdict(list)
        for entry in dict.fromkeys(list_videos(self.source)):
            videos[self._class_of(entry)].append(entry.path)
        self.classes = [str(name) for name in sorted(videos)]
        if len(videos) < 2:
            raise DataError(f"{self.source}: only one class, {self.classes[0]}; expected a folder for each class")
        root = self.source.parent if self.source.is_file() else self.source
        training: list[tuple[Path, int]] = []
        held_out: list[tuple[Path, int]] = []
        for label, (name, paths) in enumerate(sorted(videos.items())):
            if len(paths) < 2:
                raise DataError(
                    f"{self.source}: one video of class {name} leaves none to train on; expected at least 2 per class"
                )
            ranked = sorted(paths, key=lambda path: hashed_rank(self.seed, os.path.relpath(path, root)))
            count = min(max(1, round(self.validation_fraction * len(ranked))), len(ranked) - 1)
            held_out += [(path, label) for path in ranked[:count]]
            training += [(path, label) for path in ranked[count:]]
        self._use(training * self.repeat, held_out, read_frame)

    def _class_of(self, entry: VideoEntry) -> int | str:
        """Return the label of an entry of a list, else the folder of the source that holds the entry."""
        if self.source.is_file():
            if entry.label is None:
                raise DataError(f"{self.source}: needs a folder per class, or a list with labels, not one without")
            return entry.label
        parts = entry.path.relative_to(self.source).parts
        if len(parts) < 2:
            raise DataError(f"{entry.path}: lies in no folder of a class; expected {self.source}/<class>/<video>")
        return parts[0]
