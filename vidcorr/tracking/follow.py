"""Follow a user's prompt through a video: masks, boxes or points, frame after frame."""

import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..backbones import Encoder, LiirEncoder, LiirExtractor, load
from ..backbones.extractor import eval_mode
from ..backbones.video import stride_of
from ..functional.propagation.propagate import LabelPropagator, name_of_rule, under_rule
from ..functional.propagation.resizing import Size, reduced_frame
from ..protocols import JointProtocol, LabelProtocol, PointProtocol, PropagationProtocol, TrackingProtocol
from ..protocols.network_input import NetworkInput
from ..videos.files import DataError
from ..videos.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt
from ..videos.stream import FrameStream
from .frame_encoder import FrameEncoder
from .labels import Annotated, MaskCoding, PointCoding, Propagator, first_only, follow_labels
from .points import follow_points
from .siamfc_tracker import SiamFCTracker, at_extractor, view_options

AnyProtocol = LabelProtocol | TrackingProtocol | PointProtocol

SHORT_SIDE = 480
DEFAULT = "vidcorr"
"""Protocol of masks and points without a name: label propagation."""
POINTS = "-points"
"""Ends the name of a point protocol whose name alone is label propagation: `vidcorr-points`."""


def follow(
    network: Any,
    video: str | Path | FrameStream | Iterable[Tensor],
    prompt: Prompt,
    protocol: str | AnyProtocol | None = None,
    short_side: int = SHORT_SIDE,
    propagator: Propagator = LabelPropagator,
) -> Iterator[tuple[Tensor, Any]]:
    """Follow a prompt through a video from its first frame on; memory holds the protocol's window.

    Points are followed by Gaussian heat-maps, like joints on JHMDB, or by a point protocol, independently of each
    other; boxes by SiamFC's tracker. A point protocol reads the video three times: to count its frames, to track, and
    to yield its frames with the points. The network computes in eval mode; between two frames it has its own mode.

    Args:
        network: a network, as `load` takes it, or its extractor.
        video: a file, a folder of frames, a `FrameStream` of a part; or frames, uint8 RGB `(3, H, W)`, of equal size.
        prompt: `MaskPrompt.of(…)`, `BoxPrompt.of(…)` or `PointPrompt.of(…)` of the first frame.
        protocol: a protocol, or its name, with changed fields as `vidcorr+radius=0.3`. None is `vidcorr`, label
            propagation; for masks by Liir's features `liir`; for a box VFS's tracker, `vfs`. Points also have point
            protocols (`fomo`, `tapir-matching`, `gmrw-chained`).
        short_side: short side to which larger frames are reduced, pixels. A protocol with an input size ignores it, and
            so does a box.
        propagator: `LabelPropagator`, or a rule of yours for masks and heat-maps.

    Returns:
        Iterator of frame `(3, H, W)` uint8, in order, and its results in pixels of the frame: ids `(H, W)` uint8; boxes
        left, top, width, height, score `(N, 5)`, which may leave the frame, the score SiamFC's response, NaN in the
        first frame; points x, y, score `(K, 3)`, the score the peak of the heat-map as a fraction of its first peak,
        x and y NaN for an empty heat-map; by a point protocol x, y, score, occluded `(K, 4)`, the score the cosine of
        the features at the point and at its prompt.

    Raises:
        DataError: if the prompt does not fit the first frame, or a frame cannot be read.
        ValueError: for an unknown protocol or field, frames that are not uint8, or a rule where nothing is propagated.

    Example:
        >>> video, mask = torch.zeros(3, 3, 64, 64, dtype=torch.uint8), torch.zeros(64, 64, dtype=torch.uint8)
        >>> video[:, 0, 16:32, 16:32] = 255
        >>> mask[16:32, 16:32] = 1
        >>> found = list(follow("raw_colour", video, MaskPrompt.of(mask)))
        >>> bool((found[2][1] == mask).float().mean() > 0.95)
        True
    """
    if isinstance(video, str | Path):
        video = FrameStream(video)
    frames = iter(video)
    if isinstance(video, FrameStream):
        size = video.size
        if prompt.frame not in (None, video.start):
            raise DataError(f"{prompt.source}: holds frame {prompt.frame}, the video starts with frame {video.start}")
    else:
        first = next(frames)
        size = (first.shape[1], first.shape[2])
        frames = map(_checked, chain([first], frames))
    prompt = prompt.within(size)
    extractor, rules = extractor_and_protocol(network, prompt, protocol, propagator)
    with eval_mode(extractor):  # for the constructors; each frame is computed in eval mode below
        if isinstance(rules, TrackingProtocol):
            found: Iterator[tuple[Tensor, Any]] = _boxes(SiamFCTracker(extractor, rules), frames, prompt.labels)
        else:
            seen = seen_size(size, rules, short_side)
            encoder = FrameEncoder(extractor, rules)
            if isinstance(rules, LabelProtocol):
                found = _propagated(encoder, frames, prompt, size, seen, propagator)
            elif isinstance(video, FrameStream):
                found = _queries(encoder, video, prompt.labels, seen)
            else:
                raise ValueError(f"point protocol {rules.name!r} reads a video several times: give a file or a folder")
    return _computed_in_eval_mode(extractor, found)


def extractor_and_protocol(
    network: Any, prompt: Prompt, protocol: str | AnyProtocol | None, propagator: Propagator = LabelPropagator
) -> tuple[Any, AnyProtocol]:
    """Return the extractor and the protocol by which a prompt is followed; the protocol has the extractor's stride.

    Args:
        network: as `load` takes it.
        prompt: a prompt of the kind.
        protocol: as `rules_for` takes it.
        propagator: `LabelPropagator`, or a rule, which the protocol then names.

    Raises:
        ValueError: for an unknown network, protocol or field, or a rule under another kind of protocol.
    """
    encoder = load(network)
    named = rules_for(encoder, prompt, protocol)
    if isinstance(named, TrackingProtocol):
        extractor = encoder.placed_view(**view_options(encoder))
        rules: AnyProtocol = at_extractor(named, extractor)
    else:
        extractor = encoder.placed_view(default=named.features)
        rules = at_stride(named, stride_of(extractor), by_name=protocol is None or isinstance(protocol, str))
    if isinstance(rules, LabelProtocol):
        return extractor, under_rule(rules, propagator)
    if propagator is not LabelPropagator:
        raise ValueError(f"protocol {rules.name!r} propagates no labels: leave {name_of_rule(propagator)} out")
    return extractor, rules


def rules_for(encoder: Encoder, prompt: Prompt, protocol: str | AnyProtocol | None) -> AnyProtocol:
    """Return the protocol that follows prompts of a kind, before the stride of the features is known.

    Args:
        encoder: the network; Liir's changes the default for masks to `liir`.
        prompt: a prompt of the kind.
        protocol: a protocol, or a name: for masks and points of a propagation protocol, for points also of a point
            protocol (`fomo`, `tapir-matching`, `gmrw-chained`, and `vidcorr-points` for `vidcorr`'s), for boxes `vfs`;
            with changed fields as `vidcorr+radius=0.3`. None is `vidcorr`, label propagation, for a box `vfs`. A
            propagation protocol by name keeps the video's proportions.

    Raises:
        ValueError: for an unknown protocol or field.
    """
    if protocol is not None and not isinstance(protocol, str):
        if not isinstance(protocol, LabelProtocol):
            return protocol
        fitting_class = PropagationProtocol if isinstance(prompt, MaskPrompt) else JointProtocol
        rules: AnyProtocol = fitting_class.named(protocol)  # refuses a protocol of the other class
        return rules
    if isinstance(prompt, BoxPrompt):
        tracking: AnyProtocol = TrackingProtocol.named(protocol or "vfs")
        return tracking
    if isinstance(prompt, PointPrompt):
        return _point_protocol(protocol or DEFAULT)
    default = "liir" if isinstance(encoder.network, LiirEncoder | LiirExtractor) else DEFAULT
    named = PropagationProtocol.named(protocol or default, "davis")
    masks: AnyProtocol = named.with_changes(**{"resized_data": None} | named.changes)  # keeps the video's proportions
    return masks


def name_of(rules: AnyProtocol) -> str:
    """Return the name by which `rules_for` finds a protocol: `vidcorr-points` for the point protocol `vidcorr`."""
    source, plus, changes = rules.name.partition("+")
    if isinstance(rules, PointProtocol) and source in JointProtocol.sources():
        source += POINTS
    return f"{source}{plus}{changes}"


def _point_protocol(name: str) -> JointProtocol | PointProtocol:
    """Return the protocol of a name for points; a name that masks have too is label propagation, as for masks."""
    source, plus, changes = name.partition("+")
    point_source = source.removesuffix(POINTS)
    has_suffix = source != point_source
    is_shared_name = source in JointProtocol.sources()
    if point_source in PointProtocol.sources() and (has_suffix or not is_shared_name):
        return PointProtocol.named(f"{point_source}{plus}{changes}")
    named = JointProtocol.named(name)
    return named.with_changes(**{"input_size": None} | named.changes)  # keeps the video's proportions


def at_stride(rules: Any, stride: int | None, by_name: bool) -> Any:
    """Return a protocol at the stride of an extractor; None if it is not known yet.

    Args:
        rules: the protocol.
        stride: pixels per cell.
        by_name: the protocol was named: at another stride than its own, Gaussians of joints then have half a cell,
            unless the name changes them.

    Raises:
        ValueError: if the name changes the stride to another one.
    """
    if stride is None:
        return rules
    is_in_pixels = isinstance(rules, JointProtocol) and rules.keypoint_unit == "pixel"
    if by_name and is_in_pixels and stride != rules.feature_stride and "keypoint_sigma" not in rules.changes:
        rules = rules.with_changes(keypoint_sigma=stride / 2)
    return rules.brought_by_features(feature_stride=stride)


def _computed_in_eval_mode(extractor: nn.Module, found: Iterator[tuple[Tensor, Any]]) -> Iterator[tuple[Tensor, Any]]:
    """Yield frames and results; each is computed in eval mode, and the caller sees the extractor in its own mode."""
    while True:
        with eval_mode(extractor):
            item = next(found, None)
        if item is None:
            return
        yield item


def seen_size(size: Size, protocol: NetworkInput, short_side: int) -> Size:
    """Return the (H, W) to which frames are reduced for the network; under a protocol with an input size their own."""
    factor = min(1.0, short_side / min(size)) if protocol.input_size is None else 1.0
    return round(size[0] * factor), round(size[1] * factor)


def _checked(frame: Tensor) -> Tensor:
    """Return a frame.

    Raises:
        ValueError: if it is not uint8 RGB `(3, H, W)`.
    """
    if frame.dtype != torch.uint8 or frame.ndim != 3 or len(frame) != 3:
        given = f"{str(frame.dtype).removeprefix('torch.')} {tuple(frame.shape)}"
        raise ValueError(f"frames must be uint8 RGB (3, H, W) in 0 … 255, got {given}: convert them by .byte()")
    return frame


def _propagated(
    encoder: FrameEncoder, frames: Iterator[Tensor], prompt: Prompt, size: Size, seen: Size, propagator: Propagator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Return frames and their results by label propagation, from a prompt of a mask or of points."""
    annotated = first_only(frames, torch.from_numpy(prompt.labels))
    if isinstance(prompt, MaskPrompt):
        starts = dict.fromkeys(map(int, prompt.objects), 0)
        return _masks(annotated, MaskCoding(encoder, size, seen, starts), propagator)
    return _points(annotated, PointCoding(encoder, size, seen), propagator)


def _masks(annotated: Annotated, coding: MaskCoding, propagator: Propagator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield frames and ids `(H, W)` uint8 by label propagation, from the ids of the first frame."""
    for t, tracked in enumerate(follow_labels(annotated, coding, propagator)):
        if t == 0:
            has_cells = tracked.labels[1:].flatten(1).any(1).tolist()
            too_small = [str(number) for number, has in zip(coding.objects, has_cells, strict=True) if not has]
            if too_small:
                cells = f"feature cells of {coding.encoder.protocol.feature_stride} px"
                text = f"object {', '.join(too_small)} is too small for {cells} and is not followed"
                warnings.warn(text, stacklevel=2)
        yield tracked.frame, tracked.decoded


def _points(annotated: Annotated, coding: PointCoding, propagator: Propagator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield frames and x, y, score `(K, 3)` by heat-maps, from the points `(K, 2)` of the first frame."""
    first_peaks = None
    for tracked in follow_labels(annotated, coding, propagator):
        peaks = tracked.labels.flatten(1).amax(1)
        points = tracked.decoded.double()
        if first_peaks is None:
            first_peaks = peaks.clamp_min(1e-12)  # a point outside the picture has no peak to divide by
        else:
            points[peaks <= 0] = torch.nan
        scores = (peaks / first_peaks).double()
        yield tracked.frame, torch.cat([points, scores[:, None]], dim=1)


def _boxes(
    tracker: SiamFCTracker, frames: Iterator[Tensor], labels: NDArray[np.float64]
) -> Iterator[tuple[Tensor, NDArray[np.float64]]]:
    """Yield frames and x, y, width, height, response `(N, 5)` by SiamFC, from the boxes `(N, 4)` of the first frame."""
    first_pixel = np.array([1.0, 1.0, 0.0, 0.0])  # the tracker counts pixels from one, a prompt from zero
    for frame, boxes in tracker.track(frames, labels + first_pixel):
        responses = [track.response for track in tracker.tracks]
        yield frame, np.column_stack([boxes - first_pixel, responses])


def _queries(
    encoder: FrameEncoder, stream: FrameStream, labels: NDArray[np.float64], seen: Size
) -> Iterator[tuple[Tensor, Tensor]]:
    """Track points by a point protocol, then yield frames and x, y, similarity, occlusion (0 or 1) `(K, 4)`."""
    count = sum(1 for _ in stream)
    scale = torch.tensor(stream.size[::-1], dtype=torch.float64) / encoder.protocol.scored_size
    in_raster = (torch.from_numpy(labels) + 0.5) / scale  # the centre of the first pixel: 0 in a prompt, 0.5 here
    first_frame = torch.zeros((len(in_raster), 1), dtype=torch.float64)
    queries = torch.cat([first_frame, in_raster.flip(1)], dim=1)

    def frames_from(first: int) -> Iterator[Tensor]:
        return map(partial(reduced_frame, size=seen), stream.forwards(first))

    tracks = follow_points(encoder, frames_from, count, seen, queries.numpy())
    positions = tracks.points * scale - 0.5
    for t, frame in enumerate(stream):
        x, y = positions[:, t].T
        yield frame, torch.stack([x, y, tracks.similarity[:, t], tracks.occluded[:, t]], dim=1)
