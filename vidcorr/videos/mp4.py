"""Encode an mp4 file frame by frame."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .image_files import reformatter

REPEATABLE_X264 = "threads=1:lookahead-threads=1:sliced-threads=0:mbtree=0"
"""Parameters that make x264's output repeatable: several threads decide differently on different machines, and the
macroblock tree reads uninitialised memory."""


class Mp4Writer:
    """Writer of a video file in H.264 (yuv420p); `close` completes it. The same images give the same bytes.

    Args:
        path: the file; its folder is made.
        rate: frames per second.
        options: options of the encoder, for example `crf`, the quality (18 is visually lossless, 23 usual), or `g`, the
            most frames between key frames.
    """

    def __init__(self, path: Path, rate: float | Fraction, **options: str) -> None:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        # "bitexact": FFmpeg leaves its version out of the file
        self._container = av.open(f"file:{path}", "w", format="mp4", options={"fflags": "+bitexact"})
        self._reformat = reformatter()  # PyAV's own conversion takes a thread for each core of the machine
        rate = Fraction(rate).limit_denominator(1001)  # NTSC's rates, such as 30000/1001, stay exact
        options = options | {"x264-params": REPEATABLE_X264}  # and one thread: the same bytes on every machine
        self._stream: Any = self._container.add_stream("libx264", rate=rate, options=options)
        self._codec = self._stream.codec_context
        self._codec.thread_count = 1

    def add(self, image: NDArray[np.uint8]) -> None:
        """Append a frame, uint8 RGB `(H, W, 3)`; the first frame sets the size of the film.

        An odd last row or column is cut off, since H.264 needs even sizes.
        """
        import av

        height = image.shape[0] // 2 * 2
        width = image.shape[1] // 2 * 2
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
        frame = self._reformat(frame, format="yuv420p")
        if not self._codec.is_open:  # the first frame
            self._codec.pix_fmt = "yuv420p"
            # the encoder takes the size and colours of the converted frame
            for name in ("width", "height", "colorspace", "color_range", "color_primaries", "color_trc"):
                setattr(self._codec, name, getattr(frame, name))
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write the frames that the encoder still holds, and finish the file."""
        if self._codec.is_open:
            self._container.mux(self._stream.encode())
        self._container.close()
