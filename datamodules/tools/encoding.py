"""Encoding of videos: an mp4 file frame by frame, or a whole video at a small size as H.264 or a folder of JPEGs."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..reading.decoding import VideoFile
from ..reading.errors import DataError
from ..reading.images import Reformatter, require_size
from ..reading.source import FRAME_RATE, OpenedVideo

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

REPEATABLE_X264 = "threads=1:lookahead-threads=1:sliced-threads=0:mbtree=0"
"""Parameters under which x264 gives the same bytes for the same images: with several threads its decisions depend on
the machine, and its macroblock tree reads memory that it has not written."""
_RGB = 0  # AVCOL_SPC_RGB, which no encoder takes for yuv420p


class Mp4Writer:
    """An H.264 file (yuv420p) that frames are appended to; `close` finishes it.

    The same images give the same bytes: it holds neither time nor version, and is encoded in one thread.

    Args:
        path: path of the mp4; its folder is made.
        rate: frames per second.
        key_interval: most frames from one key frame to the next; None is the encoder's own.
        options: of x264, such as `crf`.
    """

    def __init__(self, path: Path, rate: float, key_interval: int | None = None, **options: str) -> None:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), "w", options={"fflags": "+bitexact"})
        self._reformat = Reformatter()  # PyAV's own conversion takes a thread for each core of the machine
        self._rate, self._key_interval = Fraction(rate).limit_denominator(1001), key_interval
        self._options = options | {"x264-params": REPEATABLE_X264}
        self._stream: Any = None

    def add(self, image: "NDArray[np.uint8]") -> None:
        """Append a frame, uint8 RGB `(H, W, 3)`; H.264 has even sizes, so an odd last row or column is left out."""
        import av

        height, width = (length - length % 2 for length in image.shape[:2])
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self._rate, options=self._options)
            self._stream.codec_context.thread_count = 1
            self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
            if self._key_interval is not None:
                self._stream.codec_context.gop_size = self._key_interval
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
        self._container.mux(self._stream.encode(self._reformat(frame, format="yuv420p")))

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()


@dataclass(frozen=True)
class OutputFormat:
    """Format of the output.

    Attributes:
        short_side: pixels; smaller videos keep their size.
        key_interval: most frames from one key frame to the next.
        crf: x264's constant rate factor; more is smaller and worse.
        frames: folders of JPEGs in place of mp4 files.
        quality: quality of the JPEGs.
    """

    short_side: int = 256
    key_interval: int = 12
    crf: int = 23
    frames: bool = False
    quality: int = 90

    def __post_init__(self) -> None:
        bounds = {"short_side": (16, 8192), "key_interval": (1, 1000), "crf": (0, 51), "quality": (1, 100)}
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from {least} to {most}, got {getattr(self, name)}")


def write_video(video: OpenedVideo, path: Path, form: OutputFormat) -> int:
    """Encode all frames at the average rate, since equal distances in time make the file's index a table of its frames.

    Returns:
        Number of frames.
    """
    import av

    rate = Fraction(video.frame_rate).limit_denominator(1001) or Fraction(FRAME_RATE)
    resize, stream, count = _Resizer(form.short_side, 2, "yuv420p"), None, 0
    with av.open(f"file:{path}", "w", format="mp4") as container:
        for frame in _upright(video):
            image = resize(frame)
            image.pts, image.time_base = count, 1 / rate
            count += 1
            image.pict_type = 0  # the encoder's choice, not what the frame was in the source
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options=_options(form))
                context = stream.codec_context
                context.width, context.height, context.pix_fmt = image.width, image.height, "yuv420p"
                context.time_base, context.gop_size, context.thread_count = 1 / rate, form.key_interval, 1
                context.colorspace, context.color_range = image.colorspace, image.color_range
                context.color_primaries, context.color_trc = image.color_primaries, image.color_trc
            container.mux(stream.encode(image))
        if stream is not None:
            container.mux(stream.encode(None))
    return count


def _options(form: OutputFormat) -> dict[str, str]:
    return {"crf": str(form.crf), "preset": "veryfast", "tune": "fastdecode", "x264-params": "b-pyramid=none"}


def write_images(video: OpenedVideo, folder: Path, form: OutputFormat) -> int:
    """Write all frames as 00000.jpg, 00001.jpg, …; return their number."""
    import cv2

    folder.mkdir()
    resize = _Resizer(form.short_side, 1, "bgr24")
    count = 0
    for count, frame in enumerate(_upright(video), start=1):
        done, data = cv2.imencode(".jpg", resize(frame).to_ndarray(), [cv2.IMWRITE_JPEG_QUALITY, form.quality])
        if not done:
            raise DataError(f"frame {count - 1} cannot be encoded")
        (folder / f"{count - 1:05d}.jpg").write_bytes(data.tobytes())
    if count < 2:
        raise DataError(f"{count} frame(s); a folder of frames needs at least 2")
    return count


def _upright(video: OpenedVideo) -> Iterator["av.VideoFrame"]:
    """Iterate over all frames, turned and mirrored as their file says."""
    import av

    if isinstance(video, VideoFile):
        for frame in video.decode():
            if "DISPLAYMATRIX" in frame.side_data:
                yield av.VideoFrame.from_ndarray(video.to_rgb(frame), format="rgb24")
            else:
                yield frame
    else:
        size = None
        for number, image in enumerate(video.frames()):
            size = size or image.shape
            require_size(video.path, image.shape, size, number)
            yield av.VideoFrame.from_ndarray(image, format="rgb24")


class _Resizer:
    """Scales frames to a short side, never up, and converts them; the first one decides on the size.

    Args:
        short_side: pixels.
        multiple: of which width and height have to be.
        pixels: name of the pixel format.
    """

    size: tuple[int, int] | None = None

    def __init__(self, short_side: int, multiple: int, pixels: str) -> None:
        from av.video.reformatter import ColorRange, Colorspace, Interpolation

        self._short_side, self._multiple, self._pixels = short_side, multiple, pixels
        self._reformat = Reformatter()
        self._options: dict[str, Any] = {"interpolation": Interpolation.BICUBIC}
        if pixels == "yuv420p":
            self._options["dst_color_range"] = ColorRange.MPEG
        self._of_rgb = {"dst_colorspace": Colorspace.ITU601}

    def __call__(self, frame: "av.VideoFrame") -> "av.VideoFrame":
        if self.size is None:
            scale, unit = min(1.0, self._short_side / min(frame.width, frame.height)), self._multiple
            width, height = (
                max(1, min(round(side * scale / unit), side // unit)) * unit for side in (frame.width, frame.height)
            )
            self.size = width, height
        more = self._of_rgb if frame.colorspace == _RGB else {}
        return self._reformat(frame, *self.size, self._pixels, **self._options, **more)
