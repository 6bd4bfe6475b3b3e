"""Reading of single pictures, and conversion of decoded ones."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DecodingError

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

AGAIN = "copy or extract it again"


def read_picture(path: str | os.PathLike[str]) -> "NDArray[np.uint8]":
    """Decode a JPEG or PNG.

    Grey becomes RGB; orientation tags are ignored, as masks and boxes have none. OpenCV fills what a truncated JPEG
    lacks with grey and goes on, so the end marker is looked for.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DecodingError: if the file is missing, truncated or no picture.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DecodingError(path, f"cannot be read: {error.strerror or error}") from error
    return decode_picture(data, path)


def decode_picture(data: "NDArray[np.uint8]", where: object) -> "NDArray[np.uint8]":
    """Decode the bytes of a JPEG or PNG by the rules of `read_picture`.

    Args:
        data: (n,) uint8.
        where: names the picture in errors.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DecodingError: if the picture is truncated or cannot be decoded.
    """
    import cv2

    if data[:2].tobytes() == b"\xff\xd8" and b"\xff\xd9" not in data.tobytes():
        raise DecodingError(where, f"truncated JPEG; {AGAIN}")
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    if picture is None:
        raise DecodingError(where, f"cannot be decoded as a picture; {AGAIN}")
    return np.asarray(picture, dtype=np.uint8)


class Reformatter:
    """PyAV's, kept from frame to frame, in one thread; called with the arguments of its `reformat`."""

    def __init__(self) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        # since av 17 the default is a thread for each core of the machine
        self._threads: dict[str, Any] = {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}

    def __call__(self, frame: "av.VideoFrame", *arguments: Any, **options: Any) -> "av.VideoFrame":
        return self._reformatter.reformat(frame, *arguments, **(options | self._threads))
