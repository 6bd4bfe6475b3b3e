"""Human pose propagation on JHMDB: 15 joints as heat-maps, scored by the percentage of correct keypoints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..datasets import Jhmdb, KeypointSequence
from ..datasets.jhmdb import JOINTS
from ..functional import PropagationProtocol
from ..metrics.keypoints import keypoint_distances, pck_counts, pck_of_joints, pck_scores
from ..results.page import Chart
from ..results.pictures import overlay_joints
from ..results.pictures.animations import Curve
from ..results.result import Row
from ..tracking.frame_encoder import Output
from ..tracking.label_tracker import LabelTracker, PointCoding
from ..tracking.record import PredictionTable, RunWriter, files_of, fixed
from .base import Benchmark
from .run import Scorer

CURVE_THRESHOLDS = (0.1, 0.2)
"""Thresholds in the report, the first thresholds of the metric."""


@dataclass(frozen=True)
class JhmdbBenchmark(Benchmark):
    """Score propagated joints on JHMDB by the percentage of correct keypoints.

    The protocol says how heat-maps are drawn and read, and which joints count. `vfs` counts joints that it predicts,
    and includes the given first frame; `vidcorr` counts joints annotated inside the picture, without the first frame.
    CRW's counting is a change of either protocol (`keypoint_counting: crw`): CRW names no other values for JHMDB.

    Logs `jhmdb/PCK@0.1` … `jhmdb/PCK@0.5`. Files: results.json, per_sequence.csv, predicted joints as a CSV file per
    clip, overlays.

    Papers: Jhuang et al., Towards Understanding Action Recognition (ICCV 2013); VFS, section 4.2.

    Args:
        root: folder with Rename_Images, joint_positions and splits.
        split: 1, 2 or 3; results are reported on 1.
        subset: "test" or "train".
        protocol: name of a protocol for JHMDB, or a protocol.

    Raises:
        DataError: when the data are first read, with the name of the file.
    """

    default_name = "jhmdb"
    score_names = ("PCK@0.1", "PCK@0.2", "PCK@0.3", "PCK@0.4", "PCK@0.5")
    protocols_like = ("jhmdb",)
    ranked_by = ("PCK@0.1",)
    protocol_kind = PropagationProtocol
    shares_passes = True
    pooled = True
    recorded = ("split", "subset")
    animations_show = (
        "propagated joints; those of the first frame are its annotation as read from the heat-maps, up to 1 px away"
    )

    root: str | Path
    split: Literal[1, 2, 3] = 1
    subset: Literal["test", "train"] = "test"
    protocol: str | PropagationProtocol = "vfs"

    def read(self) -> Sequence[KeypointSequence]:
        """Open the data set."""
        return Jhmdb(self.root, self.split, self.subset)

    def scorer(self, extractor: nn.Module, protocols: Sequence[Any]) -> "JointScorer":
        """Return the scorer of a run."""
        return JointScorer(extractor, LabelTracker(extractor, protocols))

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return PCK at every threshold: joints are counted over all clips before they are divided."""
        return pck_scores(self.counts_of(rows, "joints"))

    def charts(self, rows: Sequence[Row]) -> list[Chart]:
        """Return a chart of PCK by joint."""
        of_joints = pck_of_joints(self.counts_of(rows, "joints"))
        bars: dict[str, Curve] = {}
        for threshold, fractions in zip(CURVE_THRESHOLDS, of_joints.tolist(), strict=False):
            bars[f"PCK@{threshold:g}"] = range(len(JOINTS)), fractions
        return [Chart("Each joint", "joint", ", ".join(bars), bars, JOINTS, "bars")]


class JointScorer(Scorer):
    """Propagates the joints of clips and scores them by PCK."""

    tracker: LabelTracker

    def score(self, sequence: KeypointSequence, writer: RunWriter | None) -> Iterator[tuple[Output, Row]]:
        """Track and score a clip; its row counts the joints."""
        annotated = torch.from_numpy(sequence.points)
        found: list[list[Tensor]] = []
        with files_of(writer, sequence, overlay_joints, partial(_table_of, sequence)) as files:
            for frame, joints in self._tracked(sequence, annotated[0]):
                if files is not None:
                    files.add(frame, joints, truth=annotated[len(found)])
                found.append(joints)
            predictions = list(map(torch.stack, zip(*found, strict=True)))
            if files is not None:
                files.close(self._curves(predictions[-1], sequence))
        for output, prediction in zip(self.outputs, predictions, strict=True):
            counting = output.protocol.keypoint_counting
            counts = pck_counts(prediction, annotated, counting=counting, size=sequence.size).tolist()
            values = pck_scores([counts])
            yield output, Row(video=sequence.name, stage=output.stage, values=values, counts={"joints": counts})

    def _tracked(self, sequence: KeypointSequence, first: Tensor) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Yield frames with the joints of each output; frame 0 has the joints read back from its heat-maps, as in VFS.

        Args:
            sequence: a clip.
            first: x, y `(K, 2)` of the annotated joints in frame 0, pixels.
        """
        sizes = self.tracker.sizes(sequence.size)
        for t, tracked in enumerate(self.tracker.track_points(sequence.read(), first, sizes)):
            joints = tracked.decoded
            if t == 0:
                reread = partial(PointCoding(sizes).reread, first)
                joints = list(map(reread, tracked.labels, self.tracker.protocols))
            yield tracked.frame, joints

    def _curves(self, prediction: Tensor, sequence: KeypointSequence) -> dict[str, Curve]:
        """Return the curves of the last output: the fraction of joints within each threshold, frame by frame."""
        counting = self.tracker.protocols[-1].keypoint_counting
        distances = keypoint_distances(prediction, sequence.points, counting, sequence.size)
        curves: dict[str, Curve] = {}
        for threshold in CURVE_THRESHOLDS:
            near = (distances <= threshold).double().where(~distances.isnan(), torch.nan)
            curves[f"PCK@{threshold:g}"] = range(sequence.num_frames), near.nanmean(1).tolist()
        return curves


def _table_of(sequence: KeypointSequence, folder: Path) -> PredictionTable:
    """Return the table of a clip's joints in a folder of predictions."""
    stems = [frame.stem for frame in sequence.frames]
    return PredictionTable(folder / f"{sequence.name}.csv", stems, _rows, columns=("frame", "joint", "x", "y"))


def _rows(stem: str, joints: Tensor) -> list[list[str]]:
    rows: list[list[str]] = []
    for name, position in zip(JOINTS, joints.tolist(), strict=True):
        rows.append([stem, name, *fixed(position, 3)])
    return rows
