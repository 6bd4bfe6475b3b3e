"""Object tracking on OTB by SiamFC, scored by one-pass evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..backbones import Encoder
from ..datasets import BoxSequence, Otb
from ..metrics.box_tracking import box_iou, doubts_on_absence, one_pass_counts, one_pass_scores
from ..metrics.declared import fractions
from ..protocols import TrackingProtocol
from ..results.csv_files import csv_text, fixed
from ..results.pictures import overlay_boxes
from ..results.result import Row
from ..tracking.siamfc_tracker import SiamFCTracker, view_options
from .base import Benchmark, counts_of
from .output import Output, SequencePictures

CAPTION = "red: the box that was tracked; white: the annotation"


@dataclass(frozen=True)
class OtbBenchmark(Benchmark):
    """Score SiamFC tracking on OTB by success and precision, in a single pass from the first box.

    Features of a ResNet are from res5; res4 and res5 have dilations in place of their strides, as in VFS's code. A
    fine-tuned `SiamFC` is evaluated by its own features. The trained module stays unchanged.

    Logs `otb/success` (mean of the success curve), `otb/precision@20px` and `otb/success@0.5`. Files: results.json,
    per_sequence.csv, predictions in the text form of the GOT-10k toolkit, overlays, and the curves in report.html.

    Papers: Wu, Lim and Yang, Object Tracking Benchmark (TPAMI 2015); SiamFC; VFS, section 4.2.

    Args:
        root: folder with the sequences' folders.
        version: "tb100" (OTB-100, also called OTB-2015); None is every sequence in root.
        protocol: a protocol, or the name of a protocol with values for OTB.

    `changes` `{"dilated": "text"}` takes the dilations of VFS's text. Without `stage`, a ResNet gives res5, another
    network its default.

    Raises:
        ValueError: for a bad argument.
        DataError: when the data are first read, with the name of the file.
    """

    name = "otb"
    conditions: ClassVar[Mapping[str, str]] = {"version": "{}"}
    protocol_class = TrackingProtocol
    encoder = SiamFCTracker
    declared = fractions("success", "precision@20px", "success@0.5")

    root: str | Path
    version: Literal["tb100"] | None = "tb100"
    protocol: str | TrackingProtocol = "vfs"

    def __post_init__(self) -> None:
        super().__post_init__()
        protocol: Any = self.protocol
        if self.stride is not None and protocol.changes.get("dilated"):
            raise ValueError("OtbBenchmark: dilated features have a stride of their own: give stride or dilated")

    def read(self) -> list[BoxSequence]:
        return Otb(self.root, self.version)

    def view_options(self, encoder: Encoder) -> dict[str, Any]:
        protocol: Any = self.protocol
        return view_options(encoder, protocol, self.stage, self.stride)

    def score(self, sequence: BoxSequence, tracker: SiamFCTracker, output: Output) -> list[Row]:
        tracked_boxes: list[NDArray[np.float64]] = []
        pictures = SequencePictures(output, sequence, overlay_boxes, caption=CAPTION)
        # the tracker takes the first boxes of any number of targets: here of one
        for t, (frame, (box,)) in enumerate(tracker.track(sequence.read(), sequence.boxes[:1])):
            with tracker.watch("draw"):
                pictures.add(frame, box, sequence.boxes[t])
            tracked_boxes.append(box)
        boxes = np.stack(tracked_boxes)  # (T, 4) x, y, width, height, one-based
        overlap = box_iou(boxes, sequence.boxes).tolist()
        pictures.close({"overlap": (range(len(boxes)), overlap)})
        lines = [fixed(box, 3) for box in tracked_boxes]
        output.text(f"predictions/{sequence.name}.txt", csv_text(lines, "\n"))
        counts = one_pass_counts(boxes, sequence.boxes)
        return [Row(video=sequence.name, values=one_pass_scores([counts["curves"]]), counts=counts)]

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        return one_pass_scores(counts_of(rows, "curves"))

    def doubts(self, rows: Sequence[Row], scores: Mapping[str, float]) -> list[str]:
        return doubts_on_absence({row.video: row.counts for row in rows})

    def facts(self, rows: Sequence[Row], tracker: SiamFCTracker) -> dict[str, Any]:
        return super().facts(rows, tracker) | {"dilated": tracker.protocol.dilated}
