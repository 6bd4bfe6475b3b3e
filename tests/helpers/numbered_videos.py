"""Small videos whose frames show their own number as a bar code, so that a test can tell which frame it got."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np

from vidcorr.datasets.generated.writers import write_frames

BITS = 10
CELL = 16  # pixels


def numbered_frame(number: int, video: int = 0) -> np.ndarray:
    """(32, 160, 3) uint8: upper half the number in binary, lower half the video's number."""
    rows = [[(value >> bit & 1) * 255 for bit in range(BITS)] for value in (number, video)]
    return np.kron(np.array(rows, dtype=np.uint8)[:, :, None], np.ones((CELL, CELL, 3), dtype=np.uint8))


def read_number(frame: np.ndarray, row: int = 0) -> int:
    """The number in a frame of any size."""
    height, width = frame.shape[:2]
    cells = frame[height * (2 * row + 1) // 4, (2 * np.arange(BITS) + 1) * width // (2 * BITS)].mean(axis=-1)
    return sum(1 << bit for bit in range(BITS) if cells[bit] > 127)


def write_video(
    path: Path,
    count: int,
    video: int = 0,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    image_of: Callable[[int, int], np.ndarray] = numbered_frame,
) -> Path:
    """Encodes `count` numbered frames at 25 frames/s, or shown at these times (in 1/25 s)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        height, width = image_of(0, video).shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, 25)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(image_of(i, video), format="rgb24")
            frame.pts, frame.time_base = (times[i] if times else i), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def changed(
    source: Path,
    target: Path,
    change: Callable[[int, bytes], bytes | None] = lambda number, data: data,
    times: Mapping[int, int] = MappingProxyType({}),
) -> Path:
    """Copies a film; `change(number, data)` returns the bytes of each packet, or None to leave it out; `times` move."""
    with av.open(str(source)) as opened, av.open(str(target), "w") as copy:
        film = opened.streams.video[0]
        stream = copy.add_stream_from_template(film)
        packets = [packet for packet in opened.demux(film) if packet.size]
        for number, packet in enumerate(packets):
            data = change(number, bytes(packet))
            if data is not None:
                new = av.Packet(data)
                new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
                new.stream, new.is_keyframe = stream, packet.is_keyframe
                if packet.pts in times:
                    new.pts = times[packet.pts]
                    new.dts = min(packet.dts, new.pts)
                copy.mux_one(new)
    return target


def write_folder(path: Path, count: int, video: int = 0, suffix: str = ".png") -> Path:
    """Writes `count` numbered frames as pictures 00, 01, 02, ..."""
    names = [f"{i:02d}{suffix}" for i in range(count)]
    write_frames(path, np.stack([numbered_frame(i, video) for i in range(count)]), names)
    return path
