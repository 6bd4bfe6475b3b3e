"""A trial of an extractor on a blank frame, before a training or a long run needs it."""

from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.device import computing_in, device_of, random_state_kept
from .eval_mode import eval_mode
from .extractor import as_list, features_by
from .outputs import OWN_EXTRACTOR, PROBE, measured_stride, require_map
from .trust import reason
from .video import VideoEncoder


def check_features(extractor: nn.Module | VideoEncoder, on_grid: bool = True) -> None:
    """Refuse an extractor that benchmarks could not use, by its features of a blank frame.

    The network computes in eval mode; its modes, weights and buffers and torch's random state stay as they were.

    Args:
        extractor: what `feature_extractor(stage, stride)` returns, or a video encoder.
        on_grid: False for crops, as SiamFC takes them: the stride may be missing, and the map may have any size.

    Raises:
        ValueError: one line with the remedy, if the extractor fails, or gives no map of at least 4 × 4 cells, or its
            `stride` is missing or is not that of the map.
    """
    kind = type(extractor).__name__
    multiple: int = getattr(extractor, "multiple", 1)
    height = PROBE[0] + -PROBE[0] % multiple
    width = PROBE[1] + -PROBE[1] % multiple
    try:
        with eval_mode(extractor), torch.inference_mode(False), torch.no_grad(), random_state_kept():
            output = _features_of(extractor, (height, width))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # any type, because the code is the user's
        told = f"{type(error).__name__}: {reason(error)}"
        raise ValueError(f"{kind}: fails on a blank frame of {height} x {width}: {told}") from error
    maps = as_list(output)
    if not on_grid:
        for features in maps:
            require_map(features, kind)
        return
    stride: Any = getattr(extractor, "stride", None)
    strides = as_list(stride)
    if not all(isinstance(pixels, int) for pixels in strides) or len(strides) != len(maps):
        for features in maps:
            require_map(features, kind)
        raise ValueError(
            f"{kind}: gives {len(maps)} map(s), but its attribute stride is {stride}: set it to the pixels per cell of "
            f"each map, {OWN_EXTRACTOR}"
        )
    for features, pixels in zip(maps, strides, strict=True):
        measured_stride(features, kind, pixels, (height, width))


def _features_of(extractor: nn.Module | VideoEncoder, size: tuple[int, int]) -> object:
    """Return the output for a blank frame of size (H, W); of a video encoder as a batch of one."""
    device = device_of(extractor)
    with computing_in("float32", device):
        if not isinstance(extractor, VideoEncoder):
            return features_by(extractor, torch.zeros(1, 3, *size, device=device))
        first = next(iter(extractor.encode(repeat(torch.zeros(3, *size, device=device), 2))), None)
    if isinstance(first, list):
        return [features[None] for features in first]
    return first[None] if isinstance(first, Tensor) else first
