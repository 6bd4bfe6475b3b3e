"""Clips per second and core that a worker of the loader reads, from videos as downloaded and made small.

    OMP_NUM_THREADS=1 python -m tests.speed.storage

A clip of VIDCORR_DATA, encoded anew with a key frame in 250 and looped to 10 s, stands for a download. A worker opens
the video, decodes n distant frames, and crops and flips them to 224 x 224. The table calls the download
plain; a small video has the options of docs/datasets.md, by PyAV's libraries.
"""

import tempfile
from functools import partial
from pathlib import Path

import cv2
import torch

from datamodules.loading.sampling import distant_indices, random_resized_crop, seeded_generator
from tests.speed.decoding import encode
from tests.speed.timing import compare, flags, real_folder
from vidcorr.videos.source import open_video

FRAMES = 300
SIZES = {(640, 480): (2,), (340, 256): (2, 8)}
"""Width and height of a video → numbers of frames in a clip."""
SMALL = {"preset": "veryfast", "tune": "fastdecode", "x264-params": "b-pyramid=none", "sc_threshold": "40"}
"""Options of the encoder for a small video."""


def main() -> None:
    repeats = flags(__doc__, 7).parse_args().repeats
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for size, counts in SIZES.items():
        with tempfile.TemporaryDirectory() as name:
            compare_storage(Path(name), size, counts, repeats)


def compare_storage(folder: Path, size: tuple[int, int], counts: tuple[int, ...], repeats: int) -> None:
    original, small = folder / "original/v.mp4", folder / "small/v.mp4"
    encode(real_folder() / "clips" / "cutie_example.mp4", original, 250, size, FRAMES)
    scale = 256 / min(size)
    smaller = round(size[0] * scale / 2) * 2, round(size[1] * scale / 2) * 2
    encode(original, small, 12, smaller, FRAMES, **SMALL)
    print(f"original {original.stat().st_size / 1e6:.2f} MB, small {small.stat().st_size / 1e6:.2f} MB")
    for count in counts:
        clips = [distant_indices(FRAMES, count, seeded_generator(2, i)).tolist() for i in range(4)]

        def read(path: Path, clips: list[list[int]] = clips) -> None:
            for number, clip in enumerate(clips):
                with open_video(path) as video:
                    random_resized_crop(video.read(clip), seeded_generator(3, number), size=224)

        what = f"{count} distant frames, {size[0]} x {size[1]}"
        compare(what, {"plain": partial(read, original)}, partial(read, small), repeats, unit=len(clips))


if __name__ == "__main__":
    main()
