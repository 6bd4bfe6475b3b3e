"""Score point tracks by the rules of TAP-Vid, and boxes by the rules of OTB."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..datasets import BoxSequence, Otb, PointSequence, TapVid
from ..datasets.records import content_digest
from ..metrics.box_tracking import OTB, doubts_on_absence, one_pass_counts, one_pass_scores
from ..metrics.point_tracking import QueryMode, rules_of, tapvid_counts, track_scores
from ..results.checked import Json
from ..results.result import Result, Row
from ..videos.arrays import read_npz
from ..videos.boxes import read_boxes
from ..videos.files import DataError, errors_at
from .masks import result_of_predictions
from .readings import Conventions, Errors, doubts_about, errors_of_numbers

RASTER = 256.0
"""Side of TAP-Vid's square raster; distances are in its pixels."""

CORNER = np.array([1, 1, 0, 0])
BOXES: Conventions = {
    "counted from 0": lambda boxes: boxes + CORNER,
    "y,x,height,width": lambda boxes: boxes[..., [1, 0, 3, 2]],
}


def score_tracks(
    truth: str | Path | Sequence[PointSequence], predictions: str | Path, query_mode: QueryMode = "first"
) -> Result:
    """Score point tracks on disk.

    The scores are means over videos of TAP-Vid's metrics.

    Args:
        truth: a data set of `TapVid`, or sequences of it.
        predictions: folder with `<video>.npz`: `tracks` (N, T, 2), x and y in raster pixels of a 256 × 256 image, and
            `occluded` (N, T) bool, for the queries of `sample_queries` in their order.
        query_mode: "first" or "strided".

    Raises:
        DataError: for a missing or wrong file; the message names it.
    """
    folder = Path(predictions).expanduser()
    rows: list[Row] = []
    starts: dict[Path, Errors] = {}
    hiding: list[str] = []
    sequences, of_truth = _opened(truth, TapVid)
    for sequence in sequences:
        queries = metrics.sample_queries(sequence.occluded, sequence.points * RASTER, query_mode)
        path = folder / f"{sequence.name}.npz"
        tracks, occluded = _read_tracks(path)
        with errors_at(path):  # before the errors of the start, since it checks the shapes
            counts = tapvid_counts(queries, occluded, tracks, query_mode).tolist()
        if _hides_all(queries, occluded):
            hiding.append(sequence.name)
        height, width = sequence.size
        starts[path] = errors_of_tracks(tracks, queries, (width / RASTER, height / RASTER))
        values = {"Queries": len(queries), **track_scores([counts])}
        rows.append(Row(video=sequence.name, values=values, counts={"tracks": counts}))
    doubts = doubts_about(starts, "their queries", "x before y in pixels of a 256 × 256 image")
    if hiding:
        share = f"{len(hiding)} of {len(rows)} predictions hide all their queries"
        doubts.append(f"{share} (first {hiding[0]}), which are visible: is `occluded` True where a point is hidden?")
    return result_of_predictions(
        "tap_vid",
        predictions,
        "points",
        rows,
        _scores_of_tracks,
        data={"rules": rules_of(query_mode), **of_truth},
        doubts=doubts,
        conditions=[f"{query_mode} queries"],
        digests={sequence.name: content_digest(sequence) for sequence in sequences},
    )


def _opened(truth: str | Path | Sequence[Any], read: Callable[[Any], Sequence[Any]]) -> tuple[Sequence[Any], Json]:
    """Return the sequences of a truth, which may be sequences already, and what a result states of it."""
    if isinstance(truth, str | Path):
        return read(truth), {"truth": truth}
    return truth, {}


def _hides_all(queries: metrics.PointQueries, occluded: NDArray[Any]) -> bool:
    """Return whether a prediction hides each point in the frame of its query, where it is visible."""
    at_queries = np.arange(len(queries)), queries.frames[:, 0].astype(int)
    return len(queries) > 0 and bool(occluded[at_queries].all())


def _read_tracks(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return predicted tracks and occlusion; raise `DataError` for a file without them."""
    arrays = read_npz(path)
    if not {"tracks", "occluded"} <= arrays.keys():
        raise DataError(f"{path}: has no arrays tracks and occluded")
    return arrays["tracks"], arrays["occluded"]


def _scores_of_tracks(rows: Sequence[Row]) -> dict[str, float]:
    """Return TAP-Vid's scores from rows of videos."""
    return track_scores([row.counts["tracks"] for row in rows])


def errors_of_tracks(tracks: NDArray[Any], queries: metrics.PointQueries, pixel: tuple[float, float]) -> Errors:
    """Return the largest differences in x or y from the annotation by reading, at the start and where it is scored.

    Args:
        tracks: (N, T, 2) predicted x, y in pixels of a 256 × 256 image.
        queries: the queries, with their annotated tracks.
        pixel: x and y, pixels of the frame per pixel of the image.
    """
    of_frame = np.array(pixel)
    conventions: Conventions = {
        "y before x": lambda yx: yx[..., ::-1],
        "in pixels of the video": lambda xy: xy / of_frame,
    }
    found = np.asarray(tracks, np.float64)
    return errors_of_numbers(found, queries.tracks, queries.frames[:, 0], ~queries.occluded, conventions)


def score_boxes(truth: str | Path | Sequence[BoxSequence], predictions: str | Path) -> Result:
    """Score boxes on disk by OTB's one-pass evaluation: success and precision, means over the sequences.

    Args:
        truth: OTB's folder, of which all sequences on disk are scored, or sequences of it.
        predictions: folder with files `<sequence>.txt`, or for a second target `<sequence>.2.txt`: lines of x, y,
            width, height per frame, one-based.

    Raises:
        DataError: for a missing or wrong file; the message names it.
    """
    folder = Path(predictions).expanduser()
    rows: list[Row] = []
    starts: dict[Path, Errors] = {}
    sequences, of_truth = _opened(truth, partial(Otb, version=None))
    for sequence in sequences:
        file = folder / f"{sequence.name}.txt"
        if not file.is_file():
            file = folder / re.sub("-([0-9]+)[.]txt$", r".\1.txt", file.name)  # as GOT-10k's toolkit writes it
        with errors_at(file):
            boxes = read_boxes(file)
            starts[file] = errors_of_boxes(boxes, sequence.boxes)
            counts = one_pass_counts(boxes, sequence.boxes)
        rows.append(Row(video=sequence.name, values=one_pass_scores([counts["curves"]]), counts=counts))
    doubts = doubts_about(starts, "the given box", "x,y,width,height, counted from 1")
    doubts += doubts_on_absence({row.video: row.counts for row in rows})
    return result_of_predictions(
        "otb",
        predictions,
        "boxes",
        rows,
        _scores_of_boxes,
        data={"rules": OTB, **of_truth},
        doubts=doubts,
        digests={sequence.name: content_digest(sequence) for sequence in sequences},
    )


def _scores_of_boxes(rows: Sequence[Row]) -> dict[str, float]:
    """Return OTB's scores from rows of sequences."""
    return one_pass_scores([row.counts["curves"] for row in rows])


def errors_of_boxes(boxes: NDArray[np.float64], target: NDArray[np.float64]) -> Errors:
    """Return the largest differences of the first boxes' numbers from the annotation, by reading.

    Args:
        boxes: (T, 4) predicted left, top, width and height, pixels, one-based; the first may be 0 or not finite.
        target: (T, 4) annotated boxes.

    Raises:
        ValueError: for another number of boxes.
    """
    if len(boxes) != len(target):
        raise ValueError(f"holds {len(boxes)} boxes, the annotation {len(target)}: write a line for each frame")
    is_scored = np.asarray(np.isfinite(target[None]).all(axis=-1))
    return errors_of_numbers(boxes[None], target[None], [0], is_scored, BOXES)
