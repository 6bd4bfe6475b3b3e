"""Key points of pictures, matched by the features of an extractor under a protocol."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.spair import MatchPair
from ..functional import match_keypoints
from ..functional.matching import prepare_picture
from ..protocols import MatchingProtocol
from ..videos.images import read_image
from .frame_encoder import FrameEncoder

KEPT_OF_PICTURES = 2 * 2**30
"""Most bytes of a category's features in memory; a further picture is encoded whenever a pair needs it."""


class KeypointMatcher(FrameEncoder):
    """A network under a matching protocol; matches the pairs of any number of sets of pictures.

    Args:
        extractor: the extractor.
        protocol: the protocol. The stride of the map replaces the protocol's, and `input_size` becomes the nearest
            multiple of the network's stride and patch, the lower one of two equally near; the protocol's name shows
            the changes.

    Attributes:
        watch: counts the seconds of "backbone" and "match".
        protocol: the protocol at the stride of the map.

    Raises:
        ValueError: if the protocol's name changes `input_size` to a size that is not a multiple.

    Example:
        >>> from vidcorr import build_feature_extractor
        >>> rules = MatchingProtocol.named("sd-dino")
        >>> matcher = KeypointMatcher(build_feature_extractor("raw_colour", stride=16), rules)
        >>> rules.input_size, matcher.protocol.input_size  # 832 and 848 are equally near
        (840, 832)
        >>> from torch import nn
        >>> def side(stride, multiple):
        ...     network = nn.AvgPool2d(stride or 23)
        ...     network.stride, network.multiple = stride, multiple
        ...     return KeypointMatcher(build_feature_extractor(network), rules).protocol.input_size
        >>> side(16, 12), side(None, 23), side(2000, 1)  # of stride and patch; of a stride that is not known yet
        (816, 851, 2000)
    """

    def __init__(self, extractor: Any, protocol: MatchingProtocol) -> None:
        # pixels; a multiple of the network's patch and of a cell, whose stride may not be known yet
        step = math.lcm(extractor.multiple, extractor.stride or 1)
        # the nearest multiple of `step`; `round` would round a half to the even number, not down
        sides = tuple(max(1, math.ceil(side / step - 0.5)) * step for side in protocol.input_sides)
        # in the form in which the protocol gives it: both sides, or the side of a square
        size = sides if isinstance(protocol.input_size, tuple) else sides[0]
        if "input_size" in protocol.changes and size != protocol.input_size:
            text = f"input_size must be a multiple of the network's {step} px; {size} is the nearest"
            raise ValueError(f"protocol {protocol.name!r}: {text}")
        super().__init__(extractor, protocol.with_changes(input_size=size))
        self._category: str | None = None  # of the pictures whose features are kept
        self._room = 0  # bytes that further kept features may take
        self._kept: dict[Path, Tensor] = {}

    @torch.no_grad()
    def match(self, pair: MatchPair) -> NDArray[np.float64]:
        """Match the key points of a pair. The features of a picture are kept for the next pairs of the category.

        Args:
            pair: pictures and key points.

        Returns:
            Points of the target, x, y `(N, 2)` in pixels.

        Raises:
            DecodingError: if a picture cannot be decoded or has another size than the pair says.
            ValueError: if features are not finite.
        """
        source = self.features_of(pair, 0)
        target = self.features_of(pair, 1)
        sizes = pair.sizes
        points = torch.from_numpy(pair.points[0])  # of the source
        with self.watch("match", self.device):
            matches = match_keypoints(source, target, points, sizes[0], sizes[1], self.protocol)
            return matches.cpu().numpy()

    def picture(self, pair: MatchPair, which: int) -> Tensor:
        """Read the source (0) or target (1) of a pair: uint8 RGB `(3, H, W)`.

        Raises:
            DecodingError: if a picture cannot be decoded or has another size than the pair says.
        """
        image = read_image(pair.files[which], size=pair.sizes[which])
        return torch.from_numpy(image).permute(2, 0, 1)

    def features_of(self, pair: MatchPair, which: int) -> Tensor:
        """Return the features `(C, h, w)` of the source (0) or target (1) of a pair.

        A picture is encoded as a video of one frame, unless its features are kept from an earlier pair of the category.

        Raises:
            DecodingError: if the picture cannot be decoded or has another size than the pair says.
            ValueError: if its features are not finite.
        """
        if pair.category != self._category:
            self._category = pair.category
            self._room = KEPT_OF_PICTURES
            self._kept = {}
        file = pair.files[which]
        if file in self._kept:
            return self._kept[file]
        image = prepare_picture(self.picture(pair, which), self.protocol)
        features = next(self.maps([image]))
        if not features.isfinite().all():
            raise ValueError(f"{file.name}: its features are not finite")
        self._room -= features.nbytes
        if self._room >= 0:  # once it is negative, no further picture of the category is kept
            self._kept[file] = features
        return features
