"""VIP (Video Instance-level Parsing) as distributed: people and their parts, every 25th frame."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from ..reading.guards import DataError, find_list, read_names, require_folder, require_one_of, require_sequences
from ..reading.mask_files import check_masks, list_frames, match_masks, read_mask
from .records import PartSequence, Reader, part_instances

PARTS = (
    "background", "hat", "hair", "sun-glasses", "upper-clothes", "dress", "coat", "socks", "pants", "gloves", "scarf",
    "skirt", "torso-skin", "face", "right-arm", "left-arm", "right-leg", "left-leg", "right-shoe", "left-shoe",
)  # fmt: skip
"""Classes of Category_ids, with the names of TimeCycle's and UVC's evaluation."""

_PATHS = r"(?:(?:\./)?/?(?:VIP_Fine/)?Images/)?([^/]+)/?"  # lines of a list: paths, or names


class Vip(Reader[PartSequence]):
    """The videos of a VIP split.

    Reads `VIP_Fine`: `Images/<video>/*.jpg`, `Annotations/Category_ids/<video>/*.png` (20 classes),
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
            differ from the frames in count, names or size, a first frame without parts, RGB or 16-bit masks.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | Path = "val",
        parts: Literal["semantic", "instance"] = "semantic",
    ) -> None:
        require_one_of(("semantic", "instance"), parts=parts)
        root = Path(root).expanduser()
        self.root = root / "VIP_Fine" if (root / "VIP_Fine").is_dir() else root
        self.split, self.parts = split, parts
        self._sequences = tuple(self._sequence(name) for name in self._names())

    def _names(self) -> tuple[str, ...]:
        images = require_folder(self.root / "Images", "unpack VIP_Fine's Images, and give VIP_Fine or its folder")
        require_folder(self.root / "Annotations" / "Category_ids", "unpack VIP_Fine's Annotations")
        path = find_list(self.root, self.split, ["lists/{}_videos.txt"])
        names = read_names(path, "unpack VIP_Fine's lists, or give the path of a list file", _PATHS)
        require_sequences(images, names, path)
        return names

    def _sequence(self, name: str) -> PartSequence:
        frames = list_frames(self.root / "Images" / name)
        masks, size = self._masks(frames, "Category_ids")
        humans = self._masks(frames, "Human_ids")[0] if self.parts == "instance" else {}
        if self.parts == "instance":
            instances = np.unique(part_instances(read_mask(masks[0]), read_mask(humans[0])))
            pairs = [divmod(int(instance), len(PARTS)) for instance in instances if instance]
            classes = {i: part for i, (_, part) in enumerate(pairs, start=1)}
        else:
            pairs = []
            classes = {int(part): int(part) for part in np.unique(read_mask(masks[0])) if 0 < part < len(PARTS)}
        if not 0 < len(classes) < 255:
            raise DataError(
                f"{masks[0]}: {len(classes)} {self.parts} parts in the first frame; 1 to 254 can be followed"
            )
        return PartSequence(
            name=name,
            frames=frames,
            size=size,
            masks=masks,
            starts=dict.fromkeys(classes, 0),
            humans=humans,
            classes=classes,
            pairs=tuple(pairs),
        )

    def _masks(self, frames: tuple[Path, ...], kind: str) -> tuple[dict[int, Path], tuple[int, int]]:
        folder = self.root / "Annotations" / kind / frames[0].parent.name
        masks = match_masks(folder, frames, "unpack VIP_Fine's Annotations again")
        return masks, check_masks(masks, frames)
