"""Draw the features of a video as colours, and where a place of its first frame is found in all frames."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiments.benchmark_choice import add_list_flag, add_network_flags, named_network, positive
from ..near_names import CommandParser
from ..videos.files import unfinished

if TYPE_CHECKING:  # they import torch, which would delay `--help`
    from ..results.pictures import Picture
    from ..videos.stream import FrameStream

COLUMNS = 5
"""Frames of a figure, evenly spaced."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr features`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = CommandParser(prog="vidcorr features", description=__doc__)
    add = parser.add_argument
    add("network", metavar="NETWORK[@STAGE[/STRIDE]]", help="network, as for vidcorr evaluate")
    add("video", type=Path, metavar="VIDEO", help="video file, or folder of frames")
    output = "file to write, .mp4 or .webp, or .png, .pdf or .svg of five frames; or folder of pictures"
    add("--output", type=Path, default=Path("features.mp4"), metavar="FILE", help=f"{output} (default: features.mp4)")
    add("--point", type=place, metavar="X,Y", help="place in the first frame, pixels, that is looked for in all frames")
    add("--protocol", metavar="NAME", help="protocol, which names stage and stride (default: vidcorr)")
    add("--start", type=int, default=0, metavar="FRAME", help="first frame, counted from 0")
    add("--end", type=int, metavar="FRAME", help="frame after the last")
    add("--short-side", type=positive, default=480, metavar="PX", help="reduce larger frames to it (default: 480)")
    add_network_flags(parser)
    add_list_flag(parser, "--allow", "NAME", "class of yours that a checkpoint may name")
    flags = parser.parse_args(list(args))

    from ..backbones import load
    from ..backbones.trust import allow_named
    from ..tracking.feature_pictures import feature_pictures
    from ..videos.stream import FrameStream

    allow_named(args)
    stream = FrameStream(flags.video, flags.start, flags.end)
    encoder = load(named_network(flags.network, flags))
    pictures = feature_pictures(encoder, stream, flags.protocol, flags.point, flags.short_side)
    write(flags.output, pictures, stream)
    print(flags.output)


def place(text: str) -> tuple[float, float]:
    """Return the x and y of a text `x,y`."""
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected x,y, got {text!r}") from None
    return x, y


def write(output: Path, pictures: Iterable[dict[str, Picture]], stream: FrameStream) -> None:
    """Write the pictures of all frames, side by side, in the form that the output's suffix says."""
    import numpy as np
    from PIL import Image

    from ..results.pictures import write_picture
    from ..results.pictures.overlays import evenly_spaced, resized
    from ..videos.mp4 import Mp4Writer

    if output.suffix in (".png", ".pdf", ".svg"):
        from ..results.pictures.plots import WIDTH, Block, draw_rows, write_figure

        chosen = evenly_spaced(stream.num_frames, COLUMNS)
        shown = [each for t, each in enumerate(pictures) if t in chosen]
        rows = [([name], [resized(each[name], WIDTH) for each in shown]) for name in shown[0]]
        heads = [f"frame {stream.start + t}" for t in chosen]
        write_figure(output, draw_rows([Block(stream.name, heads, rows)]))
        return
    sheets = (np.concatenate(list(each.values()), axis=1) for each in pictures)
    if output.suffix == ".mp4":
        with unfinished(output) as temporary:
            writer = Mp4Writer(temporary, stream.frame_rate)
            for sheet in sheets:
                writer.add(sheet)
            writer.close()
    elif output.suffix == ".webp":
        output.parent.mkdir(parents=True, exist_ok=True)
        film = map(Image.fromarray, sheets)
        first = next(film)
        with unfinished(output) as temporary:
            first.save(temporary, "WEBP", save_all=True, append_images=film, duration=1000 / float(stream.frame_rate))
    else:
        for t, sheet in enumerate(sheets):
            write_picture(output / f"{stream.stem(t)}.png", sheet)
