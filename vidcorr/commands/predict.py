"""The flags and the call of `vidcorr predict`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets.layout import require_video
from ..errors import printable
from ..experiments.runs.flags import NETWORK_FLAGS, Flag, OneOf, folder, named_network, positive, several
from ..videos.files import user_path

if TYPE_CHECKING:  # it imports torch, which would delay `--help`
    from ..videos.prompts import Prompt
    from ..videos.stream import FrameStream

MASKS = "PNGs with the ids of the objects; without @FRAME of the frame of the file's name, or of the first"
START = "number of the first frame, of a film from 0, of a folder as its images are named"
BOXES = "boxes in the first frame, or a .csv file with the heading frame,box,x,y,width,height"
POINTS = "points in the first frame, or a .csv file with the heading frame,point,x,y"
NAMED = "checkpoint, folder of a run, dino-s16, timm:NAME, my_module:my_network, "
NAMED += "with @STAGE/STRIDE (default: %(default)s)"
PROTOCOL = "as `vidcorr protocols` lists them, or with changed fields, vidcorr+topk=10; vidcorr-fast takes less time "
PROTOCOL += "(default: vidcorr; for boxes vfs)"
PROMPTS = OneOf(
    several("--mask", "FILE[@FRAME]", MASKS),
    several("--box", "X,Y,W,H", BOXES),
    several("--points", "X,Y", POINTS),
    required=True,
)
FLAGS = (
    Flag("video", "video file, or folder of frames", type=user_path, metavar="VIDEO"),
    PROMPTS,
    Flag("--output", "(default: prediction)", type=folder, default=Path("prediction"), metavar="FOLDER"),
    Flag("--model", NAMED, default="vidcorr-r18", metavar="NETWORK"),
    *NETWORK_FLAGS,
    Flag("--protocol", PROTOCOL, metavar="NAME"),
    Flag("--start", START, type=int, default=0, metavar="FRAME"),
    Flag("--end", "frame after the last", type=int, metavar="FRAME"),
    Flag("--short-side", "reduce larger frames to it (default: 480)", type=positive, default=480, metavar="PX"),
    Flag("--no-overlay", "write no overlay.mp4", dest="overlay", action="store_false"),
)


def require(flags: Namespace) -> None:
    """Check, without torch, that the video is one."""
    require_video(flags.video)


def run(flags: Namespace) -> None:
    """Follow the objects, boxes or points of prompts through a video; write the predictions and print a report.

    Raises:
        DataError: if the video or the prompt cannot be read, or the prompt does not fit the video.
        ValueError: for another mistake of the user, one line.
        Stopped: after SIGTERM or Ctrl-C; files of the frames so far are complete.
    """
    from .. import signals
    from ..backbones import load
    from ..tracking.video_prediction import RECORD, predict_video
    from ..videos.stream import FrameStream

    video = FrameStream(flags.video, flags.start, flags.end)
    prompts = prompts_of(flags, video)
    named = named_network(flags.model, flags)
    encoder = load(named)
    network = encoder.described
    name, file, _ = named.located
    # a network by name is no checkpoint; without a name `--model` is the path of a file
    checkpoint = None if name else str(file)
    metadata = {"model": named.text, "checkpoint": checkpoint, "spec": named.spec, "weights": network.weights}
    try:
        with signals.deferred():
            content = predict_video(
                encoder,
                video,
                prompts,
                flags.output,
                protocol=flags.protocol,
                short_side=flags.short_side,
                overlay=flags.overlay,
                metadata=metadata,
            )
    except signals.Stopped:
        if (flags.output / RECORD).exists():
            print(printable(f"{flags.output}: the frames so far are kept"), file=sys.stderr)
        raise
    print_report(content, network.row, flags.output)


def prompts_of(flags: Namespace, video: FrameStream) -> Sequence[Prompt]:
    """Return the prompts that `--mask`, `--box` or `--points` give for a video.

    Raises:
        DataError: for a file that cannot be read, or that does not fit the video.
        ValueError: for another mistake of the user.

    Example:
        >>> from types import SimpleNamespace
        >>> flags = Namespace(mask=[], box=["1,2,3,4"], points=[])
        >>> [(prompt.frame, prompt.labels.tolist()) for prompt in prompts_of(flags, SimpleNamespace())]
        [(None, [[1.0, 2.0, 3.0, 4.0]])]
    """
    from ..videos.prompts import BoxPrompt, MaskPrompt, PointPrompt

    if flags.mask:
        return [MaskPrompt.read(word, video.numbers_of_names, video.number(0)) for word in flags.mask]
    kind = BoxPrompt if flags.box else PointPrompt
    words = flags.box or flags.points
    # one file with prompts, or the boxes or points of a single prompt
    if len(words) == 1 and words[0].lower().endswith(".csv"):
        return kind.read_table(words[0])
    return [kind.of(words)]


def print_report(content: Mapping[str, Any], network: str, output: Path) -> None:
    """Print the network, input and protocol of a prediction, its time per frame and its files.

    Args:
        content: content of prediction.json.
        network: name of the network.
        output: folder of the prediction.
    """
    from ..backbones import Input
    from ..tracking.video_prediction import OUTPUTS

    for note in content["notes"]:
        print(printable(note))
    print(printable(", ".join(filter(None, (network, Input(**content["input"]).line)))))
    view = f"{content['stage']} at stride {content['stride']}"
    print(f"by protocol {content['protocol']['name']}, features of {view}")
    files = ", ".join(name for name in OUTPUTS if (output / name).exists())
    print(f"{content['frames']} frames, {content['seconds_per_frame']:.3f} s each; {output}: {files}")
