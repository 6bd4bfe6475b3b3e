"""Labelled images for the linear probe, from a folder of images per class."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torchvision.datasets.folder import make_dataset

from vidcorr.videos.files import DataError, require_at_least
from vidcorr.videos.folders import is_data, is_photo, list_folders

from .base import SampledDataModule
from .loading.labelled import LabelledImages, resize_center_crop
from .loading.sampling import RandomCrops


class ImageFolderDataModule(SampledDataModule):
    """ImageNet, or any folder of images in its layout: `<root>/train/<class>/…` and `<root>/val/<class>/…`.

    A batch is a dictionary: `image` `(B, 3, size, size)`, uint8 from the loader and float RGB in [0, 1] on the device;
    `label` long `(B,)`; and `failures`, a line per image that was replaced in training.

    Args:
        root: folder that holds `train` and `val`.
        size: side of the images, pixels.
        resize: short side before the centre crop of evaluation, pixels.
        area: smallest and largest fraction of an image's area that a random crop takes.
        batch_size: images per rank.
        num_workers: decoding processes per rank; by default the usable cores, at most 8.
        seed: seed of every draw; None: the run's.

    Attributes:
        classes: names of the classes, sorted: that of label 0 first.

    Raises:
        ValueError: if the size is below 1, or above `resize`.
        DataError: from `setup`, if a folder is missing or the classes of both differ.
        FileNotFoundError: from `setup`, if a class has no images.
    """

    classes: list[str]

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: int = 224,
        resize: int = 256,
        area: tuple[float, float] = (0.08, 1.0),
        batch_size: int = 256,
        num_workers: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(root, batch_size, num_workers, seed)
        require_at_least(1, size=size)
        if size > resize:
            raise ValueError(f"size {size} must be at most resize {resize}, the short side that it is cut from")
        self.training_crop = partial(RandomCrops(area), size=size)
        self.evaluation_crop = partial(resize_center_crop, resize=resize, size=size)

    def setup(self, stage: str = "fit") -> None:
        """List the images of both folders, as the data sets `training` and `held_out`, and the `classes`."""
        training = self.source / "train"
        held_out = self.source / "val"
        self.classes = sorted(list_folders(training))
        if not self.classes or self.classes != sorted(list_folders(held_out)):
            raise DataError(f"{self.source}: expected train/CLASS and val/CLASS of the same classes")
        images = images_of_classes(training, self.classes)
        self.training = LabelledImages(images, self.training_crop, self.seed, training=True)
        images = images_of_classes(held_out, self.classes)
        self.held_out = LabelledImages(images, self.evaluation_crop, self.seed, training=False)


def images_of_classes(folder: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Return (image, number of its class) pairs, sorted; a class without an image raises FileNotFoundError."""
    numbers = {name: number for number, name in enumerate(classes)}

    def is_valid_file(path: str) -> bool:
        return is_photo(path) and all(map(is_data, Path(path).relative_to(folder).parts))

    return make_dataset(folder, numbers, is_valid_file=is_valid_file)  # torchvision's listing
