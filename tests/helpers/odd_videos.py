"""Videos that other programs write: the picture's size changes, a still lies before the film, a song has a cover."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

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
    still = packets("mjpeg", (48, 64), range(1), {})
    film = packets("libx264", (32, 160), range(count), {"preset": "ultrafast"})
    with av.open(str(path), "w") as container:
        streams = container.add_stream("mjpeg", rate=RATE), container.add_stream("libx264", rate=RATE)
        for stream, size, kind in zip(streams, ((48, 64), (32, 160)), ("yuvj420p", "yuv420p"), strict=True):
            (stream.height, stream.width), stream.pix_fmt = size, kind
        if is_cover:
            streams[0].disposition = av.stream.Disposition.attached_pic
        for stream, some in zip(streams, (still, film), strict=True):
            for packet in some:
                packet.stream = stream
                container.mux(packet)
    return path


def write_song(path: Path) -> Path:
    """Write a second of sound with a cover picture, and no film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44100, layout="mono")
        cover = container.add_stream("mjpeg", rate=RATE)
        (cover.height, cover.width), cover.pix_fmt = (48, 64), "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in packets("mjpeg", (48, 64), range(1), {}):
            packet.stream = cover
            container.mux(packet)
        for number in range(43):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 44100, 1024 * number
            container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    return path
