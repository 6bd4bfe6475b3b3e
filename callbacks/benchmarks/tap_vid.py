"""Point tracking on TAP-Vid by the features of an extractor."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from datamodules.datasets import PointSequence, TapVid
from datamodules.reading.files import csv_text, write_atomically
from lightning_modules.functional.points import PointProtocol, PointTracks

from ..metrics.area_pck import AreaPCK
from ..metrics.point_tracking import METRICS, PIXEL_THRESHOLDS, PointQueries, TapVidMetrics, sample_queries
from ..pictures.animation import Curve, SequenceAnimation
from ..pictures.overlays import overlay_tracks, rainbow
from ..report import Chart
from ..tracking.point_tracker import PointTracker
from ..tracking.record import SequenceRecord
from .base import BenchmarkCallback
from .evaluation import Evaluation, Outcome, RunContext, by_stage

log = logging.getLogger(__name__)

DRAWN = 40
"""Tracks in a picture, evenly taken from all."""

WORST_SHOWN = 5
"""Tracks in the animation of the worst."""

WITHOUT_OCCLUSION = tuple(key for key in METRICS if key.startswith(("pts_within", "average_pts")))
"""Measures for a protocol without an occlusion rule; the others would only reflect how often points are visible."""

SCORES = tuple(key for key in METRICS if not key.startswith("jaccard"))
"""Measures that are logged; Jaccard at each threshold is in the files."""

LIMIT = "grid_limit"
"""Score of the true tracks moved to the nearest cell centre, `average_pts_within_thresh`: the limit of an argmax."""


class TapVidBenchmark(BenchmarkCallback):
    """Score points that are tracked without training on TAP-Vid: DAVIS, RGB-Stacking, Kinetics, RoboTAP, own videos.

    Logs, as fractions, `tap_vid/average_pts_within_thresh` (δ_avg), `tap_vid/pts_within_1` … `_16`, and where the
    protocol has an occlusion rule `tap_vid/average_jaccard` (AJ) and `tap_vid/occlusion_accuracy` (OA); in addition
    `tap_vid/grid_limit`, the δ_avg that the feature grid allows an argmax.
    A measure that is 0/0 in a video is left out of its mean; results.json names the video. Files: results.json,
    per_sequence.csv, per_track.csv, `predictions/<video>.npz` (what the official function takes), overlays,
    animations.

    Paper: Doersch et al., TAP-Vid (NeurIPS 2022).

    Args:
        root: see `TapVid`.
        protocol: name of a protocol (`fomo`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`) or a protocol.
        kwargs: those of `BenchmarkCallback`: changes (`{query_mode: strided}`), predictions, stage, stride,
            every_n_epochs, output_dir, …

    Raises:
        DataError: when the data are first read, one line that names the file.
        ValueError: for an unknown protocol, or changes out of range.
    """

    name = "tap_vid"
    score_names = (*SCORES, LIMIT)
    ranked_by = ("average_pts_within_thresh",)
    text_columns = ("Queries",)
    animations_show = "tracks that were found; a cross where a point is said to be hidden; white, the truth"

    def __init__(
        self,
        root: str | Path,
        protocol: str | PointProtocol = "vidcorr",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.root, self.protocol = root, PointProtocol.of(protocol, changes=self.changes)

    def read(self) -> Sequence[PointSequence]:
        """Open the data set; see `BenchmarkCallback`."""
        return TapVid(self.root)

    def start(self, extractor: nn.Module, context: RunContext) -> Evaluation:
        """Begin a run; see `BenchmarkCallback`."""
        positions = {sequence.name: position for position, sequence in enumerate(self.sequences)}
        tracker = PointTracker(extractor, self.protocol)
        with_areas = all(sequence.masks for sequence in self.sequences)
        return TapVidEvaluation(tracker, context, positions, self.predictions, with_areas)


class TapVidEvaluation(Evaluation):
    """Track the queries of each video and score them, for each map of the extractor.

    Args:
        tracker: with the protocols.
        context: where files go.
        positions: name of a video → its number in the data set.
        predictions: write the predicted tracks.
        with_areas: also score by the areas of the objects, which all videos know.
    """

    def __init__(
        self,
        tracker: PointTracker,
        context: RunContext,
        positions: dict[str, int],
        predictions: bool,
        with_areas: bool = False,
    ) -> None:
        super().__init__(tracker, context, predictions)
        self._positions = positions
        mode = self._protocol.query_mode
        stages = tracker.stages
        self._metrics = [TapVidMetrics(mode, **context.gathering) for _ in stages]
        self._limits = [TapVidMetrics(mode, **context.gathering) for _ in stages]
        self._by_area = [AreaPCK(mode, **context.gathering) for _ in stages] if with_areas else []
        self._undefined: dict[str, Any] = {}
        self._tracks: dict[str, tuple[Any, Sequence[str]]] = {}  # stage → rows and measures of per_track.csv
        self._over_time = np.zeros((1 + len(PIXEL_THRESHOLDS), 0), np.int64)

    @property
    def _protocol(self) -> PointProtocol:
        return self.tracker.protocols[-1]

    def follow(self, sequence: PointSequence) -> None:
        """Follow and score the points of one video; see `Evaluation`."""
        protocol = self._protocol
        queries = sample_queries(
            sequence.occluded, sequence.points * protocol.scored_size, protocol.query_mode, protocol.query_stride
        )
        both = protocol.query_mode == "strided"
        frames = sequence.num_frames

        def video(first: int) -> Iterator[Tensor]:
            return map(sequence.frame, range(first, frames))

        found = self.tracker.track(video, frames, sequence.size, queries.points, both)
        truth = queries.points, queries.occluded, queries.tracks
        where: dict[str, Any] = {"name": sequence.name, "position": self._positions[sequence.name]}
        grids = zip(self.tracker.grids, self.tracker.protocols, strict=True)
        for metric, limit, tracks, (grid, rules) in zip(self._metrics, self._limits, found, grids, strict=True):
            metric.update(*truth, tracks.occluded.numpy(), tracks.points.numpy(), **where)
            limit.update(*truth, queries.occluded, nearest_centres(queries.tracks, grid, rules.scored_size), **where)
        if self._by_area:
            self._score_by_area(sequence, queries, found)
        for stage, tracks in zip(self.tracker.stages, found, strict=True):
            self._write(sequence, queries, tracks, stage)
        errors = np.linalg.norm(found[-1].points.numpy() - queries.tracks, axis=-1)
        since = np.arange(sequence.num_frames) - queries.points[:, :1].round()
        scored = ~queries.occluded & ((since != 0) if both else (since > 0))
        self._count(np.abs(since[scored]).astype(int), errors[scored])
        if self.context.folder is not None and len(queries):
            self._draw(sequence, queries, found[-1], errors, scored)

    def _score_by_area(self, sequence: PointSequence, queries: PointQueries, found: Sequence[PointTracks]) -> None:
        own = np.array(sequence.size[::-1]) / self._protocol.scored_size
        areas = np.array([sequence.area(t) for t in range(sequence.num_frames)])
        for metric, tracks in zip(self._by_area, found, strict=True):
            positions = tracks.points.numpy() * own
            metric.update(queries.points, queries.occluded, queries.tracks * own, positions, areas, name=sequence.name)

    def _write(self, sequence: PointSequence, queries: PointQueries, found: PointTracks, stage: str) -> None:
        if self.context.folder is None or not self.predictions:
            return
        folder = self.context.folder / stage / "predictions"
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

    def _draw(
        self,
        sequence: PointSequence,
        queries: PointQueries,
        found: PointTracks,
        errors: NDArray[np.float64],
        scored: NDArray[np.bool_],
    ) -> None:
        """Draw the tracks, the worst ones together with their ground truth."""
        points, occluded = found.points.numpy(), found.occluded.numpy()
        own = np.array(sequence.size[::-1]) / self._protocol.scored_size
        chosen = np.unique(np.linspace(0, len(queries) - 1, DRAWN).round().astype(int))
        mean = np.where(scored, np.minimum(errors, self._protocol.scored_size), 0).sum(1) / scored.sum(1).clip(1)
        worst = np.sort(np.argsort(-mean, kind="stable")[:WORST_SHOWN])
        curves = over_frames(errors, scored)
        with ExitStack() as stack:
            records = [
                stack.enter_context(self._record(sequence, kind, queries, shown, points * own, occluded, own))
                for kind, shown in (("", chosen), ("worst tracks", worst))
            ]
            for t in range(sequence.num_frames):
                frame = sequence.frame(t)
                for record in records:
                    record.add(frame, [t])
            for record in records:
                record.close(curves)
        self.context.keep(sequence.name, records[0].sheet)

    def _record(
        self,
        sequence: PointSequence,
        kind: str,
        queries: PointQueries,
        shown: NDArray[np.int64],
        points: NDArray[np.float64],
        occluded: NDArray[np.bool_],
        own: NDArray[np.float64],
    ) -> SequenceRecord:
        truth = queries.tracks[shown] * own if kind else None
        colours = rainbow(queries.points[shown][:, [2, 1]])

        def draw(frame: Any, t: int) -> NDArray[np.uint8]:
            return overlay_tracks(frame, points[shown], occluded[shown], t, colours, truth, queries.occluded[shown])

        assert self.context.folder is not None
        overlay = None if kind else self.context.folder / "overlays" / f"{sequence.name}.png"
        animation = SequenceAnimation(self.context.folder, sequence.name, sequence.num_frames, kind)
        return SequenceRecord(sequence.num_frames, draw, overlay=overlay, animation=animation)

    def _count(self, since: NDArray[np.int64], errors: NDArray[np.float64]) -> None:
        """Add up, by the distance in time from the query, the points that were scored and those within thresholds."""
        longest = max(int(since.max(initial=0)) + 1, self._over_time.shape[1])
        counts = [np.bincount(since, minlength=longest)]
        counts += [np.bincount(since[errors < threshold], minlength=longest) for threshold in PIXEL_THRESHOLDS]
        before = np.pad(self._over_time, ((0, 0), (0, longest - self._over_time.shape[1])))
        self._over_time = before + np.stack(counts)

    def compute(self) -> Outcome:
        """Gather the metrics and chart the error over time; see `Evaluation`."""
        found = [self._of_stage(number, stage) for number, stage in enumerate(self.tracker.stages)]
        outcome = by_stage(self.tracker.stages, found)
        chart = self._chart(self.context.ranks.gather(self._over_time))
        return Outcome(outcome.scores, outcome.rows, [chart] if chart else [])

    def _of_stage(self, number: int, stage: str) -> tuple[dict[str, float], list[dict[str, Any]]]:
        metric, limit = self._metrics[number], self._limits[number]
        with metric.sync_context():
            rows, undefined, tracks = metric.rows(), metric.undefined(), metric.per_track()
            scores = metric.compute() if rows else {}
        with limit.sync_context():
            bound = limit.compute()["average_pts_within_thresh"] if rows else 0.0
        kept = WITHOUT_OCCLUSION if self._protocol.occlusion == "none" else METRICS
        if undefined and self.context.ranks.rank == 0:
            self._tell_undefined(undefined)
        self._undefined[stage] = {key: list(names) for key, names in undefined.items()}
        self._tracks[stage] = tracks, kept
        rows = [{key: row[key] for key in ("Sequence", "Queries", *kept)} for row in rows]
        found = {key: scores[key] for key in SCORES if key in kept} | {LIMIT: bound} if scores else {}
        for by_area in self._by_area[number : number + 1]:
            with by_area.sync_context():
                of_video = by_area.by_video()
                found = (by_area.compute() if scores else {}) | found
            for row in rows:
                row[by_area.key] = of_video[row["Sequence"]]
        return found, rows

    def pack(self, folder: Path) -> None:
        """Write per_track.csv; see `Evaluation`."""
        for stage, (tracks, kept) in self._tracks.items():
            write_tracks(folder / stage / "per_track.csv", tracks, kept)

    def _tell_undefined(self, undefined: dict[str, tuple[str, ...]]) -> None:
        names = sorted({name for videos in undefined.values() for name in videos})
        log.warning(
            "%d video(s) with nothing to score (0/0) in %s are left out of those means: %s",
            len(names),
            ", ".join(undefined),
            ", ".join(names),
        )

    def _chart(self, counts: Sequence[NDArray[np.int64]]) -> Chart | None:
        longest = max((count.shape[1] for count in counts), default=0)
        total = np.zeros((len(self._over_time), longest), np.int64)
        for count in counts:
            total[:, : count.shape[1]] += count
        if not total.any():
            return None
        frames = np.flatnonzero(total[0])
        curves: dict[str, Curve] = {
            f"within {threshold} px": (frames.tolist(), (total[1 + i, frames] / total[0, frames]).tolist())
            for i, threshold in enumerate(PIXEL_THRESHOLDS)
        }
        return Chart("Error over time", "frames from the query", "visible points", curves)

    def metadata(self) -> dict[str, Any]:
        """Return the protocol, the feature grid and the videos with 0/0; see `Evaluation`."""
        side = self._protocol.scored_size
        grids = [
            f"{rows} x {columns} cells of {side / rows:g} x {side / columns:g} px"
            for rows, columns in self.tracker.grids
        ]
        undefined = self._undefined if any(self.tracker.stages) else self._undefined.get("", {})
        return {"grid": grids[0] if len(grids) == 1 else grids, "undefined": undefined, **super().metadata()}


def nearest_centres(tracks: NDArray[Any], grid: tuple[int, int], side: int) -> NDArray[np.float64]:
    """Move x, y `(…, 2)` in pixels of a picture of `side` x `side` to the centre of the nearest of `grid` cells."""
    cells = np.array(grid[::-1])
    size = side / cells
    return (np.clip(np.floor(tracks / size), 0, cells - 1) + 0.5) * size


def over_frames(errors: NDArray[np.float64], scored: NDArray[np.bool_]) -> dict[str, Curve]:
    """Return the fraction of scored points within 4 and 16 px in each frame; NaN where none is scored."""
    total = scored.sum(0)
    curves: dict[str, Curve] = {}
    for threshold in (4, 16):
        with np.errstate(invalid="ignore"):
            curves[f"within {threshold} px"] = range(len(total)), ((errors < threshold) & scored).sum(0) / total
    return curves


def write_tracks(path: Path, tracks: dict[str, dict[str, NDArray[np.float64]]], keys: Sequence[str]) -> None:
    """Write the scores of each query as CSV, videos in order and the worst queries of each first; 0/0 is empty."""
    rows: list[list[Any]] = [["Sequence", "Query", *keys]]
    for name, scores in tracks.items():
        for query in np.argsort(scores["average_pts_within_thresh"], kind="stable"):
            values = (scores[key][query] for key in keys)
            rows.append([name, int(query), *(None if np.isnan(value) else float(value) for value in values)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, csv_text(rows))
