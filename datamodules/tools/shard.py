"""Pack a folder or list of video files into shards for `data.source`."""

import argparse
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..reading.errors import DataError
from ..reading.files import ProgressReport, write_atomically
from ..reading.shards import INDEX, offsets_of
from ..reading.source import VideoEntry, list_videos

_LARGEST = 2**32 - 2**20  # bytes: offsets in a shard are 32-bit numbers
_MB = 2**20


def command(args: Sequence[str]) -> None:
    """Run `vidcorr shard` with its arguments.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr shard", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="folder of video files, or a .txt or .csv list of them")
    parser.add_argument("destination", metavar="DESTINATION", help="folder for the shards")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="files copied at once (default: 4)")
    parser.add_argument("--chunk-mb", type=int, default=64, metavar="MB", help="size of a shard, in MB (default: 64)")
    given = parser.parse_args(list(args))
    count = write_shards(given.source, given.destination, given.workers, given.chunk_mb)
    print(f"{given.destination}: {count} shards; train with --data.source {given.destination}")


def write_shards(
    source: str | os.PathLike[str], destination: str | os.PathLike[str], workers: int = 4, megabytes: int = 64
) -> int:
    """Pack the video files of a source, in their order.

    The index is written last: a folder that a killed run left behind is not a source, and the next run starts it again.

    Args:
        source: folder or list of video files, see `list_videos`.
        destination: folder for the shards.
        workers: threads that copy.
        megabytes: size of a shard, at most; one of a larger video holds that alone.

    Returns:
        Number of shards.

    Raises:
        DataError: if the source has folders of frames, the destination holds shards already, or a file is too large or
            changes meanwhile.
    """
    root, folder = Path(source).expanduser(), Path(destination).expanduser()
    if not 1 <= megabytes <= _LARGEST // 2**20:
        raise ValueError(f"a shard must have 1 to {_LARGEST // 2**20} MB, got {megabytes}")
    if (folder / INDEX).exists():
        raise DataError(f"{folder}: holds shards already; remove it, or choose another folder")
    videos, sizes = _there(list_videos(root))
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("chunk-0-*.bin"):
        left.unlink()
    parts = list(_plan(sizes, megabytes * _MB))
    names = [f"chunk-0-{number}.bin" for number in range(len(parts))]

    def write(name: str, part: slice) -> None:
        _write_shard(folder / name, [entry.path for entry in videos[part]], sizes[part])

    with ThreadPoolExecutor(max(workers, 1)) as pool, ProgressReport("shards", len(parts)) as progress:
        for _ in pool.map(write, names, parts):
            progress.advance()
    base = root if root.is_dir() else root.parent
    index = {
        "chunks": [
            {"filename": name, "chunk_size": part.stop - part.start} for name, part in zip(names, parts, strict=True)
        ],
        "vidcorr": {
            "names": [os.path.relpath(entry.path, base) for entry in videos],
            "labels": [entry.label for entry in videos],
            "sizes": sizes,
        },
    }
    write_atomically(folder / INDEX, json.dumps(index))
    return len(parts)


def _there(videos: Sequence[VideoEntry]) -> tuple[list[VideoEntry], list[int]]:
    """Return the videos that are there, and their bytes; warn of links that lead nowhere."""
    there, sizes = [], []
    for entry in videos:
        if entry.path.is_dir():
            raise DataError(f"{entry.path}: a folder of frames; shards hold files, which `vidcorr transcode` makes")
        try:
            size = entry.path.stat().st_size
        except OSError as error:
            warnings.warn(f"{entry.path}: left out, cannot be read ({error.strerror})", stacklevel=3)
            continue
        if size > _LARGEST:
            raise DataError(f"{entry.path}: has {size / 2**30:.1f} GB, at most 4 fit into a shard; transcode it")
        there.append(entry)
        sizes.append(size)
    return there, sizes


def _plan(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Yield the videos that go together into a shard."""
    first, filled = 0, 0
    for number, size in enumerate(sizes):
        if number > first and filled + size > limit:
            yield slice(first, number)
            first, filled = number, 0
        filled += size
    yield slice(first, len(sizes))


def _write_shard(path: Path, files: Sequence[Path], sizes: Sequence[int]) -> None:
    with path.open("wb") as shard:
        shard.write(np.array([len(files), *offsets_of(sizes)], dtype="<u4").tobytes())
        for file, size in zip(files, sizes, strict=True):
            content = file.read_bytes()
            if len(content) != size:
                raise DataError(f"{file}: changed while it was packed; pack again when it is complete")
            shard.write(np.array(size, dtype="<u4").tobytes())
            shard.write(content)
