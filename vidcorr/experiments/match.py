"""Two pictures of one's own, matched by the features of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from ..datasets.spair import MatchPair
from ..functional.matching import debiased, frame_points, frame_size
from ..functional.propagation.coding import Size
from ..tracking.keypoint_matcher import KeypointMatcher
from ..videos.files import DecodingError

SPACING = 0.6
"""Least distance of matched points, as a fraction of their distance if they filled the picture evenly."""


class PictureMatcher(KeypointMatcher):
    """A `KeypointMatcher` of any two pictures, which are turned as their orientation tags (EXIF) say."""

    def picture(self, pair: MatchPair, which: int) -> Tensor:
        """Return the source (0) or target (1) of a pair: uint8 RGB `(3, H, W)`."""
        return upright(pair.files[which])

    @torch.no_grad()
    def matches(
        self, files: tuple[Path, Path], points: Sequence[Sequence[float]] = (), best: int = 50
    ) -> NDArray[np.float64]:
        """Match two pictures.

        Args:
            files: the two pictures.
            points: x, y in pixels of the first picture, each to be matched; empty: find the best matches of cells that
                are each other's most similar cells, apart from each other, since a flat region has many.
            best: largest number of matches without points.

        Returns:
            `(N, 5)`: x, y in pixels of the first picture, whose corner is (0, 0), and of the second; the cosine of the
            features of the two cells. The most similar match is the first.

        Raises:
            DecodingError: if a file is no picture.
            ValueError: for a point outside the first picture.
        """
        sizes = tuple((int(each.shape[1]), int(each.shape[2])) for each in map(upright, files))
        height, width = sizes[0]
        asked = np.array(points, np.float64).reshape(-1, 2)
        for x, y in asked:
            if not (0 <= x < width and 0 <= y < height):
                raise ValueError(f"match: the point {x:g},{y:g} lies outside {files[0]}, {width} x {height} px")
        pair = MatchPair("pair", "", files, sizes, (asked, asked), tuple(range(len(asked))))
        centres, cells = self._cells(self.features_of(pair, 0), sizes[0])
        others, other_cells = self._cells(self.features_of(pair, 1), sizes[1])
        if len(asked):
            found = self.match(pair)
            cell = torch.cdist(torch.tensor(asked), centres).argmin(1)
            other = torch.cdist(torch.tensor(found), others).argmin(1)
            cosines = (cells[cell] * other_cells[other]).sum(1)
            rows = np.column_stack([asked, found, cosines])
            return rows[np.argsort(-rows[:, 4], kind="stable")]
        similarities = cells @ other_cells.T
        column = similarities.argmax(1)
        is_mutual = similarities.argmax(0)[column] == torch.arange(len(cells))
        rows = np.column_stack([centres, others[column], similarities.amax(1)])[is_mutual.numpy()]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        kept: list[int] = []
        for index, place in enumerate(rows[:, :2]):
            distances = np.linalg.norm(rows[kept, :2] - place, axis=1)
            if len(kept) < best and (distances >= SPACING * math.sqrt(height * width / best)).all():
                kept.append(index)
        return rows[kept]

    def _cells(self, features: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        """Return the cells of a picture without its padding: centres x, y `(N, 2)`, and features of unit length."""
        frame = frame_size(size, self.protocol)
        ends = torch.tensor([[0.0, 0.0], [size[1], size[0]]])  # corners of the picture
        first, last = frame_points(ends, size, self.protocol).double()
        height, width = features.shape[1:]
        y = (torch.arange(height) + 0.5).double() * frame[0] / height
        x = (torch.arange(width) + 0.5).double() * frame[1] / width
        shares = (torch.cartesian_prod(y, x).flip(1) - first) / (last - first)
        is_inside = ((shares > 0) & (shares < 1)).all(1)
        vectors = F.normalize(debiased(features.float(), self._bias).flatten(1).T, dim=1).cpu()
        return shares[is_inside] * ends[1].double(), vectors[is_inside]


def upright(file: Path) -> Tensor:
    """Read a picture, turned as its orientation tag says: uint8 RGB `(3, H, W)`.

    Raises:
        DecodingError: if the file is no picture.
    """
    try:
        with Image.open(file) as image:
            turned = ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:
        raise DecodingError(file, "is no picture that can be decoded, or is missing") from error
    return torch.from_numpy(np.array(turned)).permute(2, 0, 1)
