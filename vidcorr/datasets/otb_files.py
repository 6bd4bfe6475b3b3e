"""OTB as distributed: the box of a target in every frame."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..videos.files import DataError, read_bytes, user_path
from ..videos.folders import list_data, list_folders, list_images
from ..videos.image_files import image_size, read_image
from .box_files import read_boxes
from .lists import plain_name
from .sequences import FrameSequence

NAMES = (
    "Basketball Biker Bird1 Bird2 BlurBody BlurCar1 BlurCar2 BlurCar3 BlurCar4 BlurFace BlurOwl Board Bolt Bolt2 Box "
    "Boy Car1 Car2 Car24 Car4 CarDark CarScale ClifBar Coke Couple Coupon Crossing Crowds Dancer Dancer2 David David2 "
    "David3 Deer Diving Dog Dog1 Doll DragonBaby Dudek FaceOcc1 FaceOcc2 Fish FleetFace Football Football1 Freeman1 "
    "Freeman3 Freeman4 Girl Girl2 Gym Human2 Human3 Human4-2 Human5 Human6 Human7 Human8 Human9 Ironman Jogging-1 "
    "Jogging-2 Jump Jumping KiteSurf Lemming Liquor Man Matrix Mhyang MotorRolling MountainBike Panda RedTeam Rubik "
    "Shaking Singer1 Singer2 Skater Skater2 Skating1 Skating2-1 Skating2-2 Skiing Soccer Subway Surfer Suv Sylvester "
    "Tiger1 Tiger2 Toy Trans Trellis Twinnings Vase Walking Walking2 Woman"
)
TB100 = NAMES.split()
"""Sequences of OTB-100; `Name-2` is the second target of the folder Name."""

FRAMES = {"David": (300, 770), "Football1": (1, 74), "Freeman3": (1, 460), "Freeman4": (1, 283), "Diving": (1, 215)}
"""First and last annotated frame (one-based) of sequences with more images."""

FILE = re.compile(r"groundtruth_rect(?:\.([0-9]+))?\.txt")
"""Name of a file of boxes, with the number of its target among several."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxSequence(FrameSequence):
    """A video with the box of a target in every frame.

    Args:
        boxes: (T, 4) float64 x, y, width, height in pixels, one-based as in OTB; they may leave the frame.
    """

    boxes: NDArray[np.float64]

    def frame(self, t: int) -> Tensor:
        """Read frame index `t` (zero-based): uint8 RGB (3, H, W), in memory `(H, W, 3)` as cropping needs it."""
        image = read_image(self.frames[t], size=self.size)
        return torch.from_numpy(image).permute(2, 0, 1)


def Otb(root: str | Path, version: Literal["tb100"] | None = "tb100") -> list[BoxSequence]:
    """Read the sequences of OTB, with their boxes.

    Layout: `<Sequence>/img/*.jpg` and `<Sequence>/groundtruth_rect.txt`, or `groundtruth_rect.1.txt` and `.2.txt` of a
    video with two targets (`Jogging-1`, `Jogging-2`; empty files are skipped, so Human4 has `Human4-2` only). Commas,
    tabs or spaces separate the numbers. David, Football1, Freeman3, Freeman4 and Diving are cut to the annotated part.
    Paper: Wu, Lim and Yang, Object Tracking Benchmark (TPAMI 2015).

    Args:
        root: the folder that holds the sequences' folders.
        version: "tb100" (OTB-100, also called OTB-2015), or None for all sequences in root.

    Raises:
        DataError: one line naming the file: a missing folder or sequence, boxes that cannot be read, different numbers
            of boxes and frames.
    """
    root = user_path(root)
    targets = _targets(root)
    names = sorted(targets) if version is None else TB100
    if not names:
        raise DataError(f"{root}: no sequence; expected <Sequence>/img and <Sequence>/groundtruth_rect.txt")
    missing = [name for name in names if name not in targets]
    if missing:
        place = f"{root}: {len(missing)} of {len(names)} sequences are missing, such as {missing[0]}"
        raise DataError(f"{place}; version=None (benchmarks/otb_all.yaml) takes all that exist")
    return [_sequence(name, targets[name]) for name in names]


def _targets(root: Path) -> dict[str, Path]:
    """Return name of target → file of its boxes, from all folders of sequences; empty files are left out."""
    files: dict[str, Path] = {}
    for name in sorted(list_folders(root)):
        folder = root / name
        files_of_folder: dict[str, Path] = {}
        for path in list_data(folder):
            match = FILE.fullmatch(path.name)
            if match and read_bytes(path).strip():
                target = f"{name}-{match[1]}" if match[1] else name
                files_of_folder[plain_name(target, root)] = path
        if (folder / "img").is_dir() and not files_of_folder:
            raise DataError(f"{folder}: no groundtruth_rect.txt with boxes")
        files |= files_of_folder
    return files


def _sequence(name: str, path: Path) -> BoxSequence:
    """Read a sequence: its frames, of some sequences only the part in `FRAMES`, and its boxes."""
    frames = list_images(path.parent / "img")
    boxes = read_boxes(path)
    first, last = FRAMES.get(path.parent.name, (1, len(frames)))
    # else a copy that holds the annotated frames alone
    if len(frames) > len(boxes):
        frames = frames[first - 1 : last]
    if len(frames) != len(boxes) or len(boxes) < 2:
        raise DataError(f"{path}: {len(boxes)} boxes for {len(frames)} frames; both must be equal and at least 2")
    start = boxes[0]
    if not np.isfinite(start).all() or start[2:].min() <= 0:
        raise DataError(f"{path}: the first box is {start.tolist()}; it must have a width and a height")
    size = image_size(frames[0])
    return BoxSequence(name=name, frames=frames, size=size, boxes=boxes, sources=(path,))
