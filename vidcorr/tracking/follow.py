"""Follow prompts of a user through a video: masks, boxes or points, frame after frame."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ..backbones import Encoder, LiirEncoder, load
from ..backbones.extractor import eval_mode
from ..backbones.outputs import settled_stride
from ..functional.propagation.propagate import LabelPropagator, name_of_rule, with_rule_of
from ..functional.propagation.resizing import Size
from ..protocols import JointProtocol, LabelProtocol, PointProtocol, PropagationProtocol, TrackingProtocol
from ..protocols.network_input import NetworkInput
from ..videos.files import DataError, require_at_least
from ..videos.prompts import BoxPrompt, PointPrompt, Prompt
from ..videos.stream import FrameStream, GivenFrames
from .followers import (
    Follower,
    followed,
    matched_points,
    propagated_masks,
    propagated_points,
    tracked_boxes,
)
from .frame_encoder import FrameEncoder
from .labels import Propagator
from .siamfc_tracker import SiamFCTracker, view_options
from .stopwatch import each_within

AnyProtocol = LabelProtocol | TrackingProtocol | PointProtocol
Prompts = Prompt | Mapping[int, Prompt] | Sequence[Prompt]

SHORT_SIDE = 480
DEFAULT = "vidcorr"
"""Name of the protocol that follows masks and points if the user names none: label propagation."""
POINTS = "-points"
"""End of the name of a point protocol if a protocol of label propagation has the same name: `vidcorr-points`."""


def follow(
    network: object,
    video: str | Path | FrameStream | Iterable[Tensor],
    prompts: Prompts,
    protocol: str | AnyProtocol | None = None,
    short_side: int = SHORT_SIDE,
    propagator: Propagator = LabelPropagator,
) -> Iterator[tuple[Tensor, Any]]:
    """Follow prompts of one or several frames through a video.

    Memory holds the protocol's window, whatever the length of the video. A later prompt starts its objects anew from
    its frame on. Nothing is followed, and no frame is yielded, before the earliest prompt.

    Points are followed by Gaussian heat-maps, like joints on JHMDB, or by a point protocol, independently of each
    other; boxes by SiamFC's tracker. A point protocol reads the video three times: to count its frames, to track, and
    to yield its frames with the points. The network computes in eval mode; between two frames it has its own mode.

    Args:
        network: a network, as `load` takes it, or its extractor.
        video: a file, a folder of frames, or a `FrameStream` of a part; or frames, uint8 RGB
            `(3, H, W)`, of equal size. Prompts of later frames need a tensor or a list of frames; else an iterator will
            do. On a CPU no frame of an iterator is read ahead; a GPU encodes several frames in a pass.
        prompts: `MaskPrompt.of(…)`, `BoxPrompt.of(…)` or `PointPrompt.of(…)` of the first frame, or number of a frame →
            prompt, of a film from 0, of a folder as the images are named.
        protocol: a protocol, or its name, with changed fields as `vidcorr+radius=0.3`. None is `vidcorr`, label
            propagation; for masks by Liir's features `liir`; for a box VFS's tracker, `vfs`. Points also have point
            protocols (`fomo`, `tapir-matching`, `gmrw-chained`).
        short_side: short side to which larger frames are reduced, pixels. A protocol with an input size ignores it, and
            so does a box.
        propagator: `LabelPropagator`, or a user's rule for masks and heat-maps.

    Returns:
        Iterator over the frames in order: a frame `(3, H, W)` uint8, and its results in pixels of the frame, with
        objects in the order of their ids, or as the prompts name them. Masks: ids `(H, W)` uint8. Boxes: a numpy array
        of left, top, width, height, score `(N, 5)`; boxes may leave the frame, and the score is SiamFC's response, NaN
        in the first frame. Points: x, y, score `(K, 3)`; the score is the peak of the heat-map as a fraction of its
        first peak, and x and y are NaN for an empty heat-map. Points by a point protocol: x, y, score, occluded
        `(K, 4)`; the score is the cosine between the features at the point and at its prompt.

    Raises:
        DataError: if a prompt does not fit the video, or a frame cannot be read.
        ValueError: for an unknown protocol or field, frames that are not uint8, or a rule where nothing is propagated.

    Example:
        >>> import torch
        >>> from vidcorr import MaskPrompt
        >>> video, mask = torch.zeros(3, 3, 64, 64, dtype=torch.uint8), torch.zeros(64, 64, dtype=torch.uint8)
        >>> video[:, 0, 16:32, 16:32] = 255
        >>> mask[16:32, 16:32] = 1
        >>> results = list(follow("raw_colour", video, {1: MaskPrompt.of(mask)}))  # frames 1 and 2
        >>> [bool((ids == mask).float().mean() > 0.95) for _, ids in results]
        [True, True]
    """
    if isinstance(video, str | Path):
        video = FrameStream(video)
    source = video if isinstance(video, FrameStream) else GivenFrames(video)
    given = prompts_of_video(prompts, source)
    encoder = encoder_of(network, next(iter(given.values())), protocol, propagator)
    return results_of(encoder, given, source, short_side, propagator)


def results_of(
    encoder: FrameEncoder,
    prompts: Mapping[int, Prompt],
    video: FrameStream | GivenFrames,
    short_side: int,
    propagator: Propagator,
) -> Iterator[tuple[Tensor, Any]]:
    """Return the frames and results of `follow` for a network under a protocol, and for checked prompts."""
    rules = encoder.protocol
    if isinstance(rules, TrackingProtocol):
        follower: Follower = partial(tracked_boxes, encoder)
    else:
        seen = seen_size(video.size, rules, short_side)
        if not isinstance(rules, LabelProtocol):
            if video.is_read_once:
                hint = "reads a video several times: give a file, a folder or a list"
                raise ValueError(f"point protocol {rules.name!r} {hint}")
            follower = partial(matched_points, encoder, video.size, seen)
        else:
            is_mask = next(iter(prompts.values())).kind == "mask"
            propagated = propagated_masks if is_mask else propagated_points
            follower = partial(propagated, encoder, video.size, seen, propagator)
    # between two frames the network has its own mode
    return each_within(lambda: eval_mode(encoder.extractor), followed(prompts, video, follower))


def prompts_of_video(given: Prompts, video: FrameStream | GivenFrames) -> dict[int, Prompt]:
    """Return frame → prompt, by ascending frames counted from the first that is read; all are of one kind.

    Raises:
        DataError: for two prompts of a frame, a frame that is not read, several kinds of prompts or none, anything that
            is no prompt, or a prompt that does not fit.
    """
    if isinstance(given, Mapping):
        given = [replace(_checked(prompt), frame=frame) for frame, prompt in given.items()]
    prompts: dict[int, Prompt] = {}
    for prompt in map(_checked, [given] if isinstance(given, Prompt) else given):
        t = 0 if prompt.frame is None else video.place(prompt.frame)
        if t < 0:
            first = video.number(0)
            raise DataError(f"{prompt.source}: is of frame {prompt.frame}, the video is read from frame {first} on")
        if t in prompts:
            raise DataError(f"frame {video.number(t)} has two prompts: {prompts[t].source} and {prompt.source}")
        prompts[t] = prompt.fitted_to_frame(video.size)
    kinds = sorted({prompt.kind for prompt in prompts.values()})
    if len(kinds) != 1:
        raise DataError(f"prompts must be of one kind, got {' and '.join(kinds) or 'none'}")
    if max(prompts):
        video.require(max(prompts))
    return dict(sorted(prompts.items()))


def _checked(prompt: object) -> Any:
    if not isinstance(prompt, Prompt):
        name = type(prompt).__name__
        raise DataError(f"a prompt is MaskPrompt.of(…), BoxPrompt.of(…) or PointPrompt.of(…), got {name}")
    return prompt


def encoder_of(
    network: object, prompt: Prompt, protocol: str | AnyProtocol | None, propagator: Propagator = LabelPropagator
) -> FrameEncoder:
    """Return the network under the protocol by which a prompt is followed; for boxes it is SiamFC's tracker."""
    loaded = load(network)
    rules = protocol_of_prompt(loaded, prompt, protocol)
    # SiamFC has a view of its own: of a ResNet res5, with dilations
    options = view_options(loaded, rules) if isinstance(rules, TrackingProtocol) else {"of_protocol": rules.features}
    extractor = loaded.view(placed=True, **options)
    if isinstance(rules, LabelProtocol):
        if protocol is None or isinstance(protocol, str):
            rules = with_sigma_of_cells(rules, settled_stride(extractor))
        rules = with_rule_of(rules, propagator)
    elif propagator is not LabelPropagator:
        raise ValueError(f"protocol {rules.name!r} propagates no labels: leave {name_of_rule(propagator)} out")
    with eval_mode(extractor):
        if isinstance(rules, TrackingProtocol):
            return SiamFCTracker(extractor, rules)
        return FrameEncoder(extractor, rules)


def protocol_of_prompt(encoder: Encoder, prompt: Prompt, protocol: str | AnyProtocol | None) -> AnyProtocol:
    """Return the protocol that follows prompts of a kind, before the stride of the features is known."""
    if protocol is not None and not isinstance(protocol, str):
        if isinstance(prompt, PointPrompt) and isinstance(protocol, PointProtocol):
            return protocol
        fitting: dict[str, Any] = {"mask": PropagationProtocol, "points": JointProtocol, "boxes": TrackingProtocol}
        return fitting[prompt.kind].named(protocol)
    if isinstance(prompt, BoxPrompt):
        return TrackingProtocol.named(protocol or "vfs")
    if isinstance(prompt, PointPrompt):
        return _point_protocol(protocol or DEFAULT)
    default = "liir" if isinstance(getattr(encoder.network, "network", encoder.network), LiirEncoder) else DEFAULT
    named = PropagationProtocol.named(protocol or default, benchmark="davis")
    # keeps the video's proportions, unless the name itself changes `resized_data`
    return named.with_changes(**{"resized_data": None} | named.changes)


def name_of(rules: AnyProtocol) -> str:
    """Return the name by which `protocol_of_prompt` finds a protocol: `vidcorr-points` for `vidcorr` of points."""
    source, plus, changes = rules.name.partition("+")
    # label propagation has a protocol of this name too, and the name alone would mean that one
    if isinstance(rules, PointProtocol) and source in JointProtocol.sources():
        source += POINTS
    return f"{source}{plus}{changes}"


def _point_protocol(name: str) -> JointProtocol | PointProtocol:
    """Return the protocol that a name means for points: if label propagation has it too, that one."""
    source, plus, changes = name.partition("+")
    point_source = source.removesuffix(POINTS)
    has_suffix = source != point_source
    is_shared_name = source in JointProtocol.sources()
    if point_source in PointProtocol.sources() and (has_suffix or not is_shared_name):
        return PointProtocol.named(f"{point_source}{plus}{changes}")
    named = JointProtocol.named(name)
    # keeps the video's proportions, unless the name itself changes `input_size`
    return named.with_changes(**{"input_size": None} | named.changes)


def with_sigma_of_cells(rules: Any, stride: int | None) -> Any:
    """Return a protocol for joints with Gaussians of half a cell, if the stride is not the protocol's.

    Example:
        >>> vfs = JointProtocol.named("vfs")
        >>> vfs.feature_stride, vfs.keypoint_sigma, with_sigma_of_cells(vfs, 4).keypoint_sigma
        (8, 4.0, 2.0)
        >>> names = ("vfs+keypoint_sigma=3", "vidcorr")  # a sigma that the name sets, and one for this stride
        >>> [with_sigma_of_cells(JointProtocol.named(name), 4).keypoint_sigma for name in names]
        [3.0, 4.0]
    """
    is_in_pixels = isinstance(rules, JointProtocol) and rules.keypoint_unit == "pixel"
    if stride is None or not is_in_pixels or stride == rules.feature_stride or "keypoint_sigma" in rules.changes:
        return rules
    return rules.with_changes(keypoint_sigma=stride / 2)


def seen_size(size: Size, protocol: NetworkInput, short_side: int) -> Size:
    """Return the (H, W) to which frames are reduced before they enter the network; an input size does it itself."""
    require_at_least(1, short_side=short_side)
    factor = min(1.0, short_side / min(size)) if protocol.input_size is None else 1.0
    return round(size[0] * factor), round(size[1] * factor)
