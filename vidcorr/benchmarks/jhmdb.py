"""Human pose propagation on JHMDB: 15 joints as heat-maps, scored by the percentage of correct keypoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..datasets import Jhmdb, KeypointSequence
from ..datasets.jhmdb import JOINTS
from ..functional import PropagationProtocol
from ..metrics.keypoints import KeypointRows, keypoint_distances
from ..results.page import Chart
from ..results.pictures import overlay_joints
from ..results.pictures.overlays import Curve
from ..tracking.label_tracker import LabelTracker, PointCoding
from ..tracking.record import PredictionTable, fixed
from .base import Benchmark
from .evaluation import Evaluation, RunContext

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

    def start(self, extractor: nn.Module, context: RunContext) -> "JointEvaluation":
        """Begin a run; see `Benchmark`."""
        tracker = LabelTracker(extractor, context.protocols)
        metrics = [KeypointRows(counting=protocol.keypoint_counting) for protocol in tracker.protocols]
        return JointEvaluation(context, metrics, tracker, self.predictions)


class JointEvaluation(Evaluation):
    """Follow the joints of the clips by label propagation and score them by PCK."""

    def follow(self, sequence: KeypointSequence) -> None:
        """Follow and score a clip; see `Evaluation`."""
        view, annotated = self.tracker.view(sequence.size), torch.from_numpy(sequence.points)
        stems, columns = [frame.stem for frame in sequence.frames], ("frame", "joint", "x", "y")
        files = [
            PredictionTable(folder / f"{sequence.name}.csv", stems, _rows, columns)
            for folder in self.prediction_folders()
        ]
        found: list[list[Tensor]] = []
        with self.record(sequence, overlay_joints, files) as record:
            for t, tracked in enumerate(self.tracker.track_points(sequence.read(), annotated[0], view)):
                joints = tracked.decoded
                if t == 0:  # VFS reads the joints back from the annotation's heat-map
                    pairs = zip(tracked.labels, self.tracker.protocols, strict=True)
                    joints = [PointCoding(view).reread(annotated[0], labels, protocol) for labels, protocol in pairs]
                found.append(joints)
                record.add(tracked.frame, joints, truth=annotated[t])
            predictions = [torch.stack(of_stage) for of_stage in zip(*found, strict=True)]
            record.close(self._curves(predictions[-1], sequence))
        for metric, prediction in zip(self.metrics, predictions, strict=True):
            metric.update(prediction, annotated, name=sequence.name, size=sequence.size)

    def charts(self) -> list[Chart]:
        """Return a chart of PCK by joint, of the last stage; see `Evaluation`."""
        of_joints = self.metrics[-1].per_joint()
        measures = [f"PCK@{threshold:g}" for threshold in CURVE_THRESHOLDS]
        bars = {name: (range(len(JOINTS)), row.tolist()) for name, row in zip(measures, of_joints, strict=False)}
        return [Chart("Each joint", "joint", ", ".join(bars), bars, JOINTS, "bars")]

    def _curves(self, prediction: Tensor, sequence: KeypointSequence) -> dict[str, Curve]:
        """Return the fraction of joints within the thresholds, by frame."""
        distances = keypoint_distances(prediction, sequence.points, self.metrics[-1].counting, sequence.size)
        curves: dict[str, Curve] = {}
        for threshold in CURVE_THRESHOLDS:
            near = (distances <= threshold).double().where(~distances.isnan(), torch.nan)
            curves[f"PCK@{threshold:g}"] = range(sequence.num_frames), near.nanmean(1).tolist()
        return curves


def _rows(stem: str, joints: Tensor) -> list[list[str]]:
    return [[stem, name, *fixed(position, 3)] for name, position in zip(JOINTS, joints.tolist(), strict=True)]
