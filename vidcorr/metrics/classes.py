"""The benchmarks' metrics as torchmetrics classes, for training loops: the rows travel over the ranks as tensors."""

import json
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from .box_tracking import BoxRows
from .keypoints import KeypointRows
from .outlines import Masks, as_pair
from .parts import ClassRows, InstanceRows
from .point_tracking import PointRows
from .rows import SequenceRows
from .rules import RULES
from .scoring import MaskScorer, ObjectRows, Video


class RowMetric(SequenceRows, Metric):
    """The state of `SequenceRows` as a torchmetrics.Metric: gathered over ranks bit for bit.

    Rows live on the CPU unless the metric is moved, so with NCCL as the default backend pass a gloo group:
    `RegionBoundary(process_group=torch.distributed.new_group(backend="gloo"))`.

    Args:
        args: arguments of the rows.
        kwargs: arguments of the rows and of torchmetrics.Metric, for example `process_group` and `sync_on_compute`.
    """

    full_state_update = False
    higher_is_better = True
    lines: list[Tensor]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        # torchmetrics gathers tensors only: a row is a line of JSON, which keeps each digit of a float, as bytes
        self.add_state("lines", default=[], dist_reduce_fx="cat")

    def add_row(self, name: str, row: object) -> None:
        """Append the row of a sequence: numbers, or lists or dictionaries of numbers."""
        line = json.dumps([name, row]) + "\n"
        self.lines.append(torch.frombuffer(bytearray(line.encode()), dtype=torch.uint8).to(self.device))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather over ranks; for a rank without rows torchmetrics alone would send float32."""
        if isinstance(self.lines, list):  # a tensor once it is gathered
            self.lines.append(torch.zeros(0, dtype=torch.uint8, device=self.device))
        super().sync(*args, **kwargs)

    def stored(self) -> list[tuple[str, Any]]:
        """Return names and rows, sorted by name; inside `sync_context()` of all ranks."""
        content = dim_zero_cat(self.lines).cpu().numpy().tobytes() if len(self.lines) else b""
        return sorted(map(json.loads, content.splitlines()), key=itemgetter(0))


class PCK(KeypointRows, RowMetric):
    """Percentage of correct keypoints, as a fraction, at several thresholds.

    See `KeypointRows` for the arguments, `RowMetric` for `process_group`.

    Example:
        >>> metric = PCK(thresholds=(0.1,))
        >>> truth = torch.tensor([[[10.0, 10.0], [40.0, 50.0]]])
        >>> metric.update(truth + torch.tensor([[4.0, 0.0], [0.0, 0.0]]), truth, name="wave")
        >>> metric.compute()
        {'PCK@0.1': 0.5}
    """


class SemanticIoU(ClassRows, RowMetric):
    """Mean intersection over union of classes, areas summed over the data set before they are divided.

    See `ClassRows` for the arguments, `RowMetric` for `process_group`.

    Example:
        >>> metric = SemanticIoU(classes=2)
        >>> metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]), name="clip")
        >>> round(metric.compute()["mIoU"], 4)
        0.5833
    """


class InstanceAP(InstanceRows, RowMetric):
    """AP of part instances: mean over the classes and over the IoU thresholds 0.1 … 0.9.

    See `InstanceRows` for the arguments, `RowMetric` for `process_group`.
    """


class TapVidMetrics(PointRows, RowMetric):
    """Mean over videos of TAP-Vid's metrics.

    See `PointRows` for the arguments, `RowMetric` for `process_group`.

    Example:
        >>> import numpy as np
        >>> from vidcorr.metrics import sample_queries
        >>> metric = TapVidMetrics()
        >>> track = np.array([[[8.0, 8.0], [9.0, 8.0], [10.0, 8.0]]])
        >>> seen = np.zeros((1, 3), bool)
        >>> metric.update(sample_queries(seen, track), seen, track + [3.0, 0.0], name="dog")
        >>> metric.compute()["pts_within_4"]
        1.0
    """


class TrackingSuccess(BoxRows, RowMetric):
    """One-pass evaluation: curves by sequence, averaged over the sequences.

    See `BoxRows` for the arguments, `RowMetric` for `process_group`.

    Example:
        >>> metric = TrackingSuccess()
        >>> boxes = torch.tensor([[10.0, 10.0, 20.0, 30.0]] * 4)
        >>> metric.update(boxes, boxes, name="Basketball")
        >>> round(metric.compute()["success"] * 21, 9)
        20.0
    """


class RegionBoundary(ObjectRows, RowMetric):
    """J, F and J&F over sequences: mean, recall and decay, averaged over the objects.

    As in DAVIS's semi-supervised task, the first and the last frame of a sequence do not count, and its objects are 1
    to the largest id of the first target. The state is a row per object. See `RowMetric` for `process_group`.

    Example:
        >>> metric = RegionBoundary()
        >>> ids = torch.ones(5, 8, 8, dtype=torch.uint8)
        >>> metric.update(ids, ids, name="square")
        >>> metric.compute()["J&F-Mean"]
        1.0
        >>> [row["Sequence"] for row in metric.rows()]
        ['square_1']
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(RULES["davis-2017"], **kwargs)

    def update(self, prediction: Masks, target: Masks, *, name: str | None = None) -> None:  # type: ignore[override]
        """Add a sequence.

        Args:
            prediction: (T, H, W) integer ids (or bool for a single object) at the annotation's size.
            target: (T, H, W) integer ids; 255 is never an object: a pixel that is 255 in both is ignored.
            name: the sequence's name; by default its index.

        Raises:
            ValueError: if the shapes differ, or no object or no frame is scored; the message names the sequence.
        """
        with self.named(name) as name:
            predicted, wanted = as_pair(prediction, target)
            frames = {f"{t:06d}": t for t in range(len(wanted))}
            if len(frames) < 3:
                raise ValueError("no frame is scored")
            scorer = MaskScorer(self.rules, Video(name, list(frames), lambda stem: wanted[frames[stem]]))
            if not scorer.plan:
                raise ValueError("no object to score")
            for stem, t in frames.items():
                scorer.add(stem, wanted[t], predicted[t])
            (objects,) = scorer.finish()
        super().update(name, objects)
