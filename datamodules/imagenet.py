"""Labelled images for the linear probe: folders of images, one per class, and single frames of folders of videos."""

import os
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .loading.clips import Key, ReplacingDataset, draw_frames
from .loading.loader import SampledDataModule
from .loading.sampling import seeded_generator
from .loading.transforms import RandomResizedCrop
from .reading.errors import DataError, require_at_least
from .reading.images import opened_picture
from .reading.shards import is_sharded
from .reading.source import VideoEntry, hashed_rank, list_videos, open_video


class LabelledImages(ReplacingDataset):
    """Images with a class; what is drawn is a function of (seed, epoch, index).

    An image that cannot be used is replaced by another one in training; in evaluation it ends the run. In training a
    random resized crop and a flip; in evaluation the short side is resized to `resize` and the centre `size` × `size`
    taken, as in the usual evaluation on ImageNet.

    Args:
        items: number of images.
        size: side of the images that come out, pixels.
        resize: short side before the centre crop.
        area: area of the random crop; None is evaluation.
        seed: seed of all draws.
    """

    def __init__(self, items: int, size: int, resize: int, area: tuple[float, float] | None, seed: int) -> None:
        super().__init__(items, items, seed, replaces=area is not None)
        self.size, self.resize = size, resize
        self.crop = None if area is None else RandomResizedCrop(size, area)

    @abstractmethod
    def read_labelled(self, index: int, generator: torch.Generator) -> tuple[np.ndarray, int]:
        """Read an image `(H, W, 3)` uint8 and its class."""

    def draws(self, key: Key, attempt: int) -> torch.Generator:
        """Return the generator of an attempt; that of the first is of (seed, epoch, index) alone."""
        return super().draws(key, attempt) if attempt else seeded_generator(self.seed, *key)

    def read(self, item: int, generator: torch.Generator) -> dict[str, Any]:
        """Read an image, and cut out what the network sees."""
        image, label = self.read_labelled(item, generator)
        return {"image": self.crop([image], generator)[0] if self.crop else self._centre(image), "label": label}

    def _centre(self, image: np.ndarray) -> Tensor:
        from PIL import Image
        from torchvision.transforms.v2 import functional

        resized = functional.resize(Image.fromarray(image), [self.resize])
        return functional.pil_to_tensor(functional.center_crop(resized, [self.size]))


class ImagesOfFolders(LabelledImages):
    """`<folder>/<class>/**/<image>`, found by torchvision's ImageFolder.

    Raises:
        DataError: if there is no such folder, or a class without images.
    """

    def __init__(self, folder: Path, *arguments: Any) -> None:
        from torchvision.datasets import ImageFolder

        try:
            self.folder = ImageFolder(folder)
        except OSError as error:
            raise DataError(f"{folder}: {error}; expected one folder of images per class") from error
        super().__init__(len(self.folder), *arguments)

    def read_labelled(self, index: int, generator: torch.Generator) -> tuple[np.ndarray, int]:
        """Read an image of any kind that Pillow reads, and its class."""
        path, label = self.folder.samples[index]
        with opened_picture(path) as image:
            return np.asarray(image.convert("RGB")), label


class FramesOfVideos(LabelledImages):
    """One frame of each video: a random one in training, the middle one in evaluation."""

    def __init__(self, entries: Sequence[VideoEntry], labels: Sequence[int], *arguments: Any) -> None:
        super().__init__(len(entries), *arguments)
        self.entries, self.labels = entries, labels

    def read_labelled(self, index: int, generator: torch.Generator) -> tuple[np.ndarray, int]:
        """Read a frame of a video, and its class."""

        def sample(num_frames: int, generator: torch.Generator) -> Tensor:
            return (
                torch.randint(num_frames, (1,), generator=generator) if self.crop else torch.tensor([num_frames // 2])
            )

        with open_video(self.entries[index].path) as video:
            _, frames, _ = draw_frames(video, sample, generator)
            return frames[0], self.labels[index]


class ImageFolderDataModule(SampledDataModule):
    """ImageNet, or any folders of images: `<root>/train/<class>/…` and `<root>/val/<class>/…`.

    A batch is a dictionary: `image` float RGB `(B, 3, size, size)` in [0, 1] and `label` long `(B,)`; `failures` has a
    line for each image that had to be replaced in training.

    Args:
        root: folder with `train` and `val`.
        size: side of the images, pixels.
        resize: short side before the centre crop of evaluation.
        area: fraction of a image that a random crop takes, least and largest.
        batch_size: images per rank.
        num_workers: processes that decode, per rank; by default the usable cores, at most 8.
        seed: seed of every draw.

    Raises:
        DataError: from `setup`, if the folders are not as described.
    """

    source: Path

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: int = 224,
        resize: int = 256,
        area: tuple[float, float] = (0.08, 1.0),
        batch_size: int = 256,
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(Path(root).expanduser(), batch_size, num_workers, seed)
        self.cut = _checked_cut(size, resize, area)

    def setup(self, stage: str) -> None:
        """List both folders."""
        size, resize, area = self.cut
        training = ImagesOfFolders(self.source / "train", size, resize, area, self.seed)
        held_out = ImagesOfFolders(self.source / "val", size, resize, None, self.seed)
        self.classes = training.folder.classes
        if only := sorted(set(self.classes) ^ set(held_out.folder.classes))[:3]:
            raise DataError(
                f"{self.source}: train and val have other classes: {', '.join(only)} is in one of them only"
            )
        self.training, self.held_out = training, held_out


class VideoFrameDataModule(SampledDataModule):
    """Single frames of videos with a folder for each class, `<source>/<class>/…/<video>`, or of a list with labels.

    A batch is as that of `ImageFolderDataModule`. Of each class a fraction of the videos is held out, by hashes
    of their paths; clips cut from one film may still fall on both sides.

    Args:
        source: folder of a folder for each class, or a .txt or .csv list with labels; both as of `list_videos`.
        validation_fraction: fraction of each class's videos that is kept for validation, at least one.
        size: side of the images, pixels.
        resize: short side before the centre crop of evaluation.
        area: fraction of a frame that a random crop takes, least and largest.
        repeat: frames of each video in an epoch.
        batch_size: images per rank.
        num_workers: processes that decode, per rank; by default the usable cores, at most 8.
        seed: seed of every draw and of the split.

    Raises:
        DataError: from `setup`, if the source has no classes or only one, or a class fewer than two videos.
    """

    source: Path

    def __init__(
        self,
        source: str | os.PathLike[str],
        validation_fraction: float = 0.2,
        size: int = 224,
        resize: int = 256,
        area: tuple[float, float] = (0.08, 1.0),
        repeat: int = 1,
        batch_size: int = 256,
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(Path(source).expanduser(), batch_size, num_workers, seed)
        self.cut = _checked_cut(size, resize, area)
        require_at_least(1, repeat=repeat)
        if not 0 < validation_fraction < 1:
            raise ValueError(f"validation_fraction must be in (0, 1), got {validation_fraction}")
        self.validation_fraction, self.repeat = validation_fraction, repeat

    def setup(self, stage: str) -> None:
        """List the videos and keep some of each class for validation."""
        videos = self._videos_of_classes()
        self.classes = list(videos)
        if len(videos) < 2:
            raise DataError(f"{self.source}: only one class, {self.classes[0]}; expected a folder for each class")
        training: list[tuple[VideoEntry, int]] = []
        held_out: list[tuple[VideoEntry, int]] = []
        for label, name in enumerate(self.classes):
            if len(videos[name]) < 2:
                raise DataError(
                    f"{self.source}: one video of class {name} leaves none to train on; expected at least 2 per class"
                )
            root = self.source.parent if self.source.is_file() else self.source
            ranked = sorted(videos[name], key=lambda entry: hashed_rank(self.seed, os.path.relpath(entry.path, root)))
            count = min(max(1, round(self.validation_fraction * len(ranked))), len(ranked) - 1)
            held_out += [(entry, label) for entry in ranked[:count]]
            training += [(entry, label) for entry in ranked[count:]]
        size, resize, area = self.cut
        self.training = FramesOfVideos(*zip(*training * self.repeat, strict=True), size, resize, area, self.seed)
        self.held_out = FramesOfVideos(*zip(*held_out, strict=True), size, resize, None, self.seed)

    def _videos_of_classes(self) -> dict[str, list[VideoEntry]]:
        if is_sharded(self.source):
            raise DataError(f"{self.source}: needs a folder per class, or a list with labels, not shards")
        entries = list_videos(self.source)
        videos: dict[str, list[VideoEntry]] = defaultdict(list)
        if self.source.is_file():
            for entry in sorted(set(entries), key=lambda entry: (entry.label or 0, entry.path)):
                if entry.label is None:
                    raise DataError(f"{self.source}: needs a folder per class, or a list with labels, not one without")
                videos[str(entry.label)].append(entry)
            return videos
        for entry in entries:
            parts = entry.path.relative_to(self.source).parts
            if len(parts) < 2:
                raise DataError(f"{entry.path}: lies in no folder of a class; expected {self.source}/<class>/<video>")
            videos[parts[0]].append(entry)
        return {name: videos[name] for name in sorted(videos)}


def _checked_cut(size: int, resize: int, area: tuple[float, float]) -> tuple[int, int, tuple[float, float]]:
    """Return how images are cut out, if that is possible."""
    require_at_least(1, size=size)
    if size > resize:
        raise ValueError(f"size {size} is cut from images whose short side is resize {resize}: it cannot be more")
    return size, resize, area
