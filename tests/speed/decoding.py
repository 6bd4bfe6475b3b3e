"""Decoding of distant frames: ours against the plain ways, one thread, in one process.

    python tests/speed/decoding.py [video ...]

By default a video of 340 x 256 pixels and 10 s from ../shared/data, encoded anew with a key frame in 12, 30 and 250.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import median

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from datamodules.loading.sampling import distant_indices, seeded_generator
from datamodules.reading.decoding import VideoFile
from tests.speed.table import row

DEFAULT = Path(__file__).parents[3] / "shared/data/clips/mmaction2_demo.mp4"


def ours(path: str, indices: list[int]) -> list[np.ndarray]:
    with VideoFile(path) as video:
        return video.read(indices)


def seek_each(path: str, indices: list[int]) -> list[np.ndarray]:
    """A seek for every frame, then decoding up to it; relies on a constant frame rate."""
    frames = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        assert stream.average_rate is not None
        assert stream.time_base is not None
        ticks = 1 / (stream.average_rate * stream.time_base)
        for index in indices:
            time_stamp = round(index * ticks) + (stream.start_time or 0)
            container.seek(time_stamp, stream=stream)
            frames.append(next(f for f in container.decode(stream) if f.pts >= time_stamp).to_ndarray(format="rgb24"))
    return frames


def in_order(path: str, indices: list[int]) -> list[np.ndarray]:
    """Decoding from the start up to the last frame wanted; only wanted frames are converted."""
    frames = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            if number in indices:
                frames.append(frame.to_ndarray(format="rgb24"))
            if number == indices[-1]:
                break
    return frames


def encode(source: Path, destination: Path, interval: int) -> str:
    """Encodes a video anew, with this many frames from one key frame to the next."""
    with av.open(str(source)) as old, av.open(str(destination), "w") as new:
        stream = new.add_stream("libx264", rate=28, options={"g": str(interval), "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        for number, frame in enumerate(old.decode(video=0)):
            frame.pts, frame.time_base = number, Fraction(1, 28)
            new.mux(stream.encode(frame))
        new.mux(stream.encode(None))
    return str(destination)


def compare(path: str) -> None:
    with VideoFile(path) as video:
        length = video.num_frames
    methods: dict[str, Callable[[str, list[int]], list[np.ndarray]]] = {
        "ours": ours,
        "seek for each": seek_each,
        "in order": in_order,
    }
    print(f"{Path(path).name}: {length} frames; clips per second, best and median of 9 rounds of 4 clips")
    for n in (2, 4, 8):
        clips = [distant_indices(length, n, seeded_generator(n, i)).tolist() for i in range(4)]
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        expected: list[list[np.ndarray]] = []
        for turn in range(9):
            for name, method in [*methods.items()][turn % 3 :] + [*methods.items()][: turn % 3]:
                start = time.perf_counter()
                results = [method(path, clip) for clip in clips]
                seconds[name].append((time.perf_counter() - start) / len(clips))
                expected = expected or results
                assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True)), name
        best = min(seconds["ours"])
        for name, values in seconds.items():
            rates = f"best {1 / min(values):6.1f}  median {1 / median(values):6.1f}"
            print(f"  n={n} {name:14} {rates}  ours is {min(values) / best:.2f}x")
            if name != "ours" and n == 2:
                row(f"two distant frames, {Path(path).stem}, against {name}", min(values), best)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = sys.argv[1:] or [encode(DEFAULT, Path(folder, f"key{i}.mp4"), i) for i in (12, 30, 250)]
        for path in paths:
            compare(path)


if __name__ == "__main__":
    main()
