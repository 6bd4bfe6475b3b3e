"""Score point tracks by the rules of TAP-Vid, and boxes by the rules of OTB or GOT-10k."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..datasets import Otb, TapVid
from ..datasets.got10k import list_sequences, read_annotation
from ..metrics.box_tracking import got10k_overlaps, one_pass_curves, one_pass_scores, overlap_scores
from ..metrics.point_tracking import QueryMode, tapvid_counts, track_scores
from ..results.result import Result, Row, leave_one_out
from ..videos.arrays import read_npz
from ..videos.boxes import read_boxes, read_numbers
from ..videos.files import errors_at
from ..videos.images import image_size
from .masks import result_of

TOLERANCE = 0.5
"""Pixels by which the box or point that a tracker is given may differ from the annotation, by rounding."""
RASTER = 256.0
"""Side of TAP-Vid's square raster; distances are in its pixels."""

TAP_VID = {
    "name": "tap-vid",
    "source": "google-deepmind/tapnet: tapnet/tapvid/evaluation_datasets.py",
}
BoxRules = Literal["otb", "got-10k"]
BOX_SOURCES: dict[BoxRules, str] = {
    "otb": "got-10k/toolkit @ 956e728, ExperimentOTB, one-pass evaluation",
    "got-10k": "got-10k/toolkit @ 62b8fa0, ExperimentGOT10k",
}


def score_tracks(truth: str | Path, predictions: str | Path, query_mode: QueryMode = "first") -> Result:
    """Score point tracks on disk.

    The scores are means over videos of TAP-Vid's metrics.

    Args:
        truth: a data set of `TapVid`.
        predictions: folder with `<video>.npz`: `tracks` (N, T, 2), x and y in raster pixels of a 256 × 256 image, and
            `occluded` (N, T) bool, for the queries of `sample_queries` in their order.
        query_mode: "first" or "strided".

    Raises:
        DataError: for a missing or wrong file; the message names it.
    """
    folder = Path(predictions).expanduser()
    rows: list[Row] = []
    for sequence in TapVid(truth):
        queries = metrics.sample_queries(sequence.occluded, sequence.points * RASTER, query_mode)
        path = folder / f"{sequence.name}.npz"
        arrays = read_npz(path)
        with errors_at(path):
            if not {"tracks", "occluded"} <= arrays.keys():
                raise ValueError("has no arrays tracks and occluded")
            tracks = arrays["tracks"]
            occluded = arrays["occluded"]
            # before the checks of positions, since it checks the shapes
            counts = tapvid_counts(queries, occluded, tracks, query_mode).tolist()
            finite = tracks[np.isfinite(tracks)]
            if finite.size and finite.min() >= 0 and finite.max() <= 1:
                raise ValueError("its tracks are fractions; expected x, y in pixels of a 256 × 256 image")
            refuse_other_start(tracks, queries)
        values = {"Queries": len(queries), **track_scores([counts])}
        rows.append(Row(video=sequence.name, values=values, counts={"tracks": counts}))
    scores = track_scores([row.counts["tracks"] for row in rows])
    data = {"rules": TAP_VID | {"query_mode": query_mode}, "truth": truth}
    return result_of("tap_vid", predictions, rows, [f"{query_mode} queries"], scores=scores, data=data)


def refuse_other_start(tracks: NDArray[np.float64], queries: metrics.PointQueries) -> None:
    """Refuse tracks of which most are a frame early or late, as their queries show.

    Args:
        tracks: (N, T, 2) predicted x, y in pixels of a 256 × 256 image.
        queries: the queries, with their annotated tracks.

    Raises:
        ValueError: if most tracks miss their query in its frame, and are there where the annotation is a frame before
            or after, or reach the query a frame early or late.
    """
    frame = queries.frames[:, 0].astype(int)
    asked = queries.points[:, [2, 1]]  # x, y
    last = tracks.shape[1] - 1
    track = np.arange(len(queries))

    def meet(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.abs(first - second).max(axis=1, initial=0) <= TOLERANCE

    starts = tracks[track, frame]
    is_off = ~meet(starts, asked)
    for shift, word in ((1, "late"), (-1, "early")):
        is_asked_there = meet(tracks[track, np.clip(frame + shift, 0, last)], asked)
        is_of_other_frame = meet(starts, queries.tracks[track, np.clip(frame - shift, 0, last)])
        is_shifted = is_off & (is_asked_there | is_of_other_frame)
        if 2 * is_shifted.sum() > len(queries):
            raise ValueError(f"its tracks are a frame {word}: a track is at its query in the query's frame")


def score_boxes(truth: str | Path, predictions: str | Path, rules: BoxRules = "otb") -> Result:
    """Score boxes on disk.

    OTB's one-pass evaluation gives success and precision, means over the sequences. GOT-10k's rules give the average
    overlap `AO` and the success rates `SR@0.5` and `SR@0.75`, over the frames of all sequences together.

    Args:
        truth: OTB's folder, of which all sequences on disk are scored; or GOT-10k's `val`, a folder with list.txt.
        predictions: folder with files `<sequence>.txt`, or for a second target `<sequence>.2.txt`: lines of x, y,
            width, height per frame, one-based. For GOT-10k `<sequence>/<sequence>_001.txt` and further repetitions.
        rules: "otb" or "got-10k".

    Raises:
        DataError: for a missing or wrong file; the message names it.
    """
    folder = Path(predictions).expanduser()
    data = {"rules": {"name": rules, "source": BOX_SOURCES[rules]}, "truth": truth}
    if rules == "otb":
        rows = _otb_rows(Path(truth).expanduser(), folder)
        scores = one_pass_scores([row.counts["curves"] for row in rows])
        return result_of("otb", predictions, rows, scores=scores, data=data)
    rows = _got10k_rows(Path(truth).expanduser(), folder)
    without = leave_one_out(rows, _overlaps_of)
    return result_of("got10k", predictions, rows, scores=_overlaps_of(rows), without=without, data=data)


def _overlaps_of(rows: Sequence[Row]) -> dict[str, float]:
    """Return GOT-10k's scores from rows of sequences."""
    return overlap_scores([row.counts["overlaps"] for row in rows])


def _otb_rows(truth: Path, folder: Path) -> list[Row]:
    rows: list[Row] = []
    for sequence in Otb(truth, version=None):
        file = folder / f"{sequence.name}.txt"
        if not file.is_file():
            file = folder / re.sub("-([0-9]+)[.]txt$", r".\1.txt", file.name)  # as GOT-10k's toolkit writes it
        with errors_at(file):
            boxes = read_boxes(file)
            refuse_other_boxes(boxes, sequence.boxes, is_given=True)
            curves = one_pass_curves(boxes, sequence.boxes).tolist()
        rows.append(Row(video=sequence.name, values=one_pass_scores([curves]), counts={"curves": curves}))
    return rows


def refuse_other_boxes(boxes: NDArray[np.float64], target: NDArray[np.float64], is_given: bool) -> None:
    """Refuse boxes in another convention: in one-pass evaluation a tracker is given the first box, and returns it.

    Args:
        boxes: (T, 4) predicted left, top, width and height, pixels, one-based.
        target: (T, 4) annotated boxes.
        is_given: refuse any other first box; False: only one that another convention or a shift of a frame explains.

    Raises:
        ValueError: if the first boxes differ by more than half a pixel; with what would explain it. Or for another
            number of boxes.
    """
    starts_alike = len(boxes) > 0 and np.abs(boxes[0] - target[0]).max() <= TOLERANCE
    if starts_alike or not len(boxes):
        if len(boxes) != len(target):
            raise ValueError(f"holds {len(boxes)} boxes, the annotation {len(target)}: write a line for each frame")
        return
    x, y, width, height = target[0]
    others = {
        "counted from 0": (x - 1, y - 1, width, height),
        "x1,y1,x2,y2": (x, y, x + width, y + height),
        "x1,y1,x2,y2 with the last pixel": (x, y, x + width - 1, y + height - 1),
        "x1,y1,x2,y2 counted from 0": (x - 1, y - 1, x + width - 1, y + height - 1),
        "its centre, width and height": (x + width / 2, y + height / 2, width, height),
    }
    # of several reasons the last one that holds is told, as the most certain
    reason = "a tracker returns the box that it is given" if is_given else ""
    if len(target) > 1 and np.abs(boxes[0] - target[1]).max() <= TOLERANCE:
        reason = "it is the second annotated box, a frame early"
    if len(boxes) > 1 and np.abs(boxes[1] - target[0]).max() <= TOLERANCE:
        reason = "the second box is the first annotated one, a frame late"
    for convention, other in others.items():
        if np.abs(boxes[0] - other).max() <= TOLERANCE:
            reason = f"the first box is {convention}"
    if boxes[0].min() >= 0 and boxes[0].max() <= 1:
        reason = "the boxes are fractions of the frame"
    if not reason:
        return
    found = ",".join(f"{value:g}" for value in boxes[0])
    expected = ",".join(f"{value:g}" for value in target[0])
    raise ValueError(f"its first box is {found}, the annotation {expected}: {reason}; write x,y,width,height from 1 on")


def _got10k_rows(truth: Path, folder: Path) -> list[Row]:
    rows: list[Row] = []
    for sequence in sorted(list_sequences(truth.parent, truth.name)):
        name = sequence.name
        frames, target, _ = read_annotation(sequence)
        # the rules need the visible parts, so a missing file is an error here
        cover = read_numbers(sequence / "cover.label", "the visible part")[:, 0]
        files = sorted((folder / name).glob(f"{name}_[0-9]*.txt"))
        files = files or [folder / name / f"{name}_001.txt"]  # the error then names the file that is missing
        size = image_size(frames[0])
        overlaps: list[float] = []
        for file in files:
            with errors_at(file):
                boxes = read_boxes(file)
                refuse_other_boxes(boxes, target, is_given=False)
                overlaps += got10k_overlaps(boxes, target, size, cover).tolist()
        rows.append(Row(video=name, values=overlap_scores([overlaps]), counts={"overlaps": overlaps}))
    return rows
