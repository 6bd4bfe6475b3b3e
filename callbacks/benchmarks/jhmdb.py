"""Human pose propagation on JHMDB: 15 joints as heat-maps, scored by the percentage of correct keypoints."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from datamodules.datasets import Jhmdb, KeypointSequence
from datamodules.datasets.jhmdb import JOINTS
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.labels import decode_keypoints, encode_keypoints
from lightning_modules.functional.propagation.sizing import Size

from ..metrics import PCK
from ..metrics.keypoints import keypoint_distances
from ..pictures import Picture, contact_sheet, evenly_spaced, overlay_joints, write_picture
from ..report import Chart, Film
from ..report.material import Curve
from ..tracking.label_propagation import LabelPropagation
from .ranks import Ranks

FRAMES_IN_OVERLAY = 5
SHOWN = (0.1, 0.2)
"""Thresholds in the report, the first ones of the metric."""


class JhmdbBenchmark(LabelPropagation):
    """Percentage of correct keypoints of propagated joints on JHMDB, split 1.

    The protocol says how heat-maps are drawn and read, and which joints count: `vfs` counts those that it predicts, the
    given first frame included; `vidcorr` all that are annotated inside the picture, the first frame left out. CRW's
    counting is a change of either (`keypoint_counting: crw`): its source names no other values for JHMDB.

    Logs `jhmdb/PCK@0.1` … `jhmdb/PCK@0.5`. Files: results.json, per_sequence.csv, the predicted joints of each clip as
    CSV, overlays.

    Papers: Jhuang et al., Towards Understanding Action Recognition (ICCV 2013); VFS, section 4.2.

    Args:
        root: folder with Rename_Images, joint_positions and splits.
        split: 1, 2 or 3; results are reported on 1.
        subset: "test" or "train".
        predictions: write the predicted joints.
        kwargs: those of `LabelPropagation`: protocol, changes, stage, stride, every_n_epochs, output_dir, …

    Raises:
        DataError: when the data are first read, one line that names the file.
    """

    name = "jhmdb"
    protocols_like = ("jhmdb",)
    ranked_by = ("PCK@0.1",)
    films_show = "propagated joints; the first frame's are the annotation"

    def __init__(
        self,
        root: str | Path,
        split: Literal[1, 2, 3] = 1,
        subset: Literal["test", "train"] = "test",
        predictions: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.root, self.split, self.subset, self.predictions = root, split, subset, predictions
        self.metrics: list[PCK] = []

    def read(self) -> Sequence[KeypointSequence]:
        """See `BenchmarkCallback`."""
        return Jhmdb(self.root, self.split, self.subset)

    def start(self, extractor: nn.Module, ranks: Ranks) -> None:
        """See `BenchmarkCallback`."""
        super().start(extractor, ranks)
        counting = self.protocol.keypoint_counting
        arguments: dict[str, Any] = {"process_group": ranks.group, "sync_on_compute": False}
        self.metrics = [PCK(counting=counting, **arguments) for _ in self.stages]

    def run(self, extractor: nn.Module, sequence: KeypointSequence) -> None:
        """See `BenchmarkCallback`."""
        folder = self.folder
        chosen = evenly_spaced(sequence.num_frames, FRAMES_IN_OVERLAY) if folder else []
        found: list[list[Tensor]] = [[] for _ in self.stages]
        pictures: list[Picture] = []
        film = Film(folder, sequence.name, sequence.num_frames) if folder else None
        for t, (frame, points) in enumerate(predict_joints(self, extractor, sequence)):
            for of_stage, joints in zip(found, points, strict=True):
                of_stage.append(joints)
            if t in chosen:
                pictures.append(overlay_joints(frame, points[-1]))
            if film is not None and film.wants(t):
                film.add(overlay_joints(frame, points[-1]))
        for stage, metric, of_stage in zip(self.stages, self.metrics, found, strict=True):
            prediction = torch.stack(of_stage)
            metric.update(prediction, torch.from_numpy(sequence.points), name=sequence.name, size=sequence.size)
            if folder is not None and self.predictions:
                path = folder / stage / "predictions" / f"{sequence.name}.csv"
                write_joints(path, [frame.stem for frame in sequence.frames], prediction)
        if film is not None:
            film.close(self._curves(torch.stack(found[-1]), sequence))
        if folder is not None:
            sheet = contact_sheet(pictures, columns=len(pictures))
            self.keep(sequence.name, sheet)
            write_picture(folder / self.stages[-1] / "overlays" / f"{sequence.name}.png", sheet)

    def scores_of(self, stage: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """See `LabelPropagation`."""
        metric = self.metrics[stage]
        with metric.sync_context():
            rows, shares = list(metric.rows()), metric.per_joint()
            scores = metric.compute() if rows else {}
        measures = [f"PCK@{threshold:g}" for threshold in SHOWN]
        bars = {name: (range(len(JOINTS)), share.tolist()) for name, share in zip(measures, shares, strict=False)}
        self.charts = [Chart("Each joint", "joint", ", ".join(bars), bars, JOINTS, "bars")] if rows else []
        return scores, rows

    def _curves(self, prediction: Tensor, sequence: KeypointSequence) -> dict[str, Curve]:
        """The share of a frame's joints within each threshold."""
        counting = self.protocol.keypoint_counting
        distances = keypoint_distances(prediction, sequence.points, counting, sequence.size)
        curves: dict[str, Curve] = {}
        for threshold in SHOWN:
            near = (distances <= threshold).double().where(~distances.isnan(), torch.nan)
            curves[f"PCK@{threshold:g}"] = range(sequence.num_frames), near.nanmean(1).tolist()
        return curves

    def about(self) -> dict[str, Any]:
        """See `BenchmarkCallback`."""
        return {"split": self.split, "subset": self.subset, **super().about()}


def predict_joints(
    benchmark: LabelPropagation, extractor: nn.Module, sequence: KeypointSequence
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Follow the joints of a clip's first frame.

    Args:
        benchmark: whose protocols and stopwatch are used; `start` has been called.
        extractor: see `build_feature_extractor`.
        sequence: the clip; of its joints only those of the first frame are used.

    Yields:
        The frame, uint8 `(3, H, W)`, and x, y in pixels `(15, 2)` per stage, on the CPU; (−1, −1): not found. Those of
        the first frame are read from the annotation's own heat-map, as VFS does.
    """
    last: list[Tensor] = []
    covered = benchmark.covered(sequence.size)
    first = torch.from_numpy(sequence.points[0])

    def frames() -> Iterator[Tensor]:
        for frame in sequence.read():
            last[:] = [frame]
            yield frame

    def encode(t: int, grid: Size, protocol: PropagationProtocol) -> Tensor | None:
        if t > 0:
            return None
        return encode_keypoints(first, covered, grid, protocol.keypoint_sigma, protocol.keypoint_unit)

    for t, labels in enumerate(benchmark.propagate(extractor, frames(), encode)):
        with benchmark.stopwatch("decode joints", labels[0].device):
            points = []
            for heatmaps, protocol in zip(labels, benchmark.protocols, strict=True):
                if t == 0 and protocol.keypoint_unit == "pixel":
                    heatmaps = encode_keypoints(first, covered, covered, protocol.keypoint_sigma)
                found = decode_keypoints(heatmaps, covered, protocol.keypoint_topk, protocol.keypoint_grid)
                points.append(found.cpu())
        yield last[0], points


def write_joints(path: Path, frames: Sequence[str], points: Tensor) -> None:
    """Write `(T, 15, 2)` x, y in zero-based pixels as CSV, one line for each joint of each frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "joint", "x", "y"])
        for frame, joints in zip(frames, points.tolist(), strict=True):
            writer.writerows([frame, name, f"{x:.3f}", f"{y:.3f}"] for name, (x, y) in zip(JOINTS, joints, strict=True))
