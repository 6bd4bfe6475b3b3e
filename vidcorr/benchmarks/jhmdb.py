"""Human pose propagation on JHMDB: 15 joints as heat-maps, scored by the percentage of correct keypoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..datasets import Jhmdb, KeypointSequence
from ..datasets.jhmdb_files import JOINTS
from ..functional import decode_keypoints, encode_keypoints
from ..functional.propagation.coding import Size
from ..metrics.declared import fractions
from ..metrics.keypoints import keypoint_distances, pck_counts, pck_scores
from ..protocols import JointProtocol
from ..results.csv_files import csv_text, fixed
from ..results.pictures import overlay_joints
from ..results.pictures.animations import Curve
from ..results.result import Row
from ..tracking.frame_encoder import FrameEncoder
from ..tracking.labels import PointCoding, first_only, follow_labels
from .base import Benchmark, counts_of
from .output import Output, SequencePictures

CAPTION = "propagated joints; those of the first frame are its annotation as read from the heat-maps, up to 1 px away"
# thresholds in the report, the first thresholds of the metric
CURVE_THRESHOLDS = (0.1, 0.2)


@dataclass(frozen=True)
class JhmdbBenchmark(Benchmark):
    """Score propagated joints on JHMDB by the percentage of correct keypoints.

    The protocol says how heat-maps are drawn and read, and which joints count. `vfs` counts joints that it predicts,
    and includes the given first frame; `vidcorr` counts joints annotated inside the picture, without the first frame.
    `crw` counts joints that it predicts, without the first frame.

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

    name = "jhmdb"
    conditions: ClassVar[Mapping[str, str]] = {"split": "split {}", "subset": "{}"}
    declared = fractions("PCK@0.1", "PCK@0.2", "PCK@0.3", "PCK@0.4", "PCK@0.5")
    protocol_class = JointProtocol
    pooled = True

    root: str | Path
    split: Literal[1, 2, 3] = 1
    subset: Literal["test", "train"] = "test"
    protocol: str | JointProtocol = "vfs"

    def read(self) -> Sequence[KeypointSequence]:
        return Jhmdb(self.root, self.split, self.subset)

    def score(self, sequence: KeypointSequence, encoder: FrameEncoder, output: Output) -> list[Row]:
        """Propagate the joints of a clip, write and score them; frame 0's are read back from heat-maps, as in VFS."""
        annotated = torch.from_numpy(sequence.points)
        protocol = encoder.protocol
        joints_of_frames: list[Tensor] = []
        pictures = SequencePictures(output, sequence, overlay_joints, caption=CAPTION)
        # seen: the size of the frames that reach the encoder, since a benchmark does not reduce them first
        coding = PointCoding(encoder, size=sequence.size, seen=sequence.size)
        # only frame 0 comes with joints
        frames = first_only(sequence.read(), annotated[0])
        for t, tracked in enumerate(follow_labels(frames, coding, type(self).propagator)):
            joints = tracked.decoded
            if t == 0:
                covered_size = encoder.input_sizes(sequence.size).covered
                joints = first_joints_decoded(annotated[0], tracked.labels, covered_size, protocol)
            with encoder.watch("write"):
                pictures.add(tracked.frame, joints, truth=annotated[t])
            joints_of_frames.append(joints)
        prediction = torch.stack(joints_of_frames)
        distances = keypoint_distances(prediction, sequence.points, protocol.keypoint_counting, sequence.size)
        pictures.close(pck_curves(distances))
        lines = [["frame", "joint", "x", "y"]]
        for frame, positions in zip(sequence.frames, prediction.tolist(), strict=True):
            for name, position in zip(JOINTS, positions, strict=True):
                lines.append([frame.stem, name, *fixed(position, 3)])
        output.text(f"predictions/{sequence.name}.csv", csv_text(lines))
        counts = pck_counts(prediction, annotated, counting=protocol.keypoint_counting, size=sequence.size).tolist()
        return [Row(video=sequence.name, values=pck_scores([counts]), counts={"joints": counts})]

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return PCK at every threshold: joints are counted over all clips before they are divided."""
        return pck_scores(counts_of(rows, "joints"))


def pck_curves(distances: Tensor) -> dict[str, Curve]:
    """Return a curve for each of `CURVE_THRESHOLDS`: the fraction of correct joints in each frame.

    Example:
        >>> pck_curves(torch.tensor([[0.05, 0.15], [0.3, torch.nan]]))
        {'PCK@0.1': (range(0, 2), [0.5, 0.0]), 'PCK@0.2': (range(0, 2), [1.0, 0.0])}
    """
    curves: dict[str, Curve] = {}
    for threshold in CURVE_THRESHOLDS:
        is_near = (distances <= threshold).double().where(~distances.isnan(), torch.nan)
        curves[f"PCK@{threshold:g}"] = range(len(distances)), is_near.nanmean(1).tolist()
    return curves


def first_joints_decoded(points: Tensor, heatmaps: Tensor, covered_size: Size, protocol: JointProtocol) -> Tensor:
    """Return x, y `(K, 2)` of frame 0 decoded from heat-maps, drawn anew at `covered_size` for pixels (VFS's code)."""
    if protocol.keypoint_unit == "pixel":
        heatmaps = encode_keypoints(points, covered_size, covered_size, protocol)
    return decode_keypoints(heatmaps, covered_size, protocol)
