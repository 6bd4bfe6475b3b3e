"""A sequence resized to the size at which a protocol takes the benchmark's data."""

import io
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.datasets.records import FrameSequence, MaskSequence
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.sizing import Size, resize_ids, resize_images

JPEG_QUALITY = 75
"""Pillow's default, at which the scripts of CatMAE and RSP save what they have resized."""


def at_size_of_data(sequence: MaskSequence, protocol: PropagationProtocol) -> MaskSequence:
    """Return a sequence as a protocol's `resized_data` wants it; the sequence itself where it has that size already."""
    if protocol.resized_data is None or protocol.resized_data == sequence.size:
        return sequence
    return cast(MaskSequence, _ResizedSequence(sequence, protocol.resized_data))


class _ResizedSequence:
    """Frames and masks of another sequence at one size; all else is the other sequence's."""

    def __init__(self, sequence: MaskSequence, size: Size) -> None:
        self._sequence, self.size = sequence, size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sequence, name)

    def frame(self, t: int) -> Tensor:
        """Return frame `t` as the resized copy on disk would have it: nearest pixel, saved as JPEG, read again."""
        resized = resize_images(self._sequence.frame(t)[None], self.size, "pillow-nearest")[0]
        file = io.BytesIO()
        Image.fromarray(resized.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=JPEG_QUALITY)
        return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)

    read = FrameSequence.read

    def mask(self, t: int) -> Tensor:
        """Return the mask of frame `t`, by the nearest pixel."""
        return resize_ids(self._sequence.mask(t), self.size)

    def read_ids(self, path: Path) -> Tensor:
        """Return a mask of the video, by the nearest pixel."""
        return resize_ids(self._sequence.read_ids(path), self.size)

    def instances(self, t: int) -> tuple[Tensor, dict[int, int]]:
        """Return the instances of frame `t`, by the nearest pixel; see `PartSequence`."""
        ids, classes = self._sequence.instances(t)  # type: ignore[attr-defined]
        return resize_ids(ids, self.size), classes
