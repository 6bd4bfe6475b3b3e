"""Pack a folder or list of video files into shards for `data.source`: tar archives and an index."""

import argparse
import os
import tarfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..reading.files import ProgressReport, write_atomically
from ..reading.guards import DataError
from ..reading.shards import INDEX, Index
from ..reading.source import VideoEntry, list_videos

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
        DataError: if the source has folders of frames, the destination holds shards already, or a file changes while it
            is packed.
    """
    root, folder = Path(source).expanduser(), Path(destination).expanduser()
    if megabytes < 1:
        raise ValueError(f"a shard must have at least 1 MB, got {megabytes}")
    if (folder / INDEX).exists():
        raise DataError(f"{folder}: holds shards already; remove it, or choose another folder")
    base = root if root.is_dir() else root.parent
    videos, sizes = _there(list_videos(root))
    names = [os.path.relpath(entry.path, base) for entry in videos]
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.tar"):
        left.unlink()
    parts = list(_plan(sizes, megabytes * _MB))
    shards = [f"{number:05d}.tar" for number in range(len(parts))]

    def write(shard: str, part: slice) -> list[int]:
        return _write_shard(folder / shard, names[part], [entry.path for entry in videos[part]], sizes[part])

    begins: list[int] = []
    with ThreadPoolExecutor(max(workers, 1)) as pool, ProgressReport("shards", len(parts)) as progress:
        for found in pool.map(write, shards, parts):
            begins += found
            progress.advance()
    index = Index(
        shards=shards,
        names=names,
        labels=[entry.label for entry in videos],
        shard=[number for number, part in enumerate(parts) for _ in range(part.start, part.stop)],
        begins=begins,
        sizes=sizes,
    )
    write_atomically(folder / INDEX, index.model_dump_json())
    return len(parts)


def _there(videos: Sequence[VideoEntry]) -> tuple[list[VideoEntry], list[int]]:
    """Return the videos that are there, and their bytes; warn of links that lead nowhere."""
    there, sizes = [], []
    for entry in videos:
        if entry.path.is_dir():
            raise DataError(f"{entry.path}: a folder of frames; shards hold files, which `vidcorr transcode` makes")
        try:
            sizes.append(entry.path.stat().st_size)
        except OSError as error:
            warnings.warn(f"{entry.path}: left out, cannot be read ({error.strerror})", stacklevel=3)
            continue
        there.append(entry)
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


def _write_shard(path: Path, names: Sequence[str], files: Sequence[Path], sizes: Sequence[int]) -> list[int]:
    """Write a tar archive of files; return where the bytes of each begin."""
    with tarfile.open(path, "w") as shard:
        for name, file, size in zip(names, files, sizes, strict=True):
            entry = tarfile.TarInfo(name)
            entry.size = size
            with file.open("rb") as content:
                if os.fstat(content.fileno()).st_size != size:
                    raise DataError(f"{file}: changed while it was packed; pack again when it is complete")
                shard.addfile(entry, content)
    with tarfile.open(path) as shard:
        return [entry.offset_data for entry in shard]
