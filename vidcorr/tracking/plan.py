"""The protocol that follows a prompt."""

from typing import Any

from torch import nn

from ..backbones import LiirExtractor
from ..functional import PointProtocol, PropagationProtocol, TrackingProtocol
from ..videos.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt
from .frame_encoder import at_stride, stride_of
from .siamfc_tracker import at_extractor

AnyProtocol = PropagationProtocol | TrackingProtocol | PointProtocol


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
            raise ValueError(f"protocol {name!r} is for masks and points; boxes are tracked by SiamFC: set `changes`")
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
        return at_extractor(protocol, extractor)
    return protocol
