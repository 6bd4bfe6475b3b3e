"""Reading of single images, of images ahead of their use, and conversion of decoded frames."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from .files import DataError, DecodingError, read_bytes

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray
    from PIL import ImageFile

ItemT = TypeVar("ItemT")
JPEG_START = b"\xff\xd8"
KINDS = ("JPEG", "MPO", "PNG")
"""Pillow's names of the formats of frames; MPO is a JPEG with further pictures."""


def read_image(
    path: str | os.PathLike[str], content: bytes | None = None, size: Sequence[int] | None = None
) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG.

    Grey becomes RGB. The pixels are those of the file: an orientation tag (EXIF) is ignored, as masks and boxes are in
    the pixels of the file.

    Args:
        content: decode these bytes instead; `path` names them in errors.
        size: (height, width) of the video's other frames: an image of another size is refused.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DecodingError: if the file is missing, truncated, damaged, no JPEG or PNG, or cannot be decoded, or has another
            size.
    """
    content = read_whole(path, content)
    image = decode_jpeg(path, content) if content[:2] == JPEG_START else _decode_png(path, content)
    if size is not None:
        require_size(path, image.shape, size)
    return image


def decode_jpeg(path: str | os.PathLike[str], content: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG; a warning of the decoder, such as data that end too early, is an error.

    The pixels are those of OpenCV, to the bit. OpenCV would print the warning and return a damaged picture.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DecodingError: if it is damaged in a way that libjpeg notices, or cannot be decoded.
    """
    import simplejpeg  # type: ignore[import-untyped]

    try:
        return cast("NDArray[np.uint8]", simplejpeg.decode_jpeg(content, "RGB", strict=True))
    except ValueError as error:
        raise DecodingError(path, f"is damaged, or cannot be decoded as an image ({error})") from error


def _decode_png(path: str | os.PathLike[str], content: bytes) -> NDArray[np.uint8]:
    import cv2

    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DecodingError(path, "cannot be decoded as an image, or is truncated")
    return cast("NDArray[np.uint8]", image)


def read_whole(path: str | os.PathLike[str], content: bytes | None = None) -> bytes:
    """Read the bytes of a JPEG or PNG, and check the checksums of a PNG, which the decoders ignore.

    Args:
        content: check these bytes instead; `path` names them in errors.

    Raises:
        DecodingError: if the file is missing, damaged, no JPEG or PNG, or exceeds Pillow's limit on pixels.
    """
    content = read_bytes(path) if content is None else content
    with open_image(path, content) as image:
        image.verify()
    return content


@contextmanager
def open_image(path: str | os.PathLike[str], content: bytes | None = None) -> Iterator[ImageFile.ImageFile]:
    """Open an image with Pillow.

    Args:
        path: the file, of any format.
        content: bytes of a JPEG or PNG to read instead; `path` names them in errors.

    Yields:
        The image, not decoded yet; decode it inside the context.

    Raises:
        DecodingError: if it is not an image, cannot be decoded in the context, or exceeds Pillow's limit on pixels.
    """
    from PIL import Image, UnidentifiedImageError

    source: Any = path if content is None else io.BytesIO(content)
    try:
        with Image.open(source) as image:
            if content is not None and image.format not in KINDS:
                raise DecodingError(path, f"is {image.format}: frames and masks are JPEG or PNG files")
            yield image
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DecodingError(path, "cannot be decoded as an image: empty, none, or damaged at its start") from error
    except Exception as error:  # a damaged file makes the decoders fail in every way
        raise DecodingError(path, f"cannot be decoded as an image ({error or type(error).__name__})") from error


def read_photo(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an image of any format that Pillow knows as (H, W, 3) uint8 RGB.

    Raises:
        DecodingError: if it is damaged, or cannot be decoded.
    """
    with open_image(path) as image:
        # Pillow opens some of these files as 32-bit integers, "I"
        is_grey_of_16_bits = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
        if is_grey_of_16_bits:  # Pillow's conversion to RGB would cut values at 255
            high = np.asarray(image).astype(np.uint16) >> 8  # the upper 8 of 16 bits
            return np.repeat(high.astype(np.uint8)[..., None], 3, axis=2)
        if image.format != "JPEG":  # a JPEG is decoded as frames are, by a decoder that refuses damaged data
            return np.asarray(image.convert("RGB"))
    return decode_jpeg(path, read_bytes(path))


def in_px(shape: Sequence[int]) -> str:
    """Return the size of an image (height, width, …) for a message.

    Example:
        >>> in_px((480, 640, 3))
        '640 × 480 px'
    """
    return f"{shape[1]} × {shape[0]} px"


def require_size(where: object, shape: Sequence[int], others: Sequence[int], index: int | None = None) -> None:
    """Refuse a frame whose shape (height, width, …) differs from `others`, (height, width) of its video's other frames.

    Raises:
        DecodingError: naming `where`, the file of the frame or of the video, and the frame's index.
    """
    if tuple(shape[:2]) != tuple(others):
        named = "" if index is None else f"frame {index} "
        raise DecodingError(where, f"{named}is {in_px(shape)}, other frames {in_px(others)}")


def image_size(path: str | os.PathLike[str], content: bytes | None = None) -> tuple[int, int]:
    """Return (height, width) of an image, without decoding it.

    Args:
        content: bytes of a JPEG or PNG to read instead; `path` names them in errors.

    Raises:
        DecodingError: if it is not an image, or its header exceeds Pillow's limit on pixels.
    """
    with open_image(path, content) as image:
        return image.height, image.width


def reformatter() -> Callable[..., av.VideoFrame]:
    """Return PyAV's `reformat(frame, format=…)` with one thread, for reuse over many frames."""
    from av.video.reformatter import VideoReformatter

    return partial(VideoReformatter().reformat, threads=1)  # by default it starts a thread per core


@contextmanager
def write_behind(add: Callable[..., object], at_most: int = 32) -> Iterator[Callable[..., None]]:
    """Yield a function that queues calls of `add`. A thread runs them in order; the end of the block waits for all.

    Args:
        add: what the thread runs, with the arguments of a call.
        at_most: number of calls that may wait; then the caller waits, so memory does not grow.

    Raises:
        Exception: the first error of `add`, in a later call or at the end of the block.
    """
    pending: deque[Future[object]] = deque()
    with ThreadPoolExecutor(max_workers=1) as pool:

        def later(*arguments: object) -> None:
            """Queue a call of `add`; wait while more than `at_most` calls are queued."""
            pending.append(pool.submit(add, *arguments))
            while len(pending) > at_most:
                pending.popleft().result()

        yield later
        for done in pending:
            done.result()


AHEAD = 4
"""Items that `read_ahead` prefetches."""


def read_ahead(items: Iterable[ItemT]) -> Generator[ItemT]:
    """Iterate over items that a thread prefetches.

    An error in the thread is raised in place of its item. Closing never waits for the thread: the garbage collector
    may close the generator inside a thread that is just starting, and a wait there would stop the process for good. A
    file that the items come from is therefore opened and closed by `items` itself, a generator.
    """
    source = iter(items)
    end = object()
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        pending = deque(pool.submit(next, source, end) for _ in range(AHEAD))  # `end` stands for no further item
        item = pending.popleft().result()
        while item is not end:
            pending.append(pool.submit(next, source, end))
            yield cast("ItemT", item)
            item = pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
