"""Frames of a film and of folders of frames, as a training reads them clip by clip."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from tests.helpers.references import real_data
from tests.speed.timing import least, row
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.videos.folders import natural_order
from vidcorr.videos.image_files import read_image
from vidcorr.videos.source import open_video


def ours(path: Path, wanted: Sequence[int]) -> list[np.ndarray]:
    with open_video(path) as video:
        return video.read(wanted)


def listed(folder: Path, wanted: Sequence[int]) -> list[np.ndarray]:
    names = sorted(os.listdir(folder), key=natural_order)
    return [read_image(folder / names[index]) for index in wanted]


def sought(path: Path, wanted: Sequence[int], step: int = 512) -> list[np.ndarray]:
    with av.open(str(path)) as film:
        film.streams.video[0].thread_count = 1
        frames = []
        for time in (index * step for index in wanted):
            film.seek(time, stream=film.streams.video[0])
            frames.append(next(frame for frame in film.decode(video=0) if frame.pts >= time))
        return [frame.to_ndarray(format="rgb24") for frame in frames]


def frame_folders(rounds: int, lengths: tuple[int, ...] = (30, 300, 3000)) -> Iterator[str]:
    """Compare a folder that is listed for each clip with one that a worker lists once, by its number of frames."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 120, 160, 3), dtype=np.uint8)
    for length in lengths:
        with TemporaryDirectory() as root:
            write_frames(Path(root), np.broadcast_to(noise, (length, *noise.shape[1:])))
            yield compared(
                f"2 of {length} frames, opened and read", listed, Path(root), [length // 3, length // 2], rounds
            )


def films(rounds: int) -> Iterator[str]:
    """Compare a film that PyAV opens and seeks frame by frame."""
    path = real_data("clips/mmaction2_demo.mp4")
    for count in (2, 8):
        wanted = range(140 // count, 280, 280 // count)
        yield compared(f"{count} of 280 frames of a film, opened and read", sought, path, wanted, rounds)


def compared(what, plain, path: Path, wanted: Sequence[int], rounds: int) -> str:
    assert np.array_equal(plain(path, wanted), ours(path, wanted))
    ways = {"plain": partial(plain, path, wanted), "vidcorr": partial(ours, path, wanted)}
    return row(what, *least(ways, max(rounds, 10)).values())
