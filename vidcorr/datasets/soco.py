"""Pairs of pictures with named key points and concepts, within and across categories: SOCO."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..videos.files import WRONG_JSON, DataError, errors_at
from ..videos.folders import list_data, list_folders
from ..videos.images import image_size
from .lists import plain_name, read_json
from .spair import MatchPair


@dataclass(frozen=True, eq=False)
class SocoPair(MatchPair):
    """Two pictures with the key points of each, not in the same order.

    Args:
        same: rows of source and target `(S, 2)` of the points of the same name.
        concept: rows of source and target `(R, 2)` of the points of the same concept.
        length: longer side of the target's box, in longer sides of its picture.
    """

    same: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    concept: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    length: float = 1.0


def read_soco(root: str | Path, pairs: str = "intra") -> list[SocoPair]:
    """Read the pairs of SOCO, by category and name: `PairAnnotations/<pairs>/<category>/*.json`.

    Args:
        root: folder `SOCOv1`, which holds Images and PairAnnotations.
        pairs: "intra", "cross", "trainsplits/train" or "trainsplits/test".

    Raises:
        DataError: one line naming the file: a missing folder or file, or one of another form.
    """
    root = Path(root).expanduser()
    folder = root / "PairAnnotations" / pairs
    size_of = functools.cache(image_size)
    pairs_read: list[SocoPair] = []
    for category in sorted(list_folders(folder)):
        files = [file for file in list_data(folder / category) if file.suffix == ".json"]
        for file in sorted(files):
            with errors_at(f"{file}: is not a pair of SOCO", *WRONG_JSON):
                pairs_read.append(_pair(root, category, file, read_json(file), size_of))
    if not pairs_read:
        raise DataError(f"{folder}: holds no pair")
    return pairs_read


class _Picture(NamedTuple):
    """A picture of a pair: its file, its points x, y `(N, 2)` in pixels, and the rows of their names."""

    file: Path
    points: NDArray[np.float64]
    row_of_name: dict[str, int]


def _picture(root: Path, side: str, content: Any, file: Path) -> _Picture:
    """Return the source ("src") or target ("trg") of a pair from the content of the pair's file."""
    # pairs across categories have a category per picture, the others one for both
    folder = plain_name(content.get(f"{side}_category") or content["category"], file)
    picture = root / "Images" / folder / plain_name(content[f"{side}_image"], file)
    points = content[f"{side}_keypoints"]
    positions = [point["pos"] for point in points]
    row_of_name = {point["name"]: row for row, point in enumerate(points)}
    return _Picture(picture, np.array(positions, np.float64).reshape(-1, 2), row_of_name)


def _pair(root: Path, category: str, file: Path, content: Any, size_of: Any) -> SocoPair:
    """Return a pair: `same` relates the points of one name, `concept` the points that the file lists as one concept.

    Args:
        root: folder of the data set.
        category: category of the pair.
        file: the pair's JSON.
        content: the JSON's content.
        size_of: file of a picture → its (height, width).
    """
    source = _picture(root, "src", content, file)
    target = _picture(root, "trg", content, file)
    shared_names = content["semantic_overlap"]
    names_of_concepts: list[tuple[str, str]] = []  # name in the source, name in the target
    for group in content["concept_matches"]:
        names_of_concepts += product(group["src_keypoints"], group["trg_keypoints"])
    left, top, right, bottom = map(float, content["trg_bndbox"])
    # longer side of the target's box, in longer sides of its picture
    length = max(right - left, bottom - top) / max(content["trg_imsize"][:2])
    return SocoPair(
        name=file.stem,
        category=category,
        files=(source.file, target.file),
        sizes=(size_of(source.file), size_of(target.file)),
        points=(source.points, target.points),
        ids=tuple(range(len(source.points))),
        box=(left, top, right, bottom),
        sources=(file,),
        same=_rows_of_names(zip(shared_names, shared_names, strict=True), source, target),
        concept=_rows_of_names(names_of_concepts, source, target),
        length=length,
    )


def _rows_of_names(names: Iterable[tuple[str, str]], source: _Picture, target: _Picture) -> NDArray[np.int64]:
    """Return the rows of source and target `(N, 2)` of pairs of names (source, target), each pair once.

    A pair with a name that a picture lacks is skipped.

    Example:
        >>> source = _Picture(Path("a.jpg"), np.zeros((2, 2)), {"tail": 0, "nose": 1})
        >>> target = _Picture(Path("b.jpg"), np.zeros((1, 2)), {"nose": 0})
        >>> _rows_of_names([("nose", "nose"), ("tail", "tail")], source, target).tolist()
        [[1, 0]]
    """
    rows: dict[tuple[int, int], None] = {}  # keys are kept once, in order
    for name, other in names:
        if name in source.row_of_name and other in target.row_of_name:
            rows[source.row_of_name[name], target.row_of_name[other]] = None
    return np.array(list(rows), np.int64).reshape(-1, 2)
