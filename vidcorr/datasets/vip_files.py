"""VIP (Video Instance-level Parsing) as distributed: people and their parts, every 25th frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..videos.files import DataError, require_one_of, user_path
from ..videos.folders import list_frames
from ..videos.mask_folder import MaskFolder
from ..videos.masks import VOID, object_ids
from .lists import find_list, read_names
from .sequences import MaskSequence

PARTS = (
    "background", "hat", "hair", "sun-glasses", "upper-clothes", "dress", "coat", "socks", "pants", "gloves", "scarf",
    "skirt", "torso-skin", "face", "right-arm", "left-arm", "right-leg", "left-leg", "right-shoe", "left-shoe",
)  # fmt: skip
"""Classes of Category_ids, with the names of TimeCycle's and UVC's evaluation."""
NUM_PARTS = len(PARTS)

# a line of a list: the path of a video, or its name
_PATHS = r"(?:(?:\./)?/?(?:VIP_Fine/)?Images/)?([^/]+)/?"


@dataclass(frozen=True, kw_only=True, eq=False)
class PartSequence(MaskSequence):
    """A video of people with annotated parts in every frame.

    With `humans`, an object is a class of a person in the first frame; `read_mask` numbers the objects from 1 in the
    order of `first`, and `instances` gives all annotated instances, including later ones. Without `humans`, `read_mask`
    gives the classes.

    Args:
        humans: masks of the persons' ids, which may change from frame to frame.
        first: ids of the objects in the first frame: 20 times the person's number, plus the class.
    """

    masks: MaskFolder
    humans: MaskFolder | None = None
    first: tuple[int, ...] = ()

    @property
    def classes(self) -> dict[int, int]:
        """Object id → class number, with `humans`."""
        return {number: instance % NUM_PARTS for number, instance in enumerate(self.first, start=1)}

    def read_mask(self, t: int) -> Tensor:
        """Read the mask of frame `t`: uint8 (H, W), classes, or with `humans` numbers of objects.

        The objects are the instances of the first frame, numbered from 1 in the order of `first`; others become 0.
        """
        if self.humans:
            # id of an instance, person · NUM_PARTS + class with person < VOID, → number of the object
            number_of = np.zeros(VOID * NUM_PARTS, dtype=np.uint8)
            number_of[list(self.first)] = self.objects
            return torch.from_numpy(number_of[self._instance_ids(t)])
        return torch.from_numpy(read_parts(self.masks, t, self.size))

    def instances(self, t: int) -> tuple[Tensor, dict[int, int]]:
        """Return all annotated instances of frame `t`: int32 ids (H, W) of `part_instances`, and id → class."""
        instances = self._instance_ids(t)
        classes = {instance: instance % NUM_PARTS for instance in np.unique(instances).tolist() if instance}
        return torch.from_numpy(instances), classes

    def _instance_ids(self, t: int) -> NDArray[np.int32]:
        assert self.humans is not None
        parts = read_parts(self.masks, t, self.size)
        return part_instances(parts, self.humans.stored(t, self.size))


def Vip(
    root: str | Path, split: str | Path = "val", parts: Literal["semantic", "instance"] = "semantic"
) -> list[PartSequence]:
    """Read the videos of a VIP split.

    Layout `VIP_Fine`: `Images/<video>/*.jpg`, `Annotations/Category_ids/<video>/*.png` (20 classes),
    `Annotations/Human_ids/<video>/*.png` and `lists/<split>_videos.txt`, a video's name or path (`Images/videos1/`) per
    line. Instances are pairs of person and part; the distributed Instance_ids are not read.
    Paper: Zhou et al., Adaptive Temporal Encoding Network for Video Instance-level Human Parsing (ACM MM 2018).

    Args:
        root: VIP_Fine, or the folder that holds it.
        split: "val" or "train", name of a list under `lists`, or path of a list file.
        parts: "semantic": objects are the classes of the first frame, for mIoU; "instance": objects are pairs of
            person and class, for AP.

    Raises:
        ValueError: for other parts.
        DataError: one line naming the file: a missing folder, list or video, a video of a single frame, masks that
            differ from the frames in count, names or size, a first frame without parts, RGB or 16-bit
            masks.
    """
    require_one_of(("semantic", "instance"), parts=parts)
    root = user_path(root)
    if (root / "VIP_Fine").is_dir():
        root = root / "VIP_Fine"
    listed_in = find_list(root, split, ["lists/{}_videos.txt"])
    return [_sequence(root, name, parts, listed_in) for name in read_names(listed_in, _PATHS)]


def _sequence(root: Path, name: str, kind: str, listed_in: Path) -> PartSequence:
    frames = list_frames(root / "Images" / name)
    # only_values: the values of the files count, classes or persons, not colours
    masks = MaskFolder(root / "Annotations/Category_ids" / name, frames, complete=True, only_values=True)
    parts = read_parts(masks, 0)
    humans: MaskFolder | None = None
    first: tuple[int, ...] = ()
    objects: Sequence[int] = object_ids(parts)
    if kind == "instance":
        humans = MaskFolder(root / "Annotations/Human_ids" / name, frames, complete=True, only_values=True)
        instances = np.unique(part_instances(parts, humans.stored(0))).tolist()
        first = tuple(filter(None, instances))
        objects = range(1, len(first) + 1)
    if not 0 < len(objects) < 255:
        raise DataError(f"{masks[0]}: {len(objects)} {kind} parts in the first frame; expected 1 to 254")
    return PartSequence(
        name=name,
        frames=frames,
        size=masks.size,
        masks=masks,
        starts=dict.fromkeys(objects, 0),
        humans=humans,
        first=first,
        sources=(listed_in,),
    )


def read_parts(masks: MaskFolder, t: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read the classes of an annotated frame: (H, W) uint8, 0 to 19, or 255 for ignored pixels."""
    parts = masks.stored(t, size)
    for value in object_ids(parts):
        if value >= NUM_PARTS:
            raise DataError(
                f"{masks[t]}: the annotation holds class {value}; VIP has 0 to {NUM_PARTS - 1}, 255 is void"
            )
    return parts


def part_instances(parts: NDArray[np.uint8], humans: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the ids (H, W) of instances: person · 20 + class; 0 where person or class is background or void.

    Example:
        >>> parts, humans = np.array([0, 3, 19, 20, 5], np.uint8), np.array([4, 0, 1, 1, 255], np.uint8)
        >>> part_instances(parts, humans).tolist()
        [0, 0, 39, 0, 0]
    """
    has_part = (parts > 0) & (parts < NUM_PARTS)
    has_person = (humans > 0) & (humans < VOID)
    instances = humans.astype(np.int32) * NUM_PARTS + parts
    return np.where(has_part & has_person, instances, 0).astype(np.int32)
