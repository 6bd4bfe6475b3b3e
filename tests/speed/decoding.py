"""Decoding of distant frames: ours against the plain ways, one thread, in one process.

    python -m tests.speed.decoding

A video of 340 x 256 pixels and 10 s from VIDCORR_DATA, encoded anew with a key frame in 12, 30 and 250.
"""

import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np

from datamodules.loading.sampling import distant_indices, seeded_generator
from tests.speed.timing import compare, flags, real_folder
from vidcorr.videos.decoding import VideoFile


def ours(path: str, indices: list[int]) -> list[np.ndarray]:
    with VideoFile(path) as video:
        return video.read(indices)


def seek_each(path: str, indices: list[int]) -> list[np.ndarray]:
    """A seek for every frame, then decoding up to it; relies on a constant frame rate."""
    frames = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        ticks = 1 / (stream.average_rate * stream.time_base)
        for index in indices:
            time_stamp = round(index * ticks) + (stream.start_time or 0)
            container.seek(time_stamp, stream=stream)
            frames.append(next(f for f in container.decode(stream) if f.pts >= time_stamp).to_ndarray(format="rgb24"))
    return frames


def in_order(path: str, indices: list[int]) -> list[np.ndarray]:
    """Decoding from the start up to the last frame wanted; only wanted frames are converted."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        frames = enumerate(islice(container.decode(stream), indices[-1] + 1))
        return [frame.to_ndarray(format="rgb24") for number, frame in frames if number in indices]


def encode(source: Path, destination: Path, interval: int, size: tuple[int, int], count: int = 0, **more: str) -> None:
    """Encode a video anew, forwards and backwards until it has `count` frames, with a key frame in `interval`."""
    width, height = size
    with av.open(str(source)) as old:
        frames = [frame.reformat(width, height, "yuv420p") for frame in old.decode(video=0)]
    destination.parent.mkdir(exist_ok=True)
    with av.open(str(destination), "w") as new:
        options = {"g": str(interval), "crf": "23", "sc_threshold": "0", **more}
        stream = new.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in enumerate(islice(cycle(frames + frames[::-1]), count or len(frames))):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, 30), 0
            new.mux(stream.encode(frame))
        new.mux(stream.encode(None))


def compare_ways(path: str, rounds: int) -> None:
    """Compare clips of two frames, each way's frames with ours."""
    with VideoFile(path) as video:
        clips = [distant_indices(video.num_frames, 2, seeded_generator(2, i)).tolist() for i in range(4)]
    for way in (seek_each, in_order):
        for clip in clips:
            assert all(map(np.array_equal, way(path, clip), ours(path, clip))), way.__name__

    def read(way: Callable[[str, list[int]], object]) -> None:
        for clip in clips:
            way(path, clip)

    plain = {"seek for each": partial(read, seek_each), "in order": partial(read, in_order)}
    compare(f"2 distant frames, {Path(path).stem}", plain, partial(read, ours), rounds, unit=len(clips))


def main() -> None:
    repeats = flags(__doc__, 9).parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        for interval in (12, 30, 250):
            path = Path(folder, f"key{interval}.mp4")
            encode(real_folder() / "clips" / "mmaction2_demo.mp4", path, interval, (340, 256))
            compare_ways(str(path), repeats)


if __name__ == "__main__":
    main()
