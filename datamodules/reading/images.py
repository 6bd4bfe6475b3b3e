"""Reading of single images, and conversion of decoded ones."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .guards import (
    DEFAULT_MEGAPIXELS,
    LIMIT_VARIABLE,
    DecodingError,
    check_pixels,
    max_pixels,
    read_bytes,
    require_regular,
)

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray
    from PIL import Image

AGAIN = "copy or extract it again"


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG.

    Grey becomes RGB; orientation tags are ignored, as masks and boxes have none. OpenCV 4 fills what a truncated JPEG
    lacks with grey and continues, so the end marker is checked.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DecodingError: if the file is missing, truncated, no image, not a regular file, or larger than the limits of
            `guards`, which are checked before it is decoded.
    """
    return decode_image(np.frombuffer(read_bytes(path), dtype=np.uint8), path)


def decode_image(data: NDArray[np.uint8], where: object) -> NDArray[np.uint8]:
    """Decode the bytes of a JPEG or PNG by the rules of `read_image`.

    Args:
        data: (n,) uint8.
        where: names the image in errors.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DecodingError: if the image is truncated, cannot be decoded, or claims more pixels than `guards` permits.
    """
    import cv2

    content = data.tobytes()
    if content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content:
        raise DecodingError(where, f"truncated JPEG; {AGAIN}")
    decoded_size(where, content)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise DecodingError(where, f"cannot be decoded as an image ({error.err or error.msg}); {AGAIN}") from error
    if image is None:
        raise DecodingError(where, f"cannot be decoded as an image; {AGAIN}")
    return np.asarray(image, dtype=np.uint8)


def decoded_size(where: object, content: bytes) -> tuple[int, int]:
    """Return (height, width) that the header of a JPEG or PNG claims.

    Raises:
        DecodingError: if it is neither, or claims more pixels than `guards` permits.
    """
    with _opened(where, io.BytesIO(content), ("JPEG", "PNG")) as image:
        return image.height, image.width


def opened_image(path: str | os.PathLike[str]) -> AbstractContextManager[Image.Image]:
    """Open an image of any kind with Pillow, once its file and its header are within the limits of `guards`.

    Args:
        path: the file.

    Returns:
        A context manager that gives the image, not decoded yet; decoding happens inside the context.

    Raises:
        DecodingError: if it is not an image, cannot be decoded in the context, or exceeds the limits.
    """
    require_regular(path)
    return _opened(path, path, None)


@contextmanager
def _opened(where: object, source: Any, formats: tuple[str, ...] | None) -> Iterator[Image.Image]:
    from PIL import Image, UnidentifiedImageError

    if max_pixels() > DEFAULT_MEGAPIXELS * 1e6:  # the user has asked for it: Pillow's own limit must not be lower
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels())
    try:
        with Image.open(source, formats=formats) as image:
            check_pixels(where, *image.size)
            yield image
    except Image.DecompressionBombError as error:
        raise DecodingError(where, f"too large to decode ({error}); raise the limit with {LIMIT_VARIABLE}") from error
    except UnidentifiedImageError as error:
        raise DecodingError(where, f"cannot be decoded as an image (of no known format); {AGAIN}") from error
    except (OSError, SyntaxError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DecodingError(where, f"cannot be decoded as an image ({reason}); {AGAIN}") from error


def pixels(shape: Sequence[int]) -> str:
    """Return the size of an image (height, width, …) for a message.

    Example:
        >>> pixels((480, 640, 3))
        '640 × 480 px'
    """
    return f"{shape[1]} × {shape[0]} px"


def require_size(where: object, shape: Sequence[int], others: Sequence[int], number: int | None = None) -> None:
    """Refuse a frame of another size than other frames of its video, both (height, width, …).

    Raises:
        DecodingError: naming `where`, the frame; or the video, and the frame's number.
    """
    if tuple(shape[:2]) != tuple(others[:2]):
        named = "" if number is None else f"frame {number} "
        raise DecodingError(where, f"{named}is {pixels(shape)}, other frames {pixels(others)}; give frames of one size")


def image_header(path: str | os.PathLike[str]) -> tuple[tuple[int, int], str]:
    """Return ((height, width), Pillow mode) of an image, without decoding it.

    Raises:
        DecodingError: if the file is not an image, or its header claims more pixels than are decoded.
    """
    with opened_image(path) as image:
        return (image.height, image.width), image.mode


def reformatter() -> Callable[..., av.VideoFrame]:
    """Return PyAV's `reformat` of frames, to be kept from frame to frame; it works in one thread."""
    import av
    from av.video.reformatter import VideoReformatter

    # since av 17 the default is a thread for each core of the machine
    threads: dict[str, Any] = {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}
    return partial(VideoReformatter().reformat, **threads)
