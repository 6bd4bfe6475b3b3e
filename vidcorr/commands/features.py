"""The flags and the call of `vidcorr features`."""

from argparse import Namespace
from pathlib import Path

from ..datasets.layout import require_video
from ..errors import printable
from ..experiments.runs.flags import NETWORK, NETWORK_FLAGS, Flag, named_network, positive
from ..videos.files import user_path
from .predict import START

OUTPUT = "file to write: a picture of five frames, or .npz of all maps (default: features.png)"
FLAGS = (
    Flag("network", "network, as for vidcorr evaluate", metavar=NETWORK),
    Flag("video", "video file, or folder of frames", type=user_path, metavar="VIDEO"),
    Flag("--output", OUTPUT, type=user_path, default=Path("features.png"), metavar="FILE"),
    Flag("--protocol", "protocol, which names stage and stride (default: vidcorr)", metavar="NAME"),
    Flag("--start", START, type=int, default=0, metavar="FRAME"),
    Flag("--end", "frame after the last", type=int, metavar="FRAME"),
    Flag("--short-side", "reduce larger frames to it (default: 480)", type=positive, default=480, metavar="PX"),
    *NETWORK_FLAGS,
)


def require(flags: Namespace) -> None:
    """Check, without torch, that the video is one."""
    require_video(flags.video)


def run(flags: Namespace) -> None:
    """Write a network's features of a video as a picture or as arrays; print notes and the path.

    Raises:
        UsageError, ValueError, OSError: for a user's mistake.
    """
    from ..backbones import load
    from ..tracking.feature_pictures import write_features, write_maps
    from ..videos.stream import FrameStream

    stream = FrameStream(flags.video, flags.start, flags.end)
    for note in stream.notes():
        print(printable(note))
    write = write_maps if flags.output.suffix == ".npz" else write_features
    write(flags.output, load(named_network(flags.network, flags)), stream, flags.protocol, flags.short_side)
    print(flags.output)
