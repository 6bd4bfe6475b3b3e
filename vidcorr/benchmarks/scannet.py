"""Matching of surfaces between pictures by the features of an extractor: ScanNet-1500."""

from dataclasses import dataclass
from typing import Any

from ..datasets.navi import SurfacePair, View
from ..datasets.scannet import read_scannet, scannet_view
from .navi import NaviBenchmark


@dataclass(frozen=True)
class ScanNetBenchmark(NaviBenchmark):
    """Score dense matches of surfaces without training on ScanNet-1500, against depth and cameras.

    Logs, as fractions, `scannet/recall@5px`, `@10px`, `@20px` over the matches of all pairs, in pixels of 160 x 120;
    `scannet/recall@10px-0-15`, … by degrees of rotation between the cameras, over pairs; and `scannet/rotation@5deg`,
    `@15deg`, `@45deg`: the fraction of pairs whose true rotation is below, which depends on the data alone. Files:
    those of `NaviBenchmark`.

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
    unit = "scenes"
    conditions = NaviBenchmark.conditions

    def read_pairs(self) -> list[SurfacePair]:
        """Read the pairs."""
        return read_scannet(self.root)

    def view(self, pair: SurfacePair, which: int) -> View:
        """Read a picture of a pair, as the network sees it, with its surface."""
        protocol: Any = self.protocol
        return scannet_view(pair, which, protocol)
