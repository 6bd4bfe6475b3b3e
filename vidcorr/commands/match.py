"""Match two pictures of your own: the best matches, or those of given points, as a picture and matches.csv."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import add_list_flag, positive


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


def command(args: Sequence[str]) -> None:
    """Run `vidcorr match`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = argparse.ArgumentParser(prog="vidcorr match", description=__doc__)
    parser.add_argument("first", type=Path, metavar="A.jpg", help="picture whose points are matched")
    parser.add_argument("second", type=Path, metavar="B.jpg", help="picture in which they are found")
    points = "points of the first picture, pixels from its upper left corner (default: the best mutual matches)"
    add_list_flag(parser, "--points", "X,Y", points, point)
    named = "network, as for vidcorr evaluate (default: %(default)s)"
    parser.add_argument("--model", default="vidcorr-r18", metavar="NETWORK[@STAGE[/STRIDE]]", help=named)
    parser.add_argument("--pretrained", action="store_true", help="load pretrained weights of timm and torchvision")
    protocol = "protocol of pairs, also with changes (default: %(default)s)"
    parser.add_argument("--protocol", default="dift", metavar="NAME", help=protocol)
    best = "most matches, apart from each other (default: %(default)s)"
    parser.add_argument("--best", type=positive, default=50, metavar="N", help=best)
    code = "code outside vidcorr that checkpoints may name"
    add_list_flag(parser, "--allow", "NAME", code)
    output = "folder for matches.png and matches.csv (default: %(default)s)"
    parser.add_argument("--output", type=Path, default=Path("matches"), metavar="FOLDER", help=output)
    flags = parser.parse_args(list(args))

    from ..backbones.trust import allow_named
    from ..experiments.match import matcher_of, upright
    from ..results.csv_files import csv_of_records
    from ..results.pictures.matches import matches_sheet
    from ..results.pictures.overlays import write_picture
    from ..videos.files import write_atomically

    allow_named(args)
    files = [flags.first, flags.second]
    found = matcher_of(flags.model, flags.protocol, flags.pretrained).matches(files, flags.points, flags.best)
    records = []
    for (x1, y1), (x2, y2), similarity in zip(found.points, found.others, found.similarities, strict=True):
        places = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        record = {name: f"{value:.2f}" for name, value in places.items()}
        records.append(record | {"similarity": f"{similarity:.4f}"})
    picture = matches_sheet(*map(upright, files), found.points, found.others, found.similarities)
    write_picture(flags.output / "matches.png", picture)
    write_atomically(flags.output / "matches.csv", csv_of_records(records))
    print(f"{len(records)} matches in {flags.output}: matches.png, matches.csv")
