"""Key points of pictures, matched by the features of an extractor under a protocol."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import signals
from ..datasets.spair import MatchPair
from ..functional import MatchingProtocol, match_keypoints
from ..functional.matching import bias_directions, prepare_picture
from ..functional.propagation.coding import Size
from ..videos.images import read_image, require_size
from ..videos.processes import read_ahead
from .frame_encoder import FrameEncoder, Maps, Stopwatch, adapt_to_network, maps_of

KEPT_OF_PICTURES = 2 * 2**30
"""Bytes of features in memory; features of further pictures are computed whenever a pair needs them."""

PictureKey = tuple[Path, bool]
"""A picture, and whether it is mirrored."""


class KeypointMatcher:
    """An extractor with a matching protocol; matches the pairs of any number of sets of pictures.

    Args:
        extractor: see `build_feature_extractor`; it may give several maps a picture.
        protocol: the protocol. The stride of a map replaces the protocol's, and `input_size` becomes the nearest
            multiple of the network's stride and patch; the protocol's name shows the changes.
        stopwatch: counts the seconds of "decode", "backbone" and "match".

    Attributes:
        stages: names of the maps; a single map has an empty name.
        protocols: protocols of the maps.
        grids: (height, width) in cells of the maps.

    Raises:
        ValueError: if the extractor does not name its stride, or an `input_size` of the user's is not a multiple.
    """

    def __init__(self, extractor: nn.Module, protocol: MatchingProtocol, stopwatch: Stopwatch | None = None) -> None:
        maps = maps_of(extractor)
        self.stages = [stage for stage, _ in maps]
        step = math.lcm(getattr(extractor, "multiple", 1), *(stride or 1 for _, stride in maps))
        sides = tuple(max(1, round(side / step)) * step for side in protocol.input_sides)
        size = sides if isinstance(protocol.input_size, tuple) else sides[0]
        if "input_size" in protocol.changed and size != protocol.input_size:
            text = f"input_size must be a multiple of the network's {step} px; {size} is the nearest"
            raise ValueError(f"protocol {protocol.name!r}: {text}")
        protocol = protocol.with_changes(input_size=size)
        self.protocols = [adapt_to_network(protocol, extractor, stride) for _, stride in maps]
        self.watch = stopwatch or Stopwatch()
        self.encoder = FrameEncoder(extractor, self.protocols[0].network_input(), self.watch)
        self.grids: list[Size] = []
        self._protocol, self._kept = protocol, dict[PictureKey, Maps]()
        self._sizes: Mapping[Path, Size] = {}
        self._bias: list[Tensor | None] = [None] * len(maps)
        if protocol.debiased:
            black = torch.zeros(3, *protocol.input_sides, dtype=torch.uint8)
            found = next(self.encoder.encode([black]))[1] if self.encoder.in_order else self.encoder([black])[0]
            self._bias = [bias_directions(features, protocol.debiased) for features in found]

    @torch.no_grad()
    def encode(self, pictures: Mapping[Path, Size]) -> None:
        """Encode the pictures of the pairs that follow; the features of earlier pictures are forgotten.

        Args:
            pictures: file → (H, W), which the file must have.

        Raises:
            DecodingError: if a picture cannot be decoded or has another size.
            Stopped: between two pictures, if a signal asks for it.
        """
        self._kept, self._sizes, room = {}, pictures, KEPT_OF_PICTURES
        turned = (False, True) if self._protocol.flip != "off" else (False,)
        keys = ((file, mirrored) for file in pictures for mirrored in turned)
        for key, image in read_ahead((key, self._prepared(*key)) for key in keys):
            signals.check()
            maps = self._encode(key[0], image)
            room -= sum(features.nbytes for features in maps)
            if room < 0:
                return
            self._kept[key] = maps

    @torch.no_grad()
    def match(self, pair: MatchPair, partners: Sequence[int] | None = None) -> list[NDArray[np.float64]]:
        """Match the key points of a pair.

        Args:
            pair: of the encoded pictures.
            partners: for a protocol with flip, see `match_keypoints`.

        Returns:
            Points of the target by map, x, y `(N, 2)` in pixels.
        """
        source, target = map(self._features, pair.files)
        mirrored = self._features(pair.files[0], True) if self._protocol.flip != "off" else [None] * len(source)
        points, sizes = torch.from_numpy(pair.points[0]), pair.sizes
        rows = None if partners is None else torch.tensor(partners)
        by_map = zip(source, target, self.protocols, mirrored, self._bias, strict=True)
        with self.watch("match", self.encoder.device):
            return [
                match_keypoints(one, other, points, sizes[0], sizes[1], protocol, turned, rows, bias).cpu().numpy()
                for one, other, protocol, turned, bias in by_map
            ]

    def picture(self, file: Path) -> Tensor:
        """Read a picture of `encode`: uint8 RGB `(3, H, W)`."""
        image = read_image(file)
        require_size(file, image.shape, self._sizes[file])
        return torch.from_numpy(image).permute(2, 0, 1)

    def _features(self, file: Path, mirrored: bool = False) -> Maps:
        """Return the features of a picture, encoded again if there was no room for them."""
        key = file, mirrored
        return self._kept[key] if key in self._kept else self._encode(file, self._prepared(*key))

    def _encode(self, file: Path, image: Tensor) -> Maps:
        """Encode a prepared picture, which is a video of its own."""
        _, maps = next(self.encoder.encode([image]))
        self.grids = [(features.shape[1], features.shape[2]) for features in maps]
        if not all(features.isfinite().all() for features in maps):
            raise ValueError(f"{file.name}: its features are not finite")
        return maps

    def _prepared(self, file: Path, mirrored: bool) -> Tensor:
        image = prepare_picture(self.picture(file), self._protocol)
        return image.flip(2) if mirrored else image
