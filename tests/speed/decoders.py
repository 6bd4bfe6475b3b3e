"""Frames by number of torchcodec beside ours: how many files give wrong frames, and clips a second.

    python -m tests.speed.decoders

Needs torchcodec and FFmpeg's libraries, which vidcorr itself does not. Each file of VIDCORR_DATA's clips and clips_odd
that decodes from the start is read at every index, in a random order; a frame is right if it is nearest to the frame of
its number, of all frames of the file. torchcodec seeks by `exact` (it scans the file first) or `approximate`.
"""

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from datamodules.loading.sampling import distant_indices, seeded_generator
from tests.speed.timing import compare, flags, real_folder
from vidcorr.videos.decoding import VideoFile

try:
    from torchcodec.decoders import VideoDecoder
except ImportError:
    sys.exit("needs torchcodec: pip install torchcodec, and FFmpeg's libraries")

Reader = Callable[[str, list[int]], list[NDArray[np.uint8]]]
MODES = ("exact", "approximate")
FOLDERS = ("clips", "clips_odd")
LONGEST = 400
"""Frames of the longest file whose frames are compared."""
DECODING_ERRORS = (RuntimeError, ValueError, IndexError, OSError)


def by_vidcorr(path: str, indices: list[int]) -> list[NDArray[np.uint8]]:
    with VideoFile(path) as video:
        return video.read(indices)


def by_torchcodec(path: str, indices: list[int], mode: str) -> list[NDArray[np.uint8]]:
    decoder = VideoDecoder(path, seek_mode=mode, dimension_order="NHWC", num_ffmpeg_threads=1)
    return list(decoder.get_frames_at(indices).data.numpy())


READERS: dict[str, Reader] = {f"torchcodec, {mode}": partial(by_torchcodec, mode=mode) for mode in MODES}
READERS["vidcorr"] = by_vidcorr


def in_order(path: Path) -> list[NDArray[np.uint8]]:
    """Decode a file from the start, upright; an empty list where it fails, is too long, or changes its size."""
    frames: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.best("video")
            if stream is None:
                return []
            for frame in container.decode(stream):
                upright = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                frames.append(upright)
                if len(frames) > LONGEST:
                    return []
    except (av.FFmpegError, UnicodeDecodeError):
        return []
    sizes = {frame.shape for frame in frames}
    return frames if len(sizes) == 1 else []


def verdict(reader: Reader, path: Path, frames: list[NDArray[np.uint8]]) -> str:
    """Read all frames in a random order, and say whether each is the frame of its number."""
    order = np.random.default_rng(0).permutation(len(frames)).tolist()
    try:
        found = reader(str(path), order)
    except DECODING_ERRORS:
        return "refused"
    if any(frame.shape != frames[0].shape for frame in found):
        return "turned or of another size"
    thumbnails = np.stack([frame[::4, ::4].astype(np.int16).ravel() for frame in frames])
    for index, frame in zip(order, found, strict=True):
        distances = np.abs(thumbnails - frame[::4, ::4].astype(np.int16).ravel()).mean(1)
        if distances[index] > distances.min():
            return "wrong frames"
    return "right"


def count_wrong() -> None:
    """Print how many files each reader gives right."""
    verdicts = {name: Counter[str]() for name in READERS}
    paths = [path for folder in FOLDERS for path in sorted((real_folder() / folder).rglob("*")) if path.is_file()]
    for path in paths:
        frames = in_order(path)
        if not frames:
            continue
        for name, reader in READERS.items():
            found = verdict(reader, path, frames)
            verdicts[name][found] += 1
            if found != "right":
                print(f"{name}: {path.name}: {found}")
    for name, counts in verdicts.items():
        print(f"{name}: {dict(counts)} of {counts.total()} files")


def compare_clips(repeats: int) -> None:
    """Time clips of 2 and 8 distant frames of two real videos."""
    for file in ("mmaction2_demo.mp4", "cutie_example.mp4"):
        path = str(real_folder() / "clips" / file)
        with VideoFile(path) as video:
            length = video.num_frames
        for count in (2, 8):
            clips = [distant_indices(length, count, seeded_generator(2, i)).tolist() for i in range(4)]

            def read(reader: Reader, path: str = path, clips: list[list[int]] = clips) -> None:
                for clip in clips:
                    reader(path, clip)

            plain = {name: partial(read, reader) for name, reader in READERS.items() if name != "vidcorr"}
            compare(f"{count} distant frames, {file}", plain, partial(read, by_vidcorr), repeats, unit=len(clips))


def main() -> None:
    repeats = flags(__doc__, 7).parse_args().repeats
    count_wrong()
    compare_clips(repeats)


if __name__ == "__main__":
    main()
