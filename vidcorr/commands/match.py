"""Match two pictures of your own: the best matches, or those of given points, as a picture and matches.csv."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..experiments.benchmark_choice import add_list_flag, add_network_flags, named_network, positive
from ..near_names import CommandParser

if TYPE_CHECKING:  # they import torch, which would delay `--help`
    import numpy as np
    from numpy.typing import NDArray

    from ..benchmarks.network import NetworkLike
    from ..protocols import MatchingProtocol
    from ..tracking.picture_matcher import PictureMatcher

PROTOCOL = "dift+input_fit=centred"
"""Protocol of a command that names none: DIFT's, but pictures keep their shape."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr match`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = CommandParser(prog="vidcorr match", description=__doc__)
    parser.add_argument("first", type=Path, metavar="A.jpg", help="picture whose points are matched")
    parser.add_argument("second", type=Path, metavar="B.jpg", help="picture in which they are found")
    points = "points of the first picture, pixels from its upper left corner (default: the best mutual matches)"
    add_list_flag(parser, "--points", "X,Y", points, point)
    named = "network, as for vidcorr evaluate (default: %(default)s)"
    parser.add_argument("--model", default="vidcorr-r18", metavar="NETWORK[@STAGE[/STRIDE]]", help=named)
    add_network_flags(parser)
    protocol = "protocol of pairs, also with changes (default: %(default)s)"
    parser.add_argument("--protocol", default=PROTOCOL, metavar="NAME", help=protocol)
    best = "most matches, apart from each other (default: %(default)s)"
    parser.add_argument("--best", type=positive, default=40, metavar="N", help=best)
    add_list_flag(parser, "--allow", "NAME", "code outside vidcorr that checkpoints may name")
    output = "folder for matches.png and matches.csv (default: %(default)s)"
    parser.add_argument("--output", type=Path, default=Path("matches"), metavar="FOLDER", help=output)
    flags = parser.parse_args(list(args))

    from ..backbones.trust import allow_named

    allow_named(args)
    network = named_network(flags.model, flags)
    match_pictures(flags.first, flags.second, network, flags.points, flags.best, flags.protocol, flags.output)


def match_pictures(
    first: str | Path,
    second: str | Path,
    network: NetworkLike = "vidcorr-r18",
    points: Sequence[Sequence[float]] = (),
    best: int = 40,
    protocol: str | MatchingProtocol = PROTOCOL,
    output: str | Path | None = None,
) -> NDArray[np.float64]:
    """Match two pictures by the features of a network.

    Args:
        first: file of the picture whose points are matched.
        second: file of the picture in which they are found.
        network: the network, as `evaluate` takes it.
        points: x, y in pixels of the first picture; empty: the best mutual matches, apart from each other.
        best: largest number of matches without points.
        protocol: protocol of pairs.
        output: folder for matches.png and matches.csv; None writes and prints nothing.

    Returns:
        `(N, 5)`, the most similar match first: x, y in pixels of the first picture, whose corner is (0, 0), and of the
        second; the cosine of the features of the two cells.

    Raises:
        DecodingError: if a file is no picture.
        ValueError: for a point outside the first picture.
    """
    from .. import MatchBenchmark
    from ..backbones import load
    from ..benchmarks.network import view_for, with_unique_rows
    from ..tracking.picture_matcher import PictureMatcher

    benchmark: Any = MatchBenchmark("", protocol=protocol)  # without data: it chooses the features, as for its scores
    extractor = view_for(benchmark, network, load(network))
    matcher = PictureMatcher(extractor, benchmark.protocol, (Path(first), Path(second)))
    found = matcher.matches(points, best)
    if output is not None:
        _write(matcher, found, Path(output))
        (row,) = with_unique_rows([network])
        print(", ".join(filter(None, (row.name, matcher.input.line))))
    return found


def _write(matcher: PictureMatcher, found: NDArray[np.float64], output: Path) -> None:
    """Write matches.png, the most similar matches in yellow, and matches.csv."""
    import cv2
    import numpy as np

    from ..results.csv_files import csv_text
    from ..results.pictures.overlays import write_picture
    from ..results.pictures.pairs import draw_matches
    from ..videos.files import write_atomically

    similarities = found[:, 4]
    ends = [similarities.min(), similarities.max() + 1e-9]  # apart, also of equal similarities
    levels = np.interp(similarities, ends, [0, 255]).astype(np.uint8)
    colours = cv2.applyColorMap(levels[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].tolist()
    reverse = found[::-1]  # the most similar match is drawn last, above the others
    picture = draw_matches(*matcher.pictures, reverse[:, :2], reverse[:, 2:4], colours[::-1], side=960, is_tight=True)
    write_picture(output / "matches.png", picture)
    table = [["x1", "y1", "x2", "y2", "similarity"], *found.round(4).tolist()]
    write_atomically(output / "matches.csv", csv_text(table))
    about = f"similarity {similarities.min():.3f} (purple) to {similarities.max():.3f} (yellow)"
    print(f"{len(found)} matches, {about}: {output / 'matches.png'}, matches.csv")


def point(text: str) -> tuple[float, float]:
    """Return x and y of a text `X,Y`.

    Raises:
        argparse.ArgumentTypeError: for another text.
    """
    try:
        x, y = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected X,Y in pixels, got {text!r}") from error
    return x, y
