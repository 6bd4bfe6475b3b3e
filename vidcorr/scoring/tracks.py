"""Score point tracks by the rules of TAP-Vid, and boxes by the rules of OTB."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .. import metrics
from ..datasets import BoxSequence, PointSequence
from ..datasets.arrays import read_npz
from ..datasets.box_files import read_boxes
from ..datasets.sequences import content_digest
from ..metrics.box_tracking import OTB, doubts_on_absence, one_pass_counts, one_pass_scores
from ..metrics.point_tracking import QueryMode, rules_of, tapvid_counts, track_scores
from ..results.result import Result, Row
from ..videos.files import errors_at, user_path
from .mask_scores import result_of_predictions
from .readings import Errors, errors_of_numbers, refuse_or_doubt

RASTER = 256.0
"""Side of TAP-Vid's square raster; distances are in its pixels."""
CORNER = np.array([1, 1, 0, 0])
"""Added to boxes x, y, width, height that are counted from 0, to count them from 1."""


def score_tracks(
    sequences: Iterable[PointSequence], predictions: str | Path, query_mode: QueryMode = "first"
) -> Result:
    """Score point tracks on disk by TAP-Vid's metrics; the scores are means over videos.

    Args:
        sequences: sequences of a data set, as `TapVid` opens it.
        predictions: folder with `<video>.npz`: `tracks` (N, T, 2), x and y in raster pixels of a 256 × 256 image, and
            `occluded` (N, T) bool, in the order of the queries of `sample_queries`.
        query_mode: "first": a query per track, in its first visible frame; "strided": queries in every fifth frame.

    Raises:
        DataError: for a missing or wrong file; the message names it.
    """
    rows: list[Row] = []
    errors_of_files: dict[Path, Errors] = {}  # as written and by other conventions, to detect a wrong convention
    digests: dict[str, str] = {}
    hiding: list[str] = []
    for sequence in sequences:
        digests[sequence.name] = content_digest(sequence)
        # `points` are fractions of the frame; queries and predictions are in pixels of the raster
        queries = metrics.sample_queries(sequence.occluded, sequence.points * RASTER, query_mode)
        path = user_path(predictions) / f"{sequence.name}.npz"
        arrays = read_npz(path)
        with errors_at(path):  # `tapvid_counts` checks the shapes, so it comes before all other use of the arrays
            if not {"tracks", "occluded"} <= arrays.keys():
                raise ValueError("has no arrays tracks and occluded")
            counts = tapvid_counts(queries, arrays["occluded"], arrays["tracks"], query_mode).tolist()
        starts = queries.frames[:, 0].astype(int)  # (N,), the frame of each query, in which its point is visible
        if len(queries) > 0 and arrays["occluded"][np.arange(len(queries)), starts].all():
            hiding.append(sequence.name)
        tracks = np.asarray(arrays["tracks"], np.float64)
        pixel = np.array(sequence.size[::-1]) / RASTER
        conventions = {"y before x": tracks[..., ::-1], "in pixels of the video": tracks / pixel}
        is_scored = ~queries.occluded
        errors_of_files[path] = errors_of_numbers(tracks, queries.tracks, starts, is_scored, conventions)
        values = {"Queries": len(queries), **track_scores([counts])}
        rows.append(Row(video=sequence.name, values=values, counts={"tracks": counts}))
    doubts = refuse_or_doubt(errors_of_files, "their queries", "x before y in pixels of a 256 × 256 image")
    if hiding:
        share = f"{len(hiding)} of {len(rows)} predictions hide all their queries"
        doubts.append(f"{share} (first {hiding[0]}), which are visible: is `occluded` True where a point is hidden?")
    scores = track_scores([row.counts["tracks"] for row in rows])
    about = {"conditions": [f"{query_mode} queries"], "data": {"rules": rules_of(query_mode)}, "doubts": doubts}
    return result_of_predictions(predictions, "points", rows, digests, benchmark="tap_vid", scores=scores, **about)


def score_boxes(sequences: Iterable[BoxSequence], predictions: str | Path) -> Result:
    """Score boxes on disk by OTB's one-pass evaluation: success and precision, means over the sequences.

    Args:
        sequences: sequences of a data set, as `Otb` opens it.
        predictions: folder with files `<sequence>.txt`, or for a second target `<sequence>.2.txt`: lines of x, y,
            width, height per frame, one-based.

    Raises:
        DataError: for a missing or wrong file; the message names it.
    """
    folder = user_path(predictions)
    rows: list[Row] = []
    errors_of_files: dict[Path, Errors] = {}  # as written and by other conventions, to detect a wrong convention
    digests: dict[str, str] = {}
    for sequence in sequences:
        digests[sequence.name] = content_digest(sequence)
        file = folder / f"{sequence.name}.txt"
        if not file.is_file():
            file = folder / re.sub("-([0-9]+)[.]txt$", r".\1.txt", file.name)  # as GOT-10k's toolkit writes it
        target = sequence.boxes[None]  # (1, T, 4): one item
        with errors_at(file):
            found = read_boxes(file)[None]  # (1, T, 4), like the target
            if found.shape != target.shape:
                numbers = f"{len(found[0])} boxes, the annotation {len(target[0])}"
                raise ValueError(f"holds {numbers}: write a line for each frame")
            counts = one_pass_counts(found[0], target[0])  # `curves` over the frames with a box; `absent`: the others
        is_scored = np.asarray(np.isfinite(target).all(axis=-1))
        # `CORNER` adds 1 to x and y
        conventions = {"counted from 0": found + CORNER, "y,x,height,width": found[..., [1, 0, 3, 2]]}
        errors_of_files[file] = errors_of_numbers(found, target, [0], is_scored, conventions)  # [0]: the start frame
        rows.append(Row(video=sequence.name, values=one_pass_scores([counts["curves"]]), counts=counts))
    doubts = refuse_or_doubt(errors_of_files, "the given box", "x,y,width,height, counted from 1")
    doubts += doubts_on_absence({row.video: row.counts for row in rows})
    scores = one_pass_scores([row.counts["curves"] for row in rows])
    about = {"data": {"rules": OTB}, "doubts": doubts}
    return result_of_predictions(predictions, "boxes", rows, digests, benchmark="otb", scores=scores, **about)
