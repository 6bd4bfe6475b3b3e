"""SiamFC tracking: correlate a target's first appearance with a search region, at a few scales."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import signals
from ..backbones import Encoder
from ..backbones.extractor import View, features_by
from ..backbones.outputs import OWN, stage_paths
from ..backbones.resnet import is_resnet
from ..functional.device import PendingCopy, computing_in, to_device
from ..functional.propagation.resizing import sampling_matrix
from ..functional.siamese import siamese_correlation
from ..protocols import TrackingProtocol
from ..protocols.box_protocols import (
    CONTEXT,
    EXEMPLAR_SIZE,
    INSTANCE_SIZE,
    SCALE_PENALTY,
    SCALE_RATE,
    SCALES,
    UPSAMPLING,
    WINDOW_INFLUENCE,
)
from ..videos.boxes import centred, context_side, one_based, square_crop
from .frame_encoder import FrameEncoder

Image = NDArray[np.uint8]
"""A frame, (H, W, 3) uint8 RGB."""

FLAT = 1e-5
"""A response map that varies by less than this fraction of its size is rounding error: only the window then counts."""


@dataclasses.dataclass
class Track:
    """State of a tracked target.

    Attributes:
        target: zero-based centre y, x, height, width, pixels.
        side: side of the exemplar's square in the frame, pixels; it is scaled with the target.
        exemplar: features of the first frame, (C, a, a).
        response: largest response in the last frame, at the chosen scale; NaN before the second frame.
    """

    target: NDArray[np.float64]
    side: float
    exemplar: Tensor
    response: float = math.nan


def at_extractor(protocol: TrackingProtocol, extractor: View) -> TrackingProtocol:
    """Return the protocol with the stride and dilations of an extractor; a stride that is not known yet stays.

    Raises:
        ValueError: if the protocol was changed to another stride or other dilations.

    Example:
        >>> from vidcorr import build_feature_extractor
        >>> at_extractor(TrackingProtocol(), build_feature_extractor("raw_colour", stride=4)).name
        'vfs+dilated=false+stride=4'
    """
    stride = extractor.stride or protocol.stride
    return protocol.brought_by_features(stride=stride, dilated=extractor.dilated)


def view_options(
    encoder: Encoder, protocol: TrackingProtocol, stage: str | None = None, stride: int | None = None
) -> dict[str, Any]:
    """Return the arguments of `Encoder.view` with which SiamFC views an encoder: for a ResNet, res5 with dilations.

    An extractor, an encoder with a stride of its own (`default_stride`) and a trained `SiamFC` keep stage and
    dilations. `stride` takes the place of dilations, unless the protocol changes `dilated`.

    Example:
        >>> from vidcorr import load
        >>> vfs = TrackingProtocol()
        >>> view_options(load("raw_colour"), vfs), view_options(load("vidcorr-r18"), vfs)
        ({'stage': None, 'stride': None}, {'stage': None, 'stride': None, 'dilated': False})
    """
    chosen: dict[str, Any] = {"stage": stage, "stride": stride}
    has_chosen = (
        encoder.default_stride or isinstance(encoder.network, View) or hasattr(encoder.network, "exemplar_conv")
    )
    if has_chosen:
        return chosen
    dilated = protocol.changes.get("dilated")
    # its own stage is not replaced by res5, and gets dilations only on demand
    if encoder.default_stage:
        return chosen | {"dilated": dilated or False}
    # a ResNet, or a network that makes its own views (None) and may hold one
    may_be_resnet = encoder.makes_views or (is_resnet(encoder.network) and encoder.view().stage != OWN)
    resnets = list(filter(is_resnet, encoder.modules())) if may_be_resnet else []
    # not every ResNet has res5: `vidcorr-r18` ends with res4
    if stage is None and any("res5" in stage_paths(network) for network in resnets):
        chosen["stage"] = "res5"
    if dilated is None:
        dilated = bool(resnets) and chosen["stage"] is not None and stride is None
    return chosen | {"dilated": dilated}


class SiamFCTracker(FrameEncoder):
    """Tracker of the targets of a video; a single pass of the network covers all targets and scales of a frame.

    The tracker may use a copy of the extractor with folded BatchNorms, so make a new tracker after further training.

    Args:
        extractor: the extractor, for example `build_feature_extractor(network, "res5", dilated=True)`; its `exemplar`
            maps the first frame.
        protocol: None is VFS's; the extractor's stride and dilations replace the protocol's.

    Attributes:
        watch: counts the seconds of "decode", "crop", "backbone" and "respond".
        tracks: the targets of the last video.

    Raises:
        ValueError: for a video encoder.
    """

    protocol: TrackingProtocol

    def __init__(self, extractor: Any, protocol: TrackingProtocol | None = None) -> None:
        if extractor.in_order:
            raise ValueError("SiamFC encodes single crops, which a video encoder cannot; give an image encoder")
        super().__init__(extractor, at_extractor(protocol or TrackingProtocol(), extractor))
        self.tracks: list[Track] = []

    @torch.no_grad()
    def track(
        self, frames: Iterable[Tensor], boxes: NDArray[np.float64]
    ) -> Iterator[tuple[Tensor, NDArray[np.float64]]]:
        """Follow targets through a video.

        Args:
            frames: uint8 RGB `(3, H, W)`.
            boxes: one-based x, y, width, height (N, 4) of the targets in the first frame.

        Yields:
            The frames with their boxes (N, 4); the first frame has the given boxes.

        Raises:
            ValueError: if a box has no area, or a response is not finite.
            Stopped: between two frames, if a signal asks for it.
        """
        self.tracks = []
        for frame in self.watch.timed("decode", frames):
            signals.check()
            image = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
            if self.tracks:
                boxes = self.step(self.tracks, image)
            else:
                self.tracks = [self.start(image, box) for box in boxes]
            yield frame, boxes

    def start(self, frame: Image, box: NDArray[np.float64]) -> Track:
        """Start to track a target of the first frame by its one-based x, y, width, height."""
        target = centred(box)
        if not (np.isfinite(target).all() and target[2:].min() > 0):
            raise ValueError(f"cannot follow the box {np.asarray(box).tolist()}: it needs a width and a height")
        side = context_side(target[2], target[3], CONTEXT)
        with self.watch("crop"):
            crop = square_crop(frame, (target[0], target[1]), side, EXEMPLAR_SIZE)
        return Track(target, side, exemplar=self._features(crop[None], self._folded.exemplar)[0])

    def step(self, tracks: Sequence[Track], frame: Image) -> NDArray[np.float64]:
        """Find the targets in the next frame, (H, W, 3) uint8 RGB, and change their tracks in place.

        Returns:
            (N, 4) one-based x, y, width, height.

        Raises:
            ValueError: if a response is not finite.
        """
        raw = self.correlate(tracks, frame)
        with self.watch("respond", self.device):
            size = (self.protocol.response_size or raw.shape[-1]) * UPSAMPLING
            # (size, n): bicubic up-sampling is linear and separable, so two matrix products compute it
            matrix = sampling_matrix(raw.shape[-1], size, self.device).contiguous()
            responses = matrix @ raw @ matrix.T  # (N, scales, size, size)
            # the one wait for the device
            peaks = PendingCopy(self._peaks(responses)).wait().numpy()
        # of each target: index of its scale; index of its cell; 0 or 1
        best, peak, finite = peaks[:3].astype(np.int64)
        largest = peaks[3]
        if not finite.all():
            raise ValueError("tracking: the response is not finite; has the network diverged?")
        for track, scale, index, response in zip(tracks, np.array(SCALES)[best], peak.tolist(), largest, strict=True):
            track.response = float(response)
            row, column = divmod(index, size)
            offset = np.array([row, column]) - (size - 1) / 2
            in_crop = offset * self.protocol.stride / UPSAMPLING
            # pixels of the frame: a crop shows `side` of them as EXEMPLAR_SIZE pixels, and `scale` times as many
            track.target[:2] += in_crop * track.side / EXEMPLAR_SIZE * scale
            growth = 1 - SCALE_RATE + SCALE_RATE * scale
            track.target[2:] *= growth
            track.side *= growth
        return one_based(np.stack([track.target for track in tracks]))

    def correlate(self, tracks: Sequence[Track], frame: Image) -> Tensor:
        """Correlate N targets with the regions around their last positions in a frame: (N, scales, n, n)."""
        crops = []
        with self.watch("crop"):  # (scales · N, S, S, 3): all targets at the smallest scale, then at the next
            for scale, track in product(SCALES, tracks):
                y, x = track.target[:2]
                # `track.side` pixels of the frame are the exemplar; the search crop is larger in the same proportion
                side = track.side * INSTANCE_SIZE / EXEMPLAR_SIZE * scale
                crops.append(square_crop(frame, (y, x), side, INSTANCE_SIZE))
            stacked = np.stack(crops)
        # `_folded`: the extractor, with its BatchNorms folded
        search = self._features(stacked, self._folded)
        exemplars = [track.exemplar for track in tracks]
        with self.watch("respond", self.device):
            raw = siamese_correlation(torch.stack(exemplars), search)  # (scales · N, 1, n, n), in the crops' order
            return raw.reshape(len(SCALES), len(tracks), *raw.shape[-2:]).transpose(0, 1)

    def _features(self, crops: NDArray[np.uint8], method: Any) -> Tensor:
        """Return the float32 maps `(N, C, h, w)` of crops `(N, S, S, 3)`, uint8 RGB, by extractor or `exemplar`."""
        with self.watch("backbone", self.device), computing_in("float32", self.device):
            images = to_device(torch.from_numpy(crops), self.device).permute(0, 3, 1, 2)
            features: Tensor = features_by(method, images.float().div_(255))
        return features.float()

    def _peaks(self, responses: Tensor) -> Tensor:
        """Return each target's best scale and the peak of its response there, (4, N) float64.

        The best scale has the largest peak after `SCALE_PENALTY`, which the middle scale does not get.
        A cosine window, largest in the middle, is added before the peak is taken, so the response at the peak may be
        less than the largest response.

        Returns:
            A tensor that one copy brings to the CPU. Its rows: index of the best scale; peak, as row · n + column; 1 if
            all responses of the target are finite, else 0; largest response at the best scale.

        Example:
            >>> from torch import nn
            >>> from vidcorr import build_feature_extractor
            >>> extractor = build_feature_extractor(nn.AvgPool2d(8))
            >>> responses = torch.full((1, 3, 5, 5), -20.0)
            >>> responses[0, :, 1, 2] = torch.tensor([-10.0, -10.2, -11.0])  # at three scales
            >>> tracker = SiamFCTracker(extractor)
            >>> tracker._peaks(responses)[0], tracker._peaks(responses + 21)[0]  # the penalty raises -10.0 to -9.7
            (tensor([0.], dtype=torch.float64), tensor([1.], dtype=torch.float64))
            >>> flat = torch.full((3, 3, 5, 5), 8.0)
            >>> flat[:, 1, 0, 0] += torch.tensor([0.9e-5, 1.07e-5, 1e37]) * 8  # the first is rounding error
            >>> tracker._peaks(flat)[1].tolist()  # the window's peak is cell 12
            [12.0, 0.0, 0.0]
        """
        penalty = to_device(torch.tensor([SCALE_PENALTY, 1, SCALE_PENALTY], dtype=responses.dtype), responses.device)
        peaks = responses.amax((-2, -1))
        best = (peaks * penalty).argmax(1)
        at_best_scale = responses[torch.arange(len(responses), device=best.device), best].flatten(1)
        # `aminmax`, for both, takes 15 times as long
        low = at_best_scale.amin(1, keepdim=True)
        high = at_best_scale.amax(1, keepdim=True)
        # Of a response r the peak is that of influence * window + (1 - influence) * (r - min) / sum(r - min), where the
        # window has the sum 1 too. `total` is sum(r - min). The min above it is left out: a constant moves no peak.
        total = at_best_scale.sum(1, keepdim=True, dtype=torch.float64) - at_best_scale.shape[1] * low.double()
        # differences within rounding error: such a response gets the weight 0, and the window alone counts
        flat = high - low <= FLAT * torch.maximum(high.abs(), low.abs())
        window = cosine_window(responses.shape[-1], responses.device)
        weight = torch.where(flat, 0, (1 - WINDOW_INFLUENCE) / (total + 1e-16))
        peak = torch.addcmul(WINDOW_INFLUENCE * window, weight, at_best_scale).argmax(1)
        # the maxima tell: the up-sampling has made an infinite cell NaN (0 * inf), and `amax` passes NaN on
        finite = peaks.isfinite().all(1)
        return torch.stack([best.double(), peak.double(), finite.double(), high[:, 0].double()])


@lru_cache(128)
# autograd takes no tensors of inference mode, in which the first call may be
@torch.inference_mode(False)
def cosine_window(cells: int, device: torch.device) -> Tensor:
    """Return a cosine (Hann) window over a square of `cells` × `cells`, flattened, with sum 1, float64.

    Example:
        >>> window = cosine_window(5, torch.device("cpu")).view(5, 5)
        >>> [round(value, 3) for value in window[2].tolist()]  # the middle row
        [0.0, 0.125, 0.25, 0.125, 0.0]
        >>> with torch.inference_mode():
        ...     kept = cosine_window(6, torch.device("cpu"))
        >>> kept.is_inference(), cosine_window(6, torch.device("meta")).is_meta
        (False, True)
    """
    window = torch.hann_window(cells, periodic=False, dtype=torch.float64, device=device)
    return (window.outer(window) / window.sum() ** 2).flatten()
