"""Two frames of a folder of frames, as a training reads them clip by clip."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.speed.timing import least, row
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.videos.folders import natural_order
from vidcorr.videos.images import read_image
from vidcorr.videos.source import open_video


def frame_folders(rounds: int, lengths: tuple[int, ...] = (30, 300, 3000)) -> Iterator[str]:
    """Compare a folder that is listed for each clip with one that a worker lists once, by its number of frames."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 120, 160, 3), dtype=np.uint8)
    for length in lengths:
        with TemporaryDirectory() as root:
            folder = Path(root)
            write_frames(folder, np.broadcast_to(noise, (length, *noise.shape[1:])))
            wanted = [length // 3, length // 2]

            def plain(folder: Path = folder, wanted: list[int] = wanted) -> list[np.ndarray]:
                names = sorted(os.listdir(folder), key=natural_order)
                return [read_image(folder / names[index]) for index in wanted]

            def ours(folder: Path = folder, wanted: list[int] = wanted) -> list[np.ndarray]:
                with open_video(folder) as video:
                    return video.read(wanted)

            assert np.array_equal(plain(), ours())
            times = least({"plain": plain, "vidcorr": ours}, max(rounds, 10))
            yield row(f"2 of {length} frames, opened and read", times["plain"], times["vidcorr"])
