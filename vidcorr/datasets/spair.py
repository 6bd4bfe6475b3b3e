"""Pairs of pictures with corresponding key points: SPair-71k and PF-PASCAL."""

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..videos.files import WRONG_JSON, DataError, errors_at, read_text
from ..videos.images import image_size
from .lists import plain_name, read_json, read_names
from .records import named_file

DIFFICULTIES = {"viewpoint": 3, "scale": 3, "truncation": 4, "occlusion": 4}
"""Difficulty of a pair in SPair-71k → its levels. Truncation, occlusion: 0 none, 1 source, 2 target, 3 both."""

_NAMES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
)
VOC = dict(enumerate(_NAMES.split(), start=1))
"""Number of a class in PF-PASCAL's list → its name."""


@dataclass(frozen=True, eq=False)
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
        difficulty: name of `DIFFICULTIES` → level.
        sources: list and annotation of the pair.
    """

    name: str
    category: str
    files: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    points: tuple[NDArray[np.float64], ...]
    ids: tuple[int, ...]
    box: tuple[float, ...] | None = None
    difficulty: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[Path, ...] = ()


def read_spair(root: str | Path, split: str = "test") -> list[MatchPair]:
    """Read the pairs of SPair-71k, in sorted order: Layout/large/, PairAnnotation/, JPEGImages/<class>/.

    Args:
        root: folder of the data set.
        split: trn, val or test.

    Raises:
        DataError: one line naming the file: a missing folder or file, or one of another form.
    """
    root = Path(root).expanduser()
    folder = root / "PairAnnotation" / split
    listed_in = root / "Layout" / "large" / f"{split}.txt"
    names = sorted(read_names(listed_in))
    return [_spair_pair(root, folder / f"{name}.json", name, listed_in) for name in names]


def _spair_pair(root: Path, file: Path, name: str, listed_in: Path) -> MatchPair:
    """Read a pair of SPair-71k.

    Args:
        root: folder of the data set.
        file: the pair's JSON.
        name: name of the pair.
        listed_in: the list that names the pair.

    Raises:
        DataError: if the file is missing, or has another form.
    """
    content = read_json(file)
    with errors_at(f"{file}: is not a pair of SPair-71k", *WRONG_JSON):
        category = plain_name(content["category"], file)
        folder = root / "JPEGImages" / category
        ids = tuple(map(int, content["kps_ids"]))
        points: list[NDArray[np.float64]] = []
        files: list[Path] = []
        sizes: list[tuple[int, int]] = []
        for side in ("src", "trg"):
            points.append(np.array(content[f"{side}_kps"], np.float64).reshape(len(ids), 2))
            files.append(folder / plain_name(content[f"{side}_imname"], file))
            width, height = content[f"{side}_imsize"][:2]  # a third number counts the channels
            sizes.append((int(height), int(width)))
        box = tuple(map(float, content["trg_bndbox"]))
        levels: dict[str, int] = {}
        for difficulty in DIFFICULTIES:
            for key in (difficulty, f"{difficulty}_variation"):  # "truncation", but "scale_variation"
                if key in content:
                    levels[difficulty] = int(content[key])
    return MatchPair(
        name, category, tuple(files), tuple(sizes), tuple(points), ids, box, levels, sources=(listed_in, file)
    )


def read_pf_pascal(root: str | Path, split: str = "test") -> list[MatchPair]:
    """Read the pairs of PF-PASCAL, in the order of the list: coordinates are joined by `;`, classes count from 1.

    Args:
        root: folder of the list, and of the pictures that it names: from here or from the folder above.
        split: start of the list's name, `<split>_pairs_pf_pascal.csv` or `<split>_pairs.csv`.

    Raises:
        DataError: one line naming the file: a missing file, or a line of another form.
    """
    root = Path(root).expanduser()
    file = root / f"{split}_pairs_pf_pascal.csv"
    if not file.is_file() and (root / f"{split}_pairs.csv").is_file():
        file = root / f"{split}_pairs.csv"
    pairs: list[MatchPair] = []
    size_of = functools.cache(image_size)
    rows = list(csv.reader(read_text(file).splitlines()))
    # after the heading, line 1: source, target, number of the class, x and y of the source, x and y of the target
    for index, row in enumerate(rows[1:]):
        with errors_at(f"{file}, line {index + 2}: is not a pair of pf_pascal"):
            category = VOC[int(row[2])]
            numbers = [text.strip("; ").split(";") for text in row[3:7]]
            coordinates = np.array(numbers, np.float64).reshape(2, 2, -1)  # source and target, x and y, key points
            points = tuple(coordinates.swapaxes(1, 2))  # of source and target, each (N, 2)
        files = (_picture_path(root, file, row[0]), _picture_path(root, file, row[1]))
        name = f"{index:06d}-{files[0].stem}-{files[1].stem}:{category}"
        ids = tuple(range(len(points[0])))
        sizes = tuple(map(size_of, files))
        pairs.append(MatchPair(name, category, files, sizes, points, ids, sources=(file,)))
    if not pairs:
        raise DataError(f"{file}: the list is empty")
    return pairs


def _picture_path(root: Path, file: Path, named: str) -> Path:
    """Return the path of the picture that a list (`file`) names, from the root or from the folder above the root.

    Raises:
        DataError: if there is no such picture.
    """
    from_above = "/".join(PurePosixPath(named).parts[1:])  # without the first part, the root's own name
    return named_file(root, named if (root / named).is_file() else from_above, file)
