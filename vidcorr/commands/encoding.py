"""Whole videos encoded at a small size, as H.264 or as a folder of JPEGs."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..videos.decoding import VideoFile
from ..videos.files import DataError
from ..videos.images import reformatter, require_size
from ..videos.mp4 import Mp4Writer
from ..videos.source import FRAME_RATE, OpenedVideo

if TYPE_CHECKING:
    import av

_RGB = 0  # AVCOL_SPC_RGB, which no encoder takes for yuv420p


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
            if not least <= vars(self)[name] <= most:
                raise ValueError(f"{name} must be from {least} to {most}, got {vars(self)[name]}")


def write_video(video: OpenedVideo, path: Path, form: OutputFormat) -> None:
    """Encode all frames at the average rate: equal distances in time make the file's index a table of its frames."""
    rate = Fraction(video.frame_rate).limit_denominator(1001) or Fraction(FRAME_RATE)
    options = {"crf": str(form.crf), "preset": "veryfast", "tune": "fastdecode"}
    with closing(Mp4Writer(path, rate, form.key_interval, "b-pyramid=none", **options)) as writer:
        for count, frame in enumerate(_resized(video, form.short_side, 2, "yuv420p")):
            frame.pts, frame.time_base = count, 1 / rate
            frame.pict_type = 0  # the encoder chooses, not the source
            writer.encode(frame)


def write_images(video: OpenedVideo, folder: Path, form: OutputFormat) -> None:
    """Write all frames as 00000.jpg, 00001.jpg, …"""
    import cv2

    folder.mkdir()
    for index, frame in enumerate(_resized(video, form.short_side, 1, "bgr24")):
        _, data = cv2.imencode(".jpg", frame.to_ndarray(), [cv2.IMWRITE_JPEG_QUALITY, form.quality])
        (folder / f"{index:05d}.jpg").write_bytes(data.tobytes())
    count = len(list(folder.iterdir()))
    if count < 2:
        raise DataError(f"{count} frame(s); a folder of frames needs at least 2")


def _resized(video: OpenedVideo, short_side: int, multiple: int, pixels: str) -> Iterator["av.VideoFrame"]:
    """Iterate over all frames, upright, scaled down to a short side and converted; the first frame sets the size.

    Args:
        video: open video.
        short_side: pixels; smaller frames keep their size.
        multiple: divisor of width and height.
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
    """Iterate over all frames, turned and mirrored by their display matrices."""
    import av

    if isinstance(video, VideoFile):
        for frame in video.decode():
            is_turned = "DISPLAYMATRIX" in frame.side_data
            yield av.VideoFrame.from_ndarray(video.to_rgb(frame), format="rgb24") if is_turned else frame
        return
    size = None
    for index, image in enumerate(video.frames()):
        size = size or image.shape
        require_size(video.path, image.shape, size, index)
        yield av.VideoFrame.from_ndarray(image, format="rgb24")
