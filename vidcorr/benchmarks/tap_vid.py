"""Point tracking on TAP-Vid by the features of an extractor."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets import Badja, PointSequence, TapVid
from ..datasets.tap_vid import DAVIS_VIDEOS
from ..functional import PointProtocol, PointTracks
from ..metrics.point_measures import AREA_PCK, track_measures, track_scores
from ..metrics.point_tracking import (
    METRICS,
    PIXEL_THRESHOLDS,
    WITHIN,
    PointQueries,
    QueryMode,
    as_counts,
    fractions_of,
    sample_queries,
    tapvid_counts,
    tapvid_scores,
    undefined_measures,
)
from ..results.page import Chart
from ..results.pictures.animations import Curve, SequenceAnimation
from ..results.pictures.overlays import distinct_colours, overlay_tracks
from ..results.result import Result, Row
from ..tracking.frame_encoder import Output
from ..tracking.point_tracker import PointTracker
from ..tracking.record import RunWriter, SequenceWriter
from ..videos.files import csv_text
from .base import Benchmark
from .run import Scorer

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
        root: a released pickle or the folder of its shards; a folder written by `vidcorr unpickle`; or a folder of
            videos beside CSVs of the same names (`track,frame,x,y,occluded`).
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
        data = super().data()
        names = sorted(sequence.name for sequence in self.data_set)
        if names == sorted(DAVIS_VIDEOS.split()):
            data["set"] = "davis"
        return data

    def scorer(self, extractor: nn.Module, protocols: Sequence[Any]) -> "TrackScorer":
        """Return the scorer of a run."""
        return TrackScorer(extractor, protocols, self.under(protocols[0]))

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the means over videos; a mean leaves out videos in which the measure is 0/0."""
        means = track_scores([row.counts for row in self.in_order(rows)])
        scores: dict[str, float] = {}
        for key in (AREA_PCK, *SCORES):
            if key in means:
                scores[key] = means[key]
        limits = tapvid_scores(self.counts_of(rows, "limit"))
        return scores | {LIMIT: limits["average_pts_within_thresh"]}

    def in_order(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows in the order of the data set: a mean then equals the official code's to the last digit."""
        return sorted(super().in_order(rows), key=lambda row: row.counts["position"])

    def facts_of_rows(self, rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
        """Return the videos in which measures are 0/0; with several stages, by stage."""
        found: dict[str, Any] = {}
        for stage, of_stage in rows.items():
            found[stage] = undefined_measures({row.video: row.counts["tracks"] for row in of_stage})
        return {"undefined": found.get("", found)}

    def remarks(self, result: Result) -> list[str]:
        """Return a warning for each stage with measures that are 0/0 in some videos."""
        undefined = result.data["undefined"]
        remarks: list[str] = []
        for stage in result.stages:
            of_stage: dict[str, Sequence[str]] = undefined[stage] if stage else undefined
            if of_stage:
                videos = sorted(set().union(*of_stage.values()))
                said = "videos with nothing to score (0/0) are left out of those means"
                remarks.append(f"{', '.join(of_stage)}: {said}: {', '.join(videos)}")
        return remarks

    def charts(self, rows: Sequence[Row]) -> list[Chart]:
        """Return a chart of visible points within the thresholds by frames from their query."""
        longest = max(len(row.counts["over_time"][0]) for row in rows)
        total = np.zeros((1 + len(PIXEL_THRESHOLDS), longest), np.int64)
        for row in rows:
            counts = np.array(row.counts["over_time"], np.int64)
            total[:, : counts.shape[1]] += counts
        frames = np.flatnonzero(total[0])
        if not len(frames):
            return []
        curves: dict[str, Curve] = {}
        for threshold, within in zip(PIXEL_THRESHOLDS, total[1:], strict=True):
            curves[f"within {threshold} px"] = frames.tolist(), (within[frames] / total[0, frames]).tolist()
        return [Chart("Error over time", "frames from the query", "visible points", curves)]

    def tables(self, result: Result) -> dict[str, str]:
        """Return per_track.csv of each stage: the scores of all queries, the worst of a video first; 0/0 is empty."""
        tables: dict[str, str] = {}
        for stage in result.stages:
            lines: list[list[Any]] = [["Sequence", "Query", *METRICS]]
            for row in result.rows:
                if row.stage == stage:
                    lines += lines_of_tracks(row.video, row.counts["tracks"])
            tables[f"{stage}/per_track.csv".removeprefix("/")] = csv_text(lines)
        return tables


@dataclass(frozen=True)
class BadjaBenchmark(TapVidBenchmark):
    """Track the joints of BADJA's animals without training, and score them by PCK and TAP-Vid's metrics.

    Logs, as fractions, the scores of `TapVidBenchmark`: `badja/average_pts_within_thresh`, …; and
    `badja/PCK@0.2`: joints within 0.2 times the square root of the animal's area in the frame. A joint is
    followed from the first frame in which it is visible. It writes the files of `TapVidBenchmark`.

    Paper: Biggs et al., Creatures Great and SMAL (ACCV 2018).

    Args:
        root: BADJA's folder, which holds joint_annotations, DAVIS and extra_videos.
        protocol: name of a protocol (`fomo`, `omniprobe`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`) or a
            protocol.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: for an unknown protocol, or changes out of range.
    """

    default_name = "badja"
    score_names = ("PCK@0.2", *TapVidBenchmark.score_names)

    def read(self) -> Sequence[PointSequence]:
        """Open the data set."""
        return Badja(self.root)


class TrackScorer(Scorer):
    """Tracks and scores the queries of videos, separately for every map of the extractor.

    Args:
        extractor: the features of a network.
        protocols: a single protocol.
        benchmark: the data set, under this protocol. If all its videos have masks, scores relative to the object's
            area are added.
    """

    tracker: PointTracker

    def __init__(self, extractor: nn.Module, protocols: Sequence[PointProtocol], benchmark: TapVidBenchmark) -> None:
        super().__init__(extractor, PointTracker(extractor, protocols[0]))
        self.protocol: PointProtocol = self.tracker.protocols[-1]
        self._with_areas = all(sequence.masks for sequence in benchmark.sequences)
        self._names = [sequence.name for sequence in benchmark.sequences]

    def score(self, sequence: PointSequence, writer: RunWriter | None) -> Iterator[tuple[Output, Row]]:
        """Track and score the points of a video."""
        protocol = self.protocol
        on_raster = sequence.points * protocol.scored_size
        queries = sample_queries(sequence.occluded, on_raster, protocol.query_mode, protocol.query_stride)
        found = self.tracker.track(
            lambda first: map(sequence.frame, range(first, sequence.num_frames)),
            sequence.num_frames,
            sequence.size,
            queries.points,
            both_directions=protocol.query_mode == "strided",
        )
        for output, tracks, grid in zip(self.outputs, found, self.tracker.grids, strict=True):
            counts = self._counts(sequence, queries, tracks, grid)
            yield output, self._row(sequence, counts, output)
        if writer is not None:
            for folder, tracks in zip(writer.prediction_folders(), found, strict=False):
                write_prediction(folder, sequence, queries, tracks)
            if len(queries):
                self._draw(writer, sequence, queries, found[-1])

    def _counts(
        self, sequence: PointSequence, queries: PointQueries, tracks: PointTracks, grid: tuple[int, int]
    ) -> dict[str, Any]:
        """Return the counts of a video's row.

        Args:
            sequence: the video.
            queries: queries and annotation, pixels of the raster.
            tracks: predicted tracks, pixels of the raster.
            grid: (height, width) of the feature map in cells.

        Returns:
            The measures of `track_measures`; `limit`, the (18,) counts of the true tracks moved to the nearest cell
            centres; `over_time`, (6, frames) of `counts_over_time`; `position` of the video in the data set.
        """
        mode = self.protocol.query_mode
        areas = None
        if self._with_areas:
            areas = np.array([sequence.area(t) for t in range(sequence.num_frames)])
        pixel = self._pixel(sequence)
        points = tracks.points.numpy()
        counts = track_measures(queries, tracks.occluded.numpy(), points, mode, pixel=pixel, areas=areas)
        nearest = nearest_centres(queries.tracks, grid, self.protocol.scored_size)
        limit = tapvid_counts(queries, queries.occluded, nearest, mode).sum(axis=0)
        scored = scored_points(queries, mode)
        since = np.abs(np.arange(sequence.num_frames) - queries.frames).astype(int)
        errors = np.linalg.norm(points - queries.tracks, axis=-1)
        over_time = counts_over_time(since[scored], errors[scored], sequence.num_frames)
        position = self._names.index(sequence.name)
        return counts | {"limit": limit.tolist(), "over_time": over_time.tolist(), "position": position}

    def _row(self, sequence: PointSequence, counts: dict[str, Any], output: Output) -> Row:
        own = track_scores([counts])
        values: dict[str, Any] = {"Queries": len(counts["tracks"])}
        for key in (*METRICS, AREA_PCK):
            if key in own:
                values[key] = own[key]
        return Row(video=sequence.name, stage=output.stage, values=values, counts=counts)

    def _pixel(self, sequence: PointSequence) -> tuple[float, float]:
        """Return x and y, pixels of a video's frame per pixel of the raster."""
        height, width = sequence.size
        return width / self.protocol.scored_size, height / self.protocol.scored_size

    def _draw(self, writer: RunWriter, sequence: PointSequence, queries: PointQueries, tracks: PointTracks) -> None:
        """Animate the tracks of the last map, in pixels of the frame; and the worst tracks with their ground truth."""
        points = tracks.points.numpy()
        occluded = tracks.occluded.numpy()
        errors = np.linalg.norm(points - queries.tracks, axis=-1)
        scored = scored_points(queries, self.protocol.query_mode)
        pixel = self._pixel(sequence)
        chosen = np.unique(np.linspace(0, len(queries) - 1, DRAWN).round().astype(int))
        limited = np.where(scored, np.minimum(errors, self.protocol.scored_size), 0)
        mean = limited.sum(1) / scored.sum(1).clip(1)
        worst = np.sort(np.argsort(-mean, kind="stable")[:WORST_SHOWN])
        own_points = points * pixel
        truth_of_worst = queries.tracks[worst] * pixel
        frames = sequence.num_frames

        def record(kind: str, shown: NDArray[np.int64], truth: NDArray[np.float64] | None) -> SequenceWriter:
            colours = distinct_colours(len(shown))

            def draw(frame: Tensor, t: int) -> NDArray[np.uint8]:
                hidden = queries.occluded[shown]
                return overlay_tracks(frame, own_points[shown], occluded[shown], t, colours, truth, hidden)

            overlay = None if kind else writer.folder / "overlays" / f"{sequence.name}.png"
            animation = SequenceAnimation(writer.folder, sequence.name, frames, kind)
            return SequenceWriter(frames, draw, overlay=overlay, animation=animation)

        with record("", chosen, None) as all_tracks, record("worst tracks", worst, truth_of_worst) as worst_tracks:
            for t in range(frames):
                frame = sequence.frame(t)
                for each in (all_tracks, worst_tracks):
                    each.add(frame, [t])
            for each in (all_tracks, worst_tracks):
                each.close(over_frames(errors, scored))
        writer.keep_picture(sequence.name, all_tracks.sheet)

    def facts(self) -> dict[str, Any]:
        """Return the feature grid, and whether features were constant."""
        side = self.protocol.scored_size
        grids: list[str] = []
        for rows, columns in self.tracker.grids:
            grids.append(f"{rows} x {columns} cells of {side / rows:g} x {side / columns:g} px")
        return super().facts() | {"grid": grids[0] if len(grids) == 1 else grids}


def scored_points(queries: PointQueries, query_mode: QueryMode) -> NDArray[np.bool_]:
    """Return True for the visible points of frames that count, (N, T)."""
    return ~queries.occluded & queries.scored(query_mode)


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
    counts = [np.bincount(since, minlength=frames)]
    for threshold in PIXEL_THRESHOLDS:
        counts.append(np.bincount(since[errors < threshold], minlength=frames))
    return np.stack(counts)


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


def lines_of_tracks(name: str, counts: Any) -> list[list[Any]]:
    """Return the lines of a video in per_track.csv, its worst query first: name, query, measures; 0/0 is None.

    Args:
        name: name of the video.
        counts: (N, 18) counts of its queries, from `tapvid_counts`.
    """
    scores = fractions_of(as_counts(counts))
    lines: list[list[Any]] = []
    for query in np.argsort(scores["average_pts_within_thresh"], kind="stable"):
        line: list[Any] = [name, int(query)]
        for key in METRICS:
            value = float(scores[key][query])
            line.append(None if np.isnan(value) else value)
        lines.append(line)
    return lines
