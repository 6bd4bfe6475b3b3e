"""Encoding of videos: an mp4 file frame by frame, or a whole video at a small size as H.264 or a folder of JPEGs."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..reading.decoding import VideoFile
from ..reading.guards import DataError
from ..reading.images import reformatter, require_size
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
        path: the file; its folder is made.
        rate: frames per second.
        key_interval: most frames from one key frame to the next; None is the encoder's own.
        parameters: x264's own.
        options: of the encoder, such as `crf`.
    """

    def __init__(
        self,
        path: Path,
        rate: float | Fraction,
        key_interval: int | None = None,
        parameters: str = REPEATABLE_X264,
        **options: str,
    ) -> None:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(f"file:{path}", "w", format="mp4", options={"fflags": "+bitexact"})
        self._reformat = reformatter()  # PyAV's own conversion takes a thread for each core of the machine
        self._rate, self._key_interval = Fraction(rate).limit_denominator(1001), key_interval
        self._options = options | {"x264-params": parameters}
        self._stream: Any = None

    def add(self, image: "NDArray[np.uint8]") -> None:
        """Append a frame, uint8 RGB `(H, W, 3)`; H.264 has even sizes, so an odd last row or column is left out."""
        import av

        height, width = (length - length % 2 for length in image.shape[:2])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
        self.encode(self._reformat(frame, format="yuv420p"))

    def encode(self, frame: "av.VideoFrame") -> None:
        """Append a frame in yuv420p; the first one decides on the size and the colour space."""
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self._rate, options=self._options)
            context = self._stream.codec_context
            context.width, context.height, context.pix_fmt = frame.width, frame.height, "yuv420p"
            context.colorspace, context.color_range = frame.colorspace, frame.color_range
            context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
            context.thread_count = 1
            if self._key_interval is not None:
                context.gop_size = self._key_interval
        self._container.mux(self._stream.encode(frame))

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


def write_video(video: OpenedVideo, path: Path, form: OutputFormat) -> None:
    """Encode all frames at the average rate: equal distances in time make the file's index a table of its frames."""
    rate = Fraction(video.frame_rate).limit_denominator(1001) or Fraction(FRAME_RATE)
    options = {"crf": str(form.crf), "preset": "veryfast", "tune": "fastdecode"}
    with closing(Mp4Writer(path, rate, form.key_interval, "b-pyramid=none", **options)) as writer:
        for count, frame in enumerate(_resized(video, form.short_side, 2, "yuv420p")):
            frame.pts, frame.time_base = count, 1 / rate
            frame.pict_type = 0  # the encoder's choice, not what the frame was in the source
            writer.encode(frame)


def write_images(video: OpenedVideo, folder: Path, form: OutputFormat) -> None:
    """Write all frames as 00000.jpg, 00001.jpg, …"""
    import cv2

    folder.mkdir()
    count = 0
    for count, frame in enumerate(_resized(video, form.short_side, 1, "bgr24"), start=1):
        _, data = cv2.imencode(".jpg", frame.to_ndarray(), [cv2.IMWRITE_JPEG_QUALITY, form.quality])
        (folder / f"{count - 1:05d}.jpg").write_bytes(data.tobytes())
    if count < 2:
        raise DataError(f"{count} frame(s); a folder of frames needs at least 2")


def _resized(video: OpenedVideo, short_side: int, multiple: int, pixels: str) -> Iterator["av.VideoFrame"]:
    """Iterate over all frames, turned as their file says, scaled to a short side, never up, and converted.

    Args:
        video: open.
        short_side: pixels.
        multiple: of which width and height have to be; the first frame decides on them.
        pixels: name of the pixel format.
    """
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    reformat, size = reformatter(), list[int]()
    options: dict[str, Any] = {"interpolation": Interpolation.BICUBIC}
    if pixels == "yuv420p":
        options["dst_color_range"] = ColorRange.MPEG
    for frame in _upright(video):
        sides = frame.width, frame.height
        scale = min(1.0, short_side / min(sides))
        size = size or [max(1, min(round(side * scale / multiple), side // multiple)) * multiple for side in sides]
        of_rgb = {"dst_colorspace": Colorspace.ITU601} if frame.colorspace == _RGB else {}
        yield reformat(frame, *size, pixels, **options, **of_rgb)


def _upright(video: OpenedVideo) -> Iterator["av.VideoFrame"]:
    """Iterate over all frames, turned and mirrored as their file says."""
    import av

    if isinstance(video, VideoFile):
        for frame in video.decode():
            is_turned = "DISPLAYMATRIX" in frame.side_data
            yield av.VideoFrame.from_ndarray(video.to_rgb(frame), format="rgb24") if is_turned else frame
        return
    size = None
    for number, image in enumerate(video.frames()):
        size = size or image.shape
        require_size(video.path, image.shape, size, number)
        yield av.VideoFrame.from_ndarray(image, format="rgb24")
