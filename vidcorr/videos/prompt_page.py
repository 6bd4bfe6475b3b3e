"""A page for drawing a prompt: objects, boxes or points in a frame of a video, in the formats of `predict`."""

import base64
import html
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .files import DataError, write_atomically
from .source import open_video

PAGE = Path(__file__).with_suffix(".html")
"""Template of the page; `{{NAME}}` stands for a value."""
QUALITY = 95
"""Quality of the frames as JPEG, 0 to 100."""


def write_page(video: Path, output: Path, frames: Sequence[int] = (0,)) -> Path:
    """Write the page of a video: a single file that needs neither a server nor a network.

    The page saves drawn objects as LabelMe's JSON, which it can load again; boxes as CSV, with (0, 0) at the corner of
    the first pixel; and points as CSV, with (0, 0) at the centre of the first pixel. It shows the `predict` command for
    the saved file.

    Args:
        video: file or folder of frames.
        output: path of the page.
        frames: indices of the frames in the page.

    Returns:
        `output`.

    Raises:
        DataError: if the video or a frame does not exist or cannot be decoded.
        OSError: if the page cannot be written.
    """
    with open_video(video, timeout=600.0) as opened:  # a late frame of a long film takes minutes
        indices = sorted(set(frames))
        images = opened.read(indices)
        if indices[-1] >= opened.num_frames:  # num_frames is exact after reading
            raise DataError(f"{video}: has no frame {indices[-1]}; its last frame is {opened.num_frames - 1}")
        names = opened.names
    height, width = images[0].shape[:2]
    embedded = []
    for index, image in zip(indices, images, strict=True):
        file = names[index] if names else f"{index:05d}.png"
        label = Path(file).stem if names else str(index)
        embedded.append({"number": index, "label": label, "file": file, "image": _data_uri(image)})
    values = {
        "title": html.escape(video.name),
        "video": _script(shlex.quote(str(video))),
        "frames": _script(embedded),
        "width": str(width),
        "height": str(height),
    }
    template = PAGE.read_text(encoding="utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda mark: values[mark[1]], template)
    write_atomically(output, page)
    return output


def _data_uri(image: NDArray[np.uint8]) -> str:
    """Return an RGB image `(H, W, 3)` as a `data:` address, a JPEG in base64."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, packed = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    return f"data:image/jpeg;base64,{base64.b64encode(packed.tobytes()).decode()}"


def _script(value: object) -> str:
    """Return a value as JavaScript that cannot close its script element.

    Example:
        >>> print(_script("</script>"))
        "\\u003c/script>"
    """
    return json.dumps(value).replace("<", "\\u003c")
