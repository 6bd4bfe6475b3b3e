"""The flags and the call of `vidcorr predict`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import printable
from ..experiments.flags import ALLOW, NETWORK_FLAGS, Flag, OneOf, named_network, positive, several

if TYPE_CHECKING:  # it imports torch, which would delay `--help`
    from ..videos.prompts import Prompt

POINTS = "points in the first frame, or a .csv file with the heading frame,point,x,y"
NAMED = "checkpoint, dino-s16, timm:NAME, my_module:my_network, with @STAGE/STRIDE (default: %(default)s)"
PROTOCOL = "as `vidcorr protocols` lists them, or with changed fields, vidcorr+topk=10; vidcorr-fast takes less time "
PROTOCOL += "(default: vidcorr; for boxes vfs)"
FLAGS = (
    Flag("video", "video file, or folder of frames", type=Path, metavar="VIDEO"),
    OneOf(
        Flag("--mask", "PNG with the ids of the objects in the first frame", metavar="PNG"),
        several("--box", "X,Y,W,H", "boxes in the first frame"),
        several("--points", "X,Y", POINTS),
        required=True,
    ),
    Flag("--output", "(default: prediction)", type=Path, default=Path("prediction"), metavar="FOLDER"),
    Flag("--model", NAMED, default="vidcorr-r18", metavar="NETWORK"),
    *NETWORK_FLAGS,
    Flag("--protocol", PROTOCOL, metavar="NAME"),
    Flag("--start", "first frame, counted from 0, which the prompt is for", type=int, default=0, metavar="FRAME"),
    Flag("--end", "frame after the last", type=int, metavar="FRAME"),
    Flag("--short-side", "reduce larger frames to it (default: 480)", type=positive, default=480, metavar="PX"),
    Flag("--no-overlay", "write no overlay.mp4", dest="overlay", action="store_false"),
    ALLOW,
)


def run(flags: Namespace) -> None:
    """Run the command.

    Raises:
        DataError: if the video or the prompt cannot be read, or the prompt does not fit the video.
        ValueError: for another mistake of the user, one line.
        Stopped: after SIGTERM or Ctrl-C; files of the frames so far are complete.
    """
    from .. import signals
    from ..backbones import Input, load
    from ..tracking.predict import OUTPUTS, predict_video
    from ..videos.prompts import BoxPrompt, MaskPrompt, PointPrompt
    from ..videos.stream import FrameStream

    prompt: Prompt
    if flags.mask:
        prompt = MaskPrompt.of(flags.mask)
    elif flags.box:
        prompt = BoxPrompt.of(flags.box)
    else:
        # one word may be a .csv file
        prompt = PointPrompt.of(flags.points[0] if len(flags.points) == 1 else flags.points)
    video = FrameStream(flags.video, flags.start, flags.end)
    named = named_network(flags.model, flags)
    encoder = load(named)
    network = encoder.described
    checkpoint = named.spec if Path(named.spec).is_file() else None
    with signals.deferred():
        content = predict_video(
            encoder,
            video,
            prompt,
            flags.output,
            protocol=flags.protocol,
            short_side=flags.short_side,
            overlay=flags.overlay,
            metadata={"model": flags.model, "checkpoint": checkpoint, "spec": named.spec, "weights": network.weights},
        )
    for told in content["prompts"]:
        if "colours" in told:
            print(f"{told['source']}: {told['colours']}")
    files = ", ".join(name for name in OUTPUTS if (flags.output / name).exists())
    print(printable(", ".join(filter(None, (network.row, Input(**content["input"]).line)))))
    view = f"{content['stage']} at stride {content['stride']}"
    print(f"by protocol {content['protocol']['name']}, features of {view}")
    print(f"{content['frames']} frames, {content['seconds_per_frame']:.3f} s each; {flags.output}: {files}")
