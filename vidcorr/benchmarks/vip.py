"""Human parts in video on VIP: mean IoU of the classes, AP of the instances."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets import Vip
from ..datasets.vip import PartSequence
from ..functional import PropagationProtocol
from ..functional.propagation.coding import Size
from ..metrics.parts import ClassRows, InstanceRows, class_areas
from ..results.pictures.overlays import Curve
from ..tracking.label_tracker import LabelTracker, TrackedFrame
from .base import Benchmark
from .evaluation import RunContext, ScoresOfStage
from .mask_evaluation import ANIMATIONS_SHOW, MaskEvaluation

Parts = Literal["semantic", "instance"]
AP = "AP-unofficial"
"""Key of the AP: it says that no public code defines how propagated labels are ranked."""
SCORES_OF_PARTS: dict[Parts, tuple[str, ...]] = {
    "semantic": ("mIoU", "mAcc", "aAcc"),
    "instance": (AP, *map((AP + "@0.{}").format, range(1, 10))),
}
"""Kind of labels → names of its scores."""
RANKING = (
    "AP of part instances by ATEN's definition, ranked by the mean propagated label inside an instance, the first "
    "frame left out; no script for propagated labels is public, so equality with other reports is not promised"
)


@dataclass(frozen=True)
class PartVideo:
    """A video with a sequence per kind of labels."""

    sequences: dict[Parts, PartSequence]

    @property
    def name(self) -> str:
        return next(iter(self.sequences.values())).name

    @property
    def num_frames(self) -> int:
        return sum(sequence.num_frames for sequence in self.sequences.values())


@dataclass(frozen=True)
class VipBenchmark(Benchmark):
    """Score propagated human parts on VIP: `vip/mIoU` of classes, `vip/AP-unofficial` of parts of single persons.

    Both follow different labels, so a video is propagated twice unless `parts` names a single kind. mIoU counts the
    first frame, like VFS; AP does not, and ranks an instance by the mean propagated label inside it.
    Files: results.json, per_sequence.csv, predictions (class numbers; instance numbers) and overlays.

    Papers: Zhou et al., Adaptive Temporal Encoding Network for Video Instance-level Human Parsing (ACM MM 2018); VFS,
    section 4.2.

    Args:
        root: VIP_Fine, or the folder that holds it.
        split: "val", "train", or the path of a list.
        parts: kinds of labels to follow.
        one_to_one: AP counts at most a single detection as right for an annotated instance, as SDS defines it; by
            default any number, like the published script of ATEN.
        protocol: a protocol, or the name of a protocol for VIP.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: if `parts` is empty or has an unknown kind.
    """

    default_name = "vip"
    protocol_kind = PropagationProtocol
    protocols_like = ("vip",)
    shares_passes = True
    ranked_by = ("mIoU",)
    recorded = ("split",)
    animations_show = ANIMATIONS_SHOW

    root: str | Path
    split: str = "val"
    parts: Sequence[Parts] = ("semantic", "instance")
    one_to_one: bool = False
    protocol: str | PropagationProtocol = "vfs"

    def __post_init__(self) -> None:
        if not self.parts or not set(self.parts) <= {"semantic", "instance"}:
            raise ValueError(f"VipBenchmark: parts is {self.parts!r}; name 'semantic', 'instance' or both in a list")
        self._complete(parts=tuple(self.parts))
        super().__post_init__()

    @property
    def score_names(self) -> tuple[str, ...]:
        """Return the scores of the followed parts; see `Benchmark`."""
        return tuple(name for part, names in SCORES_OF_PARTS.items() if part in self.parts for name in names)

    def read(self) -> Sequence[PartVideo]:
        """Open the data set, once per kind of labels."""
        readers = [Vip(self.root, self.split, parts) for parts in self.parts]
        return [PartVideo(dict(zip(self.parts, video, strict=True))) for video in zip(*readers, strict=True)]

    def start(self, extractor: nn.Module, context: RunContext) -> MaskEvaluation:
        """Begin a run; see `Benchmark`."""
        return PartEvaluation(context, LabelTracker(extractor, context.protocols), self)

    def data(self) -> dict[str, Any]:
        """Return the split and the definition of AP."""
        ranking = RANKING + ("; one detection at most is right for an instance" if self.one_to_one else "")
        instances = {AP: ranking, "one_to_one": self.one_to_one} if "instance" in self.parts else {}
        return super().data() | instances


class PartEvaluation(MaskEvaluation):
    """Follow a video once per kind of labels: IoU of the classes, AP of the instances, by stage."""

    def __init__(self, context: RunContext, tracker: LabelTracker, benchmark: VipBenchmark) -> None:
        self.semantic = [ClassRows() for _ in tracker.stages]
        self.instance = [InstanceRows(benchmark.one_to_one) for _ in tracker.stages]
        super().__init__(context, [*self.semantic, *self.instance], tracker, benchmark.predictions)
        self.parts = benchmark.parts

    def follow(self, video: PartVideo) -> None:  # type: ignore[override]
        """Evaluate a video; see `Evaluation`."""
        for parts, sequence in video.sequences.items():
            super().follow(sequence, parts)

    def scorer(self, sequence: PartSequence, pool: Executor) -> "_InstanceScorer | _SemanticScorer":
        """Return the scorer of a sequence; see `MaskEvaluation`."""
        if sequence.humans:
            return _InstanceScorer(sequence, self.instance, self.tracker.view(sequence.size).covered)
        return _SemanticScorer(sequence, self.semantic)

    def scores_of_stage(self, index: int) -> ScoresOfStage:
        """Return the scores of the followed kinds of labels; see `Evaluation`."""
        scores, rows, without = super().scores_of_stage(index) if "semantic" in self.parts else ({}, [], {})
        if "instance" in self.parts:
            metric = self.instance[index]
            scores |= {key.replace("AP", AP): value for key, value in metric.compute().items()}
            without |= {key.replace("AP", AP): others for key, others in metric.without().items()}
        return scores, rows, without


class _SemanticScorer:
    """Areas of the classes, summed over the frames of a sequence."""

    def __init__(self, sequence: PartSequence, metrics: Sequence[ClassRows]) -> None:
        self.sequence, self.metrics = sequence, metrics
        self.areas = [torch.zeros(4, metric.classes, dtype=torch.int64) for metric in metrics]
        self.over_frames: list[float] = []

    def add(self, t: int, tracked: TrackedFrame) -> Tensor:
        truth = self.sequence.mask(t)
        for areas, mask in zip(self.areas, tracked.decoded, strict=True):
            try:
                found = class_areas(mask, truth)
            except ValueError as error:
                raise ValueError(f"{self.sequence.masks[t]}: {error}") from error
            areas += found
        self.over_frames.append((found[0] / found[1]).nanmean().item())  # of the last stage
        return truth

    def finish(self) -> dict[str, Curve]:
        for metric, areas in zip(self.metrics, self.areas, strict=True):
            metric.update(areas, name=self.sequence.name)
        return {"mIoU": (range(len(self.over_frames)), self.over_frames)}


class _InstanceScorer:
    """Matches of instances, in all frames after the first."""

    def __init__(self, sequence: PartSequence, metrics: Sequence[InstanceRows], covered: Size) -> None:
        self.sequence, self.metrics, self.covered = sequence, metrics, covered

    def add(self, t: int, tracked: TrackedFrame) -> Tensor:
        target, target_classes = self.sequence.instances(t)
        results = zip(self.metrics, tracked.labels, tracked.decoded, strict=True) if t > 0 else ()
        for metric, labels, mask in results:
            metric.update(
                mask,
                target,
                name=self.sequence.name,
                classes=self.sequence.classes,
                scores=instance_scores(labels, mask, self.sequence.objects, self.covered),
                target_classes=target_classes,
            )
        return self.sequence.followed(target)

    def finish(self) -> dict[str, Curve]:
        return {}  # the metrics hold all results already


def instance_scores(labels: Tensor, mask: Tensor, objects: Sequence[int], covered: Size) -> dict[int, float]:
    """Return the means of the objects' up-sampled labels over their predicted pixels.

    Args:
        labels: `(1 + objects, h, w)`, background first.
        mask: `(H, W)` ids.
        objects: ids of the channels from 1 on.
        covered: size that the labels cover, see `covered_size`.

    Returns:
        Object → score, for objects with a pixel.
    """
    scores = {}
    for number, label in zip(objects, labels[1:], strict=True):
        inside = mask == number
        if inside.any():
            full = F.interpolate(label[None, None].float(), size=covered, mode="bilinear")[0, 0]
            scores[number] = float(full[: mask.shape[0], : mask.shape[1]][inside].mean())
    return scores
