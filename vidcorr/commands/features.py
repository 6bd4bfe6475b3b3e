"""Draw the features of a video as colours, and where a place of its first frame is found in all frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..experiments.benchmark_choice import add_list_flag, add_network_flags, named_network, positive
from ..near_names import CommandParser


def command(args: Sequence[str]) -> None:
    """Run `vidcorr features`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = CommandParser(prog="vidcorr features", description=__doc__)
    add = parser.add_argument
    add("network", metavar="NETWORK[@STAGE[/STRIDE]]", help="network, as for vidcorr evaluate")
    add("video", type=Path, metavar="VIDEO", help="video file, or folder of frames")
    output = "file to write, .mp4 or .webp, or .png, .pdf or .svg of five frames; or folder of pictures"
    add("--output", type=Path, default=Path("features.mp4"), metavar="FILE", help=f"{output} (default: features.mp4)")
    add("--point", metavar="X,Y", help="place in the first frame, pixels, that is looked for in all frames")
    add("--protocol", metavar="NAME", help="protocol, which names stage and stride (default: vidcorr)")
    add("--start", type=int, default=0, metavar="FRAME", help="first frame, counted from 0")
    add("--end", type=int, metavar="FRAME", help="frame after the last")
    add("--short-side", type=positive, default=480, metavar="PX", help="reduce larger frames to it (default: 480)")
    add_network_flags(parser)
    add_list_flag(parser, "--allow", "NAME", "class of yours that a checkpoint may name")
    flags = parser.parse_args(list(args))

    from ..backbones import load
    from ..backbones.trust import allow_named
    from ..tracking.feature_pictures import feature_pictures, write_features
    from ..videos.stream import FrameStream

    allow_named(args)
    stream = FrameStream(flags.video, flags.start, flags.end)
    encoder = load(named_network(flags.network, flags))
    pictures = feature_pictures(encoder, stream, flags.protocol, flags.point, flags.short_side)
    write_features(flags.output, pictures, stream)
    print(flags.output)
