"""Human parts in video on VIP: mean IoU of the classes, AP of the instances."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.datasets import Vip
from datamodules.datasets.records import PartSequence
from lightning_modules.functional.propagation.sizing import Size

from ..metrics import InstanceAP, SemanticIoU, class_areas
from ..report.material import Curve
from ..tracking.label_propagation import over_ranks
from ..tracking.masks import Prediction
from .mask_benchmark import MaskBenchmark, Scorer
from .ranks import Ranks

Parts = Literal["semantic", "instance"]
RANKING = (
    "AP of part instances by ATEN's definition, ranked by the mean propagated label inside an instance, the first "
    "frame left out; no script for propagated labels is public, so equality with other reports is not promised"
)


@dataclass(frozen=True)
class PartVideo:
    """A video in all the ways in which it is followed."""

    sequences: dict[Parts, PartSequence]

    @property
    def name(self) -> str:
        return next(iter(self.sequences.values())).name

    @property
    def num_frames(self) -> int:
        return sum(sequence.num_frames for sequence in self.sequences.values())


class VipBenchmark(MaskBenchmark):
    """Propagated human parts on VIP: `vip/mIoU` of the 20 classes, `vip/AP` of one part of one person.

    The two follow different labels, so each video is propagated twice unless `parts` names one. mIoU counts the first
    frame, as VFS does; AP, whose ranking score is the mean propagated label inside an instance, does not.
    Files: results.json, per_sequence.csv, predictions (class numbers; instance numbers) and overlays.

    Papers: Zhou et al., Adaptive Temporal Encoding Network for Video Instance-level Human Parsing (ACM MM 2018); VFS,
    section 4.2.

    Args:
        root: VIP_Fine, or the folder that holds it.
        split: "val", "train", or the path of a list.
        parts: what to follow.
        predictions: write the predicted masks.
        kwargs: those of `LabelPropagation`.

    Raises:
        DataError: when the data are first read, one line that names the file.
        ValueError: if `parts` names nothing, or something else.
    """

    name = "vip"
    protocols_like = ("vip",)
    ranked_by = ("mIoU",)

    def __init__(
        self,
        root: str | Path,
        split: str = "val",
        parts: Sequence[Parts] = ("semantic", "instance"),
        predictions: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(predictions, **kwargs)
        if not parts or not set(parts) <= {"semantic", "instance"}:
            raise ValueError(f"VipBenchmark: parts is {parts!r}; name 'semantic', 'instance' or both in a list")
        self.root, self.split, self.parts = root, split, tuple(parts)
        self.semantic: list[SemanticIoU] = []
        self.instance: list[InstanceAP] = []

    def read(self) -> Sequence[PartVideo]:
        """See `BenchmarkCallback`."""
        readers = [Vip(self.root, self.split, parts) for parts in self.parts]
        return [PartVideo(dict(zip(self.parts, video, strict=True))) for video in zip(*readers, strict=True)]

    def start(self, extractor: nn.Module, ranks: Ranks) -> None:
        """See `BenchmarkCallback`."""
        super().start(extractor, ranks)
        arguments: dict[str, Any] = {"process_group": ranks.group, "sync_on_compute": False}
        self.semantic = [SemanticIoU(**arguments) for _ in self.stages]
        self.instance = [InstanceAP(**arguments) for _ in self.stages]

    def run(self, extractor: nn.Module, video: PartVideo) -> None:  # type: ignore[override]
        """See `BenchmarkCallback`."""
        for parts, sequence in video.sequences.items():
            self.follow(extractor, sequence, parts)

    def scorer(self, sequence: PartSequence, pool: Executor) -> Scorer:
        """See `MaskBenchmark`."""
        if sequence.humans:
            return _InstanceScorer(sequence, self.instance, self.covered(sequence.size))
        return _SemanticScorer(sequence, self.semantic)

    def scores_of(self, stage: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """See `LabelPropagation`."""
        scores: dict[str, float] = {}
        rows: list[dict[str, Any]] = []
        if "semantic" in self.parts:
            scores, rows = over_ranks(self.semantic[stage])
        if "instance" in self.parts:
            with self.instance[stage].sync_context():
                scores |= self.instance[stage].compute()
        return scores, rows

    def about(self) -> dict[str, Any]:
        """See `BenchmarkCallback`."""
        return {"split": self.split, **({"AP": RANKING} if "instance" in self.parts else {}), **super().about()}


class _SemanticScorer:
    """Areas of the classes, summed over the frames of a sequence."""

    def __init__(self, sequence: PartSequence, metrics: Sequence[SemanticIoU]) -> None:
        self.sequence, self.metrics = sequence, metrics
        self.areas = [torch.zeros(4, metric.classes, dtype=torch.int64) for metric in metrics]
        self.over_frames: list[float] = []

    def add(self, t: int, prediction: Prediction) -> None:
        target = self.sequence.mask(t)
        for areas, mask in zip(self.areas, prediction.masks, strict=True):
            try:
                found = class_areas(mask, target)
            except ValueError as error:
                raise ValueError(f"{self.sequence.masks[t]}: {error}") from error
            areas += found
        self.over_frames.append((found[0] / found[1]).nanmean().item())  # of the last stage

    def close(self) -> None:
        for metric, areas in zip(self.metrics, self.areas, strict=True):
            metric.update(areas, name=self.sequence.name)

    def curves(self) -> dict[str, Curve]:
        return {"mIoU": (range(len(self.over_frames)), self.over_frames)}


class _InstanceScorer:
    """Instances of each frame after the first, matched as they come."""

    def __init__(self, sequence: PartSequence, metrics: Sequence[InstanceAP], covered: Size) -> None:
        self.sequence, self.metrics, self.covered = sequence, metrics, covered

    def add(self, t: int, prediction: Prediction) -> None:
        if t == 0:
            return
        target, target_classes = self.sequence.instances(t)
        for metric, labels, mask in zip(self.metrics, prediction.labels, prediction.masks, strict=True):
            metric.update(
                mask,
                target,
                name=self.sequence.name,
                classes=self.sequence.classes,
                scores=instance_scores(labels, mask, self.sequence.objects, self.covered),
                target_classes=target_classes,
            )

    def close(self) -> None:
        """The metrics have it all."""

    def curves(self) -> dict[str, Curve]:
        return {}


def instance_scores(
    labels: Tensor, mask: Tensor, objects: Sequence[int], covered: Size | None = None
) -> dict[int, float]:
    """Mean of each object's up-sampled label over the pixels that it was given.

    Args:
        labels: `(1 + objects, h, w)`, background first.
        mask: `(H, W)` ids, on the CPU.
        objects: ids of the channels from 1 on.
        covered: what the labels cover, see `covered_size`; None is the mask.

    Returns:
        Score of each object that has a pixel.
    """
    scores = {}
    for number, label in zip(objects, labels[1:], strict=True):
        inside = mask == number
        if inside.any():
            full = F.interpolate(label[None, None].float(), size=covered or mask.shape, mode="bilinear")[0, 0]
            scores[number] = float(full[: mask.shape[0], : mask.shape[1]].cpu()[inside].mean())
    return scores
