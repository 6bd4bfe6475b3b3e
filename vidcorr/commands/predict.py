"""Follow a mask, boxes or points through your own video, and write masks or tables, and a video with the results."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..experiments.configured import positive, read_changes

if TYPE_CHECKING:  # it imports numpy, which would delay the message of a mistake
    from ..videos.prompts import Prompt

OWN_NETWORK = "vidcorr-r18"
"""The network of a command that names none; it is part of the package."""
PROMPTS = {
    "mask": ("IMAGE", "image of the objects in the first frame; first.png@120: in 120"),
    "box": (
        "X,Y,W,H",
        "boxes: 310,95,64,120, or car=3,9,64,12;dog=5,5,30,30, a .txt or a .csv file; @120: in frame 120",
    ),
    "points": ("X,Y", "points: 580,430;470,430, or nose=580,430, or a .csv file, or grid:16; @120: in frame 120"),
}
"""Kind of prompt → metavar and help."""


def command(args: Sequence[str]) -> None:
    """Run `vidcorr predict` with its arguments.

    Args:
        args: arguments of the command line after `predict`.

    Raises:
        UsageError: without a prompt, or with prompts of several kinds.
        DataError: if the video or the prompt cannot be read, or the prompt does not fit the video.
        ValueError: for another mistake of the user, one line.
        Stopped: after SIGTERM or Ctrl-C; files of the frames so far are complete.
    """
    flags = _parser().parse_args(list(args))
    kinds = [kind for kind in PROMPTS if getattr(flags, kind)]
    if len(kinds) != 1:
        named = " and ".join(f"--{kind}" for kind in kinds) or "none"
        raise UsageError(f"predict: say what to follow by one of --mask, --box and --points, got {named}")
    _predict(flags, kinds[0], read_changes(flags.change), args)


def _predict(flags: argparse.Namespace, kind: str, changes: dict[str, Any], args: Sequence[str]) -> None:
    """Follow the prompts of a kind through the video, and print the files.

    Args:
        flags: values of the flags.
        kind: "mask", "box" or "points".
        changes: changed fields of the protocol.
        args: the words of the command line, which name the user's classes.
    """
    gc.disable()  # saves a tenth of the CPU time until the first frame
    from .. import signals
    from ..backbones.trust import allow_named
    from ..benchmarks.network import NetworkSpec
    from ..functional.device import on_device
    from ..results.result import Network
    from ..tracking.predict import OUTPUTS, extractor_for, predict_video
    from ..videos.stream import FrameStream

    gc.enable()
    allow_named(args)
    with signals.handled():
        prompts = read_prompts(kind, getattr(flags, kind))
        video = FrameStream(flags.video, flags.frame_rate, flags.start, flags.end, flags.every)
        spec = NetworkSpec.read(flags.model, flags.pretrained)
        encoder = spec.build()
        stage = flags.stage or spec.stage
        stride = flags.stride or spec.stride
        extractor = on_device(extractor_for(encoder, prompts[0], stage, stride))
        network = Network.of(encoder)
        checkpoint = spec.spec if Path(spec.spec).is_file() else None
        metadata = {"model": flags.model, "checkpoint": checkpoint, "spec": spec.spec, "weights": network.weights}
        with signals.deferred():
            content = predict_video(
                extractor,
                video,
                prompts,
                flags.output,
                protocol=flags.protocol,
                changes=changes,
                short_side=flags.short_side,
                overlay=flags.overlay,
                overwrite=flags.overwrite,
                metadata=metadata,
            )
    files = ", ".join(name for name in OUTPUTS if (flags.output / name).exists())
    print(network.row)
    print(f"{content['frames']} frames, {content['seconds_per_frame']:.3f} s each; {flags.output}: {files}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidcorr predict",
        usage="vidcorr predict VIDEO (--mask IMAGE | --box X,Y,W,H | --points X,Y) [options]",
        description=__doc__,
        epilog="Repeat a prompt for other frames: each frame is followed from the nearest.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("video", type=Path, metavar="VIDEO", help="video file, or folder of frames")
    for kind, (metavar, text) in PROMPTS.items():
        add(f"--{kind}", action="append", metavar=metavar, help=text)
    add("--output", type=Path, default=Path("prediction"), metavar="FOLDER", help="(default: prediction)")
    named = f"checkpoint, dino-s16, timm:NAME, my_module:my_network, with @STAGE/STRIDE (default: {OWN_NETWORK})"
    add("--model", default=OWN_NETWORK, metavar="NETWORK", help=named)
    add("--pretrained", action="store_true", help="load the weights of timm or torchvision")
    add("--stage", help="stage of the features (default: the network's)")
    add("--stride", type=positive, metavar="PIXELS", help="pixels per feature cell (default: the network's)")
    add("--protocol", metavar="NAME", help="as `vidcorr protocols` lists them; boxes have one")
    add("--change", nargs="+", default=[], metavar="F=VALUE", help="fields of the protocol, such as radius=18")
    add("--start", metavar="FRAME", help="first frame, counted from 0")
    add("--end", metavar="FRAME", help="frame after the last")
    add("--every", type=positive, default=1, metavar="N", help="follow every N-th frame")
    add("--frame-rate", type=float, metavar="RATE", help="of the overlay (default: the video's; a folder: 24)")
    sizes = "reduce larger frames to it (default: 480; none: keep their size)"
    add("--short-side", type=_short_side, default=480, metavar="PX", help=sizes)
    add("--no-overlay", dest="overlay", action="store_false", help="write no overlay.mp4")
    add("--overwrite", action="store_true", help="replace an earlier prediction in the folder")
    add("--allow", action="append", metavar="NAME", help="class of yours that a checkpoint may name")
    return parser


def _short_side(text: str) -> int | None:
    return None if text.lower() in ("none", "null") else positive(text)


def read_prompts(kind: str, texts: Sequence[str]) -> list[Prompt]:
    """Return the prompts of a command line, in the order of the texts; boxes or points of one frame are one prompt.

    Args:
        kind: "mask", "box" or "points".
        texts: forms of `read_prompt`, each with `@` and its frame if it is not for the first frame.

    Raises:
        DataError: if a prompt is invalid.
    """
    from ..videos.prompts import read_prompt

    whole: list[str] = []
    numbers_of_frame: dict[str, list[str]] = {}
    for text in texts:
        before, at, frame = text.rpartition("@")
        value = before if at else text
        is_file = Path(text).exists() or Path(value).suffix.lower() in (".csv", ".txt")
        if kind == "mask" or is_file:
            whole.append(text)
        else:
            at_frame = f"@{frame.strip()}" if at else ""
            numbers_of_frame.setdefault(at_frame, []).append(value)
    for at_frame, values in numbers_of_frame.items():
        whole.append(";".join(values) + at_frame)
    arguments: list[dict[str, Any]] = [{kind: text} for text in whole]
    return [read_prompt(**each) for each in arguments]
