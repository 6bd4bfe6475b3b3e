"""Two pictures of the user's, matched by the features of a network."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from torch import Tensor, nn

from ..datasets.spair import MatchPair
from ..functional.matching import canvas_points, canvas_size
from ..protocols import MatchingProtocol
from ..videos.files import require_at_least
from ..videos.images import open_image, read_photo
from .keypoint_matcher import KeypointMatcher

SPACING = 0.6
"""Least distance of matched points, as a fraction of the distance that they would have if spread evenly."""


class PictureMatcher(KeypointMatcher):
    """A `KeypointMatcher` of two pictures of any kind, which are turned as their orientation tags (EXIF) say.

    Args:
        extractor: the extractor.
        protocol: the protocol.
        files: files of the first and the second picture.

    Attributes:
        pictures: both pictures, uint8 RGB `(3, H, W)`.

    Raises:
        DecodingError: if a file is no picture.
    """

    def __init__(self, extractor: nn.Module, protocol: MatchingProtocol, files: tuple[Path, Path]) -> None:
        self.pictures = read_upright(files[0]), read_upright(files[1])
        super().__init__(extractor, protocol)
        self._files = files

    def picture(self, pair: MatchPair, which: int) -> Tensor:
        """Return the first picture (`which` 0) or the second (1), both read already."""
        return self.pictures[which]

    @torch.no_grad()
    def matches(self, points: Sequence[Sequence[float]], best: int) -> NDArray[np.float64]:
        """Match the two pictures.

        Args:
            points: x, y in pixels of the first picture, each to be matched. If it is empty, cells are matched that are
                each other's most similar cells; matches near a better match are left out, since a flat region has many.
            best: largest number of matches if `points` is empty.

        Returns:
            `(N, 5)`, the most similar match first: x, y in the first picture and x, y in the second, in pixels from the
            corner of the first pixel; and the cosine between the features of both cells.

        Raises:
            ValueError: for a point outside the first picture, or `best` below 1.
        """
        require_at_least(1, "match", best=best)
        sizes = tuple((picture.shape[1], picture.shape[2]) for picture in self.pictures)
        height, width = sizes[0]
        asked = np.array(points, np.float64).reshape(len(points), 2)
        for x, y in asked:
            if not (0 <= x < width and 0 <= y < height):
                raise ValueError(f"match: the point {x:g},{y:g} lies outside {self._files[0]}, {width} x {height} px")
        # the second picture's points, here the first one's again, are not read
        pair = MatchPair("pair", "", self._files, sizes, points=(asked, asked), ids=tuple(range(len(asked))))
        first = self._cells(pair, 0)  # centres of its cells, and their features of unit length
        second = self._cells(pair, 1)
        if len(asked):
            matched = self.match(pair)
            cosines = (_features_at(asked, *first) * _features_at(matched, *second)).sum(1)
            return _by_similarity(np.column_stack([asked, matched, cosines]))
        rows = _mutual_matches(*first, *second)
        # `best` matches, spread evenly, would lie the root of (area / best) apart
        least_distance = SPACING * math.sqrt(height * width / best)
        return rows[_spread_out(rows[:, :2], least_distance, best)]

    def _cells(self, pair: MatchPair, which: int) -> tuple[Tensor, Tensor]:
        """Return the cells of a picture whose centres lie on the picture, not on its padding.

        Args:
            pair: both pictures.
            which: 0 for the first picture, 1 for the second.

        Returns:
            Centres x, y `(N, 2)` in pixels of the picture, and features `(N, C)` of unit length.
        """
        features = self.features_of(pair, which)
        height, width = pair.sizes[which]
        # the canvas is what the map covers: the picture, with padding if the protocol makes a square of it
        canvas_height, canvas_width = canvas_size((height, width), self.protocol)
        corners = torch.tensor([[0.0, 0.0], [width, height]])
        top_left, bottom_right = canvas_points(corners, (height, width), self.protocol).double()
        y = (torch.arange(features.shape[1]) + 0.5).double() * canvas_height / features.shape[1]
        x = (torch.arange(features.shape[2]) + 0.5).double() * canvas_width / features.shape[2]
        # centres of all cells, x, y from (0, 0) to (1, 1) on the picture; `flip` makes x, y of y, x
        fractions = (torch.cartesian_prod(y, x).flip(1) - top_left) / (bottom_right - top_left)
        is_inside = ((fractions > 0) & (fractions < 1)).all(1)
        vectors = F.normalize(features.float().flatten(1).T).cpu()
        return fractions[is_inside] * corners[1].double(), vectors[is_inside]  # corners[1] is (width, height)


def _features_at(points: NDArray[np.float64], centres: Tensor, features: Tensor) -> Tensor:
    """Return the features `(K, C)` of the cells whose centres are nearest to K points, among N cells.

    Example:
        >>> centres, features = torch.tensor([[2.0, 2.0], [6.0, 2.0]]).double(), torch.tensor([[1.0], [2.0]])
        >>> _features_at(np.array([[5.0, 3.0]]), centres, features).tolist()
        [[2.0]]
    """
    return features[torch.cdist(torch.tensor(points), centres).argmin(1)]


def _mutual_matches(
    first_centres: Tensor, first_features: Tensor, second_centres: Tensor, second_features: Tensor
) -> NDArray[np.float64]:
    """Return matches of cells that are each other's most similar cells, as `PictureMatcher.matches` returns matches.

    Args:
        first_centres: centres x, y `(N, 2)` of the first picture's cells.
        first_features: their features `(N, C)`, of unit length.
        second_centres: centres x, y `(M, 2)` of the second picture's cells.
        second_features: their features `(M, C)`, of unit length.

    Example:
        >>> centres = torch.tensor([[1.0, 1.0], [3.0, 1.0]])
        >>> features = torch.eye(2)
        >>> _mutual_matches(centres, features, centres + 10, features.flip(0)).tolist()
        [[1.0, 1.0, 13.0, 11.0, 1.0], [3.0, 1.0, 11.0, 11.0, 1.0]]
    """
    similarities = first_features @ second_features.T
    nearest = similarities.argmax(1)  # second picture's most similar cell, of each cell of the first
    is_mutual = similarities.argmax(0)[nearest] == torch.arange(len(nearest))
    rows = np.column_stack([first_centres, second_centres[nearest], similarities.amax(1)])
    return _by_similarity(rows[is_mutual.numpy()])


def _spread_out(places: NDArray[np.float64], least_distance: float, most: int) -> list[int]:
    """Return the indices of places, going through them in order and leaving out any that is near a kept one.

    Args:
        places: x, y `(N, 2)`, the best first.
        least_distance: least distance between two kept places.
        most: largest number of kept places.

    Example:
        >>> places = np.array([[0.0, 0], [1, 0], [5, 0], [9, 0]])
        >>> _spread_out(places, least_distance=3, most=2)
        [0, 2]
    """
    kept: list[int] = []
    for index, place in enumerate(places):
        distances = np.linalg.norm(places[kept] - place, axis=1)
        if len(kept) < most and (distances >= least_distance).all():
            kept.append(index)
    return kept


def _by_similarity(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return matches, rows of `PictureMatcher.matches`, with the most similar first.

    Example:
        >>> rows = np.array([[0, 0, 5, 5, 0.2], [1, 1, 6, 6, 0.9]])
        >>> _by_similarity(rows)[:, 4].tolist()
        [0.9, 0.2]
        >>> many = np.column_stack([np.arange(100), np.zeros((100, 3)), np.arange(100) % 2])
        >>> _by_similarity(many)[:, 0].tolist() == [*range(1, 100, 2), *range(0, 100, 2)]  # equal ones in order
        True
    """
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def read_upright(file: Path) -> Tensor:
    """Read a picture, turned as its orientation tag says: uint8 RGB `(3, H, W)`.

    Raises:
        DecodingError: if the file is missing or damaged, is no picture, or exceeds Pillow's limit on pixels.
    """
    picture = Image.fromarray(read_photo(file))  # pixels as stored, without the tag, which is copied from the file
    with open_image(file) as image:
        picture.getexif()[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation, 1)
    turned = ImageOps.exif_transpose(picture)
    return torch.from_numpy(np.array(turned)).permute(2, 0, 1)
