"""Object masks carried through a video: coding and decoding by the protocol around `LabelTracker`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.label_coding import decode_masks_by, encode_masks_by
from lightning_modules.functional.propagation.sizing import Size
from lightning_modules.functional.transfer import to_device

from .chunks import Found, on_cpu
from .label_tracker import LabelTracker
from .view import View


class TrackedMasks(NamedTuple):
    """The objects of one frame.

    Attributes:
        frame: uint8 RGB `(3, H, W)`.
        labels: per map of the extractor, soft labels `(1 + objects, h, w)`, background first, on the CPU.
        masks: per map, uint8 ids `(H, W)`, on the CPU.
    """

    frame: Tensor
    labels: list[Tensor]
    masks: list[Tensor]


@dataclass(frozen=True)
class MaskAnnotation:
    """A mask that introduces objects.

    Attributes:
        ids: uint8 `(H, W)`, at the frame's own size.
        objects: ids of all objects of the video, in the order of the channels.
        starting: ids of those that this mask introduces.
        first: it is that of frame 0, whose background counts too.
        view: sizes of the video.
    """

    ids: Tensor
    objects: Sequence[int]
    starting: Sequence[int]
    first: bool
    view: View

    @property
    def channels(self) -> Tensor:
        """Channels of the objects that start, bool `(1 + objects, 1, 1)`."""
        return torch.tensor([False, *(number in self.starting for number in self.objects)])[:, None, None]

    def encode(self, grid: Size, protocol: PropagationProtocol) -> Tensor:
        """Return `(1 + objects, h, w)`, background first; after frame 0 all channels but `starting` are zero."""
        labels = encode_masks_by(self.view.reduce_ids(self.ids), self.objects, grid, protocol)
        return labels if self.first else labels * self.channels


def track_masks(
    tracker: LabelTracker,
    frames: Iterable[tuple[Tensor, Tensor | None]],
    starts: Mapping[int, int],
    view: View,
    at_once: int | None = None,
) -> Iterator[TrackedMasks]:
    """Follow objects through a video; where an object starts, its mask is the given one.

    Args:
        tracker: carries the labels.
        frames: uint8 RGB `(3, H, W)`, and ids `(H, W)` uint8 where the frame introduces objects, else None.
        starts: object id → number of the frame whose ids introduce it.
        view: that of the tracker for frames of this size.
        at_once: frames that are brought to the CPU together, see `on_cpu`; None: as many as the tracker encodes
            together. Give 1 where the tracker's `state` is asked for between frames.

    Yields:
        The objects of each frame; frame 0 has the given mask, unless the protocol decodes it.
    """
    for found in on_cpu(_decoded(tracker, frames, starts, view), at_once or tracker.frames_per_pass(view)):
        yield TrackedMasks(*found)


def _decoded(
    tracker: LabelTracker, frames: Iterable[tuple[Tensor, Tensor | None]], starts: Mapping[int, int], view: View
) -> Iterator[Found]:
    objects = sorted(starts)
    annotated = (
        (frame, MaskAnnotation(ids, objects, [k for k in objects if starts[k] == t], t == 0, view))
        if ids is not None and t in starts.values()
        else (frame, None)
        for t, (frame, ids) in enumerate(frames)
    )
    for frame, given, labels in tracker.track(annotated, view):
        with tracker.watch("decode masks", tracker.device):
            pairs = zip(labels, tracker.protocols, strict=True)
            masks = [_decode(item, given, objects, protocol, view) for item, protocol in pairs]
        yield frame, labels, masks


def _decode(
    labels: Tensor, given: MaskAnnotation | None, objects: Sequence[int], protocol: PropagationProtocol, view: View
) -> Tensor:
    if given is None or protocol.first_frame == "decoded":
        return decode_masks_by(labels, objects, protocol, view.covered_of_own, view.own)
    ids = to_device(given.ids, labels.device)
    if given.first:
        return ids
    labels = labels * to_device(~given.channels, labels.device)
    mask = decode_masks_by(labels, objects, protocol, view.covered_of_own, view.own)
    starts_here = torch.isin(given.ids, given.ids.new_tensor(given.starting))
    return torch.where(to_device(starts_here, labels.device), ids, mask)
