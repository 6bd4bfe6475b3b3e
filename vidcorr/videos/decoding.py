"""Frames of video files by index: the same frames as by decoding from the start, found by seeking.

The file's index, or else a scan of its packets, gives the times of all frames and the key frames. A read then seeks
once per group of pictures that holds a wanted frame, skips unwanted frames without references, and drains the decoder
at the last wanted frame. If decoded frames disagree with the table, the file is decoded from its start.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain, islice
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from .addresses import film_of
from .container import FrameTable, film_stream, has_reliable_times, open_container, scan_packets, upright
from .files import DecodingError
from .image_files import reformatter, require_size
from .packet_headers import picture_of

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

LOOKED_AT = 300
"""Most frames that `VideoFile.notes` decodes to find the first key frame: some cameras write films without any."""
_CAN_SKIP = frozenset({"h264", "mpeg4"})  # decoders that can leave out frames to which no other frame refers


class VideoFile(AbstractContextManager["VideoFile"]):
    """An open video file; a context manager.

    Of several video streams it reads the film, which FFmpeg shows. All frames have the size of the first frame: a frame
    of another size is an error.

    Args:
        path: video file, its address, or its bytes.
        timeout: seconds allowed for opening or reading.
        table: learn the exact times of the frames; False: read the header only.

    Attributes:
        frame_rate: average frames per second; 0 if unknown.
        num_frames: number of frames that can be decoded, at least 1. Exact if the file has reliable time stamps or its
            end has been read; else the number of its packets, which differs by a few frames in some files. Without a
            table, the header's count.

    Raises:
        DecodingError: if it is not a readable video.
    """

    names = None  # a folder's images have names

    def __init__(self, path: str | PathLike[str] | bytes, timeout: float = 60.0, table: bool = True) -> None:
        self.path = film_of(path, timeout)
        self._timeout = timeout
        self._reformat = reformatter()
        self._is_end_known = False  # True once `num_frames` is exact
        self._has_named_encoder = False  # the decoder knows the file's encoder
        self._table: FrameTable | None = None  # None: frames are decoded from the start, without a seek
        with self._within_time_limit():
            self._container = open_container(self.path, self._timeout)
            self._stream = film_stream(self._container)
            codec = self._stream.codec_context
            self._size = (codec.height, codec.width)  # of the header; the first decoded frame may correct it
            self._is_first_size_known = False  # True once the first frame was decoded for its size
            self.frame_rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
            seconds = (self._container.duration or 0) / 1e6  # FFmpeg counts microseconds
            self.num_frames = max(self._stream.frames or round(seconds * self.frame_rate), 1)  # often wrong
            if table and has_reliable_times(self._container, self._stream):
                self._table = FrameTable.from_index(self._stream)  # None if the header's index does not tell all times
            if table and self._table is None:
                self._scan()  # reads all packets for the table

    def __exit__(self, *error: object) -> None:
        self._container.close()

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Decode frames by index.

        An index beyond the end gives the last frame; after such a read `num_frames` is exact.

        Args:
            indices: zero-based, in any order, repeats allowed.

        Returns:
            An (H, W, 3) uint8 RGB array per index; repeated indices give the same array.

        Raises:
            DecodingError: if a frame cannot be decoded, or differs in size from the first frame.
            ValueError: for no index, or an index below 0.
        """
        if not indices or min(indices) < 0:
            raise ValueError(f"need frame indices of 0 or more, got {list(indices)}")
        with self._within_time_limit():
            frames = self._read_by_seeking(indices)
            if frames is None and self._table is not None and self._table.is_computed:
                self._scan()  # the header's index, which made the table, may be wrong where the packets are right
                frames = self._read_by_seeking(indices)
            if frames is None:
                frames = self._read_from_start(set(indices))
        last = max(frames)  # if an index lies beyond the end, the index of the last frame
        return [frames[min(i, last)] for i in indices]

    def frames(self, start: int = 0) -> Iterator[np.ndarray]:
        """Decode the frames in time order, lazily; the timeout holds per frame.

        Args:
            start: index of the first frame.

        Yields:
            (H, W, 3) uint8 RGB; nothing if the video ends before `start`.

        Raises:
            DecodingError: if a frame cannot be decoded or differs in size from the first frame, or the video has no
                frame.
        """
        with self._within_time_limit():
            for index, frame in self._frames_from_start():
                if index >= start:
                    yield self.to_rgb(frame)
                self._deadline = time.monotonic() + self._timeout

    def notes(self) -> list[str]:
        """Return sentences for the user about pixels that are not square, uneven times, and made-up first frames.

        A decoder makes up the frames before the first key frame. This method decodes up to `LOOKED_AT` frames.
        """
        notes = []
        aspect = self._stream.sample_aspect_ratio or 1
        if aspect != 1:
            notes.append(f"its pixels are not square ({aspect}): boxes, points and masks are in pixels as stored")
        times: Sequence[int] = () if self._table is None else self._table.times
        steps = np.diff(times)[:-1]  # the last frame may stand longer
        if len(steps) and steps.max() > 1.5 * steps.min():  # rounding of times makes less
            notes.append(f"its frames are not evenly spaced; overlays show {self.frame_rate:.4g} a second")
        with self._within_time_limit():
            looked_at = islice(self._frames_from_start(), LOOKED_AT)
            first_key = next((index for index, frame in looked_at if frame.key_frame), None)
        if first_key:
            notes.append(f"it begins without a key frame: the decoder made up its first {first_key} frames")
        return notes

    def to_rgb(self, frame: "av.VideoFrame") -> np.ndarray:
        """Convert a decoded frame to (H, W, 3) uint8 RGB, turned by its display matrix."""
        return upright(self._reformat(frame, format="rgb24").to_ndarray(), frame)

    @contextmanager
    def _within_time_limit(self) -> Iterator[None]:
        """Restart the time limit; turn an error of the block into a `DecodingError` that names the file."""
        self._deadline = time.monotonic() + self._timeout
        try:
            yield
        except DecodingError:
            raise
        except Exception as error:
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            if time.monotonic() > self._deadline:
                reason = f"not decoded within {self._timeout:g} s"
            raise DecodingError(self.path, reason) from error

    def _require_first_size(self, frame: "av.VideoFrame", index: int) -> None:
        """Refuse a frame, given with its index, whose size differs from the size of the first frame.

        The size in the header counts until a frame has another size. Then the first frame is decoded for its size,
        since the header may be wrong.
        """
        size = (frame.height, frame.width)
        if size == self._size:
            return
        if not self._is_first_size_known:
            with open_container(self.path, self._timeout) as container:
                first = next(container.decode(film_stream(container)), frame)
            self._size = (first.height, first.width)
            self._is_first_size_known = True
        require_size(self.path, size, self._size, index)

    def _packets(self, container: "InputContainer", stream: "VideoStream") -> Iterator["av.Packet"]:
        """Iterate over the following packets of the film; raise `TimeoutError` after the time limit."""
        for packet in container.demux(stream):
            if time.monotonic() > self._deadline:
                raise TimeoutError
            yield packet

    def _scan(self) -> None:
        with open_container(self.path, self._timeout) as container:
            self._table, count = scan_packets(container)
        if not self._is_end_known:
            self.num_frames = count or self.num_frames

    def _read_by_seeking(self, indices: Sequence[int]) -> dict[int, np.ndarray] | None:
        """Return index → frame `(H, W, 3)`, found by seeking; None without a table, or if the file disagrees with it.

        An index beyond the end stands for the last frame.
        """
        import av

        table = self._table
        if table is None:
            return None
        existing = {min(index, len(table) - 1) for index in indices}  # the wanted indices, cut at the last frame
        groups: dict[int, dict[int, int]] = defaultdict(dict)  # key frame → time of a wanted frame → its index
        for index in sorted(existing):
            groups[table.key(index)][table.times[index]] = index
        frames: dict[int, np.ndarray] = {}
        try:
            self._show_first_packet()  # the decoder needs its facts about the encoder, which a seek would skip
            for key, wanted in groups.items():
                for frame in self._decode_group(table, key, wanted.keys()):
                    if frame.is_corrupt:  # the decoder fills its gaps from earlier frames, which a seek leaves out
                        return None
                    if frame.pts in wanted:
                        index = wanted[frame.pts]
                        self._require_first_size(frame, index)
                        frames[index] = self.to_rgb(frame)
        except DecodingError:  # a frame of another size
            raise
        except (av.FFmpegError, LookupError, ValueError):  # the table may be wrong: the caller reads in another way
            return None
        return frames if frames.keys() == existing else None

    def _show_first_packet(self) -> None:
        """Show the decoder the first packet before the first seek.

        The packet holds the name and version of the encoder (x264, Xvid). With them the decoder corrects for known
        faults of old versions. A seek would skip the packet. No frame is decoded here.
        """
        codec = self._stream.codec_context
        if self._has_named_encoder or codec.name not in _CAN_SKIP:  # `_CAN_SKIP`: H.264 and MPEG-4 part 2
            return
        codec.skip_frame = "ALL"  # set anew for each later packet
        codec.decode(next(self._packets(self._container, self._stream)))
        self._has_named_encoder = True

    def _packets_from(self, time_of_key: int) -> Iterator["av.Packet"]:
        """Return the packets from the key frame at this time on; raise `LookupError` if a seek does not find it.

        A seek may lead to an earlier packet: the packets before the key frame are left out. After a seek to a later
        packet the key frame cannot be found.
        """
        self._container.seek(time_of_key, stream=self._stream)
        packets = self._packets(self._container, self._stream)
        for packet in packets:
            if packet.pts == time_of_key and picture_of(packet) == "I":
                return chain([packet], packets)
            if packet.is_keyframe and packet.pts is not None and packet.pts > time_of_key:
                break  # the seek led beyond it
        raise LookupError("the seek did not lead to the key frame")

    def _decode_group(self, table: FrameTable, key: int, wanted: Collection[int]) -> Iterator["av.VideoFrame"]:
        """Decode the packets from the key frame with index `key` up to the last packet of a wanted frame.

        Args:
            table: times and key frames of the file.
            key: index of the key frame.
            wanted: times of the wanted frames, which can be decoded from this key frame.

        Yields:
            The decoded frames, in order of time: all wanted frames, and some of the other frames.

        Raises:
            LookupError: if the packets disagree with the table; `read` then reads in another way.
        """
        codec = self._stream.codec_context
        last = max(wanted)
        missing = len(wanted)  # wanted packets still to come
        keys_beyond = 0  # key frames so far that are shown after the last wanted frame
        packets = self._packets_from(table.times[key])
        for packet in packets:
            if packet.pts is None:
                raise LookupError("a packet has no time")
            if packet.is_keyframe and packet.pts > last:
                keys_beyond += 1
            # packets stand in the order of decoding: a wanted frame may stand behind one later key frame, but not two
            if keys_beyond > 1:
                raise LookupError("a frame has another time")
            is_wanted = packet.pts in wanted
            if codec.name in _CAN_SKIP:  # "NONREF" skips a frame to which no other frame refers
                codec.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            yield from codec.decode(packet)
            missing -= is_wanted
            if not missing:
                break
        yield from codec.decode(None)  # the frames that the decoder still holds
        if table.is_computed and codec.has_b_frames:  # computed times may be wrong: two frames may share a time
            _refuse_equal_times(packets, wanted)

    def _frames_from_start(self) -> Iterator[tuple[int, "av.VideoFrame"]]:
        """Iterate over (index, frame) from the start; refuse a damaged frame. At the end `num_frames` becomes exact.

        The file is opened again: a seek to the start would skip packets without a time, such as Matroska's before time
        0. A cut stream may begin with pictures whose references are missing: those before the first key frame, and
        those that stand after it but are shown before it. Decoding them gives an error, no frame or a made-up one; none
        of this is refused.
        """
        import av

        index = -1
        key: av.Packet | None = None  # the first key frame's packet
        has_whole = False  # a frame that is not corrupt has come: no later one is of a cut start
        with open_container(self.path, self._timeout) as container:
            for packet in self._packets(container, film_stream(container)):
                key = packet if key is None and packet.is_keyframe else key
                try:
                    frames = packet.decode()
                except av.InvalidDataError as error:
                    if key is None or (packet.pts or 0) < (key.pts or 0):
                        continue  # a picture whose references are missing, as at the start of a cut stream
                    raise DecodingError(self.path, f"frame {index + 1} is damaged ({error.strerror})") from error
                for frame in frames:
                    index += 1
                    if frame.is_corrupt and has_whole:
                        raise DecodingError(self.path, f"frame {index} is damaged")
                    has_whole = has_whole or not frame.is_corrupt
                    self._require_first_size(frame, index)
                    yield index, frame
        if index < 0:
            raise DecodingError(self.path, "no frame could be decoded")
        self.num_frames = index + 1
        self._is_end_known = True

    def _read_from_start(self, wanted: set[int]) -> dict[int, np.ndarray]:
        """Return index → frame `(H, W, 3)`, decoded from the start.

        If a wanted index lies beyond the end, the last frame is added under the last frame's own index.
        """
        frames = {}
        last = max(wanted)
        for index, frame in self._frames_from_start():
            if index in wanted:
                frames[index] = self.to_rgb(frame)
            if index == last:
                return frames
        frames[index] = self.to_rgb(frame)  # the video ends before the last wanted index
        return frames


def _refuse_equal_times(packets: Iterator["av.Packet"], wanted: Collection[int]) -> None:
    """Raise `LookupError` if a further packet shows a frame at a wanted time: which of the two is meant is unknown.

    The search ends at the first packet with a time of decoding at the last wanted time or later: no frame is decoded
    later than it is shown.

    Args:
        packets: the packets after those with the wanted times.
        wanted: times of the wanted frames.
    """
    last = max(wanted)
    for packet in packets:
        if packet.pts in wanted:
            raise LookupError("two frames have one time")
        if packet.dts is None or packet.dts >= last:
            return
