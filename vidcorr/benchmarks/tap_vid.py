"""Point tracking on TAP-Vid by the features of an extractor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..datasets import PointSequence, TapVid
from ..datasets.tap_vid_files import DAVIS_VIDEOS
from ..functional import PointTracks
from ..metrics.declared import fractions
from ..metrics.point_tracking import METRICS, WITHIN, PointQueries, sample_queries, tapvid_counts, track_scores
from ..protocols import PointProtocol
from ..results.pictures.animations import Curve
from ..results.pictures.overlays import distinct_colours, evenly_spaced, overlay_tracks
from ..results.result import Row
from ..tracking.frame_encoder import FrameEncoder
from ..tracking.point_following import follow_points
from .base import Benchmark
from .output import Output, SequencePictures

DRAWN = 40

SCORES: tuple[str, ...] = ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy", *WITHIN)
"""Logged measures; the files also have the Jaccard index at every threshold."""

LIMIT = "grid_limit"
"""`average_pts_within_thresh` of the true tracks, moved to the nearest cell centres: the limit of an argmax."""

CAPTION = "tracks that were found; a cross where a point is said to be hidden; white, the truth"


@dataclass(frozen=True)
class TapVidBenchmark(Benchmark):
    """Score points tracked without training on TAP-Vid: DAVIS, RGB-Stacking, Kinetics, RoboTAP, a user's videos.

    Logs, as fractions, `tap_vid/average_jaccard` (AJ), `tap_vid/average_pts_within_thresh` (δ_avg),
    `tap_vid/occlusion_accuracy` (OA), `tap_vid/pts_within_1` … `_16`; and `tap_vid/grid_limit`, the δ_avg that the
    feature grid allows an argmax. If the protocol has no occlusion rule, all points are predicted visible: OA is then
    the fraction of visible points, which depends on the annotation alone, and in AJ every hidden point counts as a
    false prediction.
    The mean of a measure leaves out videos in which it is 0/0; results.json names them. Files: results.json,
    per_sequence.csv, `predictions/<video>.npz` (arguments of the official function), overlays, animations.

    Paper: Doersch et al., TAP-Vid (NeurIPS 2022).

    Args:
        root: a released pickle or the folder of its shards; or a folder of .npz files, one per video.
        protocol: name of a point protocol, as `vidcorr protocols` lists them, or a protocol.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: for an unknown protocol, or changes out of range.
    """

    name = "tap_vid"
    conditions: ClassVar[Mapping[str, str]] = {"set": "{}"}
    protocol_class = PointProtocol
    declared = fractions(*SCORES, LIMIT)

    root: str | Path
    protocol: str | PointProtocol = "vidcorr"

    def read(self) -> Sequence[PointSequence]:
        return TapVid(self.root)

    def score(self, sequence: PointSequence, encoder: FrameEncoder, output: Output) -> list[Row]:
        """Track and score the points of a video: a row.

        Its counts are `tracks`, those of `tapvid_counts`; `limit`, their sums for the true tracks moved to the nearest
        cell centres; and `position`, the video's index in the data set.
        """
        protocol = encoder.protocol
        mode = protocol.query_mode
        side = protocol.scored_size
        queries = sample_queries(sequence.occluded, sequence.points * side, mode, protocol.query_stride)
        tracks = follow_points(
            encoder,
            video=lambda first: map(sequence.frame, range(first, sequence.num_frames)),
            frames=sequence.num_frames,
            size=sequence.size,
            queries=queries.points,
            # else a query is in the first frame that shows its point
            both_directions=mode == "strided",
        )
        if output.folder is not None:
            write_prediction(output.folder / "predictions", sequence, queries, tracks)
            if len(queries):
                draw(output, sequence, queries, tracks, protocol)
        tracked = tapvid_counts(queries, tracks.occluded.numpy(), tracks.points.numpy(), mode).tolist()
        nearest = nearest_centres(queries.tracks, encoder.grid, side)
        limit = tapvid_counts(queries, queries.occluded, nearest, mode).sum(axis=0)
        counts = {"tracks": tracked, "limit": limit.tolist(), "position": self.positions[sequence.name]}
        values = {"Queries": len(queries), **track_scores([tracked])}
        return [Row(video=sequence.name, values=values, counts=counts)]

    @cached_property
    def positions(self) -> dict[str, int]:
        return {sequence.name: position for position, sequence in enumerate(self.sequences)}

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the means over videos of `SCORES`, and as `LIMIT` the highest δ_avg of an argmax over cells.

        A mean leaves out videos in which the measure is 0/0. Videos are summed in the order of the data set, so that a
        mean equals the official code's to the last digit.
        """
        rows = sorted(rows, key=lambda row: row.counts["position"])
        means = track_scores([row.counts["tracks"] for row in rows])
        scores = {key: means[key] for key in SCORES}
        limits = track_scores([row.counts["limit"] for row in rows])
        return scores | {LIMIT: limits["average_pts_within_thresh"]}

    def facts(self, rows: Sequence[Row], encoder: FrameEncoder) -> dict[str, Any]:
        """Return `undefined`, measure → videos in which it is 0/0; `grid`; and `set`, "davis" for DAVIS's videos."""
        undefined: dict[str, list[str]] = {}
        for key in METRICS:
            names = [row.video for row in rows if np.isnan(row.values[key])]
            if names:
                undefined[key] = names
        facts: dict[str, Any] = {"undefined": undefined}
        height, width = encoder.grid
        # 0 on a rank without a video
        if height:
            side = encoder.protocol.scored_size
            facts["grid"] = f"{height} x {width} cells of {side / height:g} x {side / width:g} px"
        names = sorted(sequence.name for sequence in self.sequences)
        if names == sorted(DAVIS_VIDEOS.split()):
            facts["set"] = "davis"
        return facts


def draw(
    output: Output, sequence: PointSequence, queries: PointQueries, tracks: PointTracks, protocol: PointProtocol
) -> None:
    """Draw some tracks of a sequence, and their true points, into the pictures of the output."""
    chosen = evenly_spaced(len(queries), DRAWN)
    # pixels of the frame per pixel of the raster
    pixel = np.array(sequence.size[::-1]) / protocol.scored_size
    drawn = tracks.points.numpy()[chosen] * pixel
    occluded = tracks.occluded.numpy()[chosen]
    truth = queries.tracks[chosen] * pixel
    hidden = queries.occluded[chosen]
    colours = distinct_colours(len(chosen))

    def overlay(frame: Tensor, t: int) -> NDArray[np.uint8]:
        return overlay_tracks(frame, drawn, occluded, t, colours, truth, hidden)

    pictures = SequencePictures(output, sequence, overlay, caption=CAPTION)
    for t in range(sequence.num_frames):
        pictures.add(sequence.frame(t), t)
    pictures.close(curves_within(queries, tracks, protocol))


def curves_within(queries: PointQueries, tracks: PointTracks, protocol: PointProtocol) -> dict[str, Curve]:
    """Return curves over the frames: the fractions of a frame's scored points with errors below 4 and 16 pixels."""
    errors = np.linalg.norm(tracks.points.numpy() - queries.tracks, axis=-1)
    is_scored = ~queries.occluded & queries.scored(protocol.query_mode)
    points_of_frame = is_scored.sum(0)
    curves: dict[str, Curve] = {}
    for threshold in (4, 16):
        within = ((errors < threshold) & is_scored).sum(0)
        with np.errstate(invalid="ignore"):
            curves[f"within {threshold} px"] = range(len(within)), within / points_of_frame
    return curves


def write_prediction(folder: Path, sequence: PointSequence, queries: PointQueries, tracks: PointTracks) -> None:
    """Write the tracks of a video as .npz, with the arguments of TAP-Vid's official function."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / f"{sequence.name}.npz",
        query_points=queries.points,
        tracks=tracks.points.numpy(),
        occluded=tracks.occluded.numpy(),
        target_points=queries.tracks,
        target_occluded=queries.occluded,
        trackgroup=queries.track,
    )


def nearest_centres(tracks: NDArray[Any], grid: tuple[int, int], side: int) -> NDArray[np.float64]:
    """Move x, y `(…, 2)` in pixels of a picture of `side` x `side` to the centre of the nearest of `grid` cells.

    Example:
        >>> nearest_centres(np.array([[5.5, 5], [0, -9], [8, 9]]), grid=(2, 4), side=8)
        array([[5., 6.],
               [1., 2.],
               [7., 6.]])
    """
    cells = np.array(grid[::-1])
    size = side / cells
    return (np.clip(np.floor(tracks / size), 0, cells - 1) + 0.5) * size
