"""Pairs of pictures with corresponding key points: SPair-71k, PF-PASCAL and PF-WILLOW."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..videos.files import DataError, plain_name, read_json, read_names, read_text, require_folder
from ..videos.images import image_size

DIFFICULTIES = {
    "viewpoint": "viewpoint_variation",
    "scale": "scale_variation",
    "truncation": "truncation",
    "occlusion": "occlusion",
}
"""Name of a difficulty → field of SPair-71k's files. Truncation, occlusion: 0 none, 1 source, 2 target, 3 both."""

PF_LISTS = {"pf_pascal": ("test_pairs_pf_pascal.csv",), "pf_willow": ("test_pairs.csv", "test_pairs_pf.csv")}
"""Data set → names of its list of pairs."""

VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchPair:
    """Two pictures and the key points visible in both; coordinates as in the files, whose base no data set states.

    Args:
        name: name in the data set's list.
        category: class of the object.
        files: source and target picture.
        sizes: their (H, W).
        points: key points of the source and of the target, x, y `(N, 2)` float64 in pixels, in the same order.
        ids: ids of the key points in the class.
        box: x0, y0, x1, y1 of the target's object; None if not annotated.
        difficulty: see `DIFFICULTIES`.
    """

    name: str
    category: str
    files: tuple[Path, Path]
    sizes: tuple[tuple[int, int], tuple[int, int]]
    points: tuple[NDArray[np.float64], NDArray[np.float64]]
    ids: tuple[int, ...]
    box: tuple[float, ...] | None = None
    difficulty: Mapping[str, int] = field(default_factory=dict)


def read_spair(root: str | Path, split: str = "test") -> list[MatchPair]:
    """Read the pairs of SPair-71k, in sorted order: Layout/large/, PairAnnotation/, JPEGImages/<class>/.

    Args:
        root: folder of the data set.
        split: trn, val or test.

    Raises:
        DataError: one line naming the file: a missing folder or file, or one of another form.
    """
    root = Path(root).expanduser()
    folder = require_folder(root / "PairAnnotation" / split, "give SPair-71k's folder, which holds PairAnnotation")
    names = sorted(read_names(root / "Layout" / "large" / f"{split}.txt", "give SPair-71k's Layout/large"))
    return [_spair_pair(root, folder / f"{plain_name(name, 'Layout')}.json", name) for name in names]


def _spair_pair(root: Path, file: Path, name: str) -> MatchPair:
    content = read_json(file)
    try:
        category = plain_name(content["category"], file)
        folder = root / "JPEGImages" / category
        files = [folder / plain_name(content[f"{side}_imname"], file) for side in ("src", "trg")]
        (width, height), (target_width, target_height) = (content[f"{side}_imsize"][:2] for side in ("src", "trg"))
        points = [np.array(content[f"{side}_kps"], np.float64).reshape(-1, 2) for side in ("src", "trg")]
        ids = tuple(int(number) for number in content["kps_ids"])
        if not len(points[0]) == len(points[1]) == len(ids):
            raise ValueError("other numbers of points")
        return MatchPair(
            name=name,
            category=category,
            files=(files[0], files[1]),
            sizes=((int(height), int(width)), (int(target_height), int(target_width))),
            points=(points[0], points[1]),
            ids=ids,
            box=tuple(float(side) for side in content["trg_bndbox"]),
            difficulty={key: int(content[known]) for key, known in DIFFICULTIES.items() if known in content},
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: is not a pair of SPair-71k ({error}); get the file again") from error


def read_pf(root: str | Path, kind: str) -> list[MatchPair]:
    """Read the pairs of PF-PASCAL or PF-WILLOW, in the order of the list.

    PF-PASCAL's coordinates are joined by `;`, its classes count from 1. PF-WILLOW has 10 columns per coordinate, and
    its class is the folder.

    Args:
        root: folder of the list, see `PF_LISTS`, and of the pictures that it names: from here or from the folder above.
        kind: "pf_pascal" or "pf_willow".

    Raises:
        DataError: one line naming the file: a missing file, or a line of another form.
    """
    root = Path(root).expanduser()
    file = next((root / name for name in PF_LISTS[kind] if (root / name).is_file()), root / PF_LISTS[kind][0])
    pairs, size_of = [], functools.cache(image_size)
    for index, row in enumerate(list(csv.reader(read_text(file).splitlines()))[1:]):
        try:
            if kind == "pf_pascal":
                category = VOC[int(row[2]) - 1]
                x, y, target_x, target_y = (np.array(text.strip("; ").split(";"), np.float64) for text in row[3:7])
            else:
                category = PurePosixPath(row[0]).parent.name
                x, y, target_x, target_y = np.array(row[2:42], np.float64).reshape(4, 10)
            points = np.stack([x, y], axis=1), np.stack([target_x, target_y], axis=1)
            if len(points[0]) != len(points[1]):
                raise ValueError("other numbers of points")
        except (ValueError, IndexError) as error:
            raise DataError(f"{file}: line {index + 2} is not a pair of {kind} ({error})") from error
        files = _below(root, file, row[0]), _below(root, file, row[1])
        pairs.append(
            MatchPair(
                name=f"{index:06d}-{files[0].stem}-{files[1].stem}:{category}",
                category=category,
                files=files,
                sizes=(size_of(files[0]), size_of(files[1])),
                points=points,
                ids=tuple(range(len(x))),
            )
        )
    return pairs


def _below(root: Path, file: Path, named: str) -> Path:
    """Return the path of a picture, named from the root or from the folder above."""
    path = PurePosixPath(named)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{file}: names {named!r:.80}, which lies outside {root}")
    candidates = [root / path, root.joinpath(*path.parts[1:])]
    if found := next((known for known in candidates if known.is_file()), None):
        return found
    raise DataError(f"{candidates[0]}: no such file; put the pictures next to {file.name}")


def shown_ids(root: str | Path, pairs: Sequence[MatchPair]) -> dict[str, set[int]]:
    """Return category → ids of the key points that any picture of its pairs shows, from `ImageAnnotation/`."""
    shown: dict[str, set[int]] = {}
    for category, image in sorted({(pair.category, file.stem) for pair in pairs for file in pair.files}):
        file = Path(root).expanduser() / "ImageAnnotation" / category / f"{image}.json"
        points: Any = read_json(file).get("kps", {})
        shown.setdefault(category, set()).update(int(number) for number, point in points.items() if point)
    return shown


@functools.cache
def _partners() -> dict[str, dict[int, int]]:
    text = Path(__file__).with_name("spair_partners.yaml").read_text("utf-8")
    return {
        category: {one: other for pair in pairs for one, other in (pair, pair[::-1])}
        for category, pairs in yaml.safe_load(text).items()
    }


def partner_rows(pair: MatchPair, shown: set[int]) -> list[int]:
    """Return for every key point the row of its left or right partner, for `match_keypoints`.

    Args:
        pair: the key points.
        shown: see `shown_ids`; a partner that no picture shows is no partner.
    """
    of_class = _partners().get(pair.category, {})
    wanted = [of_class.get(one, one) for one in pair.ids]
    found = [one if other not in shown else other for one, other in zip(pair.ids, wanted, strict=True)]
    return [pair.ids.index(other) if other in pair.ids else -1 for other in found]
