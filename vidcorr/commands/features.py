"""The flags and the call of `vidcorr features`."""

from argparse import Namespace
from pathlib import Path

from ..errors import printable
from ..experiments.runs.flags import ALLOW, NETWORK, NETWORK_FLAGS, Flag, named_network, positive

OUTPUT = "file to write, .mp4, or .npz of the maps, or .png, .pdf or .svg of five frames; or folder of "
OUTPUT += "pictures (default: features.mp4)"
POINT = "place in the first frame, pixels, that is looked for in all frames"
FLAGS = (
    Flag("network", "network, as for vidcorr evaluate", metavar=NETWORK),
    Flag("video", "video file, or folder of frames", type=Path, metavar="VIDEO"),
    Flag("--output", OUTPUT, type=Path, default=Path("features.mp4"), metavar="FILE"),
    Flag("--point", POINT, metavar="X,Y"),
    Flag("--protocol", "protocol, which names stage and stride (default: vidcorr)", metavar="NAME"),
    Flag("--start", "first frame, counted from 0", type=int, default=0, metavar="FRAME"),
    Flag("--end", "frame after the last", type=int, metavar="FRAME"),
    Flag("--short-side", "reduce larger frames to it (default: 480)", type=positive, default=480, metavar="PX"),
    *NETWORK_FLAGS,
    ALLOW,
)


def run(flags: Namespace) -> None:
    """Write a network's features of a video as pictures, a film or arrays of maps; print notes and the path.

    Raises:
        UsageError, ValueError, OSError: for a user's mistake.
    """
    from ..backbones import load
    from ..tracking.feature_pictures import feature_pictures, write_features, write_maps
    from ..videos.stream import FrameStream

    if flags.point and flags.output.suffix == ".npz":
        raise ValueError(f"--point: {flags.output} holds the maps of all frames, and no place in them")
    stream = FrameStream(flags.video, flags.start, flags.end)
    for note in stream.notes():
        print(printable(note))
    encoder = load(named_network(flags.network, flags))
    if flags.output.suffix == ".npz":
        write_maps(flags.output, encoder, stream, flags.protocol, flags.short_side)
    else:
        pictures = feature_pictures(encoder, stream, flags.protocol, flags.point, flags.short_side)
        write_features(flags.output, pictures, stream)
    print(flags.output)
