"""Follow a mask, boxes or points through your own video, and write masks or tables, and a video with the results."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..experiments.benchmark_choice import add_list_flag, positive, read_changes

OWN_NETWORK = "vidcorr-r18"
"""The network of a command that names none; it is part of the package."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr predict` with its arguments.

    Args:
        args: arguments of the command line after `predict`.

    Raises:
        UsageError: for a change that is no `FIELD=VALUE`, or has several values.
        DataError: if the video or the prompt cannot be read, or the prompt does not fit the video.
        ValueError: for another mistake of the user, one line.
        Stopped: after SIGTERM or Ctrl-C; files of the frames so far are complete.
    """
    flags = _parser().parse_args(list(args))
    changes = {}
    for field, values in read_changes(flags.change).items():
        if len(values) > 1:
            raise UsageError(f"--change {field}: predict takes a single value")
        changes[field] = values[0]

    from .. import signals
    from ..backbones.trust import allow_named
    from ..benchmarks.network import NetworkSpec
    from ..functional.device import on_device
    from ..results.result import Network
    from ..tracking.predict import OUTPUTS, extractor_for, predict_video
    from ..videos.prompts import BoxPrompt, MaskPrompt, PointPrompt, Prompt
    from ..videos.stream import FrameStream

    allow_named(args)
    prompt: Prompt
    if flags.mask:
        prompt = MaskPrompt.of(flags.mask)
    elif flags.box:
        prompt = BoxPrompt.of(flags.box)
    else:
        prompt = PointPrompt.of(flags.points[0] if len(flags.points) == 1 else flags.points)
    video = FrameStream(flags.video, flags.start, flags.end)
    spec = NetworkSpec.read(flags.model, flags.pretrained)
    encoder = spec.build()
    extractor = on_device(extractor_for(encoder, prompt, spec.stage, spec.stride))
    network = Network.of(encoder)
    checkpoint = spec.spec if Path(spec.spec).is_file() else None
    with signals.deferred():
        content = predict_video(
            extractor,
            video,
            prompt,
            flags.output,
            protocol=flags.protocol,
            changes=changes,
            short_side=flags.short_side,
            overlay=flags.overlay,
            metadata={"model": flags.model, "checkpoint": checkpoint, "spec": spec.spec, "weights": network.weights},
        )
    files = ", ".join(name for name in OUTPUTS if (flags.output / name).exists())
    print(network.row)
    print(f"{content['frames']} frames, {content['seconds_per_frame']:.3f} s each; {flags.output}: {files}")
    for box, frame in content["lost"].items():
        print(f"box {box}: after frame {frame} its score fell under a tenth of the first; it may be lost")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidcorr predict",
        usage="vidcorr predict VIDEO (--mask PNG | --box X,Y,W,H … | --points X,Y …) [options]",
        description=__doc__,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("video", type=Path, metavar="VIDEO", help="video file, or folder of frames")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--mask", metavar="PNG", help="PNG with the ids of the objects in the first frame")
    kind.add_argument("--box", action="extend", nargs="+", metavar="X,Y,W,H", help="boxes in the first frame")
    points = "points in the first frame, or a .csv file with the heading frame,point,x,y"
    kind.add_argument("--points", action="extend", nargs="+", metavar="X,Y", help=points)
    add("--output", type=Path, default=Path("prediction"), metavar="FOLDER", help="(default: prediction)")
    named = f"checkpoint, dino-s16, timm:NAME, my_module:my_network, with @STAGE/STRIDE (default: {OWN_NETWORK})"
    add("--model", default=OWN_NETWORK, metavar="NETWORK", help=named)
    add("--pretrained", action="store_true", help="load the weights of timm or torchvision")
    add("--protocol", metavar="NAME", help="as `vidcorr protocols` lists them; boxes have one")
    add_list_flag(parser, "--change", "F=VALUE", "fields of the protocol, such as radius=18")
    add("--start", type=int, default=0, metavar="FRAME", help="first frame, counted from 0, which the prompt is for")
    add("--end", type=int, metavar="FRAME", help="frame after the last")
    sizes = "reduce larger frames to it (default: 480; none: keep their size)"
    add("--short-side", type=_short_side, default=480, metavar="PX", help=sizes)
    add("--no-overlay", dest="overlay", action="store_false", help="write no overlay.mp4")
    add("--allow", action="append", metavar="NAME", help="class of yours that a checkpoint may name")
    return parser


def _short_side(text: str) -> int | None:
    return None if text.lower() in ("none", "null") else positive(text)
