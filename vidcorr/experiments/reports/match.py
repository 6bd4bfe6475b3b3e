"""Matches of two pictures by the features of a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...backbones import load
from ...benchmarks.match import MatchBenchmark
from ...benchmarks.network import NetworkLike, view_for, with_unique_rows
from ...protocols import MatchingProtocol
from ...results.csv_files import csv_text
from ...results.pictures.overlays import write_picture
from ...results.pictures.pairs import draw_matches
from ...tracking.picture_matcher import PictureMatcher
from ...videos.files import write_atomically
from ..runs.benchmark_choice import OF_PAIRS


def match_pictures(
    first: str | Path,
    second: str | Path,
    network: NetworkLike = "vidcorr-r18",
    points: Sequence[Sequence[float]] = (),
    best: int = 40,
    protocol: str | MatchingProtocol = OF_PAIRS,
    output: str | Path | None = None,
) -> NDArray[np.float64]:
    """Match two pictures by the features of a network.

    Args:
        first: file of the picture whose points are matched.
        second: file of the picture in which the matches lie.
        network: the network, as `evaluate` takes it.
        points: x, y in pixels of the first picture; empty: mutual best matches, spread over the picture.
        best: largest number of matches if `points` is empty.
        protocol: protocol of pairs.
        output: folder for matches.png and matches.csv; None: write and print nothing.

    Returns:
        `(N, 5)`, the most similar match first: x, y in pixels of the first picture, whose corner is (0, 0), and of the
        second; the cosine of the features of the two cells.

    Raises:
        DecodingError: if a file is no picture.
        ValueError: for a point outside the first picture.
    """
    benchmark: Any = MatchBenchmark("", protocol=protocol)  # without data: it only chooses the features
    extractor = view_for(benchmark, network, load(network))
    matcher = PictureMatcher(extractor, benchmark.protocol, (Path(first), Path(second)))
    found = matcher.matches(points, best)
    if output is not None:
        _write(matcher, found, Path(output))
        (row,) = with_unique_rows([network])
        # `line`: mean and deviation of the input; "" if the caller or the protocol states them
        print(", ".join(filter(None, (row.name, matcher.input.line))))
    return found


def _write(matcher: PictureMatcher, found: NDArray[np.float64], output: Path) -> None:
    """Write matches.png, in which the most similar matches are yellow, and matches.csv; print a line.

    Args:
        matcher: the two pictures.
        found: matches `(N, 5)` with N ≥ 1, the most similar first, as `match_pictures` returns them.
        output: folder of the files.
    """
    similarities = found[:, 4]
    ends = [similarities.min(), similarities.max() + 1e-9]  # `interp` needs two ends, even if all are equal
    levels = np.interp(similarities, ends, [0, 255]).astype(np.uint8)
    colours = cv2.applyColorMap(levels[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].tolist()  # RGB, (N, 3)
    reverse = found[::-1]  # the most similar match is drawn last, above the others
    picture = draw_matches(*matcher.pictures, reverse[:, :2], reverse[:, 2:4], colours[::-1], side=960, is_tight=True)
    write_picture(output / "matches.png", picture)
    table = [["x1", "y1", "x2", "y2", "similarity"], *found.round(4).tolist()]
    write_atomically(output / "matches.csv", csv_text(table))
    about = f"similarity {similarities.min():.3f} (purple) to {similarities.max():.3f} (yellow)"
    print(f"{len(found)} matches, {about}: {output / 'matches.png'}, matches.csv")
