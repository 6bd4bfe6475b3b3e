"""Pictures that play: H.264, GIF and WebP."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from datamodules.reading.images import REPEATABLE_X264, Reformatter

from .overlays import Picture

OVERLAY_FRAME_RATE = 30
MOST_PICTURES, WIDEST = 150, 480
"""Pictures of an animation, and their width in pixels: it is kept in memory until it is complete."""


class OverlayVideo:
    """An H.264 file that frames are appended to; use it as a context, or call `close`.

    The same pictures give the same bytes.

    Args:
        path: path of the mp4; its folder is made.
        rate: frames per second.
    """

    def __init__(self, path: Path, rate: float = OVERLAY_FRAME_RATE) -> None:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), "w", options={"fflags": "+bitexact"})
        self._reformat = Reformatter()
        self._rate = Fraction(rate).limit_denominator(1001)
        self._stream: Any = None

    def add(self, picture: Picture) -> None:
        """Append a frame, uint8 RGB `(H, W, 3)`; H.264 has even sizes, so an odd last row or column is left out."""
        import av

        height, width = (length - length % 2 for length in picture.shape[:2])
        if self._stream is None:
            options = {"crf": "23", "x264-params": REPEATABLE_X264}
            self._stream = self._container.add_stream("libx264", rate=self._rate, options=options)
            self._stream.codec_context.thread_count = 1
            self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
        self._container.mux(self._stream.encode(self._reformat(frame, format="yuv420p")))

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class OverlayAnimation:
    """A GIF or WebP; of long videos it shows every second, fourth, … frame, at the video's own pace.

    Args:
        path: ends in .gif or .webp.
        rate: frames per second of the video.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._pictures: list[Image.Image] = []
        self._step, self._t = 1, 0

    def add(self, picture: Picture) -> None:
        """Append a frame, uint8 RGB `(H, W, 3)`."""
        if self._t % self._step == 0:
            image = Image.fromarray(picture)
            image.thumbnail((WIDEST, WIDEST * image.height))
            self._pictures.append(image)
        self._t += 1
        if len(self._pictures) > MOST_PICTURES:
            self._pictures, self._step = self._pictures[::2], 2 * self._step

    def close(self) -> None:
        """Write the file."""
        if self._pictures:
            first, *rest = self._pictures
            milliseconds = max(20, round(1000 * self._step / self._rate))
            first.save(self._path, save_all=True, append_images=rest, duration=milliseconds, loop=0, quality=80)
