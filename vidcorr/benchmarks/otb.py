"""Object tracking on OTB by SiamFC, scored by one-pass evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..backbones import build_encoder
from ..backbones.extractor import Dilated
from ..backbones.networks import is_resnet
from ..datasets import BoxSequence, Otb
from ..datasets.otb import Version
from ..functional import TrackingProtocol
from ..metrics.box_tracking import ERRORS, OVERLAPS, BoxRows, box_iou
from ..results.page import Chart
from ..results.pictures import overlay_boxes
from ..tracking.record import PredictionTable, fixed
from ..tracking.siamfc_tracker import SiamFCTracker
from .base import Benchmark
from .evaluation import Evaluation, RunContext


@dataclass(frozen=True)
class OtbBenchmark(Benchmark):
    """Score SiamFC tracking on OTB by success and precision, in a single pass from the first box.

    Features are from res5; res4 and res5 have no stride, and their 3 × 3 convolutions are dilated by 2 and 4. A
    fine-tuned `SiamFC` is evaluated by its own features. The trained module stays unchanged.

    Logs `otb/success` (mean of the success curve), `otb/precision@20px` and `otb/success@0.5`. Files: results.json,
    per_sequence.csv, predictions in the text form of the GOT-10k toolkit, overlays, and the curves in report.html.

    Papers: Wu, Lim and Yang, Object Tracking Benchmark (TPAMI 2015); SiamFC; VFS, section 4.2.

    Args:
        root: folder with the sequences' folders.
        version: see `Otb`; None is every sequence in root.
        dilated: SiamFC's dilations, see `ResNetExtractor`; None is True for a ResNet without a given stride.
        video: write overlay videos.
        protocol: a protocol, or the name of a protocol with values for OTB.

    `changes` are fields of `TrackingProtocol` that differ from VFS's, without `stride` and `dilated`. Without `stage`,
    a ResNet gives res5, another network its default.

    Raises:
        ValueError: for a bad argument.
        DataError: when the data are first read, with the name of the file.
    """

    default_name = "otb"
    protocol_kind = TrackingProtocol
    score_names = ("success", "precision@20px", "success@0.5")
    ranked_by = ("success",)
    recorded = ("version",)
    animations_show = "red: the box that was tracked; white: the annotation"

    root: str | Path
    version: Version | None = "tb100"
    dilated: Dilated | None = None
    video: bool = False
    protocol: str | TrackingProtocol = "vfs"

    def __post_init__(self) -> None:
        if of_features := (self.changes or {}).keys() & {"stride", "dilated"}:
            field = min(of_features)
            raise ValueError(f"OtbBenchmark: {field} is an argument of the benchmark; set it there, not in changes")
        if self.stride is not None and self.dilated:
            raise ValueError(
                f"OtbBenchmark: dilated features have their own stride; set dilated to false for stride {self.stride}"
            )
        super().__post_init__()

    def read(self) -> Otb:
        """Open the data set."""
        return Otb(self.root, self.version)

    def extractor(self, encoder: nn.Module) -> nn.Module:
        """Return the feature extractor of an encoder, with SiamFC's dilations by `dilated`."""
        built = build_encoder(encoder)
        of_resnet = any(map(is_resnet, built.modules()))
        dilated = (of_resnet and self.stride is None) if self.dilated is None else self.dilated
        stage = self.stage or ("res5" if of_resnet else None)
        view: nn.Module = built.feature_extractor(stage, self.stride, dilated=dilated)
        return view

    def start(self, extractor: nn.Module, context: RunContext) -> "BoxEvaluation":
        """Begin a run; see `Benchmark`."""
        return BoxEvaluation(context, SiamFCTracker(extractor, *context.protocols), self)


class BoxEvaluation(Evaluation):
    """Track the targets of the sequences and score their boxes."""

    def __init__(self, context: RunContext, tracker: SiamFCTracker, benchmark: OtbBenchmark) -> None:
        super().__init__(context, [BoxRows()], tracker, benchmark.predictions)
        self.video, self.frames = benchmark.video, 0

    def follow(self, sequence: BoxSequence) -> None:
        """Track and score a sequence; see `Evaluation`."""
        stems = [frame.stem for frame in sequence.frames]
        files = [
            PredictionTable(folder / f"{sequence.name}.txt", stems, _rows, line_end="\n")
            for folder in self.prediction_folders()
        ]
        found: list[NDArray[np.float64]] = []
        with self.record(sequence, overlay_boxes, files, video=self.video) as record:
            for frame, (box,) in self.tracker.track(sequence.read(), sequence.boxes[:1]):
                with self.watch("draw"):
                    record.add(frame, [box], sequence.boxes[len(found)])
                found.append(box)
            boxes = np.stack(found)
            record.close({"overlap": (range(len(boxes)), box_iou(boxes, sequence.boxes).tolist())})
        self.frames += len(boxes) - 1  # the first box is given
        self.metrics[0].update(boxes, sequence.boxes, name=sequence.name)

    def charts(self) -> list[Chart]:
        """Return the curves over all sequences; see `Evaluation`."""
        success, precision = (curve.tolist() for curve in self.metrics[0].curves())
        return [
            Chart("Success", "overlap threshold", "success rate", {"success": (OVERLAPS.tolist(), success)}),
            Chart("Precision", "location error (px)", "precision", {"precision": (ERRORS.tolist(), precision)}),
        ]

    def data(self) -> dict[str, Any]:
        """Return the dilations of the network and the number of frames; see `Evaluation`."""
        return {"dilated": self.tracker.protocol.dilated, "frames_of_rank_0": self.frames}


def _rows(stem: str, box: NDArray[np.float64]) -> list[list[str]]:
    """Return a frame's line in the format of the GOT-10k toolkit."""
    return [fixed(box, 3)]
