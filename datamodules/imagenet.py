"""Labelled images for the linear probe, from a folder of images per class or from frames of videos."""

import os
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torchvision.datasets.folder import make_dataset

from vidcorr.videos.files import DataError, require_at_least
from vidcorr.videos.folders import is_data, is_photo, list_folders
from vidcorr.videos.source import SourceEntry, list_videos

from .base import SampledDataModule
from .loading.labelled import LabelledImages, LabelledPaths, resize_center_crop
from .loading.sampling import RandomCrops


class LabelledDataModule(SampledDataModule):
    """Images with labels; a subclass lists the training and evaluation images.

    A batch is a dictionary: `image` float RGB `(B, 3, size, size)` in [0, 1], `label` long `(B,)` and `failures`, a
    line per image that was replaced in training.

    Args:
        source: folder or list.
        size: side of the images, pixels.
        resize: short side before the centre crop of evaluation, pixels.
        area: smallest and largest fraction of an image's area that a random crop takes.
        batch_size: images per rank.
        num_workers: decoding processes per rank; by default the usable cores, at most 8.
        seed: seed of every draw, and of the split of videos; None: the run's.
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
        seed: int | None = None,
    ) -> None:
        super().__init__(source, batch_size, num_workers, seed)
        require_at_least(1, size=size)
        if size > resize:
            raise ValueError(f"size {size} must be at most resize {resize}, the short side that it is cut from")
        self.size = size
        self.resize = resize
        self.area = area

    def _set_data_sets(self, training: LabelledPaths, held_out: LabelledPaths) -> None:
        """Set `training`, with random crops, and `held_out`, with centre crops."""
        crop = partial(RandomCrops(self.area), size=self.size)
        centre = partial(resize_center_crop, resize=self.resize, size=self.size)
        self.training = LabelledImages(training, crop, self.seed, training=True)
        self.held_out = LabelledImages(held_out, centre, self.seed, training=False)


class ImageFolderDataModule(LabelledDataModule):
    """ImageNet, or any folder of images in its layout: `<root>/train/<class>/…` and `<root>/val/<class>/…`.

    Args:
        root: folder that holds `train` and `val`.
        kwargs: arguments of `LabelledDataModule`, without `source`.

    Raises:
        DataError: from `setup`, if a folder is missing or the classes of both differ.
        FileNotFoundError: from `setup`, if a class has no images.
    """

    def __init__(self, root: str | os.PathLike[str], **kwargs: Any) -> None:
        super().__init__(root, **kwargs)

    def setup(self, stage: str = "fit") -> None:
        """List both folders."""
        training = self.source / "train"
        held_out = self.source / "val"
        self.classes = sorted(list_folders(training))
        if not self.classes or self.classes != sorted(list_folders(held_out)):
            raise DataError(f"{self.source}: expected train/CLASS and val/CLASS of the same classes")
        self._set_data_sets(images_of_classes(training, self.classes), images_of_classes(held_out, self.classes))


def images_of_classes(folder: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Return (image, number of its class) pairs of a folder with a folder per class, in sorted order.

    Raises:
        FileNotFoundError: if a class has no image.
    """
    numbers = {name: number for number, name in enumerate(classes)}

    def is_valid_file(path: str) -> bool:
        """Return whether a file is an image, and neither hidden nor in a hidden folder."""
        return is_photo(path) and all(map(is_data, Path(path).relative_to(folder).parts))

    return make_dataset(folder, numbers, is_valid_file=is_valid_file)


class VideoFrameDataModule(LabelledDataModule):
    """Frames of labelled videos, from a folder per class, `<source>/<class>/…/<video>`, or a list with labels.

    Training takes a random frame per video, evaluation the middle frame. Hashes of the paths decide which videos of a
    class are held out; clips cut from the same video may fall on both sides.

    Args:
        source: folder with a folder per class, or a list (.txt) with a path and a class number per line.
        validation_fraction: fraction of a class's videos kept for validation, at least one.
        kwargs: arguments of `LabelledDataModule`, without `source`.

    Raises:
        DataError: from `setup`, if the source has fewer than two classes, or a class fewer than two videos.
    """

    def __init__(self, source: str | os.PathLike[str], validation_fraction: float = 0.2, **kwargs: Any) -> None:
        super().__init__(source, **kwargs)
        self.validation_fraction = validation_fraction

    def setup(self, stage: str = "fit") -> None:
        """List the videos and hold out a part of every class."""
        paths_of_class: dict[Any, list[Path]] = defaultdict(list)
        for entry in dict.fromkeys(list_videos(self.source).entries):  # a path twice in a list counts once
            paths_of_class[self._class_of(entry)].append(entry.path)
        self.classes = [str(name) for name in sorted(paths_of_class)]
        if len(paths_of_class) < 2:
            raise DataError(f"{self.source}: only one class, {self.classes[0]}; expected a folder per class")
        training: list[tuple[Path, int]] = []
        held_out: list[tuple[Path, int]] = []
        for label, (name, paths) in enumerate(sorted(paths_of_class.items())):
            if len(paths) < 2:
                raise DataError(
                    f"{self.source}: one video of class {name} leaves none to train on; expected at least 2 per class"
                )
            ranked = sorted(paths, key=self.hold_out_key)
            count = min(max(1, round(self.validation_fraction * len(ranked))), len(ranked) - 1)
            held_out += [(path, label) for path in ranked[:count]]
            training += [(path, label) for path in ranked[count:]]
        self._set_data_sets(training, held_out)

    def _class_of(self, entry: SourceEntry) -> int | str:
        """Return the label of a video of a list, or the name of the top folder of a video below a folder.

        Raises:
            DataError: for a list without labels, or a video that lies in no folder of a class.
        """
        if self.source.is_file():
            if entry.label is None:
                raise DataError(f"{self.source}: the list has no labels; add a class number to each line")
            return entry.label
        parts = entry.path.relative_to(self.source).parts
        if len(parts) < 2:
            raise DataError(f"{entry.path}: lies in no folder of a class; expected {self.source}/<class>/<video>")
        return parts[0]
