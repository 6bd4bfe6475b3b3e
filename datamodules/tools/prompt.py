"""Write a page in which a person marks objects, a box or points in a video's first frame, as `predict` reads them."""

import argparse
import base64
import html
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import cv2

from ..reading.mask_files import davis_palette
from ..reading.source import open_video
from ..reading.writing import write_whole

PAGE = Path(__file__).with_suffix(".html")
QUALITY = 95


def command(words: Sequence[str]) -> None:
    """Run `vidcorr prompt` with the words after it.

    Raises:
        DataError: if the video cannot be read; one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr prompt", description=__doc__)
    parser.add_argument("video", type=Path, help="video file, or folder of frames")
    parser.add_argument("--output", type=Path, default=None, help="the page (default: VIDEO_prompt.html here)")
    flags = parser.parse_args(list(words))
    output = write_page(flags.video, flags.output or Path(f"{flags.video.resolve().stem}_prompt.html"))
    print(f"{output}: open it in a browser, draw, save; the page then shows the command that follows what was drawn")


def write_page(video: Path, output: Path) -> Path:
    """Write the page of a video: one file, complete in itself, that needs neither a server nor a network.

    Masks are saved as indexed PNGs at the frame's own size, a box as JSON with (0, 0) at the corner of the first pixel,
    points as CSV with (0, 0) at its centre: the forms that `--data.mask`, `--data.box` and `--data.points` take.

    Args:
        video: file or folder of frames.
        output: the page.

    Returns:
        `output`.

    Raises:
        DataError: if there is no such video or its first frame cannot be decoded.
        OSError: if the page cannot be written.
    """
    with open_video(video, table=False) as opened:
        frame = next(iter(opened.frames()))
    height, width = frame.shape[:2]
    _, picture = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    values = {
        "title": html.escape(video.name),
        "video": _script(shlex.quote(str(video))),
        "width": str(width),
        "height": str(height),
        "palette": _script(davis_palette().tolist()),
        "picture": f"data:image/jpeg;base64,{base64.b64encode(picture.tobytes()).decode()}",
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], PAGE.read_text(encoding="utf-8"))
    output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(output, page)
    return output


def _script(value: object) -> str:
    """Return a value as JavaScript that cannot end its script element."""
    return json.dumps(value).replace("<", "\\u003c")
