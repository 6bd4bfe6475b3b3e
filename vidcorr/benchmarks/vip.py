"""Human parts in video on VIP: mean IoU of the classes, AP of the instances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets import Vip
from ..datasets.vip_files import PartSequence
from ..functional.propagation.coding import Size
from ..metrics.declared import Score
from ..metrics.parts import ap_scores, class_areas, iou_scores, match_instances
from ..protocols import PropagationProtocol
from ..results.pictures.animations import overlay_masks_small
from ..results.result import Row
from ..tracking.frame_encoder import FrameEncoder
from ..tracking.labels import TrackedFrame
from .base import Benchmark, counts_of
from .mask_benchmark import CAPTION, at_size_of_data, follow_masks, mask_file
from .output import Output, SequencePictures

Parts = Literal["semantic", "instance"]
AP = "AP-unofficial"
"""Key of the AP: it says that no public code defines how propagated labels are ranked."""
RANKING = (
    "AP of part instances by ATEN's definition, ranked by the mean propagated label inside an instance, the first "
    "frame left out; no script for propagated labels is public, so equality with other reports is not promised"
)


@dataclass(frozen=True)
class PartVideo:
    """A video with a sequence, of the same frames, per kind of labels, "semantic" or "instance"."""

    sequences: dict[Parts, PartSequence]

    @property
    def name(self) -> str:
        return next(iter(self.sequences.values())).name

    @property
    def num_frames(self) -> int:
        """Number of frames to follow: those of the video, once for each kind of labels."""
        return sum(sequence.num_frames for sequence in self.sequences.values())

    @property
    def frames(self) -> tuple[Path, ...]:
        return next(iter(self.sequences.values())).frames


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
        protocol: a protocol, or the name of a protocol for VIP.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: if `parts` is empty or has an unknown kind.
    """

    name = "vip"
    conditions: ClassVar[Mapping[str, str]] = {"split": "{}"}
    protocol_class = PropagationProtocol
    pooled = True

    root: str | Path
    split: str = "val"
    parts: Sequence[Parts] = ("semantic", "instance")
    protocol: str | PropagationProtocol = "vfs"

    def __post_init__(self) -> None:
        if not self.parts or not set(self.parts) <= {"semantic", "instance"}:
            raise ValueError(f"VipBenchmark: parts is {self.parts!r}; name 'semantic', 'instance' or both in a list")
        object.__setattr__(self, "parts", tuple(self.parts))
        super().__post_init__()

    @property
    def declared(self) -> tuple[Score, ...]:
        """The scores of the followed parts; an AP may exceed 1, since several detections match an instance."""
        ap_scores_by_name = scores_of_instances([])
        return tuple(Score(name, high=None if name in ap_scores_by_name else 1.0) for name in self.scores([]))

    def read(self) -> Sequence[PartVideo]:
        readers = [Vip(self.root, self.split, parts) for parts in self.parts]
        videos = zip(*readers, strict=True)
        return [PartVideo(dict(zip(self.parts, sequences, strict=True))) for sequences in videos]

    def score(self, video: PartVideo, encoder: FrameEncoder, output: Output) -> list[Row]:
        """Propagate the parts of a video once per kind of labels, write and score them: a row."""
        counts: dict[str, Any] = {}
        for parts, whole_sequence in video.sequences.items():
            sequence, frames = at_size_of_data(whole_sequence, encoder.protocol)
            covered_size = encoder.input_sizes(sequence.size).covered
            measured: list[Any] = []
            pictures = SequencePictures(output, sequence, overlay_masks_small, kind=parts, caption=CAPTION)
            for t, tracked in enumerate(follow_masks(sequence, frames, encoder, type(self).propagator)):
                with encoder.watch("score"):
                    truth = sequence.read_mask(t)
                    if parts == "semantic":
                        measured.append(class_areas(tracked.decoded, truth))
                    # AP leaves the given first frame out
                    elif t > 0:
                        measured.append(matches_of_instances(sequence, t, tracked, covered_size))
                with encoder.watch("write"):
                    output.mask(mask_file(sequence, t), tracked.decoded, parts)
                    pictures.add(tracked.frame, tracked.decoded, truth=truth)
            pictures.close()
            counts[parts] = torch.stack(measured).sum(0).tolist() if parts == "semantic" else measured
        values = iou_scores([counts["semantic"]]) if "semantic" in counts else {}
        return [Row(video=video.name, values=values, counts=counts)]

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        scores: dict[str, float] = {}
        if "semantic" in self.parts:
            scores |= iou_scores(counts_of(rows, "semantic"))
        if "instance" in self.parts:
            # a row has an entry per frame
            scores |= scores_of_instances(list(chain.from_iterable(counts_of(rows, "instance"))))
        return scores

    def facts(self, rows: Sequence[Row], encoder: FrameEncoder) -> dict[str, Any]:
        definition = {AP: RANKING} if "instance" in self.parts else {}
        return super().facts(rows, encoder) | definition


def scores_of_instances(frames: Sequence[object]) -> dict[str, float]:
    """Return AP from the `matches_of_instances` of frames, under `AP-unofficial` in place of `AP` in each name."""
    return {key.replace("AP", AP): value for key, value in ap_scores(frames).items()}


def matches_of_instances(sequence: PartSequence, t: int, tracked: TrackedFrame, covered_size: Size) -> list[Any]:
    """Return both results of `match_instances` for frame `t` as lists."""
    scores = instance_scores(tracked.labels, tracked.decoded, sequence.objects, covered_size)
    target, classes = sequence.instances(t)
    # predicted ids are numbers of objects; annotated ids are person and part, `classes` their classes
    detections, annotated = match_instances(tracked.decoded, target, sequence.classes, scores, classes)
    return [detections.tolist(), annotated.tolist()]


def instance_scores(labels: Tensor, mask: Tensor, objects: Sequence[int], covered_size: Size) -> dict[int, float]:
    """Return the mean of each object's up-sampled label over its predicted pixels, by which AP ranks it.

    Example:
        >>> background, above, right = [[0, 0], [0, 0]], [[1, 1], [0, 0]], [[0, 1], [0, 1]]
        >>> labels = torch.tensor([background, above, right, [[1, 1], [1, 1]]])  # cells of 2 px
        >>> mask = torch.tensor([[5, 5, 7], [5, 0, 7], [0, 0, 7], [5, 0, 0]])  # of the 4 x 4 px that they cover
        >>> instance_scores(labels, mask, [5, 7, 9], (4, 4))  # 5: (1 + 1 + 0.75 + 0) / 4; 9 has no pixel
        {5: 0.6875, 7: 0.75}
    """
    scores = {}
    for number, label in zip(objects, labels[1:], strict=True):
        inside = mask == number
        if inside.any():
            full = F.interpolate(label[None, None].float(), size=covered_size, mode="bilinear")[0, 0]
            scores[number] = float(full[: mask.shape[0], : mask.shape[1]][inside].mean())
    return scores
