"""The flags and the call of `vidcorr prompt`."""

from argparse import Namespace
from pathlib import Path

from ..experiments.runs.flags import Flag

FLAGS = (
    Flag("video", "video file, or folder of frames", type=Path),
    Flag("--output", "page to write (default: VIDEO_prompt.html here)", type=Path, default=None),
    Flag("--frames", "indices of frames to show (default: 0)", nargs="+", type=int, default=[0], metavar="FRAME"),
)


def run(flags: Namespace) -> None:
    """Write the page on which a user draws objects into frames of a video; print its path and its use.

    Raises:
        ValueError, OSError: for a user's mistake.
    """
    from ..videos.prompt_page import write_page

    output = flags.output or Path(f"{flags.video.resolve().stem}_prompt.html")
    write_page(flags.video, output, flags.frames)
    print(f"{output}: open it in a browser, draw, save; the page then shows the command that follows the objects")
