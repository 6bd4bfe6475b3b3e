"""Point tracking on TAP-Vid by the features of an extractor."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets import Badja, PointSequence, TapVid
from ..datasets.tap_vid import DAVIS_VIDEOS
from ..functional import PointProtocol, PointTracks
from ..metrics.point_measures import AREA_PCK, TrackRows
from ..metrics.point_tracking import METRICS, PIXEL_THRESHOLDS, WITHIN, PointQueries, PointRows, sample_queries
from ..results.page import Chart
from ..results.pictures.overlays import Curve, SequenceAnimation, distinct_colours, overlay_tracks
from ..tracking.point_tracker import PointTracker
from ..tracking.record import SequenceWriter
from ..videos.files import csv_text, write_atomically
from .base import Benchmark
from .evaluation import Evaluation, RunContext, ScoresOfStage

log = logging.getLogger(__name__)

DRAWN = 40
"""Number of tracks in a picture, evenly spaced among all."""

WORST_SHOWN = 5
"""Number of tracks in the animation of the worst tracks."""

SCORES: tuple[str, ...] = ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy", *WITHIN)
"""Logged measures; the files also have the Jaccard index at every threshold."""

LIMIT = "grid_limit"
"""`average_pts_within_thresh` of the true tracks, moved to the nearest cell centres: the limit of an argmax."""


@dataclass(frozen=True)
class TapVidBenchmark(Benchmark):
    """Score points tracked without training on TAP-Vid: DAVIS, RGB-Stacking, Kinetics, RoboTAP, a user's videos.

    Logs, as fractions, `tap_vid/average_jaccard` (AJ), `tap_vid/average_pts_within_thresh` (δ_avg),
    `tap_vid/occlusion_accuracy` (OA), `tap_vid/pts_within_1` … `_16`; and `tap_vid/grid_limit`, the δ_avg that the
    feature grid allows an argmax. If the protocol has no occlusion rule, all points are predicted visible: OA is then
    the fraction of visible points, which depends on the annotation alone, and in AJ every hidden point counts as a
    false prediction.
    The mean of a measure leaves out videos in which it is 0/0; results.json names them. Files: results.json,
    per_sequence.csv, per_track.csv, `predictions/<video>.npz` (arguments of the official function), overlays,
    animations.

    Paper: Doersch et al., TAP-Vid (NeurIPS 2022).

    Args:
        root: see `TapVid`.
        protocol: name of a protocol (`fomo`, `omniprobe`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`) or a
            protocol.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: for an unknown protocol, or changes out of range.
    """

    default_name = "tap_vid"
    protocol_kind = PointProtocol
    protocols_like = ("tap_vid",)
    score_names = (*SCORES, LIMIT)
    ranked_by = ("average_pts_within_thresh",)
    text_columns = ("Queries",)
    animations_show = "tracks that were found; a cross where a point is said to be hidden; white, the truth"

    root: str | Path
    protocol: str | PointProtocol = "vidcorr"

    def read(self) -> Sequence[PointSequence]:
        """Open the data set."""
        return TapVid(self.root)

    def data(self) -> dict[str, Any]:
        """Return the facts of the data, with the name of a released set that is known by its videos."""
        names = sorted(sequence.name for sequence in self.data_set)
        is_davis = names == sorted(DAVIS_VIDEOS.split())
        return super().data() | ({"set": "davis"} if is_davis else {})

    def start(self, extractor: nn.Module, context: RunContext) -> Evaluation:
        """Begin a run; see `Benchmark`."""
        return TapVidEvaluation(context, PointTracker(extractor, *context.protocols), self.sequences, self.predictions)


@dataclass(frozen=True)
class BadjaBenchmark(TapVidBenchmark):
    """Track the joints of BADJA's animals without training, and score them by PCK and TAP-Vid's metrics.

    Logs, as fractions, the scores of `TapVidBenchmark`: `badja/average_pts_within_thresh`, …; and
    `badja/PCK@0.2`: joints within 0.2 times the square root of the animal's area (see `area_counts`). A joint is
    followed from the first frame in which it is visible. Files as for `TapVidBenchmark`.

    Paper: Biggs et al., Creatures Great and SMAL (ACCV 2018).

    Args:
        root: BADJA's folder, see `Badja`.
        protocol: see `TapVidBenchmark`.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: for an unknown protocol, or changes out of range.
    """

    default_name = "badja"
    score_names = ("PCK@0.2", *TapVidBenchmark.score_names)

    def read(self) -> Sequence[PointSequence]:
        """Open the data set."""
        return Badja(self.root)


class TapVidEvaluation(Evaluation):
    """Track and score the queries of the videos, separately for every map of the extractor.

    Args:
        context: ranks and folder of the run.
        tracker: tracks points by its protocols.
        sequences: all videos of the data set; if all have masks, scores relative to the object's area are added.
        predictions: write the predicted tracks.
    """

    def __init__(
        self, context: RunContext, tracker: PointTracker, sequences: Sequence[PointSequence], predictions: bool
    ) -> None:
        self._protocol = tracker.protocols[-1]
        mode, self._with_areas = self._protocol.query_mode, all(sequence.masks for sequence in sequences)
        points, self._limits = ([kind(mode) for _ in tracker.stages] for kind in (TrackRows, PointRows))
        super().__init__(context, [*points, *self._limits], tracker, predictions)
        self._positions = {sequence.name: position for position, sequence in enumerate(sequences)}
        longest = max(sequence.num_frames for sequence in sequences)
        self._over_time = np.zeros((1 + len(PIXEL_THRESHOLDS), longest), np.int64)  # see `counts_over_time`

    def follow(self, sequence: PointSequence) -> None:
        """Follow and score the points of a video; see `Evaluation`."""
        protocol = self._protocol
        queries = sample_queries(
            sequence.occluded, sequence.points * protocol.scored_size, protocol.query_mode, protocol.query_stride
        )
        frames = sequence.num_frames
        found = self.tracker.track(
            lambda first: map(sequence.frame, range(first, frames)),
            frames,
            sequence.size,
            queries.points,
            both_directions=protocol.query_mode == "strided",
        )
        where: dict[str, Any] = {"name": sequence.name, "position": self._positions[sequence.name]}
        own = sequence.size[1] / protocol.scored_size, sequence.size[0] / protocol.scored_size
        areas = np.array([sequence.area(t) for t in range(frames)]) if self._with_areas else None
        for folder, tracks in zip(self.prediction_folders(), found, strict=False):
            write_prediction(folder, sequence, queries, tracks)
        for index, tracks in enumerate(found):
            points, occluded = tracks.points.numpy(), tracks.occluded.numpy()
            self.metrics[index].update(queries, occluded, points, pixel=own, areas=areas, **where)
            nearest = nearest_centres(queries.tracks, self.tracker.grids[index], protocol.scored_size)
            self._limits[index].update(queries, queries.occluded, nearest, **where)
        errors = np.linalg.norm(points - queries.tracks, axis=-1)  # of the last map, as the animations
        scored = ~queries.occluded & queries.scored(protocol.query_mode)
        since = np.abs(np.arange(frames) - queries.frames).astype(int)
        self._over_time += counts_over_time(since[scored], errors[scored], self._over_time.shape[1])
        if self.context.folder is not None and len(queries):
            at_own_size = replace(queries, tracks=queries.tracks * own)
            self._draw(self.context.folder, sequence, at_own_size, points * own, occluded, errors, scored)

    def _draw(
        self,
        folder: Path,
        sequence: PointSequence,
        queries: PointQueries,
        points: NDArray[np.float64],
        occluded: NDArray[np.bool_],
        errors: NDArray[np.float64],
        scored: NDArray[np.bool_],
    ) -> None:
        """Animate the tracks, in pixels of the frame; and the worst tracks with their ground truth."""
        frames = sequence.num_frames
        chosen = np.unique(np.linspace(0, len(queries) - 1, DRAWN).round().astype(int))
        mean = np.where(scored, np.minimum(errors, self._protocol.scored_size), 0).sum(1) / scored.sum(1).clip(1)
        worst = np.sort(np.argsort(-mean, kind="stable")[:WORST_SHOWN])

        def record(kind: str, shown: NDArray[np.int64], truth: NDArray[np.float64] | None) -> SequenceWriter:
            colours = distinct_colours(len(points[shown]))

            def draw(frame: Tensor, t: int) -> NDArray[np.uint8]:
                return overlay_tracks(frame, points[shown], occluded[shown], t, colours, truth, queries.occluded[shown])

            overlay = None if kind else folder / "overlays" / f"{sequence.name}.png"
            return SequenceWriter(
                frames, draw, overlay=overlay, animation=SequenceAnimation(folder, sequence.name, frames, kind)
            )

        truth_of_worst = queries.tracks[worst]
        with record("", chosen, None) as all_tracks, record("worst tracks", worst, truth_of_worst) as worst_tracks:
            for t in range(frames):
                frame = sequence.frame(t)
                for each in (all_tracks, worst_tracks):
                    each.add(frame, [t])
            for each in (all_tracks, worst_tracks):
                each.close(over_frames(errors, scored))
        self.keep_overlay(sequence.name, all_tracks)

    def scores_of_stage(self, index: int) -> ScoresOfStage:
        """Return the scores, and warn of undefined measures; see `Evaluation`."""
        metric = self.metrics[index]
        undefined, scores = metric.undefined(), metric.compute()
        bound = self._limits[index].compute()["average_pts_within_thresh"]
        if undefined and self.context.ranks.rank == 0:
            left_out = ", ".join(sorted({name for names in undefined.values() for name in names}))
            said = "%s: videos with nothing to score (0/0) are left out of those means: %s"
            log.warning(said, ", ".join(undefined), left_out)
        by_area = [AREA_PCK] if AREA_PCK in scores else []
        columns = ["Queries", *METRICS, *by_area]
        rows = [(video, part, {key: own[key] for key in columns}) for video, part, own in metric.values()]
        found = {key: scores[key] for key in (*by_area, *SCORES) if key in columns} | {LIMIT: bound}
        return (found, rows, metric.without()) if rows else ({}, rows, {})

    def charts(self) -> list[Chart]:
        """Return a chart of visible points within the thresholds by frames from their query; see `Evaluation`."""
        total = np.sum(self.context.ranks.gather(self._over_time), axis=0)
        frames = np.flatnonzero(total[0])
        curves: dict[str, Curve] = {
            f"within {threshold} px": (frames.tolist(), (within[frames] / total[0, frames]).tolist())
            for threshold, within in zip(PIXEL_THRESHOLDS, total[1:], strict=True)
        }
        return [Chart("Error over time", "frames from the query", "visible points", curves)] if len(frames) else []

    def finish(self, folder: Path) -> None:
        """Write per_track.csv; see `Evaluation`."""
        for stage, metric in zip(self.stages, self.metrics, strict=False):
            write_tracks(folder / stage / "per_track.csv", metric.per_track(), METRICS)

    def data(self) -> dict[str, Any]:
        """Return the feature grid and the videos with 0/0; see `Evaluation`."""
        side = self._protocol.scored_size
        grids = [
            f"{rows} x {columns} cells of {side / rows:g} x {side / columns:g} px"
            for rows, columns in self.tracker.grids
        ]
        undefined = {stage: metric.undefined() for stage, metric in zip(self.stages, self.metrics, strict=False)}
        return super().data() | {
            "grid": grids[0] if len(grids) == 1 else grids,
            "undefined": undefined.get("", undefined),
        }


def write_prediction(folder: Path, sequence: PointSequence, queries: PointQueries, found: PointTracks) -> None:
    """Write the tracks of a video as .npz, with the arguments of TAP-Vid's official function."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / f"{sequence.name}.npz",
        query_points=queries.points,
        tracks=found.points.numpy(),
        occluded=found.occluded.numpy(),
        target_points=queries.tracks,
        target_occluded=queries.occluded,
        trackgroup=queries.track,
    )


def counts_over_time(since: NDArray[np.int64], errors: NDArray[np.float64], frames: int) -> NDArray[np.int64]:
    """Count scored points by frames from their query, and the points within the five thresholds: (6, frames)."""
    near = [np.full(len(errors), True), *(errors < threshold for threshold in PIXEL_THRESHOLDS)]
    return np.stack([np.bincount(since[each], minlength=frames) for each in near])


def nearest_centres(tracks: NDArray[Any], grid: tuple[int, int], side: int) -> NDArray[np.float64]:
    """Move x, y `(…, 2)` in pixels of a picture of `side` x `side` to the centre of the nearest of `grid` cells."""
    cells = np.array(grid[::-1])
    size = side / cells
    return (np.clip(np.floor(tracks / size), 0, cells - 1) + 0.5) * size


def over_frames(errors: NDArray[np.float64], scored: NDArray[np.bool_]) -> dict[str, Curve]:
    """Return the fractions of scored points within 4 and 16 px by frame; NaN for a frame without scored points."""
    total = scored.sum(0)
    curves: dict[str, Curve] = {}
    for threshold in (4, 16):
        with np.errstate(invalid="ignore"):
            curves[f"within {threshold} px"] = range(len(total)), ((errors < threshold) & scored).sum(0) / total
    return curves


def write_tracks(path: Path, tracks: dict[str, dict[str, NDArray[np.float64]]], keys: Sequence[str]) -> None:
    """Write the scores of all queries as CSV, by video and with the worst queries first; 0/0 is empty."""
    rows: list[list[Any]] = [["Sequence", "Query", *keys]]
    for name, scores in tracks.items():
        for query in np.argsort(scores["average_pts_within_thresh"], kind="stable"):
            values = (scores[key][query] for key in keys)
            rows.append([name, int(query), *(None if np.isnan(value) else float(value) for value in values)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, csv_text(rows))
