"""Follow a mask, boxes or points through your own video, and write masks or tables, and a video with the results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import printable
from ..experiments.benchmark_choice import add_list_flag, add_network_flags, named_network, positive
from ..near_names import CommandParser

OWN_NETWORK = "vidcorr-r18"
"""The network of a command that names none; it is part of the package."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr predict` with its arguments.

    Args:
        args: arguments of the command line after `predict`.

    Raises:
        DataError: if the video or the prompt cannot be read, or the prompt does not fit the video.
        ValueError: for another mistake of the user, one line.
        Stopped: after SIGTERM or Ctrl-C; files of the frames so far are complete.
    """
    # a blank before a number below 0: else it would be read as a flag
    flags = _parser().parse_args([f" {word}" if re.match(r"-[\d.]", word) else word for word in args])

    from .. import signals
    from ..backbones import Input, load
    from ..backbones.trust import allow_named
    from ..tracking.predict import OUTPUTS, predict_video
    from ..videos.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt
    from ..videos.stream import FrameStream

    allow_named(args)
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
    if "colours" in content["prompt"]:
        print(f"{flags.mask}: {content['prompt']['colours']}")
    files = ", ".join(name for name in OUTPUTS if (flags.output / name).exists())
    print(printable(", ".join(filter(None, (network.row, Input(**content["input"]).line)))))
    view = f"{content['stage']} at stride {content['stride']}"
    print(f"by protocol {content['protocol']['name']}, features of {view}")
    print(f"{content['frames']} frames, {content['seconds_per_frame']:.3f} s each; {flags.output}: {files}")


def _parser() -> CommandParser:
    """Return the parser of `vidcorr predict`."""
    usage = "vidcorr predict VIDEO (--mask PNG | --box X,Y,W,H … | --points X,Y …) [options]"
    parser = CommandParser(prog="vidcorr predict", usage=usage, description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("video", type=Path, metavar="VIDEO", help="video file, or folder of frames")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--mask", metavar="PNG", help="PNG with the ids of the objects in the first frame")
    add_list_flag(kind, "--box", "X,Y,W,H", "boxes in the first frame")
    add_list_flag(kind, "--points", "X,Y", "points in the first frame, or a .csv file with the heading frame,point,x,y")
    add("--output", type=Path, default=Path("prediction"), metavar="FOLDER", help="(default: prediction)")
    named = f"checkpoint, dino-s16, timm:NAME, my_module:my_network, with @STAGE/STRIDE (default: {OWN_NETWORK})"
    add("--model", default=OWN_NETWORK, metavar="NETWORK", help=named)
    add_network_flags(parser)
    protocol = (
        "as `vidcorr protocols` lists them, or with changed fields, vidcorr+topk=10; vidcorr-fast takes less time "
    )
    protocol += "(default: vidcorr; for boxes vfs)"
    add("--protocol", metavar="NAME", help=protocol)
    add("--start", type=int, default=0, metavar="FRAME", help="first frame, counted from 0, which the prompt is for")
    add("--end", type=int, metavar="FRAME", help="frame after the last")
    add("--short-side", type=positive, default=480, metavar="PX", help="reduce larger frames to it (default: 480)")
    add("--no-overlay", dest="overlay", action="store_false", help="write no overlay.mp4")
    add_list_flag(parser, "--allow", "NAME", "class of yours that a checkpoint may name")
    return parser
