"""Match two pictures of your own: the best matches, or those of given points, as a picture and matches.csv."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..experiments.benchmark_choice import add_list_flag, add_network_flags, named_network, positive


def command(args: Sequence[str]) -> None:
    """Run `vidcorr match`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr match", description=__doc__)
    parser.add_argument("first", type=Path, metavar="A.jpg", help="picture whose points are matched")
    parser.add_argument("second", type=Path, metavar="B.jpg", help="picture in which they are found")
    points = "points of the first picture, pixels from its upper left corner (default: the best mutual matches)"
    add_list_flag(parser, "--points", "X,Y", points, point)
    named = "network, as for vidcorr evaluate (default: %(default)s)"
    parser.add_argument("--model", default="vidcorr-r18", metavar="NETWORK[@STAGE[/STRIDE]]", help=named)
    add_network_flags(parser)
    protocol = "protocol of pairs, also with changes (default: %(default)s)"
    parser.add_argument("--protocol", default="dift", metavar="NAME", help=protocol)
    best = "most matches, apart from each other (default: %(default)s)"
    parser.add_argument("--best", type=positive, default=40, metavar="N", help=best)
    add_list_flag(parser, "--allow", "NAME", "code outside vidcorr that checkpoints may name")
    output = "folder for matches.png and matches.csv (default: %(default)s)"
    parser.add_argument("--output", type=Path, default=Path("matches"), metavar="FOLDER", help=output)
    flags = parser.parse_args(list(args))

    import cv2
    import numpy as np

    from .. import MatchBenchmark
    from ..backbones import load
    from ..backbones.trust import allow_named
    from ..benchmarks.network import view_for
    from ..experiments.match import PictureMatcher
    from ..results.csv_files import csv_text
    from ..results.pictures.overlays import write_picture
    from ..results.pictures.pairs import draw_matches
    from ..videos.files import write_atomically

    allow_named(args)
    network = named_network(flags.model, flags)
    # a benchmark without data, which chooses the features as for its scores
    features_of: Any = MatchBenchmark("", protocol=flags.protocol)
    extractor = view_for(features_of, network, load(network))
    matcher = PictureMatcher(extractor, features_of.protocol, (flags.first, flags.second))
    found = matcher.matches(flags.points, flags.best)
    similarities = found[:, 4]
    levels = np.interp(similarities, [similarities.min(), similarities.max() + 1e-9], [0, 255]).astype(np.uint8)
    colours = cv2.applyColorMap(levels[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].tolist()
    below = found[::-1]  # the most similar match is drawn last
    picture = draw_matches(*matcher.pictures, below[:, :2], below[:, 2:4], colours[::-1], 960, is_tight=True)
    write_picture(flags.output / "matches.png", picture)
    table = [["x1", "y1", "x2", "y2", "similarity"], *found.round(4).tolist()]
    write_atomically(flags.output / "matches.csv", csv_text(table))
    about = f"similarity {similarities.min():.3f} (purple) to {similarities.max():.3f} (yellow)"
    print(f"{len(found)} matches, {about}: {flags.output / 'matches.png'}, matches.csv")
    print(", ".join(filter(None, (network.name, matcher.input.line))))


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
