"""Two pictures of one's own, matched by the features of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..backbones import NamedNetwork, build_feature_extractor
from ..backbones.copies import on_device
from ..datasets.spair import MatchPair
from ..functional.matching import debiased, frame_points, frame_size
from ..protocols import MatchingProtocol
from ..tracking.keypoint_matcher import KeypointMatcher
from ..videos.files import DecodingError

SPACING = 0.6
"""Least distance of matched points, as a fraction of their distance if they filled the picture evenly."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Corresponding points of two pictures, the most similar first.

    Attributes:
        points: x, y `(N, 2)` in pixels of the first picture; (0, 0) is its corner.
        others: x, y `(N, 2)` in pixels of the second picture.
        similarities: `(N,)`, cosines of the features of the two cells.
    """

    points: NDArray[np.float64]
    others: NDArray[np.float64]
    similarities: NDArray[np.float64]

    def spread(self, count: int, distance: float) -> Matches:
        """Return the most similar matches whose points in the first picture are apart.

        Args:
            count: largest number of matches.
            distance: least distance of two points, pixels; a flat region has many equally similar cells.
        """
        kept: list[int] = []
        for index, place in enumerate(self.points):
            if len(kept) == count:
                break
            if (np.linalg.norm(self.points[kept] - place, axis=1) >= distance).all():
                kept.append(index)
        return Matches(self.points[kept], self.others[kept], self.similarities[kept])


class PictureMatcher(KeypointMatcher):
    """A `KeypointMatcher` of any two pictures, which are turned as their orientation tags (EXIF) say."""

    def picture(self, pair: MatchPair, which: int) -> Tensor:
        """Return the source (0) or target (1) of a pair: uint8 RGB `(3, H, W)`."""
        return upright(pair.files[which])

    @torch.no_grad()
    def matches(self, files: Sequence[Path], points: Sequence[Sequence[float]] = (), best: int = 50) -> Matches:
        """Match two pictures.

        Args:
            files: the two pictures.
            points: x, y in pixels of the first picture, each to be matched; empty: find the best matches of cells that
                are each other's most similar cells, apart from each other.
            best: largest number of matches without points.

        Raises:
            DecodingError: if a file is no picture.
            ValueError: for a point outside the first picture.
        """
        pictures = [upright(file) for file in files]
        height, width = pictures[0].shape[1:]
        for x, y in points:
            if not (0 <= x < width and 0 <= y < height):
                raise ValueError(f"match: the point {x:g},{y:g} lies outside {files[0]}, {width} x {height} px")
        sizes = tuple((int(each.shape[1]), int(each.shape[2])) for each in pictures)
        asked = np.array(points, np.float64).reshape(-1, 2)
        pair = MatchPair("pair", "", tuple(files), sizes, (asked, asked), tuple(range(len(asked))))
        cells = [self._cells(self.features_of(pair, which), sizes[which]) for which in (0, 1)]
        if len(asked):
            others = self.match(pair)
            of_points = [nearest_cells(asked, *cells[0]), nearest_cells(others, *cells[1])]
            similarities = (of_points[0] * of_points[1]).sum(1)
            order = similarities.argsort(descending=True, stable=True).numpy()
            return Matches(asked[order], others[order], similarities.double().numpy()[order])
        rows, columns, similarities = mutual_matches(cells[0][1], cells[1][1])
        found = Matches(cells[0][0][rows], cells[1][0][columns], similarities)
        return found.spread(best, SPACING * math.sqrt(height * width / best))

    def _cells(self, features: Tensor, size: tuple[int, int]) -> tuple[NDArray[np.float64], Tensor]:
        """Return the cells of a picture without its padding: centres x, y `(N, 2)`, and features of unit length."""
        height, width = features.shape[1:]
        frame = frame_size(size, self.protocol)
        corners = frame_points(torch.tensor([[0.0, 0.0], [size[1], size[0]]]), size, self.protocol).double()
        x = (torch.arange(width).double() + 0.5) * frame[1] / width
        y = (torch.arange(height).double() + 0.5) * frame[0] / height
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
        shares = (centres - corners[0]) / (corners[1] - corners[0])
        is_inside = ((shares > 0) & (shares < 1)).all(1)
        places = shares * torch.tensor([size[1], size[0]])
        vectors = F.normalize(debiased(features.float(), self._bias).flatten(1).T, dim=1).cpu()
        return places[is_inside].numpy(), vectors[is_inside]


def mutual_matches(first: Tensor, second: Tensor) -> tuple[Any, Any, Any]:
    """Return the pairs of vectors that are each other's most similar ones: rows, columns and cosines, the best first.

    Args:
        first: `(N, C)` of unit length.
        second: `(M, C)` of unit length.
    """
    similarities = first @ second.T
    columns = similarities.argmax(1)
    rows = torch.arange(len(first))
    is_mutual = similarities.argmax(0)[columns] == rows
    values = similarities[rows, columns].where(is_mutual, -2.0)
    chosen = values.argsort(descending=True, stable=True)[: int(is_mutual.sum())]
    return chosen.numpy(), columns[chosen].numpy(), values[chosen].double().numpy()


def nearest_cells(points: NDArray[np.float64], centres: NDArray[np.float64], vectors: Tensor) -> Tensor:
    """Return the vectors of the cells whose centres are nearest to points."""
    distances = np.linalg.norm(points[:, None] - centres, axis=2)
    return vectors[torch.from_numpy(distances.argmin(1))]


def upright(file: Path) -> Tensor:
    """Read a picture, turned as its orientation tag says: uint8 RGB `(3, H, W)`.

    Raises:
        DecodingError: if the file is no picture.
    """
    try:
        with Image.open(file) as image:
            turned = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise DecodingError(file, "is no picture that can be decoded, or is missing") from error
    return torch.from_numpy(np.array(turned)).permute(2, 0, 1)


def matcher_of(network: str, protocol: str, pretrained: bool = False) -> PictureMatcher:
    """Return the matcher of a network, as `vidcorr evaluate` takes it, by a protocol of pairs.

    Raises:
        ValueError: for an unknown network or protocol, or a protocol that needs named key points.
    """
    named = NamedNetwork(network, pretrained=pretrained)
    rules = MatchingProtocol.named(protocol)
    if rules.flip != "off":
        raise ValueError(f"match: protocol {rules.name} flips by key points with partners: use flip=off")
    return PictureMatcher(on_device(build_feature_extractor(named, named.stage, named.stride)), rules)
