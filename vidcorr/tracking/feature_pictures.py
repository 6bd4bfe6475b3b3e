"""The features of a video: their principal colours in five frames, and the maps themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..functional.propagation.resizing import reduced_frame
from ..results.pictures import feature_sheet, write_picture
from ..results.pictures.overlays import evenly_spaced
from ..videos.files import unfinished, user_path
from ..videos.prompts import MaskPrompt
from ..videos.stream import FrameStream
from .follow import SHORT_SIDE, encoder_of, seen_size
from .frame_encoder import FrameEncoder

COLUMNS = 5
"""Number of evenly spaced frames in a picture."""


@torch.no_grad()
def write_features(
    output: Path, network: object, stream: FrameStream, protocol: str | None = None, short_side: int = SHORT_SIDE
) -> None:
    """Write a PNG or JPEG of five evenly spaced frames, and below each its features as three principal components.

    The components are those of the five frames together, so that similar features have similar colours.

    Args:
        network: a network, as `load` takes it, or its extractor.
        protocol: name of a protocol for masks, which sets stage, stride and input.
        short_side: short side to which larger frames are reduced, pixels; a protocol with an input size ignores it.

    Raises:
        ValueError: for an unknown network or protocol.
        DataError: if a frame cannot be read.
    """
    encoder, size = _as_for_masks(network, stream, protocol, short_side)
    places = evenly_spaced(stream.num_frames, COLUMNS)
    reduced = (reduced_frame(frame, size) for t, frame in enumerate(stream) if t in places)
    frames = list(reduced)
    maps = torch.stack(list(encoder.maps(frames)))
    names = [f"frame {stream.number(t)}" for t in places]
    covered_size = encoder.input_sizes(size).covered
    write_picture(user_path(output), feature_sheet(torch.stack(frames), maps, covered_size, names))


def _as_for_masks(
    network: object, stream: FrameStream, protocol: str | None, short_side: int
) -> tuple[FrameEncoder, tuple[int, int]]:
    """Return an encoder under the protocol by which masks are followed, and the (H, W) of reduced frames."""
    mask_prompt = MaskPrompt.of(np.ones(stream.size, np.uint8))
    encoder = encoder_of(network, mask_prompt, protocol)
    return encoder, seen_size(stream.size, encoder.protocol, short_side)


def write_maps(
    output: Path, network: object, stream: FrameStream, protocol: str | None = None, short_side: int = SHORT_SIDE
) -> None:
    """Write the feature maps of a video as .npz; all maps are in memory until the end.

    The file has `features` `(T, C, h, w)` float16 (float32, if float16 would make a value infinite or 0); `stage`;
    `stride`, pixels of the network's input per cell; and `input`, its RGB, as JSON. Args: as `write_features`.
    """
    encoder, size = _as_for_masks(network, stream, protocol, short_side)
    frames = (reduced_frame(frame, size) for frame in stream)
    extractor = encoder.extractor
    facts = {"stage": str(extractor.stage), "stride": extractor.stride, "input": encoder.input.model_dump_json()}
    with torch.no_grad():
        features = np.stack([_half_if_it_fits(features) for features in encoder.maps(frames)])
    with unfinished(user_path(output)) as temporary, open(temporary, "wb") as file:
        np.savez(file, features=features, **facts)


def _half_if_it_fits(features: Tensor) -> NDArray[Any]:
    half = features.half()
    fits = bool((half.isfinite() & ((half == 0) == (features == 0))).all())
    return (half if fits else features.float()).cpu().numpy()
