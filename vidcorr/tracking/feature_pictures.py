"""A video beside its features: principal colours, and where a place of the first frame is found in all frames."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..functional.propagation.comparison import comparison
from ..functional.propagation.resizing import reduced_frame
from ..protocols import PropagationProtocol
from ..results.pictures import Picture, as_picture, write_picture
from ..results.pictures.overlays import evenly_spaced, resized
from ..results.pictures.sheets import colour_basis, heated, pale, with_dot
from ..videos.files import require_one_of, unfinished
from ..videos.mp4 import Mp4Writer
from ..videos.prompts import MaskPrompt, PointPrompt
from ..videos.stream import FrameStream
from .follow import SHORT_SIDE, extractor_and_protocol, seen_size
from .frame_encoder import FrameEncoder

OF_BASIS = 32
"""About how many evenly spaced frames choose the colours, at most."""
COLUMNS = 5
"""Number of evenly spaced frames in a figure."""
SUFFIXES = (".mp4", ".png", ".pdf", ".svg", "")
"""Forms of output: a film, figures, and a folder of pictures."""


@torch.no_grad()  # not a block: its caller may train between two frames
def feature_pictures(
    network: Any, stream: FrameStream, protocol: str | None = None, point: Any = None, short_side: int = SHORT_SIDE
) -> Iterator[dict[str, Picture]]:
    """Yield the pictures of each frame: `frame`, `colours` (its features) and, with a point, `found` (a heat map).

    The colours are three principal components over frames of the whole video, so that similar features have similar
    colours. The heat is the cosine with the feature at the point, as the protocol compares features, from the mean of
    the first frame up to 1. A dot marks the point in the first frame.

    Args:
        network: a network, as `load` takes it, or its extractor.
        stream: the video.
        protocol: name of a protocol for masks, which sets stage, stride, input and comparison.
        point: a point in the first frame, `x,y` in pixels, as `PointPrompt` takes it; None: no `found`.
        short_side: short side to which larger frames are reduced, pixels; a protocol with an input size ignores it.

    Raises:
        ValueError: for an unknown network or protocol.
        DataError: if a frame cannot be read, or the point lies outside.
    """
    # x, y in pixels of the video
    place = None if point is None else PointPrompt.of(point).fitted_to_frame(stream.size).labels[0]
    encoder, size = _as_for_masks(network, stream, protocol, short_side)
    covered_size = encoder.input_sizes(size).covered  # area under a map, padding included, in pixels of size `size`

    def reduced_frames(step: int = 1) -> Iterator[Tensor]:
        """Yield every `step`-th frame, reduced to the size for the network."""
        return (reduced_frame(frame, size) for frame in islice(stream, 0, None, step))

    def enlarged(maps: Tensor) -> Tensor:
        """Return maps `(C, h, w)` at the size of the frames, without the padding."""
        return F.interpolate(maps[None].cpu(), covered_size, mode="bilinear")[0, :, : size[0], : size[1]]

    # of at most `OF_BASIS` evenly spaced frames
    some_maps = torch.stack(list(encoder.maps(reduced_frames(step=ceil(stream.num_frames / OF_BASIS)))))
    colours = colour_basis(some_maps)  # function: maps (N, C, h, w) → RGB (N, 3, h, w) in [0, 1]
    similarity: _Similarity | None = None
    if place is not None:
        # cells per pixel of the reduced frame, times pixels of the reduced frame per pixel of the video
        cells_per_pixel = np.array(some_maps.shape[-2:]) / covered_size * size / stream.size  # down and across
        row, column = ((place[::-1] + 0.5) * cells_per_pixel).astype(int)
        similarity = _Similarity(some_maps[0], encoder.protocol, row, column)
    # the video is read twice side by side: for the pictures, and for the encoder, which may read ahead
    for t, (frame, features) in enumerate(zip(reduced_frames(), encoder.maps(reduced_frames()), strict=True)):
        # the frame's grey shows through the colours
        tinted = 0.85 * enlarged(colours(features[None])[0]) + 0.15 * frame.float().mean(0) / 255
        pictures = {"frame": as_picture(frame), "colours": as_picture(tinted)}
        if similarity is not None:
            heat = enlarged(similarity.heat(features)[None].float())[0]
            pictures["found"] = heated(pale(pictures["frame"]), heat)
        if place is not None and t == 0:
            # `with_dot` takes a cell and its size; here the cell is a pixel of the video, and `scale` its size in the
            # reduced picture
            scale = torch.tensor(size) / torch.tensor(stream.size)
            centre = torch.tensor(place[::-1].copy())
            pictures["found"] = with_dot(pictures["found"], centre, scale, radius=max(2, min(size) // 60))
        yield pictures


def _as_for_masks(
    network: Any, stream: FrameStream, protocol: str | None, short_side: int
) -> tuple[FrameEncoder, tuple[int, int]]:
    """Return an encoder under the protocol by which masks are followed, and the (H, W) to which frames are reduced.

    The arguments are those of `feature_pictures`.
    """
    of_masks = MaskPrompt.of(np.ones(stream.size, np.uint8))  # any mask: only the kind of prompt counts
    extractor, rules = extractor_and_protocol(network, of_masks, protocol)
    assert isinstance(rules, PropagationProtocol)
    return FrameEncoder(extractor, rules), seen_size(stream.size, rules, short_side)


class _Similarity:
    """Similarity of the cells of frames to a cell of the first frame, as a protocol compares features.

    Args:
        features: features of the first frame, `(C, h, w)`.
        rules: the protocol.
        row: row of the cell.
        column: column of the cell.
    """

    def __init__(self, features: Tensor, rules: Any, row: int, column: int) -> None:
        self._compared = comparison(features, rules)  # function: features (C, h, w) → compared vectors (h, w, K)
        cells = F.normalize(self._compared(features), dim=2)
        self._cell = cells[row, column]
        self._mean = (cells @ self._cell).mean()

    def heat(self, features: Tensor) -> Tensor:
        """Return the cosines `(h, w)` with the cell, rescaled: the mean of the first frame becomes 0, and 1 stays 1."""
        cosines = F.normalize(self._compared(features), dim=2) @ self._cell  # `_cell` has length 1
        return (cosines - self._mean) / (1 - self._mean).clamp(min=1e-6)


def write_maps(
    output: Path, network: Any, stream: FrameStream, protocol: str | None = None, short_side: int = SHORT_SIDE
) -> None:
    """Write the feature maps of a video as .npz; all maps are in memory until the end.

    The file has `features` `(T, C, h, w)` float16 (float32, if a value exceeds 65,504); `stage`; `stride`, pixels of
    the network's input per cell; and `input`, the RGB that the network gets, as JSON.

    Args:
        output: the file.
        network: a network, as `load` takes it, or its extractor.
        stream: the video.
        protocol: name of a protocol for masks, which sets stage, stride and input.
        short_side: short side to which larger frames are reduced, pixels.

    Raises:
        ValueError: for an unknown network or protocol.
        DataError: if a frame cannot be read.
    """
    encoder, size = _as_for_masks(network, stream, protocol, short_side)
    frames = (reduced_frame(frame, size) for frame in stream)
    extractor = encoder.extractor
    facts = {"stage": str(extractor.stage), "stride": extractor.stride, "input": encoder.input.model_dump_json()}
    with torch.no_grad():
        features = np.stack([_half_if_it_fits(features) for features in encoder.maps(frames)])
    with unfinished(output) as temporary, open(temporary, "wb") as file:
        np.savez(file, features=features, **facts)


def _half_if_it_fits(features: Tensor) -> NDArray[Any]:
    """Return features as float16; as float32 if a value exceeds float16's range and would become infinite.

    Example:
        >>> [_half_if_it_fits(torch.tensor([value])).dtype for value in (65504.0, 65505.0)]
        [dtype('float16'), dtype('float32')]
    """
    fits = bool(features.abs().max() <= torch.finfo(torch.float16).max)
    return (features.half() if fits else features.float()).cpu().numpy()


def write_features(output: Path, pictures: Iterable[dict[str, Picture]], stream: FrameStream) -> None:
    """Write the pictures of all frames side by side: a film, a figure of five frames, or a folder.

    Args:
        output: a file with one of `SUFFIXES`, or a folder.
        pictures: the pictures of each frame, as `feature_pictures` yields them.
        stream: the video.

    Raises:
        ValueError: for another suffix.
    """
    require_one_of(SUFFIXES, suffix=output.suffix)
    if output.suffix == ".mp4":
        with unfinished(output) as temporary, closing(Mp4Writer(temporary, stream.frame_rate)) as writer:
            for pictures_of_frame in pictures:
                writer.add(_side_by_side(pictures_of_frame))
    elif output.suffix:
        _write_figure(output, pictures, stream)
    else:  # a folder
        for t, pictures_of_frame in enumerate(pictures):
            name = Path(stream.image_name(t)).with_suffix(".png").name
            write_picture(output / name, _side_by_side(pictures_of_frame))


def _side_by_side(pictures: dict[str, Picture]) -> Picture:
    """Join the pictures of a frame from left to right."""
    return np.concatenate(list(pictures.values()), axis=1)


def _write_figure(output: Path, pictures: Iterable[dict[str, Picture]], stream: FrameStream) -> None:
    """Write a figure with a column for each of `COLUMNS` frames and a row for each kind of picture."""
    from ..results.pictures.plots import WIDTH, Block, draw_rows, write_figure

    columns = evenly_spaced(stream.num_frames, COLUMNS)
    drawn = [pictures_of_frame for t, pictures_of_frame in enumerate(pictures) if t in columns]
    rows: list[tuple[list[str], list[Picture]]] = []
    for kind in drawn[0]:
        # a row: its heading, and its picture of each frame
        rows.append(([kind], [resized(pictures_of_frame[kind], WIDTH) for pictures_of_frame in drawn]))
    heads = [f"frame {stream.start + t}" for t in columns]
    write_figure(output, draw_rows([Block(stream.name, heads, rows)]))
