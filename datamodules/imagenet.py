"""Labelled pictures for the linear probe: folders of images, one per class, and single frames of folders of videos."""

import os
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .loading.clips import ReplacingDataset, collate_with_failures, draw_frames
from .loading.loader import Key, ResumableLoader, epoch_and_index
from .loading.module import SampledDataModule
from .loading.sampling import seeded_generator
from .loading.skipped import SkippedVideos
from .loading.transforms import RandomResizedCrop
from .reading.errors import DataError, require_at_least
from .reading.images import opened_picture
from .reading.shards import is_sharded
from .reading.source import VideoEntry, hashed_rank, list_videos, open_video


class LabelledImages(ReplacingDataset):
    """Pictures with a class; what is drawn is a function of (seed, epoch, index).

    A picture that cannot be used is replaced by another one in training; in evaluation it ends the run. In training a
    random resized crop and a flip; in evaluation the short side is resized to `resize` and the centre `size` × `size`
    taken, as in the usual evaluation on ImageNet.

    Args:
        size: side of the pictures that come out, pixels.
        resize: short side before the centre crop.
        area: area of the random crop; None is evaluation.
        seed: seed of all draws.
    """

    def __init__(self, size: int, resize: int, area: tuple[float, float] | None, seed: int) -> None:
        self.size, self.resize, self.seed = size, resize, seed
        self.crop = None if area is None else RandomResizedCrop(size, area)

    @abstractmethod
    def read_labelled(self, index: int, generator: torch.Generator) -> tuple[np.ndarray, int]:
        """Read a picture `(H, W, 3)` uint8 and its class."""

    @abstractmethod
    def __len__(self) -> int: ...

    def choose(self, index: int, attempt: int, generator: torch.Generator) -> int:
        """Return the index itself, then those of other pictures."""
        others = max(len(self) - 1, 1)
        return (index + 1 + int(torch.randint(others, (), generator=generator))) % len(self) if attempt else index

    def draws(self, key: Key, attempt: int) -> torch.Generator:
        """Return the generator of an attempt; that of the first is of (seed, epoch, index) alone."""
        return seeded_generator(self.seed, *key, *([attempt] if attempt else []))

    def read(self, item: int, generator: torch.Generator) -> dict[str, Any]:
        """Read a picture, and cut out what the network sees."""
        picture, label = self.read_labelled(item, generator)
        return {"image": self.crop([picture], generator)[0] if self.crop else self._centre(picture), "label": label}

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        if self.crop is not None:
            return super().__getitem__(key)
        key = epoch_and_index(key)
        return self.read(key[1], self.draws(key, 0))

    def _centre(self, picture: np.ndarray) -> Tensor:
        from PIL import Image
        from torchvision.transforms.v2 import functional

        resized = functional.resize(Image.fromarray(picture), [self.resize])
        return functional.pil_to_tensor(functional.center_crop(resized, [self.size]))


class ImagesOfFolders(LabelledImages):
    """`<folder>/<class>/**/<picture>`, read by torchvision's ImageFolder.

    Raises:
        DataError: if there is no such folder, or a class without pictures.
    """

    def __init__(self, folder: Path, *arguments: Any) -> None:
        from torchvision.datasets import ImageFolder

        super().__init__(*arguments)
        try:
            self.folder = ImageFolder(folder, loader=_picture)
        except OSError as error:
            raise DataError(f"{folder}: {error}; expected one folder of pictures per class") from error
        self.classes = self.folder.classes

    def __len__(self) -> int:
        return len(self.folder)

    def read_labelled(self, index: int, generator: torch.Generator) -> tuple[np.ndarray, int]:
        """Read a picture and its class, as `LabelledImages` describes."""
        picture, label = self.folder[index]
        return picture, label


def _picture(path: str) -> np.ndarray:
    """Decode a picture of any kind that Pillow reads: (H, W, 3) uint8 RGB."""
    with opened_picture(path) as image:
        return np.asarray(image.convert("RGB"))


class FramesOfVideos(LabelledImages):
    """One frame of each video: a random one in training, the middle one in evaluation."""

    def __init__(self, entries: Sequence[VideoEntry], labels: Sequence[int], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.entries, self.labels = entries, labels

    def __len__(self) -> int:
        return len(self.entries)

    def read_labelled(self, index: int, generator: torch.Generator) -> tuple[np.ndarray, int]:
        """Read a picture and its class, as `LabelledImages` describes."""

        def sample(num_frames: int, generator: torch.Generator) -> Tensor:
            return (
                torch.randint(num_frames, (1,), generator=generator) if self.crop else torch.tensor([num_frames // 2])
            )

        with open_video(self.entries[index].path) as video:
            _, frames, _ = draw_frames(video, sample, generator)
            return frames[0], self.labels[index]


class _LabelledDataModule(SampledDataModule):
    """Loaders over two `LabelledImages`; a subclass makes them in `setup`."""

    training: LabelledImages
    held_out: LabelledImages
    classes: list[str]
    collate = staticmethod(collate_with_failures)

    def __init__(
        self,
        size: int,
        resize: int,
        area: tuple[float, float],
        batch_size: int,
        num_workers: int | None,
        seed: int,
    ) -> None:
        super().__init__(batch_size, num_workers, seed)
        require_at_least(1, size=size)
        if size > resize:
            raise ValueError(f"size {size} is cut from pictures whose short side is resize {resize}: it cannot be more")
        self.size, self.resize, self.area = size, resize, area

    def train_dataloader(self) -> ResumableLoader[Any]:
        """Return a loader of pictures in an order that is a function of (seed, epoch)."""
        return self.training_loader(self.training, f"{len(self.training)} pictures", "lower batch_size")

    def val_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the held-out pictures, as `fixed_loader` describes it."""
        return self.fixed_loader(self.held_out)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Convert the images to float in [0, 1], on the device."""
        return batch | {"image": batch["image"].float().div_(255)}


class ImageFolderDataModule(_LabelledDataModule):
    """ImageNet, or any folders of images: `<root>/train/<class>/…` and `<root>/val/<class>/…`.

    A batch is a dictionary: `image` float RGB `(B, 3, size, size)` in [0, 1] and `label` long `(B,)`; `failures` has a
    line for each picture that had to be replaced in training.

    Args:
        root: folder with `train` and `val`.
        size: side of the pictures, pixels.
        resize: short side before the centre crop of evaluation.
        area: fraction of a picture that a random crop takes, least and largest.
        batch_size: pictures per rank.
        num_workers: processes that decode, per rank; by default the usable cores, at most 8.
        seed: seed of every draw.

    Raises:
        DataError: from `setup`, if the folders are not as described.
    """

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
        super().__init__(size, resize, area, batch_size, num_workers, seed)
        self.root = Path(root).expanduser()

    def setup(self, stage: str) -> None:
        """List both folders."""
        training = ImagesOfFolders(self.root / "train", self.size, self.resize, self.area, self.seed)
        held_out = ImagesOfFolders(self.root / "val", self.size, self.resize, None, self.seed)
        if training.classes != held_out.classes:
            only = sorted(set(training.classes) ^ set(held_out.classes))[:3]
            raise DataError(f"{self.root}: train and val have other classes: {', '.join(only)} is in one of them only")
        self.training, self.held_out, self.classes = training, held_out, training.classes
        SkippedVideos().join(self.trainer)


class VideoFrameDataModule(_LabelledDataModule):
    """Single frames of videos with a folder for each class, `<source>/<class>/…/<video>`, or of a list with labels.

    A batch is as that of `ImageFolderDataModule`. Of each class a fraction of the videos is held out, by hashes
    of their paths; clips cut from one film may still fall on both sides.

    Args:
        source: folder of a folder for each class, or a .txt or .csv list with labels; both as of `list_videos`.
        holdout: fraction of each class's videos that is held out, at least one.
        size: side of the pictures, pixels.
        resize: short side before the centre crop of evaluation.
        area: fraction of a frame that a random crop takes, least and largest.
        repeat: frames of each video in an epoch.
        batch_size: pictures per rank.
        num_workers: processes that decode, per rank; by default the usable cores, at most 8.
        seed: seed of every draw and of the split.

    Raises:
        DataError: from `setup`, if the source has no classes or only one, or a class fewer than two videos.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        holdout: float = 0.2,
        size: int = 224,
        resize: int = 256,
        area: tuple[float, float] = (0.08, 1.0),
        repeat: int = 1,
        batch_size: int = 256,
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(size, resize, area, batch_size, num_workers, seed)
        require_at_least(1, repeat=repeat)
        if not 0 < holdout < 1:
            raise ValueError(f"holdout must be a fraction in (0, 1), got {holdout}")
        self.source, self.holdout, self.repeat = Path(source).expanduser(), holdout, repeat

    def setup(self, stage: str) -> None:
        """List the videos and hold some of each class out."""
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
            count = min(max(1, round(self.holdout * len(ranked))), len(ranked) - 1)
            held_out += [(entry, label) for entry in ranked[:count]]
            training += [(entry, label) for entry in ranked[count:]]
        self.training = self._frames(training * self.repeat, self.area)
        self.held_out = self._frames(held_out, None)
        SkippedVideos().join(self.trainer)

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

    def _frames(self, videos: Sequence[tuple[VideoEntry, int]], area: tuple[float, float] | None) -> FramesOfVideos:
        entries, labels = zip(*videos, strict=True)
        return FramesOfVideos(entries, labels, self.size, self.resize, area, self.seed)
