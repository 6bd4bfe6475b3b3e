"""Score the point tracks of any method by TAP-Vid's rules, and boxes by OTB's."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.datasets import BoxSequence, Otb, PointSequence, TapVid
from datamodules.datasets.layout_files import require_folder
from datamodules.reading.boxes import read_boxes
from datamodules.reading.errors import DataError
from datamodules.reading.guards import read_text

from ..benchmarks.results import Results
from ..metrics import (
    PointQueries,
    TrackingSuccess,
    redetection_events,
    redetection_scores,
    sample_queries,
    tapvid_metrics,
)
from ..metrics.point_tracking import METRICS, QueryMode, mean_of_defined

RASTER = 256.0
"""Side of the square in whose pixels TAP-Vid measures distances."""

TAP_VID = {
    "name": "tap-vid",
    "source": "google-deepmind/tapnet: tapnet/tapvid/evaluation_datasets.py, tapnet/tapnextpp/metrics/aj_rd.py",
}
OTB = {"name": "otb", "source": "got-10k/toolkit @ 956e728, ExperimentOTB, one-pass evaluation"}


def score_tracks(truth: str | Path, predictions: str | Path, query_mode: QueryMode = "first") -> Results:
    """Score point tracks on disk: TAP-Vid's metrics, means over the videos, and AJ_RD over all of them.

    Args:
        truth: what `TapVid` reads.
        predictions: folder with a file for each video. `<video>.npz` holds `tracks` (N, T, 2), x and y in raster pixels
            of a 256 × 256 image, and `occluded` (N, T) bool, for the queries of `sample_queries` in their order.
            `<video>.csv` or `<video>/points.csv` is what `predict` writes: frame, name, x, y, occluded in pixels of the
            video, 0 at the centre of the first; the names are those of the truth's tracks ("first" only).
        query_mode: "first" or "strided".

    Raises:
        DataError: one line that names the file that is missing or does not fit.
    """
    folder = require_folder(Path(predictions).expanduser(), "name the folder that holds a file for each video")
    rows: list[dict[str, Any]] = []
    events, values = [], []
    for sequence in TapVid(truth):
        queries = sample_queries(sequence.occluded, sequence.points * RASTER, query_mode)
        tracks, occluded = _predicted(folder, sequence, queries, query_mode)
        found = tapvid_metrics(queries.points, queries.occluded, queries.tracks, occluded, tracks, query_mode)
        rows.append({"Sequence": sequence.name, "Queries": len(queries), **found})
        event, value = redetection_events(queries.occluded, queries.tracks, occluded, tracks)
        events.append(event)
        values.append(value)
    means = {key: mean_of_defined([row[key] for row in rows]) for key in METRICS}
    redetection = redetection_scores(np.concatenate(events)[:, 2], np.concatenate(values))
    scores = means | {"AJ_RD": redetection["AJ_RD"]}
    metadata = {"rules": TAP_VID | {"query_mode": query_mode}, "redetection": redetection}
    return Results("tap_vid", scores, rows, {**metadata, "truth": str(truth), "predictions": str(predictions)})


def score_boxes(truth: str | Path, predictions: str | Path) -> Results:
    """Score boxes on disk by OTB's one-pass evaluation: success and precision, means over the sequences.

    Args:
        truth: OTB's folder; all sequences that are there are scored.
        predictions: folder with `<sequence>.txt` for each: x, y, width, height of each frame, one-based.

    Raises:
        DataError: one line that names the file that is missing or does not fit.
    """
    folder = require_folder(Path(predictions).expanduser(), "name the folder that holds a file for each sequence")
    metric = TrackingSuccess()
    for sequence in Otb(truth, version=None):
        metric.update(_predicted_boxes(folder, sequence), sequence.boxes, name=sequence.name)
    return Results(
        "otb",
        metric.compute(),
        metric.rows(),
        {"rules": OTB, "truth": str(truth), "predictions": str(predictions), "sequences": len(metric.rows())},
    )


def _predicted_boxes(folder: Path, sequence: BoxSequence) -> NDArray[np.float64]:
    path = folder / f"{sequence.name}.txt"
    if not path.is_file():
        raise DataError(f"{path}: no such file; every sequence needs its boxes")
    boxes = read_boxes(path)
    if boxes.shape != sequence.boxes.shape:
        raise DataError(f"{path}: {len(boxes)} boxes for {len(sequence.boxes)} frames")
    return boxes


def _predicted(
    folder: Path, sequence: PointSequence, queries: PointQueries, query_mode: QueryMode
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the predicted tracks (N, T, 2) in pixels of 256 × 256, and their occlusion (N, T)."""
    archive = folder / f"{sequence.name}.npz"
    tables = [folder / f"{sequence.name}.csv", folder / sequence.name / "points.csv"]
    table = next((path for path in tables if path.is_file()), None)
    if archive.is_file():
        try:
            with np.load(archive, allow_pickle=False) as arrays:
                tracks, occluded = arrays["tracks"], arrays["occluded"]
        except (KeyError, ValueError, OSError) as error:
            raise DataError(f"{archive}: expected arrays tracks (N, T, 2) and occluded (N, T): {error}") from error
        if tracks.shape != queries.tracks.shape or occluded.shape != queries.occluded.shape or occluded.dtype != bool:
            raise DataError(
                f"{archive}: tracks are {tracks.shape}, occluded {occluded.shape} {occluded.dtype}; the {query_mode} "
                f"queries of this video need {queries.tracks.shape} and {queries.occluded.shape} bool"
            )
        return tracks, occluded
    if table is None:
        raise DataError(f"{archive}: no such file, nor {tables[0].name} or {sequence.name}/points.csv")
    if query_mode != "first":
        raise DataError(f"{table}: strided queries need an .npz; a CSV holds one track for each name")
    return _from_csv(table, sequence, queries)


def _from_csv(
    path: Path, sequence: PointSequence, queries: PointQueries
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    tracks = np.full((len(sequence.tracks), sequence.num_frames, 2), np.nan)
    occluded = np.ones(tracks.shape[:2], dtype=bool)
    number = {name: i for i, name in enumerate(sequence.tracks)}
    lines = list(csv.DictReader(read_text(path).splitlines()))
    frames = {stem: t for t, stem in enumerate(dict.fromkeys(line.get("frame", "") for line in lines))}
    if len(frames) != sequence.num_frames:
        raise DataError(f"{path}: holds {len(frames)} frames, the truth {sequence.num_frames}")
    scale = RASTER / np.array(sequence.size[::-1])
    for row, line in enumerate(lines, start=2):
        try:
            track, t = number[line["name"]], frames[line["frame"]]
            tracks[track, t] = (np.array([float(line["x"]), float(line["y"])]) + 0.5) * scale
            occluded[track, t] = line["occluded"] == "1"
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{path}, line {row}: expected frame, name of a track, x, y, occluded: {error}") from error
    chosen = queries.track
    if np.isnan(tracks[chosen]).any():
        lacking = sequence.tracks[int(chosen[np.isnan(tracks[chosen]).any(axis=(1, 2)).argmax()])]
        raise DataError(f"{path}: track {lacking} has no line in some frame")
    return tracks[chosen], occluded[chosen]


def flat_scores(results: Results) -> dict[str, float]:
    """Return the scores, and those of each sequence (`average_jaccard/dog`), in one dictionary."""
    of_sequences = {
        f"{key}/{row['Sequence']}": value for row in results.rows for key, value in row.items() if key in results.scores
    }
    return dict(results.scores) | of_sequences
