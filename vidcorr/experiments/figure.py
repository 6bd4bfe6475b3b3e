"""Frames of a benchmark with the predictions of several results: rows of methods, and the truth."""

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..benchmarks.vip import PartVideo
from ..datasets import BoxSequence, FrameSequence, KeypointSequence, MaskSequence, PointSequence
from ..datasets.jhmdb import JOINTS
from ..errors import near
from ..results.pictures.animations import overlay_masks_small
from ..results.pictures.figure import FigureBlock
from ..results.pictures.overlays import (
    Picture,
    as_picture,
    distinct_colours,
    evenly_spaced,
    overlay_boxes,
    overlay_joints,
    overlay_tracks,
)
from ..results.records import last_evaluations, results_in
from ..results.result import Result
from ..videos.boxes import read_boxes
from ..videos.files import DataError, read_text
from ..videos.masks import VOID, read_mask
from .configured import Configured, read_on

COLUMNS = 5
"""Number of frames drawn per sequence, unless the user names frames."""
SHOWN = 2
"""Number of sequences drawn, unless the user names sequences."""
TRUTH = "truth"
"""Name of the last row."""


@dataclass(frozen=True)
class Method:
    """A row of the figure.

    Attributes:
        name: text beside the row.
        folder: folder of the stage, which holds `predictions`.
        fields: fields of the protocol.
    """

    name: str
    folder: Path
    fields: Mapping[str, Any]


class Drawing(ABC):
    """Draws a sequence's predictions and truth.

    Args:
        sequence: the sequence.
        kind: folder of the predictions below a stage, if a benchmark follows a sequence in several ways; else empty.
    """

    def __init__(self, sequence: Any, kind: str = "") -> None:
        self.sequence = sequence
        self.kind = kind

    @property
    def predicted(self) -> Sequence[int]:
        """Indices of the frames with predictions."""
        return range(self.sequence.num_frames)

    @abstractmethod
    def found(self, method: Method, t: int) -> Picture:
        """Draw the prediction of frame `t`.

        Raises:
            DataError: if the result lacks it; names the file.
        """

    @abstractmethod
    def truth(self, t: int) -> Picture:
        """Draw the annotation of frame `t`; a frame without one is grey."""

    def file(self, method: Method, name: str) -> Path:
        """Return a file of predictions.

        Raises:
            DataError: if the file does not exist.
        """
        path = method.folder / self.kind / "predictions" / name
        if not path.is_file():
            raise DataError(
                f"{path}: no such file; {method.name} has no prediction of it: evaluate it again, with predictions "
                "and this sequence"
            )
        return path

    def require_frames(self, path: Path, count: int) -> None:
        """Raise DataError if a file has predictions of another number of frames than the sequence."""
        if count != self.sequence.num_frames:
            raise DataError(
                f"{path}: predictions of {count} frames, but {self.sequence.name} has {self.sequence.num_frames}; "
                "name the data that were evaluated by --on"
            )


class Masks(Drawing):
    """Masks of objects, or of parts."""

    @property
    def predicted(self) -> Sequence[int]:
        reported: Sequence[int] | None = self.sequence.reported
        return range(self.sequence.begin, self.sequence.num_frames) if reported is None else reported

    def found(self, method: Method, t: int) -> Picture:
        place = Path(self.sequence.video, self.sequence.folder, f"{self.sequence.frames[t].stem}.png")
        path = self.file(method, str(place))
        ids = read_mask(path)
        if ids.shape != self._size:
            height, width = self._size
            raise DataError(
                f"{path}: a mask of {ids.shape[0]} x {ids.shape[1]} px, but annotations of {self.sequence.name} have "
                f"{height} x {width}; name the data that were evaluated by --on"
            )
        return self._drawn(t, torch.from_numpy(ids))

    @cached_property
    def _size(self) -> tuple[int, int]:
        """(H, W) of the annotations, pixels."""
        height, width = self.sequence.read_mask(self.sequence.annotated[0]).shape
        return height, width

    def truth(self, t: int) -> Picture:
        if t not in self.sequence.annotated:
            return _grey(self.sequence, t)
        return self._drawn(t, self.sequence.read_mask(t))

    def _drawn(self, t: int, ids: torch.Tensor) -> Picture:
        without_void = ids.where(ids != VOID, 0)
        return overlay_masks_small(self.sequence.frame(t), without_void)


class Joints(Drawing):
    """Joints of a person."""

    def found(self, method: Method, t: int) -> Picture:
        path = self.file(method, f"{self.sequence.name}.csv")
        places: dict[tuple[str, str], tuple[float, float]] = {}
        for row in csv.DictReader(io.StringIO(read_text(path))):
            places[row["frame"], row["joint"]] = float(row["x"] or "nan"), float(row["y"] or "nan")
        self.require_frames(path, len(places) // len(JOINTS))
        stem = self.sequence.frames[t].stem
        points = [places.get((stem, joint), (-1.0, -1.0)) for joint in JOINTS]
        return self._drawn(t, np.array(points))

    def truth(self, t: int) -> Picture:
        return self._drawn(t, self.sequence.points[t])

    def _drawn(self, t: int, points: Any) -> Picture:
        known = np.nan_to_num(points, nan=-1.0)
        return overlay_joints(self.sequence.frame(t), torch.from_numpy(known))


class Boxes(Drawing):
    """The box of a target."""

    def found(self, method: Method, t: int) -> Picture:
        path = self.file(method, f"{self.sequence.name}.txt")
        boxes = read_boxes(path)
        self.require_frames(path, len(boxes))
        return overlay_boxes(self.sequence.frame(t), boxes[t])

    def truth(self, t: int) -> Picture:
        return overlay_boxes(self.sequence.frame(t), self.sequence.boxes[t])


class Points(Drawing):
    """Tracks of points, from the first query of each; a cross is hidden."""

    def found(self, method: Method, t: int) -> Picture:
        path = self.file(method, f"{self.sequence.name}.npz")
        with np.load(path, allow_pickle=False) as arrays:
            tracks = arrays["tracks"]
            occluded = arrays["occluded"]
            queries = arrays["query_points"]
            of_annotation = arrays["trackgroup"]
        self.require_frames(path, tracks.shape[1])
        points, first_query = np.unique(of_annotation, return_index=True)
        pixel = np.array(self.sequence.size[::-1]) / float(method.fields.get("scored_size", 256))
        starts = queries[first_query, 0]
        return self._drawn(t, tracks[first_query] * pixel, occluded[first_query], starts, points)

    def truth(self, t: int) -> Picture:
        sequence = self.sequence
        tracks = sequence.points * np.array(sequence.size[::-1])
        starts = (~sequence.occluded).argmax(axis=1)
        return self._drawn(t, tracks, sequence.occluded, starts, np.arange(len(tracks)))

    def _drawn(self, t: int, tracks: Any, occluded: Any, starts: Any, points: Any) -> Picture:
        """Draw the tracks that have begun; `points`: their indices in the annotation, by which colours are chosen."""
        begun = np.flatnonzero(starts <= t)
        palette = distinct_colours(len(self.sequence.points))
        colours = [palette[index] for index in points[begun].tolist()]
        return overlay_tracks(self.sequence.frame(t), tracks[begun], occluded[begun], t, colours)


DRAWINGS: dict[type[FrameSequence], type[Drawing]] = {
    MaskSequence: Masks,
    KeypointSequence: Joints,
    BoxSequence: Boxes,
    PointSequence: Points,
}
"""Kind of sequence → how it is drawn."""


def figure_of(
    results: Sequence[str | Path], sequences: Sequence[str] = (), frames: Sequence[int] = (), on: str = ""
) -> list[FigureBlock]:
    """Draw the predictions of results: a block per sequence, a row per method and the truth, a column per frame.

    Args:
        results: folders of results, or folders above; `NAME=FOLDER` names the row. A result with several stages has a
            row for each.
        sequences: names of sequences; empty: the first two that all results have.
        frames: indices of frames, from 0; empty: five, evenly spaced.
        on: `NAME=FOLDER` of the benchmark with its data; empty: the benchmark of the results, in its config's folder.

    Raises:
        ValueError: naming the result, sequence or frame that does not fit.
        DataError: for data or predictions that are missing or faulty.
    """
    found = _results_of(results)
    configured = _benchmark_of(found, on)
    of_name = {sequence.name: sequence for sequence in configured.build().sequences}
    chosen = sequences or _first_shared(found)
    methods = _methods_of(found)
    blocks: list[FigureBlock] = []
    for name in chosen:
        if name not in of_name:
            meant = near(name, of_name) or ";"
            raise ValueError(
                f"--sequences {name}: {configured.text} has no such sequence{meant} it has {_few(of_name)}"
            )
        blocks.append(_block(drawing_of(of_name[name]), methods, frames))
    return blocks


def drawing_of(sequence: Any) -> Drawing:
    """Return what draws a sequence of a benchmark.

    Raises:
        ValueError: for pairs of images, or a sequence of another kind.
    """
    kind = ""
    if isinstance(sequence, PartVideo):
        kind, sequence = next(iter(sequence.sequences.items()))
    for sort, drawing in DRAWINGS.items():
        if isinstance(sequence, sort):
            return drawing(sequence, kind)
    raise ValueError(f"{sequence.name}: a figure shows masks, joints, parts, boxes and points, not pairs of images")


def _block(drawing: Drawing, methods: Sequence[Method], frames: Sequence[int]) -> FigureBlock:
    """Draw the rows of a sequence."""
    name = drawing.sequence.name
    length = drawing.sequence.num_frames
    if not frames:
        frames = [drawing.predicted[index] for index in evenly_spaced(len(drawing.predicted), COLUMNS)]
    for t in frames:
        if not 0 <= t < length:
            raise ValueError(f"--frames {t}: {name} has {length} frames, 0 to {length - 1}")
        if t not in drawing.predicted:
            raise ValueError(f"--frames {t}: {name} has predictions of frames {_few(drawing.predicted)} only")
    rows: dict[str, list[Picture]] = {}
    for method in methods:
        rows[method.name] = [drawing.found(method, t) for t in frames]
    rows[TRUTH] = list(map(drawing.truth, frames))
    heads = [f"frame {t}" for t in frames]
    heads[0] = f"{name}, {heads[0]}"
    return FigureBlock(heads, rows)


def _results_of(texts: Sequence[str | Path]) -> list[tuple[str, Path, Result]]:
    """Return name, folder and result of the rows.

    Raises:
        ValueError: if the results are of several benchmarks.
    """
    found: list[tuple[str, Path, Result]] = []
    benchmarks: set[str] = set()
    for text in texts:
        name, results = results_in(text)
        for folder, result in last_evaluations(results).items():
            found.append((name, folder, result))
            benchmarks.add(result.benchmark)
    if len(benchmarks) > 1:
        raise ValueError(
            f"figure: results of {', '.join(sorted(benchmarks))}; a figure shows one benchmark: name its folders"
        )
    return found


def _benchmark_of(found: Sequence[tuple[str, Path, Result]], on: str) -> Configured:
    """Return the benchmark, with the split and other arguments that the results state."""
    _, _, first = found[0]
    (configured,) = read_on([on or first.benchmark])
    arguments = [field.name for field in fields(configured.kind)]
    stated = {name: first.data[name] for name in arguments if name in first.data}
    return replace(configured, arguments=configured.arguments | stated)


def _methods_of(found: Sequence[tuple[str, Path, Result]]) -> list[Method]:
    """Return the rows; equal names get their folders."""
    methods: list[Method] = []
    for name, folder, result in found:
        methods.append(Method(name or str(result.network), folder, result.stage.protocol.fields))
    names = [method.name for method in methods]
    unique: list[Method] = []
    for method in methods:
        if names.count(method.name) > 1 or method.name == TRUTH:
            method = replace(method, name=f"{method.name} ({method.folder})")
        unique.append(method)
    return unique


def _first_shared(found: Sequence[tuple[str, Path, Result]]) -> list[str]:
    """Return the first sequences that all results have.

    Raises:
        ValueError: if the results share no sequence.
    """
    _, _, first = found[0]
    shared = list(first.sequences)
    for _, _, result in found:
        shared = [name for name in shared if name in result.sequences]
    if not shared:
        raise ValueError("figure: the results have no sequence in common; evaluate them on the same data")
    return shared[:SHOWN]


def _few(names: Iterable[object]) -> str:
    """Return the first few names."""
    texts = list(map(str, names))
    if len(texts) > 5:
        texts[5:] = ["…"]
    return ", ".join(texts)


def _grey(sequence: FrameSequence, t: int) -> Picture:
    """Return a frame without colour."""
    picture = as_picture(sequence.frame(t))
    grey = picture.mean(axis=2, keepdims=True).round().astype(np.uint8)
    return np.repeat(grey, 3, axis=2)
