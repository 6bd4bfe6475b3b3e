"""Features of frames as label propagation takes them."""

import torch
from torch import Tensor, nn

from lightning_modules.functional.propagation.sizing import NetworkInput, Size, covered_size

from .frame_encoder import FrameEncoder
from .stopwatch import Stopwatch


@torch.no_grad()
def frame_features(extractor: nn.Module, frames: Tensor, protocol: NetworkInput) -> tuple[Tensor, Size]:
    """Return the features of frames as a tracker under the protocol takes them, and what their map covers of a frame.

    Args:
        extractor: see `build_feature_extractor`; of several maps the last is taken.
        frames: `(T, 3, H, W)`, uint8 or float in [0, 1].
        protocol: size, padding, normalisation and precision of what the network sees.

    Returns:
        Float32 `(T, C, h, w)` on the extractor's device, and `covered_size` of a frame.

    Raises:
        ValueError: if the extractor lacks the normalisation that the protocol changes.
    """
    encoder = FrameEncoder(extractor, protocol, Stopwatch())
    maps = [encoder([frame])[0][-1] for frame in frames]
    height, width = frames.shape[-2:]
    return torch.stack(maps), covered_size((height, width), protocol, getattr(extractor, "multiple", 1))
