"""JHMDB as distributed: clips of an acting person with 15 joints."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..videos.files import DataError, list_lines, require_one_of, user_path
from ..videos.folders import list_data, list_frames
from ..videos.image_files import image_size
from .lists import plain_name
from .sequences import FrameSequence

JOINTS = (
    "neck", "belly", "face", "right shoulder", "left shoulder", "right hip", "left hip", "right elbow", "left elbow",
    "right knee", "left knee", "right wrist", "left wrist", "right ankle", "left ankle",
)  # fmt: skip
SUBSETS = {"train": "1", "test": "2"}
"""Subset → its number in the lists of a split."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KeypointSequence(FrameSequence):
    """A video of a person with joints in every frame.

    Args:
        points: (T, 15, 2) float64 x, y in pixels, zero-based; they may lie outside the frame.
    """

    points: NDArray[np.float64]


def Jhmdb(
    root: str | Path, split: Literal[1, 2, 3] = 1, subset: Literal["test", "train"] = "test"
) -> list[KeypointSequence]:
    """Read the clips of a JHMDB split, with their joints.

    Layout: `Rename_Images/<action>/<clip>/*.png`, `joint_positions/<action>/<clip>/joint_positions.mat` (`pos_img`,
    2 × 15 × T, one-based) and `splits/<action>_test_split<n>.txt` (`clip.avi 2`; 2 is test, 1 train). Frames after the
    last annotated frame are left out.
    Paper: Jhuang et al., Towards Understanding Action Recognition (ICCV 2013).

    Args:
        root: the folder that holds Rename_Images, joint_positions and splits.
        split: 1, 2 or 3; results are reported on 1.
        subset: "test" or "train".

    Raises:
        DataError: one line naming the file: a missing folder, list or clip, a clip of a single frame, a .mat that
            cannot be read or holds no joints.
        ValueError: for another subset.
    """
    require_one_of(SUBSETS, subset=subset)
    root = user_path(root)
    ending = f"_test_split{split}.txt"
    splits = root / "splits"
    for folder in (root / "Rename_Images", root / "joint_positions", splits):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
    lists = tuple(path for path in list_data(splits) if path.name.endswith(ending))
    clips: dict[tuple[str, str], None] = {}
    for path in lists:
        action = path.name.removesuffix(ending)
        for clip in _listed_clips(path, SUBSETS[subset]):
            clips[action, clip] = None
    if not clips:
        raise DataError(f"{splits}: no clip of the {subset} subset in *{ending}")
    return [_sequence(root, action, clip, lists) for action, clip in clips]


def _listed_clips(path: Path, number: str) -> list[str]:
    """Return the clips of a subset in a list file, whose lines are a clip's name and the number of its subset."""
    clips: list[str] = []
    for line_number, line in list_lines(path):
        match = re.fullmatch(r"(.*?)(?:\.avi)?\s+([12])", line)
        if not match:
            raise DataError(f"{path}, line {line_number}: {line!r:.120}; expected a clip's name and 1 or 2")
        if match[2] == number:
            clips.append(plain_name(match[1], path))
    return clips


def _sequence(root: Path, action: str, clip: str, lists: tuple[Path, ...]) -> KeypointSequence:
    """Read a clip; frames after the last annotated frame are left out."""
    frames = list_frames(root / "Rename_Images" / action / clip)
    path = root / "joint_positions" / action / clip / "joint_positions.mat"
    points = read_joints(path)
    if len(frames) < len(points):
        expected = {f"{number:05d}" for number in range(1, len(points) + 1)}
        first_missing = min(expected - {frame.stem for frame in frames})
        place = root / "Rename_Images" / action / clip / f"{first_missing}.png"
        raise DataError(f"{place}: no such frame; {path.name} has joints of {len(points)} frames")
    frames = frames[: len(points)]
    size = image_size(frames[0])
    return KeypointSequence(name=clip, frames=frames, size=size, points=points, sources=(path, *lists))


def read_joints(path: Path) -> NDArray[np.float64]:
    """Read the joints of a JHMDB .mat file: (T, 15, 2) x, y in pixels, zero-based; they may lie outside the frame."""
    from scipy.io import loadmat

    try:
        content = loadmat(str(path), variable_names=["pos_img"])
        joints = content["pos_img"].astype(np.float64)
    # a damaged file makes scipy's reader fail in every way
    except Exception as error:
        raise DataError(f"{path}: not a readable .mat file ({error})") from error
    if joints.shape[:2] != (2, len(JOINTS)) or joints.ndim > 3 or not np.isfinite(joints).all():
        raise DataError(f"{path}: pos_img is {joints.shape}; expected 2 × {len(JOINTS)} × frames of finite numbers")
    # MATLAB drops a last axis of 1
    joints = joints.reshape(2, len(JOINTS), -1)
    return np.ascontiguousarray(joints.transpose(2, 1, 0), dtype=np.float64) - 1
