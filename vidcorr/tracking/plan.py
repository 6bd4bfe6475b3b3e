"""Labels and palette of prompts, the passes of `predict` over a video, and the protocol that follows prompts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..backbones import LiirExtractor
from ..functional import PointProtocol, PropagationProtocol, TrackingProtocol
from ..videos.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt
from .frame_encoder import at_stride, stride_of

AnyProtocol = PropagationProtocol | TrackingProtocol | PointProtocol


class Pass(NamedTuple):
    """A pass of a tracker over a video, from a prompted frame in a single direction.

    Attributes:
        start: index of the prompted frame.
        step: 1 forwards, -1 backwards.
        last: index of the last frame of the pass; None: the video's end.
    """

    start: int
    step: int
    last: int | None


def labels_of(prompts: Sequence[Prompt]) -> NDArray[Any]:
    """Return the labels in the prompts of a frame: ids `(H, W)`, boxes `(N, 4)`, or points x, y `(K, 2)`."""
    given: list[Any] = list(prompts)
    if isinstance(given[0], BoxPrompt):
        return np.array([[box.x, box.y, box.width, box.height] for box in given])
    if isinstance(given[0], PointPrompt):
        return np.concatenate([prompt.points for prompt in given])
    ids: NDArray[np.uint8] = given[0].ids.copy()
    for mask in given[1:]:
        ids[mask.ids > 0] = mask.ids[mask.ids > 0]
    return ids


def palette_of(prompts: Sequence[Prompt]) -> NDArray[np.uint8]:
    """Return the palette (256, 3) of all masks; a later mask adds the colours of its new objects."""
    masks = [prompt for prompt in prompts if isinstance(prompt, MaskPrompt)]
    palette = masks[0].palette.copy()
    for mask in reversed(masks):
        palette[list(mask.objects)] = mask.palette[list(mask.objects)]
    return palette


def nearest_prompt(prompted: Sequence[int], t: int) -> int:
    """Return the prompted frame of an object that is nearest to frame `t`; the earlier of two equally near frames.

    Example:
        >>> nearest_prompt([0, 120], 60), nearest_prompt([0, 120], 61), nearest_prompt([40], 0)
        (0, 120, 40)
    """
    return min(prompted, key=lambda frame: (abs(t - frame), frame))


def plan_passes(prompted: Mapping[Any, Sequence[int]]) -> list[Pass]:
    """Return the passes that follow objects to every frame from their nearest prompts, see `nearest_prompt`.

    A pass ends at the last frame that any object of its prompt needs; the prompted frame itself belongs to the pass
    forwards.

    Args:
        prompted: object → its prompted frames, ascending.

    Example:
        >>> plan_passes({1: [0, 120]})
        [Pass(start=0, step=1, last=60), Pass(start=120, step=1, last=None), Pass(start=120, step=-1, last=61)]
    """
    passes: list[Pass] = []
    for frame in sorted({frame for frames in prompted.values() for frame in frames}):
        objects = [frames for frames in prompted.values() if frame in frames]
        later = [min((other for other in frames if other > frame), default=None) for frames in objects]
        earlier = [max((other for other in frames if other < frame), default=None) for frames in objects]
        ends = [(frame + other) // 2 for other in later if other is not None]
        passes.append(Pass(frame, 1, max(ends) if len(ends) == len(later) else None))
        first = min(0 if other is None else (frame + other) // 2 + 1 for other in earlier)
        if first < frame:
            passes.append(Pass(frame, -1, first))
    return passes


def protocol_for(
    extractor: nn.Module, benchmark: str, protocol: str | PropagationProtocol | None = None
) -> PropagationProtocol:
    """Return a benchmark's protocol adapted to a user's video, at the stride of the extractor.

    Args:
        extractor: its kind chooses the default protocol, see `propagate_masks`.
        benchmark: "davis" for masks, "jhmdb" for points.
        protocol: name of a protocol; or a protocol, of which only the stride is adapted.

    Raises:
        ValueError: for an unknown protocol, or an extractor with several maps.
    """
    stride = stride_of(extractor)
    if not isinstance(protocol, PropagationProtocol):
        default = "liir" if isinstance(extractor, LiirExtractor) and benchmark == "davis" else "vidcorr"
        protocol = PropagationProtocol.named(protocol or default, benchmark).with_changes(resized_data=None)
        if benchmark == "jhmdb":
            protocol = protocol.with_changes(input_size=None)
            if protocol.keypoint_unit == "pixel" and stride not in (None, protocol.feature_stride):
                protocol = protocol.with_changes(keypoint_sigma=(stride or protocol.feature_stride) / 2)
    return at_stride(protocol, stride)


def rules_for(extractor: nn.Module, prompt: Prompt, name: str | None, changes: dict[str, Any] | None) -> AnyProtocol:
    """Return the protocol that follows prompts of a kind, at the extractor's stride.

    Args:
        extractor: see `predict_video`.
        prompt: a prompt of the kind.
        name: see `protocol` of `predict_video`.
        changes: see `predict_video`.

    Raises:
        ValueError: for an unknown protocol or field, or a protocol for a box.
    """
    protocol: AnyProtocol
    if isinstance(prompt, BoxPrompt):
        if name is not None:
            raise ValueError(f"protocol {name!r} is for masks and points; a box is tracked by SiamFC, see changes")
        protocol = TrackingProtocol()
    elif isinstance(prompt, PointPrompt) and name is not None and name in PointProtocol.sources():
        protocol = at_stride(PointProtocol.named(name), stride_of(extractor))
    else:
        protocol = protocol_for(extractor, "davis" if isinstance(prompt, MaskPrompt) else "jhmdb", name)
    try:
        protocol = protocol.with_changes(**changes) if changes else protocol
    except TypeError as error:
        raise ValueError(f"changes: {error}") from error
    if isinstance(protocol, TrackingProtocol):
        return protocol.at_features(stride_of(extractor) or protocol.stride, getattr(extractor, "dilated", False))
    return protocol
