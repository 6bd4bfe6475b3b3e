"""BADJA: joints of animals on clips of DAVIS and two others, with the masks of the animals."""

from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..videos.files import WRONG_JSON, DataError, errors_at, plain_name, read_json
from ..videos.folders import list_data
from ..videos.images import image_size, pixels
from .records import named_file
from .tap_vid import PointSequence

BADJA_JOINTS = {
    8: "upper_right_1", 9: "upper_right_2", 10: "upper_right_3", 12: "upper_left_1", 13: "upper_left_2",
    14: "upper_left_3", 15: "neck_lower", 18: "lower_right_1", 19: "lower_right_2", 20: "lower_right_3",
    22: "lower_left_1", 23: "lower_left_2", 24: "lower_left_3", 25: "tail_0", 28: "tail_3", 31: "tail_6", 32: "jaw",
    33: "nose", 35: "right_ear", 36: "left_ear",
}  # fmt: skip
"""Annotated joints: number in the files → name."""

WITHOUT_FRAMES = ("cat_jump", "tiger")
"""Clips without released frames."""


def Badja(root: str | Path) -> list[PointSequence]:
    """Read the clips of BADJA as videos with points, and the masks of the animals for PCK.

    The released layout: `joint_annotations/<clip>.json`, lists of `image_path`, `segmentation_path`, `joints`
    (row, column) and `visibility` per annotated frame, and the files that they name: DAVIS-2017 at full resolution in
    `DAVIS/`, two more clips in `extra_videos/`. Frames without annotation and joints that are never visible are left
    out. The clips cat_jump and tiger are skipped, as their frames were never released.
    Paper: Biggs et al., Creatures Great and SMAL (ACCV 2018).

    Args:
        root: the folder that holds joint_annotations.

    Raises:
        DataError: one line naming the file: a missing folder or file, a JSON of another kind.
    """
    root = Path(root).expanduser()
    annotations = root / "joint_annotations"
    listed = sorted(list_data(annotations))
    files = [path for path in listed if path.suffix == ".json" and path.stem not in WITHOUT_FRAMES]
    if not files:
        raise DataError(f"{annotations}: holds no <clip>.json")
    return [_clip(root, file) for file in files]


def _clip(root: Path, file: Path) -> PointSequence:
    """Return the annotated frames of a clip, with the joints that are visible in any of them."""
    content = read_json(file)
    joint_numbers = list(BADJA_JOINTS)
    with errors_at(f"{file}: is not a list of annotated frames with 37 joints", *WRONG_JSON):
        images: list[str] = []
        segmentations: list[str] = []
        joints: list[NDArray[np.float64]] = []
        visibility: list[NDArray[np.bool_]] = []
        for entry in content:
            images.append(str(entry["image_path"]))
            segmentations.append(str(entry["segmentation_path"]))
            joints.append(np.array(entry["joints"], np.float64)[joint_numbers])
            visibility.append(np.array(entry["visibility"], bool)[joint_numbers])
        positions = np.array(joints)
        visible = np.array(visibility)
    frames = tuple(named_file(root, name, file) for name in images)
    masks = tuple(named_file(root, name, file) for name in segmentations)
    size = image_size(frames[0])
    points = (positions[..., ::-1] + 0.5) / size[::-1]  # row, column of a pixel: x, y of its centre
    inside = ((points >= 0) & (points <= 1)).all(-1)
    outside = np.argwhere(visible & ~inside)
    if outside.size:
        raise DataError(f"{file}: a visible joint of frame {outside[0, 0]} lies outside the image of {pixels(size)}")
    ever_visible = np.asarray(visible.any(axis=0))
    tracks = tuple(compress(BADJA_JOINTS.values(), ever_visible.tolist()))
    return PointSequence(
        name=plain_name(file.stem, file),
        size=size,
        points=points[:, ever_visible].swapaxes(0, 1).copy(),
        occluded=~visible[:, ever_visible].T,
        frames=frames,
        tracks=tracks,
        masks=masks,
        sources=(file,),
    )
