"""Pairs of pictures with named key points and concepts, within and across categories: SOCO."""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..videos.files import WRONG_JSON, DataError, errors_at, plain_name, read_json
from ..videos.folders import list_data, list_folders
from ..videos.images import image_size
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
    found: list[SocoPair] = []
    for category in sorted(list_folders(folder)):
        files = [file for file in list_data(folder / category) if file.suffix == ".json"]
        for file in sorted(files):
            with errors_at(f"{file}: is not a pair of SOCO", *WRONG_JSON):
                found.append(_pair(root, category, file, read_json(file), size_of))
    if not found:
        raise DataError(f"{folder}: holds no pair")
    return found


def _pair(root: Path, category: str, file: Path, content: Any, size_of: Any) -> SocoPair:
    """Return a pair from the content of its file; points are related by their names."""
    files: list[Path] = []
    points: list[NDArray[np.float64]] = []
    row_of_name: list[dict[str, int]] = []  # of the source, then of the target
    for side in ("src", "trg"):
        folder = plain_name(content.get(f"{side}_category") or content["category"], file)
        files.append(root / "Images" / folder / plain_name(content[f"{side}_image"], file))
        named = content[f"{side}_keypoints"]
        points.append(np.array([point["pos"] for point in named], np.float64).reshape(-1, 2))
        row_of_name.append({point["name"]: row for row, point in enumerate(named)})
    same = _rows_of_names([(name, name) for name in content["semantic_overlap"]], row_of_name)
    names_of_concepts: list[tuple[str, str]] = []
    for group in content["concept_matches"]:
        for name in group["src_keypoints"]:
            names_of_concepts += [(name, other) for other in group["trg_keypoints"]]
    concept = _rows_of_names(names_of_concepts, row_of_name)
    left, top, right, bottom = map(float, content["trg_bndbox"])
    length = max(right - left, bottom - top) / max(content["trg_imsize"][:2])
    return SocoPair(
        name=file.stem,
        category=category,
        files=tuple(files),
        sizes=tuple(map(size_of, files)),
        points=tuple(points),
        ids=tuple(range(len(points[0]))),
        box=(left, top, right, bottom),
        sources=(file,),
        same=same,
        concept=concept,
        length=length,
    )


def _rows_of_names(names: list[tuple[str, str]], row_of_name: list[dict[str, int]]) -> NDArray[np.int64]:
    """Return the rows of pairs of names `(N, 2)`, each once; pairs with a name that a picture lacks are skipped."""
    source, target = row_of_name
    found: dict[tuple[int, int], None] = {}
    for name, other in names:
        if name in source and other in target:
            found[source[name], target[other]] = None
    return np.array(list(found), np.int64).reshape(-1, 2)
