"""Videos that other programs write: the picture's size changes, a still or a cover lies before the film."""

from fractions import Fraction
from pathlib import Path

import av

from tests.helpers.numbered_videos import numbered_frame

RATE = 25


def packets(codec: str, size: tuple[int, int], frames: range, options: dict[str, str]) -> list[av.Packet]:
    """Encode numbered frames, resized to (height, width), by an encoder of their own; parameter sets lie in-band."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = size
    encoder.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    encoder.time_base, encoder.framerate, encoder.options = Fraction(1, RATE), Fraction(RATE), options
    encoder.thread_count = 1
    found: list[av.Packet] = []
    for number in frames:
        frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
        frame = frame.reformat(size[1], size[0], encoder.pix_fmt)
        frame.pts, frame.time_base = number, encoder.time_base
        found += encoder.encode(frame)
    return found + encoder.encode(None)


def write_resized(path: Path, parts: list[tuple[int, tuple[int, int]]], codec: str = "libx264") -> Path:
    """Write a video of parts, each of a number of frames and a size (height, width), one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"libx264": {"g": "5", "bf": "0", "preset": "ultrafast"}}.get(codec, {})
    first = 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.height, stream.width = parts[0][1]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for count, size in parts:
            for packet in packets(codec, size, range(first, first + count), options):
                packet.stream = stream
                container.mux(packet)
            first += count
    return path


def write_with_still(path: Path, count: int, is_cover: bool = False) -> Path:
    """Write a still, or a cover picture, of 64 × 48 px, and after it a film of `count` numbered frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        first = container.add_stream("mjpeg", rate=RATE)
        (first.height, first.width), first.pix_fmt = (48, 64), "yuvj420p"
        if is_cover:
            first.disposition = av.stream.Disposition.attached_pic
        streams = [(first, packets("mjpeg", (48, 64), range(1), {}))]
        film = container.add_stream("libx264", rate=RATE)
        (film.height, film.width), film.pix_fmt = (32, 160), "yuv420p"
        streams.append((film, packets("libx264", (32, 160), range(count), {"preset": "ultrafast"})))
        for stream, some in streams:
            for packet in some:
                packet.stream = stream
                container.mux(packet)
    return path
