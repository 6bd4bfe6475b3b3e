"""A video beside its features: principal colours, and where a place of the first frame is found in all frames."""

from collections.abc import Iterator
from itertools import islice
from math import ceil
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional.propagation.comparison import comparison
from ..functional.propagation.resizing import reduced_frame
from ..results.pictures import Picture, as_picture
from ..results.pictures.sheets import colour_basis, heated, pale
from ..videos.prompts import MaskPrompt
from ..videos.stream import FrameStream
from .follow import SHORT_SIDE, extractor_and_protocol, seen_size
from .frame_encoder import FrameEncoder

OF_BASIS = 32
"""Most frames by which the colours are chosen, evenly spaced."""


def feature_pictures(
    network: Any,
    stream: FrameStream,
    protocol: str | None = None,
    point: tuple[float, float] | None = None,
    short_side: int = SHORT_SIDE,
) -> Iterator[dict[str, Picture]]:
    """Yield the pictures of each frame: `frame`, its features as `colours`, and `found`, where a place is.

    The colours are three principal components over all frames, so that equal colours are like features. The heat is the
    cosine with the feature at the place, as the protocol compares, from the mean of the first frame up to 1.

    Args:
        network: a network, as `load` takes it, or its extractor.
        stream: the video.
        protocol: name of the protocol, by which masks would be followed: stage, stride, input, comparison.
        point: x, y in pixels of the first frame, whose first pixel has its centre at (0, 0); None: no `found`.
        short_side: short side to which larger frames are reduced, pixels; a protocol with an input size ignores it.

    Raises:
        ValueError: for an unknown network or protocol, or a point outside the frame.
        DataError: if a frame cannot be read.
    """
    height, width = stream.size
    if point and not (0 <= point[0] <= width - 1 and 0 <= point[1] <= height - 1):
        raise ValueError(f"the point {point[0]:g},{point[1]:g} lies outside the frame of {width} × {height} px")
    rules: Any  # a protocol of masks
    extractor, rules = extractor_and_protocol(network, MaskPrompt.of(np.ones(stream.size, np.uint8)), protocol)
    size = seen_size(stream.size, rules, short_side)
    encoder = FrameEncoder(extractor, rules)
    covered_size = encoder.covered_size(size)

    def frames(step: int = 1) -> Iterator[Tensor]:
        """Yield every `step`-th frame, at the size that the network sees."""
        return (reduced_frame(frame, size) for frame in islice(stream, 0, None, step))

    def enlarged(maps: Tensor) -> Tensor:
        """Return maps `(C, h, w)` at the size of the frames, without the padding."""
        return F.interpolate(maps[None].cpu(), covered_size, mode="bilinear")[0, :, : size[0], : size[1]]

    with torch.no_grad():
        some_maps = list(encoder.maps(frames(step=ceil(stream.num_frames / OF_BASIS))))
        colours = colour_basis(torch.stack(some_maps))
        for t, (frame, features) in enumerate(zip(frames(), encoder.maps(frames()), strict=True)):
            tinted = 0.85 * enlarged(colours(features[None])[0]) + 0.15 * frame.float().mean(0) / 255
            pictures = {"frame": as_picture(frame), "colours": as_picture(tinted)}
            if point:
                if t == 0:
                    compared = comparison(features, rules)
                    rows, columns = features.shape[1:]  # of cells; the next lines find the point's cell
                    row = int((point[1] + 0.5) * size[0] / height * rows / covered_size[0])
                    column = int((point[0] + 0.5) * size[1] / width * columns / covered_size[1])
                    place = F.normalize(compared(features)[row, column], dim=0)
                    mean = float((F.normalize(compared(features), dim=2) @ place).mean())
                cosines = F.normalize(compared(features), dim=2) @ place
                heat = enlarged((cosines[None].float() - mean) / max(1 - mean, 1e-6))[0]
                pictures["found"] = heated(pale(pictures["frame"]), heat)
            yield pictures
