"""Frames of video files by number: the same frames that decoding from the start gives, but without doing so.

The file is read once without decoding, which takes a quarter of a millisecond per hundred frames and tells the time
and the key frame of each. Then one seek for each group of pictures that holds a wanted frame; frames that no other
frame refers to are skipped unless wanted, and the decoder is drained at the last wanted one. What is seen on the way is
compared with the table; a file that does not behave is decoded from its start. In files too large to be read through,
frame k is the one shown at k divided by the frame rate.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from .errors import DecodingError
from .frame_table import FrameTable, can_seek

if TYPE_CHECKING:
    import av

# fmt: off
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
                            ".wmv", ".flv", ".3gp", ".ogv"})
# fmt: on

_TABLE_LIMIT = 32 * 2**20  # bytes; a larger file is not read through


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
        self._is_large = False
        self._open()
        try:
            self.info = self._read_header()
            self._table = self._read_table() if table else None
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
            frames = self._read_by_time(indices) if self._is_large else self._read_by_seeking(indices)
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

    def _read_table(self) -> FrameTable | None:
        self._is_large = (
            self.path.stat().st_size > _TABLE_LIMIT
            and bool(self._stream.average_rate)
            and can_seek(self._container, self._stream)
        )
        return None if self._is_large else FrameTable.of(self._container, self._stream)

    def _failure(self, error: Exception) -> DecodingError:
        if isinstance(error, DecodingError):
            return error
        if time.monotonic() > self._deadline:
            return self._too_late()
        return DecodingError(self.path, getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")

    def _too_late(self) -> DecodingError:
        return DecodingError(self.path, f"not decoded within {self._timeout:g} s")

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise self._too_late()

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

    def _read_by_time(self, indices: Sequence[int]) -> dict[int, np.ndarray] | None:
        """Frames by number, taken as time; the last frame of the video stands in the place of times beyond it."""
        stream = self._stream
        assert stream.average_rate is not None
        assert stream.time_base is not None
        ticks = 1 / (stream.average_rate * stream.time_base)
        frames: dict[int, np.ndarray] = {}
        for number in sorted(set(indices)):
            due = (stream.start_time or 0) + (number - 0.5) * float(ticks)
            self._container.seek(int(due), stream=stream)
            frame = None
            for frame in self._container.decode(stream):
                self._check_time()
                if frame.pts is not None and frame.pts >= due:
                    break
            if frame is None:
                return None
            frames[number] = _to_rgb(frame)
        return frames

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


def _to_rgb(frame: "av.VideoFrame") -> np.ndarray:
    picture = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4  # the display matrix turns counter-clockwise, as rot90 does
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
