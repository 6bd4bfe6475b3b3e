"""Training videos packed in shards: some hundred in a file, on a disk or in an object store.

A shard has litdata's layout (the number of items, where each begins, the items), and an item is a video file as it is.
Beside what litdata keeps in it, `index.json` says each video's name, label and size. A video is read by its place, in
the order of our own sampler: the batches are those of the files, whatever the number of ranks, workers and restarts.
litdata's streaming order would save requests where samples are small; a request for an encoded video is mostly the
video. So each rank asks for its own samples only, each by one request, and keeps nothing on a disk.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..tools.parallel import with_progress
from .decoding import VideoFile
from .errors import DataError, DecodingError
from .source import VideoEntry, list_videos
from .writing import write_whole

INDEX = "index.json"
_LARGEST = 2**32 - 2**20  # bytes: places in a shard are 32-bit numbers
_WORD = 4  # bytes of a number
_MB = 2**20
_PAUSES = (1.0, 5.0)  # seconds before a store that failed is asked again


def is_url(source: str | os.PathLike[str]) -> bool:
    """Whether a source is in an object store (`s3://…`, `gs://…`, `r2://…`)."""
    return "://" in str(source)


def is_sharded(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a folder of shards, or a URL, which can be nothing else."""
    return is_url(source) or (Path(source, INDEX).is_file() and any(Path(source).glob("*.bin")))


class ShardedVideos:
    """The videos of a folder of shards or of a URL, by their numbers.

    An object store is read by the clients of litdata, ranges of bytes only; no test of ours has done so.

    Args:
        source: folder or URL that `vidcorr shard` has written, or a copy of it.

    Attributes:
        videos: names as in the source that was packed, relative to it, with labels where it had some.

    Raises:
        DataError: if there is no index, or one of something else.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self.source = str(source).rstrip("/")
        self._storage: _Storage = _Store(self.source) if is_url(source) else _Folder(Path(source))
        content = self._storage.index()
        try:
            index = json.loads(content)
            about = [index["vidcorr"][key] for key in ("names", "labels", "sizes")]
            self._shards = [chunk["filename"] for chunk in index["chunks"]]
            counts = [chunk["chunk_size"] for chunk in index["chunks"]]
            self.videos = tuple(VideoEntry(Path(name), label) for name, label, _ in zip(*about, strict=True))
            self._sizes = np.array(about[2], dtype=np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.source}/{INDEX}: is no index of `vidcorr shard` ({error!r})") from error
        self._first = np.cumsum([0, *counts])  # number of each shard's first video
        if self._first[-1] != len(self.videos):
            raise DataError(
                f"{self.source}/{INDEX}: {len(self.videos)} names of {self._first[-1]} videos; pack them again"
            )

    def read(self, number: int) -> bytes:
        """A video as its file was.

        Raises:
            DecodingError: if it cannot be read.
            StoreUnreachable: if the object store does not answer: no flaw of the video, so the run ends.
        """
        shard = int(np.searchsorted(self._first, number, side="right")) - 1
        try:
            first, following = self._first[shard : shard + 2]
            begin = _places(self._sizes[first:following])[number - first] + _WORD
            return self._storage.read(self._shards[shard], int(begin), int(self._sizes[number]))
        except StoreUnreachable:
            raise
        except (OSError, EOFError) as error:
            where = f"{self.source}/{self._shards[shard]}"
            raise DecodingError(self.videos[number].path, f"cannot be read from {where}: {error}") from error

    def open(self, number: int, timeout: float = 60.0) -> VideoFile:
        """Opens a video, as `open_video` does."""
        return VideoFile(self.videos[number].path, timeout, content=self.read(number))


class _Storage(Protocol):
    def index(self) -> bytes: ...
    def read(self, name: str, offset: int, length: int) -> bytes: ...


@dataclass
class _Folder:
    folder: Path

    def index(self) -> bytes:
        return (self.folder / INDEX).read_bytes()

    def read(self, name: str, offset: int, length: int) -> bytes:
        with (self.folder / name).open("rb") as file:
            file.seek(offset)
            content = file.read(length)
        if len(content) < length:
            raise EOFError("the shard is truncated")
        return content


class StoreUnreachable(OSError):
    """An object store that does not give what it should hold, after several attempts."""


class _Store:
    """Files in an object store; each process has its own client, as connections do not survive a fork."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._clients: dict[int, Any] = {}

    def index(self) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, INDEX)
            try:
                self._client().download_file(f"{self._url}/{INDEX}", str(path))
                return path.read_bytes()
            except DataError:
                raise
            except Exception as error:
                raise DataError(f"{self._url}/{INDEX}: cannot be read: {error}") from error

    def read(self, name: str, offset: int, length: int) -> bytes:
        for pause in (*_PAUSES, None):
            try:
                content: bytes = self._client().download_bytes(f"{self._url}/{name}", offset, length, "")
                return content
            except DataError:
                raise
            except Exception as error:  # whatever the client may raise
                if pause is None:
                    raise StoreUnreachable(f"{self._url}/{name}: cannot be read: {error}") from error
                time.sleep(pause)
        raise AssertionError("not reached")

    def __getstate__(self) -> dict[str, Any]:
        """Clients stay behind: another process makes its own."""
        return {"_url": self._url, "_clients": {}}

    def _client(self) -> Any:
        if os.getpid() not in self._clients:
            os.environ.setdefault("LITDATA_DISABLE_VERSION_CHECK", "1")  # it would ask PyPI
            try:
                from litdata.streaming.downloader import Downloader, get_downloader  # type: ignore[import-untyped]

                client = get_downloader(self._url, tempfile.gettempdir(), [])
            except ImportError as error:
                raise DataError(f'{self._url}: an object store needs litdata: pip install "vidcorr[stream]"') from error
            if type(client).download_bytes is Downloader.download_bytes:  # it would copy a shard for each video
                raise DataError(f"{self._url}: litdata reads no parts of files there; s3://, gs:// and r2:// will do")
            self._clients = {os.getpid(): client}
        return self._clients[os.getpid()]


def write_shards(
    source: str | os.PathLike[str], destination: str | os.PathLike[str], workers: int = 4, megabytes: int = 64
) -> int:
    """Packs the video files of a source, in their order.

    The index is written last: a folder that a killed run left behind is no source, and the next run begins it anew.

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
    videos = list_videos(root)
    if folders := [entry.path for entry in videos if entry.path.is_dir()]:
        raise DataError(f"{folders[0]}: a folder of frames; shards hold video files: `vidcorr transcode` makes them")
    sizes = [_size(entry.path) for entry in videos]
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("chunk-0-*.bin"):
        left.unlink()
    plan = list(_plan(sizes, megabytes * _MB))
    jobs = [
        (folder / f"chunk-0-{number}.bin", [entry.path for entry in videos[part]], sizes[part])
        for number, part in enumerate(plan)
    ]
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        list(with_progress(pool.map(lambda job: _write_shard(*job), jobs), len(jobs), "shards"))
    base = root if root.is_dir() else root.parent
    index = {
        "chunks": [
            {"filename": path.name, "chunk_size": len(files), "chunk_bytes": path.stat().st_size, "dim": None}
            for path, files, _ in jobs
        ],
        "config": _CONFIG | {"chunk_bytes": megabytes * _MB},
        "updated_at": str(time.time()),
        "vidcorr": {
            "names": [os.path.relpath(entry.path, base) for entry in videos],
            "labels": [entry.label for entry in videos],
            "sizes": sizes,
        },
    }
    write_whole(folder / INDEX, json.dumps(index))
    return len(jobs)


# What litdata writes beside items that are plain bytes, neither compressed nor encrypted.
_CONFIG: dict[str, Any] = {
    "chunk_size": None,
    "compression": None,
    "data_format": ["bytes"],
    "data_spec": json.dumps([1, {"type": None, "context": None, "children_spec": []}]),
    "encryption": None,
    "item_loader": "PyTreeLoader",
}


def _size(path: Path) -> int:
    size = path.stat().st_size
    if size > _LARGEST:
        raise DataError(f"{path}: has {size / 2**30:.1f} GB, a video in a shard can have 4; cut or transcode it")
    return size


def _plan(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Which videos go together."""
    first, filled = 0, 0
    for number, size in enumerate(sizes):
        if number > first and filled + size > limit:
            yield slice(first, number)
            first, filled = number, 0
        filled += size
    yield slice(first, len(sizes))


def _places(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where each item of a shard begins, its size before its bytes, and the last one ends."""
    return _WORD * (len(sizes) + 2) + np.append(0, np.cumsum(np.asarray(sizes) + _WORD))


def _write_shard(path: Path, files: Sequence[Path], sizes: Sequence[int]) -> None:
    with path.open("wb") as shard:
        shard.write(np.array([len(files), *_places(sizes)], dtype="<u4").tobytes())
        for file, size in zip(files, sizes, strict=True):
            content = file.read_bytes()
            if len(content) != size:
                raise DataError(f"{file}: changed while it was packed; pack again when it is complete")
            shard.write(np.array(size, dtype="<u4").tobytes())
            shard.write(content)
