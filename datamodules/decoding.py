"""Frames of video files by number: the same frames that decoding from the start gives, but without doing so.

The file is read once without decoding, which takes a quarter of a millisecond per hundred frames and tells the time
and the key frame of each. Then one seek for each group of pictures that holds a wanted frame; frames that no other
frame refers to are skipped unless wanted, and the decoder is drained at the last wanted one. What is seen on the way is
compared with the table; a file that does not behave is decoded from its start.
"""

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from .errors import DecodingError

if TYPE_CHECKING:
    import av

# fmt: off
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
                            ".wmv", ".flv", ".3gp", ".ogv"})
# fmt: on

# Containers whose time stamps can be trusted (AVI has none for B-frames), and codecs with one packet per frame
# (VP8 has packets that show nothing). `True`: the decoder can leave out frames that no other frame refers to.
_SEEKABLE_CONTAINERS = ("mov", "matroska")
_SEEKABLE_CODECS = {"h264": True, "mpeg4": True, "hevc": False, "vp9": False, "av1": False, "libdav1d": False}
_TABLE_LIMIT = 32 * 2**20  # bytes; a larger file is not read through, its frame times follow from its frame rate


@dataclass(frozen=True)
class VideoInfo:
    """What a file's header says.

    Attributes:
        num_frames: count in the header, else duration times frame rate; an estimate, at least 1.
        fps: average frame rate.
        width: pixels as stored, before rotation.
        height: pixels as stored, before rotation.
        codec: name of the codec.
        duration: seconds, 0 where the header is silent.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    codec: str
    duration: float


def probe(path: str | PathLike[str]) -> VideoInfo:
    """Reads a video's header (about 2 ms).

    Raises:
        DecodingError: if it is no readable video.
    """
    with VideoFile(path, table=False) as video:
        return video.info


def decode_frames(path: str | PathLike[str], indices: Sequence[int] | Tensor, timeout: float = 60.0) -> Tensor:
    """Decodes the frames of these numbers.

    Args:
        path: video file.
        indices: frame numbers, zero-based, in any order, repeats allowed; numbers beyond the end give the last frame.
        timeout: seconds after which decoding is given up.

    Returns:
        (n, 3, H, W) uint8 RGB, turned as the rotation in the file says.

    Raises:
        DecodingError: if a frame cannot be decoded.
    """
    with VideoFile(path, timeout) as video:
        frames = video.read([int(i) for i in indices])
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


class VideoFile:
    """An open video file; a context manager.

    Args:
        path: video file.
        timeout: seconds after which opening or reading is given up.
        table: read the file through for exact frame times; False for the header alone.

    Raises:
        DecodingError: if it is no readable video.
    """

    def __init__(self, path: str | PathLike[str], timeout: float = 60.0, table: bool = True) -> None:
        self.path = Path(path)
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._open()
        try:
            self.info = self._read_header()
            self._table = _FrameTable.of(self._container, self._stream, self.path) if table else None
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise self._failure(error) from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; harmless when repeated."""
        self._container.close()

    @property
    def num_frames(self) -> int:
        """Exact where the file has trustworthy time stamps, else the header's count, at least 1."""
        return len(self._table) if self._table else self.info.num_frames

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Decodes frames by number.

        Args:
            indices: zero-based, in any order, repeats allowed; beyond the end: the last frame.

        Returns:
            One (H, W, 3) uint8 RGB array per index; repeated indices share an array.

        Raises:
            DecodingError: if a frame cannot be decoded.
        """
        if not indices or min(indices) < 0:
            raise ValueError(f"need frame numbers of 0 or more, got {list(indices)}")
        self._deadline = time.monotonic() + self._timeout
        try:
            frames = self._read_by_seeking(indices)
            if frames is None:
                frames = self._read_from_start(max(indices), set(indices))
        except Exception as error:
            raise self._failure(error) from error
        last = max(frames)
        return [frames[min(i, last)] for i in indices]

    def _open(self) -> None:
        import av

        try:
            self._container = av.open(f"file:{self.path}", timeout=self._timeout, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        if not self._container.streams.video:
            self._container.close()
            raise DecodingError(self.path, "no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1  # the workers are the parallelism

    def _read_header(self) -> VideoInfo:
        stream = self._stream
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        else:
            duration = (self._container.duration or 0) / 1e6
        codec = stream.codec_context
        count = stream.frames or round(duration * rate)
        return VideoInfo(max(count, 1), rate, codec.width, codec.height, codec.name, duration)

    def _failure(self, error: Exception) -> DecodingError:
        if isinstance(error, DecodingError):
            return error
        return DecodingError(self.path, getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise DecodingError(self.path, f"not decoded within {self._timeout:g} s")

    def _read_by_seeking(self, indices: Sequence[int]) -> dict[int, np.ndarray] | None:
        """Frames by number, or None where the file does not do what its table says."""
        import av

        table = self._table
        if table is None:
            return None
        number_at = {table.position(i): min(i, len(table) - 1) for i in indices}
        groups: dict[int, list[int]] = defaultdict(list)
        for position in sorted(number_at):
            groups[table.start(position)].append(position)
        frames: dict[int, np.ndarray] = {}
        try:
            for start, positions in groups.items():
                number_of = {table.pts[p]: number_at[p] for p in positions}
                for frame in self._decode_group(start, positions):
                    if frame.pts in number_of:
                        if frame.is_corrupt:
                            return None
                        frames[number_of[frame.pts]] = _to_rgb(frame)
        except DecodingError:
            raise
        except (av.FFmpegError, LookupError, ValueError):
            return None
        return frames if len(frames) == len(number_at) else None

    def _decode_group(self, start: int, positions: Sequence[int]) -> Iterator["av.VideoFrame"]:
        """Decodes from the packet at `start`, in decoding order, up to the last of `positions`."""
        table, codec = self._table, self._stream.codec_context
        assert table is not None
        self._container.seek(table.pts[start], stream=self._stream)
        position, wanted = None, set(positions)
        for packet in self._container.demux(self._stream):
            self._check_time()
            position = table.position_of(packet.pts, start) if position is None else position + 1
            if position > positions[-1] or table.pts[position] != packet.pts:
                raise LookupError("packets are not where the table says")
            if table.skippable:
                codec.skip_frame = "DEFAULT" if position in wanted else "NONREF"
            yield from codec.decode(packet)
            if position == positions[-1]:
                break
        yield from codec.decode(None)

    def _read_from_start(self, last: int, wanted: set[int]) -> dict[int, np.ndarray]:
        """Frames by number; the last frame of the video stands in the place of numbers beyond it."""
        self._container.close()
        self._open()
        frames: dict[int, np.ndarray] = {}
        frame, number = None, -1
        for packet in self._container.demux(self._stream):
            self._check_time()
            for frame in packet.decode():
                number += 1
                if number in wanted:
                    frames[number] = _to_rgb(frame)
                if number == last:
                    return frames
        if frame is None:
            raise DecodingError(self.path, "no frame could be decoded")
        frames[number] = _to_rgb(frame)
        return frames


@dataclass(frozen=True)
class _FrameTable:
    """Where each frame of a file is: `pts` and `keys` in decoding order, `order` from frame number to that order."""

    pts: list[int]
    keys: list[int]
    order: list[int]
    skippable: bool

    @classmethod
    def of(cls, container: Any, stream: Any, path: Path) -> Self | None:
        """Reads the packets of a freshly opened file; None where they do not tell the frames' times."""
        codec = stream.codec_context.name
        if codec not in _SEEKABLE_CODECS or not container.format.name.startswith(_SEEKABLE_CONTAINERS):
            return None
        if path.stat().st_size > _TABLE_LIMIT:
            return None
        extradata = stream.codec_context.extradata or b""
        if codec == "h264" and (extradata[:1] != b"\1" or "444" in (stream.codec_context.pix_fmt or "")):
            return None  # no lengths without avcC; how 4:4:4 is decoded hangs on the first packet, which names the encoder
        pts: list[int] = []
        keys: list[int] = []
        for packet in container.demux(stream):
            if packet.pts is None:
                if packet.size:
                    return None
                continue  # the empty packet that ends the stream
            if packet.is_discard:
                return None
            if packet.is_keyframe and (codec != "h264" or _is_idr(bytes(packet), (extradata[4] & 3) + 1)):
                keys.append(len(pts))
            pts.append(packet.pts)
        if not keys or keys[0] != 0 or len(set(pts)) < len(pts):
            return None
        return cls(pts, keys, sorted(range(len(pts)), key=pts.__getitem__), _SEEKABLE_CODECS[codec])

    def __len__(self) -> int:
        return len(self.pts)

    def position(self, number: int) -> int:
        """Place in decoding order of a frame; beyond the end, of the last frame."""
        return self.order[min(number, len(self) - 1)]

    def start(self, position: int) -> int:
        """Place of the key frame from which a frame can be decoded."""
        nearest = bisect_right(self.keys, position) - 1
        if nearest > 0 and self.pts[position] < self.pts[self.keys[nearest]]:
            nearest -= 1  # shown before the key frame that it follows: it may refer to frames before that one
        return self.keys[nearest]

    def position_of(self, pts: int | None, limit: int) -> int:
        """Place of the packet with this time stamp, at `limit` or before."""
        position = self.pts.index(pts) if pts in self.pts else limit + 1
        if position > limit:
            raise LookupError("a seek went beyond its key frame")
        return position


def _is_idr(packet: bytes, length_size: int) -> bool:
    """Whether an H.264 packet cuts all references to what was before it; a mere recovery point need not."""
    place = 0
    while place + length_size < len(packet):
        kind = packet[place + length_size] & 31
        if 1 <= kind <= 5:
            return kind == 5
        place += length_size + int.from_bytes(packet[place : place + length_size], "big")
    return False


def _to_rgb(frame: "av.VideoFrame") -> np.ndarray:
    picture = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4  # the display matrix turns counter-clockwise, as rot90 does
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
