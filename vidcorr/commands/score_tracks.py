"""Score point tracks by the rules of TAP-Vid, PointOdyssey and BADJA, and boxes by the rules of OTB or GOT-10k."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..datasets import Badja, Otb, PointSequence, TapVid
from ..datasets.got10k import list_sequences, read_annotation
from ..datasets.tap_vid import read_track_table
from ..metrics.box_tracking import BoxRows, OverlapRows
from ..metrics.point_measures import TrackRows
from ..metrics.point_tracking import QueryMode
from ..results.result import Result
from ..videos.boxes import read_boxes
from ..videos.files import DataError, read_text, require_folder
from ..videos.images import image_size
from .score_masks import result_of

RASTER = 256.0
"""Side of TAP-Vid's square raster; distances are in its pixels."""
BACKWARDS = "strided queries count frames before the query too: track the reversed video as well, or use --tracks first"
log = logging.getLogger(__name__)

TAP_VID = {
    "name": "tap-vid",
    "source": "google-deepmind/tapnet: tapnet/tapvid/evaluation_datasets.py, tapnet/tapnextpp/metrics/aj_rd.py; "
    "survival, median error: aharley/pips2 @ 0e0b69d, test_on_pod.py; PCK: aharley/pips, test_on_badja.py",
}
BoxRules = Literal["otb", "got-10k"]
BOX_SOURCES: dict[BoxRules, str] = {
    "otb": "got-10k/toolkit @ 956e728, ExperimentOTB, one-pass evaluation",
    "got-10k": "got-10k/toolkit @ 62b8fa0, ExperimentGOT10k",
}


def score_tracks(truth: str | Path, predictions: str | Path, query_mode: QueryMode = "first") -> Result:
    """Score point tracks on disk.

    The scores are means over videos of TAP-Vid's metrics, and AJ_RD over all videos together. Queries "first" add
    PointOdyssey's survival (with the median error in pixels in `data`) and, for BADJA, PCK.

    Args:
        truth: a data set of `TapVid` or `Badja`.
        predictions: folder with a file per video, in either of two forms. `<video>.npz`: `tracks` (N, T, 2), x and y in
            raster pixels of a 256 × 256 image, and `occluded` (N, T) bool, for the queries of `sample_queries` in their
            order. `<video>.csv` or `<video>/points.csv`, as `predict` writes: frame, name of the annotated track, x, y,
            occluded; in pixels of the video, 0 at the centre of the first pixel (queries "first" only).
        query_mode: "first" or "strided".

    Raises:
        DataError: for a missing or wrong file; the message names it.
    """
    folder = require_folder(Path(predictions).expanduser(), "name the folder that holds a file for each video")
    rows, causal = TrackRows(query_mode, further=True), list[str]()
    is_badja = (Path(truth).expanduser() / "joint_annotations").is_dir()
    for position, sequence in enumerate(Badja(truth) if is_badja else TapVid(truth)):
        queries = metrics.sample_queries(sequence.occluded, sequence.points * RASTER, query_mode)
        tracks, occluded = _predicted(folder, sequence, queries, query_mode)
        if query_mode == "strided" and _lacks_past(queries, occluded):
            causal.append(sequence.name)
        areas = np.array([sequence.area(t) for t in range(sequence.num_frames)]) if sequence.masks else None
        pixel = sequence.size[1] / RASTER, sequence.size[0] / RASTER
        rows.update(queries, occluded, tracks, name=sequence.name, position=position, pixel=pixel, areas=areas)
    if causal:
        log.warning("%s: all points before their queries are occluded; %s", ", ".join(causal), BACKWARDS)
    data = {"rules": TAP_VID | {"query_mode": query_mode}, "truth": truth, **rows.facts()}
    return result_of("tap_vid", predictions, rows, data)


def score_boxes(truth: str | Path, predictions: str | Path, rules: BoxRules = "otb") -> Result:
    """Score boxes on disk.

    OTB's one-pass evaluation gives success and precision, means over the sequences. GOT-10k's rules give the average
    overlap `AO` and the success rates `SR@0.5` and `SR@0.75`, over the frames of all sequences together.

    Args:
        truth: OTB's folder, of which all sequences on disk are scored; for "otb" also a folder with `predict`'s boxes,
            as below; or GOT-10k's `val`, a folder with list.txt.
        predictions: folder with files `<sequence>.txt`: lines of x, y, width, height per frame, one-based; or
            `<sequence>.csv` or `<sequence>/boxes.csv`, as `predict` writes. For GOT-10k also
            `<sequence>/<sequence>_001.txt` and further repetitions, as the toolkit writes.
        rules: "otb" or "got-10k".

    Raises:
        DataError: for a missing or wrong file; the message names it.
    """
    folder = require_folder(Path(predictions).expanduser(), "name the folder that holds a file for each sequence")
    rows = (_otb_rows if rules == "otb" else _got10k_rows)(Path(truth).expanduser(), folder)
    data = {"rules": {"name": rules, "source": BOX_SOURCES[rules]}, "truth": truth}
    return result_of(rules.replace("-", ""), predictions, rows, data)


def _otb_rows(truth: Path, folder: Path) -> BoxRows:
    rows = BoxRows()
    for name, target in _true_boxes(truth).items():
        path = _box_file(folder, name)
        boxes = _predicted_boxes(path, target)
        # GOT-10k's rules score such a box, as overlapping nothing
        if wrong := np.flatnonzero(~np.isfinite(boxes).all(1) | (boxes[:, 2:] < 0).any(1)).tolist():
            box = boxes[wrong[0]].tolist()
            raise DataError(f"{path}: box {wrong[0] + 1} is {box}; expected finite numbers, with sides of 0 or more")
        rows.update(boxes, target, name=name)
    return rows


def _got10k_rows(truth: Path, folder: Path) -> OverlapRows:
    rows = OverlapRows()
    for sequence in list_sequences(truth.parent, truth.name):
        name = sequence.name
        frames, boxes, cover = read_annotation(sequence)
        if cover is None:
            raise DataError(f"{sequence / 'cover.label'}: no such file; unpack the sequence again")
        files = sorted((folder / name).glob(f"{name}_[0-9]*.txt")) or [_box_file(folder, name)]
        repetitions = [_predicted_boxes(file, boxes) for file in files]
        rows.update(repetitions, boxes, image_size(frames[0]), cover, name=name)
    return rows


def _true_boxes(truth: Path) -> dict[str, NDArray[np.float64]]:
    """Return the boxes of OTB's sequences, or of the files that `predict` writes, by name."""
    files = {path.stem: path for path in truth.glob("*.csv")} | {
        path.parent.name: path for path in truth.glob("*/boxes.csv")
    }
    if files:
        return {name: read_boxes(files[name]) for name in sorted(files)}
    return {sequence.name: sequence.boxes for sequence in Otb(truth, version=None)}


def _box_file(folder: Path, name: str) -> Path:
    """Return the file of a sequence's boxes, in any form."""
    forms = [folder / f"{name}.txt", folder / f"{name}.csv", folder / name / "boxes.csv"]
    return next(filter(Path.is_file, forms), forms[0])


def _predicted_boxes(path: Path, target: NDArray[np.float64]) -> NDArray[np.float64]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; every sequence needs a file of boxes")
    boxes = read_boxes(path)
    if boxes.shape != target.shape:
        raise DataError(f"{path}: {len(boxes)} boxes for {len(target)} frames; write a line per frame")
    return boxes


def _predicted(
    folder: Path, sequence: PointSequence, queries: metrics.PointQueries, query_mode: QueryMode
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the predicted tracks (N, T, 2) in pixels of 256 × 256, and their occlusion (N, T)."""
    archive = folder / f"{sequence.name}.npz"
    if archive.exists():
        return _from_npz(archive, queries, query_mode)
    tables = [folder / f"{sequence.name}.csv", folder / sequence.name / "points.csv"]
    for table in tables:
        if table.is_file():
            if query_mode != "first":
                raise DataError(f"{table}: strided queries need an .npz; a CSV holds one track for each name")
            return _from_csv(table, sequence, queries)
    raise DataError(f"{archive}: no such file, nor {tables[0].name} or {sequence.name}/points.csv")


def _from_npz(
    path: Path, queries: metrics.PointQueries, query_mode: QueryMode
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            tracks, occluded = arrays["tracks"], arrays["occluded"]
        queries.check(tracks, occluded)
        if not np.isfinite(tracks).all():
            before = np.arange(occluded.shape[1]) < queries.frames
            only_before = query_mode == "strided" and np.isfinite(tracks[~before]).all()
            raise ValueError(f"tracks are not finite{f' before their queries; {BACKWARDS}' if only_before else ''}")
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"{path}: needs arrays tracks and occluded of {query_mode} queries: {error}") from error
    return tracks, occluded


def _lacks_past(queries: metrics.PointQueries, occluded: NDArray[np.bool_]) -> bool:
    """Return whether all predictions before the queries' frames are occluded although some points are visible."""
    past = np.arange(occluded.shape[1]) < queries.frames
    return bool(occluded[past].all() and not queries.occluded[past].all())


def _from_csv(
    path: Path, sequence: PointSequence, queries: metrics.PointQueries
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the predicted tracks of the queries, see `_predicted`, from a table in pixels of the video."""
    frames = list(dict.fromkeys(line.partition(",")[0] for line in read_text(path).splitlines()[1:] if line))
    if len(frames) != sequence.num_frames:
        raise DataError(
            f"{path}: holds {len(frames)} frames, expected {sequence.num_frames}, a line per point and frame"
        )
    points = read_track_table(path, frames)
    if unknown := {name for name, _ in points} - set(sequence.tracks):
        raise DataError(f"{path}: the truth has no track {min(unknown)!r}")
    missing = (np.nan, np.nan, 1)
    names = [sequence.tracks[index] for index in queries.track]
    table = np.array([[points.get((name, t), missing) for t in range(len(frames))] for name in names], float)
    table = table.reshape(len(names), len(frames), 3)
    for name, track in zip(names, table, strict=True):
        if not np.isfinite(track).all():
            lacking = frames[int(np.flatnonzero(~np.isfinite(track).all(axis=1))[0])]
            raise DataError(f"{path}: track {name} has no line with finite numbers for frame {lacking}")
    return table[..., :2] * (RASTER / np.array(sequence.size[::-1])), table[..., 2] == 1
