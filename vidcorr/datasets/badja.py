"""BADJA: joints of animals on clips of DAVIS and two others, with the masks of the animals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..videos.guards import DataError, plain_name, read_json, require_folder
from ..videos.images import image_header, pixels
from ..videos.source import list_images
from .records import Reader
from .tap_vid import PointSequence, TapVid

BADJA_JOINTS = {
    8: "upper_right_1", 9: "upper_right_2", 10: "upper_right_3", 12: "upper_left_1", 13: "upper_left_2",
    14: "upper_left_3", 15: "neck_lower", 18: "lower_right_1", 19: "lower_right_2", 20: "lower_right_3",
    22: "lower_left_1", 23: "lower_left_2", 24: "lower_left_3", 25: "tail_0", 28: "tail_3", 31: "tail_6", 32: "jaw",
    33: "nose", 35: "right_ear", 36: "left_ear",
}  # fmt: skip
"""Annotated joints: number in the files → name."""

WITHOUT_FRAMES = ("cat_jump", "tiger")
"""Clips without released frames."""


class Badja(Reader[PointSequence]):
    """The clips of BADJA as videos with points, and the masks of the animals for PCK.

    Reads the released layout: `joint_annotations/<clip>.json`, lists of `image_path`, `segmentation_path`, `joints`
    (row, column) and `visibility` per annotated frame, and the files that they name: DAVIS-2017 at full resolution in
    `DAVIS/`, two more clips in `extra_videos/`. Frames without annotation and joints that are never visible are left
    out. The clips cat_jump and tiger are skipped, as their frames were never released.
    Or reads BADJA in a layout of `TapVid`, with the masks in a separate folder.
    Paper: Biggs et al., Creatures Great and SMAL (ACCV 2018).

    Args:
        root: the folder that holds joint_annotations; or a set for `TapVid`.
        masks: for a set of `TapVid`: `<masks>/<clip>/*.png`, animal above 0, a mask per frame. Or more masks, named by
            frame numbers (DAVIS's `Annotations/480p`), with the annotated numbers in a JSON next to the root's file
            with its stem, `{"<clip>": {"frames": [0, 5, …]}}`.

    Raises:
        DataError: one line naming the file: a missing folder or file, a JSON of another kind, masks that do not fit.
    """

    def __init__(self, root: str | Path, masks: str | Path | None = None) -> None:
        self.root = Path(root).expanduser()
        annotations = self.root / "joint_annotations"
        if annotations.is_dir():
            if masks is not None:
                raise DataError(f"{self.root}: already names the masks; leave `masks` out")
            files = sorted(path for path in annotations.glob("*.json") if path.stem not in WITHOUT_FRAMES)
            if not files:
                raise DataError(f"{annotations}: no <clip>.json; clone BADJA's repository")
            self._sequences = tuple(_clip(self.root, file) for file in files)
        else:
            self._sequences = tuple(TapVid(self.root))
            if masks is not None:
                folder = require_folder(Path(masks).expanduser(), "give the folder that holds a folder per clip")
                file = self.root.with_suffix(".json")
                content = read_json(file) if file.is_file() else {}
                numbers = content if isinstance(content, dict) else {}
                self._sequences = tuple(_with_masks(sequence, folder, numbers) for sequence in self._sequences)


def _clip(root: Path, file: Path) -> PointSequence:
    content = read_json(file)
    numbers = list(BADJA_JOINTS)
    try:
        names = [[str(entry[key]) for entry in content] for key in ("image_path", "segmentation_path")]
        positions = np.array([np.array(entry["joints"], np.float64)[numbers] for entry in content])
        visible = np.array([np.array(entry["visibility"], bool)[numbers] for entry in content])
        if positions.shape != (len(content), len(numbers), 2) or visible.shape != positions.shape[:2]:
            raise ValueError("other shapes")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{file}: expected a list of frames with image_path, segmentation_path, joints and visibility of 37 joints"
        ) from error
    frames, masks = (tuple(_existing(root, file, name) for name in of_kind) for of_kind in names)
    height, width = size = image_header(frames[0])[0]
    points = (positions[..., ::-1] + 0.5) / [width, height]  # the annotation names pixels
    inside = ((points >= 0) & (points <= 1)).all(-1)
    if (outside := np.argwhere(visible & ~inside)).size:
        raise DataError(f"{file}: a visible joint of frame {outside[0, 0]} lies outside the image of {pixels(size)}")
    seen = np.asarray(visible.any(axis=0))
    return PointSequence(
        name=plain_name(file.stem, file),
        size=size,
        points=points[:, seen].swapaxes(0, 1).copy(),
        occluded=~visible[:, seen].T,
        frames=frames,
        tracks=tuple(name for name, is_seen in zip(BADJA_JOINTS.values(), seen.tolist(), strict=True) if is_seen),
        masks=masks,
    )


def _existing(root: Path, file: Path, named: str) -> Path:
    """Return the path of a file from an annotation; it must lie below the root."""
    path = PurePosixPath(named)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{file}: names {named!r:.80}, which lies outside {root}")
    if not (root / path).is_file():
        raise DataError(
            f"{root / path}: no such file; unpack DAVIS-2017 trainval Full-Resolution as DAVIS/ and BADJA's "
            "extra_videos.zip next to joint_annotations"
        )
    return root / path


def _with_masks(sequence: PointSequence, folder: Path, numbers: Mapping[str, Any]) -> PointSequence:
    """Return a clip with a mask per frame."""
    remedy = "put the masks of a clip into a folder of its name"
    clip_folder, count = require_folder(folder / sequence.name, remedy), sequence.num_frames
    files, entry = list_images(clip_folder), numbers.get(sequence.name)
    frames = entry.get("frames") if isinstance(entry, dict) else None
    if isinstance(frames, list) and len(frames) == count:
        by_number = {int(file.stem): file for file in files if file.stem.isdecimal()}
        lacking = [number for number in frames if number not in by_number]
        if lacking:
            raise DataError(f"{clip_folder}: has no mask of frame {lacking[0]}; unpack all of the clip's")
        files = tuple(by_number[number] for number in frames)
    if len(files) != count:
        raise DataError(
            f"{clip_folder}: {len(files)} masks for {count} frames; give a mask per frame, or the frames' numbers "
            f'in a JSON next to the annotation, {{"{sequence.name}": {{"frames": [0, 5, …]}}}}'
        )
    return dataclasses.replace(sequence, masks=tuple(files))
