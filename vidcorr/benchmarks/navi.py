"""Matching of surfaces between pictures by the features of an extractor: NAVI, ScanNet-1500."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..datasets.navi import SurfacePair, View, navi_view, read_navi
from ..datasets.scannet import read_scannet, scannet_view
from ..functional.surfaces import match_surfaces, surface_errors
from ..metrics.surfaces import correct_matches, pairs_by_angle, recall_names, surface_scores
from ..protocols import SurfaceProtocol
from ..results.result import Row
from ..tracking.frame_encoder import FrameEncoder
from .pairs import Matched, PairBenchmark


@dataclass(frozen=True)
class NaviBenchmark(PairBenchmark):
    """Score dense matches of surfaces without training on NAVI, against depth and cameras.

    Logs, as fractions, `navi/recall@1cm`, `@2cm`, `@5cm` in space and `navi/recall@5px`, `@25px`, `@50px` in the second
    picture, over the matches of all pairs; and `navi/recall@2cm-0-30`, … by degrees of rotation between the cameras,
    over pairs. Files: results.json, per_sequence.csv (a row per pair), `predictions/<object>.json`, pictures of pairs.

    Paper: Jampani et al., NAVI (NeurIPS 2023); as El Banani et al. (CVPR 2024) measure it.

    Args:
        root: folder `navi_v1`, with the downsampled pictures and depths beside the originals.
        protocol: name of a protocol (`omniprobe`, `probe3d`) or a protocol.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: for an unknown protocol, or changes out of range.
    """

    name = "navi"
    conditions: ClassVar[Mapping[str, str]] = PairBenchmark.conditions
    protocol_class = SurfaceProtocol
    unit = "objects"
    caption = "matches of the largest weights; green: below the second threshold"

    root: str | Path
    protocol: str | SurfaceProtocol = "omniprobe"

    def read_pairs(self) -> list[SurfacePair]:
        """Read the pairs."""
        return read_navi(self.root, self.protocol)  # type: ignore[arg-type]

    def view(self, pair: SurfacePair, which: int) -> View:
        """Read picture 0 or 1 of a pair, as the network sees it, with its surface."""
        return navi_view(pair, which, self.protocol)  # type: ignore[arg-type]

    def match(self, pair: SurfacePair, encoder: FrameEncoder) -> Matched:
        """Match the surfaces of a pair, and count the matches with errors below the thresholds.

        Pictures show as right the matches below the second of `distances`, or, without distances, of `pixels`.
        """
        protocol = encoder.protocol
        views = [self.view(pair, 0), self.view(pair, 1)]
        source, target = match_views(encoder, views)
        in_metres, in_pixels = errors_of(views, source, target, pair, protocol)
        correct = correct_matches(in_metres, in_pixels, protocol)
        counts = {"correct": correct, "matches": len(source), "angle": pair.angle}
        scores = surface_scores([counts], protocol)
        values = {"Matches": len(source), "Angle": pair.angle}
        values |= {name: scores[name] for name in recall_names(protocol)}
        prediction = {"source": source.tolist(), "target": target.tolist()}
        places = centres(source, views[0], protocol), centres(target, views[1], protocol)
        errors = in_metres if protocol.distances else in_pixels
        threshold = (protocol.distances or protocol.pixels)[1]  # that of the recalls by angle
        right = [error < threshold for error in errors]
        return Matched(values, counts, prediction, places, right, picture=lambda which: views[which].image)

    def scores(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the recalls of all matches, and those of the bins of angle."""
        return surface_scores([row.counts for row in rows], self.protocol)  # type: ignore[arg-type]

    def facts(self, rows: Sequence[Row], encoder: FrameEncoder) -> dict[str, Any]:
        """Return the facts of the base, and `pairs_by_angle`: bin of angle → the number of its pairs."""
        bins = pairs_by_angle([row.counts for row in rows], self.protocol)  # type: ignore[arg-type]
        numbers = {name: len(pairs) for name, pairs in bins.items()}
        return super().facts(rows, encoder) | {"pairs_by_angle": numbers}


@dataclass(frozen=True)
class ScanNetBenchmark(NaviBenchmark):
    """Score dense matches of surfaces without training on ScanNet-1500, against depth and cameras.

    Logs, as fractions, `scannet/recall@5px`, `@10px`, `@20px` over the matches of all pairs, in pixels of 160 x 120;
    `scannet/recall@10px-0-15`, … by degrees of rotation between the cameras, over pairs; and `scannet/rotation@5deg`,
    `@15deg`, `@45deg`: the fraction of pairs whose true rotation is below, which depends on the data alone. Files:
    results.json, per_sequence.csv (a row per pair), `predictions/<scene>.json`, pictures of pairs.

    Paper: Dai et al., ScanNet (CVPR 2017), with the pairs of SuperGlue (CVPR 2020); as El Banani et al. (CVPR 2024)
    measure them.

    Args:
        root: folder `scannet_test_1500`, with test.npz and intrinsics.npz.
        protocol: name of a protocol (`omniprobe`, `probe3d`) or a protocol.

    Raises:
        DataError: when the data are first read, with the name of the file.
        ValueError: for an unknown protocol, or changes out of range.
    """

    name = "scannet"
    conditions: ClassVar[Mapping[str, str]] = PairBenchmark.conditions
    unit = "scenes"

    def read_pairs(self) -> list[SurfacePair]:
        """Read the pairs."""
        return read_scannet(self.root)

    def view(self, pair: SurfacePair, which: int) -> View:
        """Read picture 0 or 1 of a pair, as the network sees it, with its surface."""
        return scannet_view(pair, which, self.protocol)  # type: ignore[arg-type]


def match_views(encoder: FrameEncoder, views: Sequence[View]) -> tuple[Tensor, Tensor]:
    """Match the surfaces of two pictures, among the cells with depth.

    Returns:
        Cells of the first and of the second picture's grid, `(N,)` long each, counted row by row, on the CPU; the
        clearest match first.

    Raises:
        ValueError: if features are not finite.
    """
    encoded: list[tuple[Tensor, Tensor]] = []  # features (C, h, w), and the grid's cells with depth
    for view in views:
        (features,) = encoder.maps([padded(view.image, encoder)])  # takes videos: a picture is one of a single frame
        if not features.isfinite().all():
            raise ValueError("features are not finite")
        encoded.append((features, view.points[2] > 0))
    (first, in_first), (second, in_second) = encoded
    protocol = encoder.protocol
    with encoder.watch("match", encoder.device):
        source, target, _ = match_surfaces(first, second, in_first, in_second, protocol.sampling, protocol.matches)
        return source.cpu(), target.cpu()


def padded(image: Tensor, encoder: FrameEncoder) -> Tensor:
    """Pad an image on all sides to whole patches of the network, by the colour that its normalisation makes zero.

    Args:
        image: uint8 RGB `(3, H, W)`.
        encoder: the network under the protocol.

    Returns:
        Float RGB in [0, 1], `(3, H', W')`; an image of whole patches is returned unchanged.

    Example:
        >>> from types import SimpleNamespace
        >>> encoder = SimpleNamespace(multiple=4, input=SimpleNamespace(mean=(0.25, 0.5, 0.75)))
        >>> white = torch.full((3, 1, 3), 255, dtype=torch.uint8)
        >>> padded(white, encoder)[0]
        tensor([[0.2500, 0.2500, 0.2500, 0.2500],
                [1.0000, 1.0000, 1.0000, 0.2500],
                [0.2500, 0.2500, 0.2500, 0.2500],
                [0.2500, 0.2500, 0.2500, 0.2500]])
        >>> padded(white, encoder)[:, 0, 0], padded(white[..., :1].expand(3, 4, 4), encoder).dtype
        (tensor([0.2500, 0.5000, 0.7500]), torch.uint8)
    """
    multiple = encoder.multiple
    down = -image.shape[1] % multiple
    across = -image.shape[2] % multiple
    if not down and not across:
        return image
    around = across // 2, across - across // 2, down // 2, down - down // 2
    colour = torch.tensor(encoder.input.mean, dtype=torch.float32)[:, None, None]
    return F.pad(image.float() / 255 - colour, around) + colour


def errors_of(
    views: Sequence[View], source: Tensor, target: Tensor, pair: SurfacePair, protocol: SurfaceProtocol
) -> tuple[list[float], list[float]]:
    """Return two distances of each match from the true place: in space in metres, and in the second picture in pixels.

    Args:
        views: both pictures with their surfaces: `points` are x, y, z `(3, h, w)` in metres, in the picture's camera.
        source: matched cells of the first picture, `(N,)`, counted row by row in its grid.
        target: matched cells of the second picture, `(N,)`, counted in the same way in its grid.
        pair: the pair, with the pose between the cameras.
        protocol: its `pixel` says whether pixels are those of the picture or cells of the grid.
    """
    first = views[0].points.flatten(1)[:, source].T
    second = views[1].points.flatten(1)[:, target].T
    intrinsics = views[1].intrinsics
    if protocol.pixel == "grid":  # errors in cells, which are `grid_step` pixels wide
        to_grid = torch.tensor([1 / protocol.grid_step, 1 / protocol.grid_step, 1.0], dtype=torch.float64)
        intrinsics = torch.diag(to_grid) @ intrinsics
    in_space, in_picture = surface_errors(first, second, torch.from_numpy(pair.pose), intrinsics)
    return in_space.tolist(), in_picture.tolist()


def centres(cells: Tensor, view: View, protocol: SurfaceProtocol) -> Tensor:
    """Return the centres of cells of a picture's grid, x, y `(N, 2)` in pixels; `cells` are counted row by row."""
    width = view.points.shape[2]
    return (torch.stack([cells % width, cells // width], dim=1).float() + 0.5) * protocol.grid_step
