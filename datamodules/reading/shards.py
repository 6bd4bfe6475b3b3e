"""Training videos packed in shards: a few hundred in a file, on a disk or in an object store.

A shard has litdata's layout (the number of items, where each begins, the items), and an item is a video file as it is.
In addition to litdata's fields, `index.json` holds each video's name, label and size. A video is read by its index, in
the order of our own sampler: the batches are those of the files, whatever the number of ranks, workers and restarts.
litdata's streaming order would save requests where samples are small; a request for an encoded video is mostly the
video. So each rank asks for its own samples only, each by one request, and keeps nothing on a disk.
"""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .decoding import VideoFile
from .errors import DataError, DecodingError
from .guards import plain_name, read_bytes
from .source import VideoEntry

INDEX = "index.json"
WORD = 4  # bytes of a number
_PAUSES = (1.0, 5.0)  # seconds before a store that failed is asked again


def is_url(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is in an object store (`s3://…`, `gs://…`, `r2://…`)."""
    return "://" in str(source)


def is_sharded(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is a folder of shards, or a URL, which can be nothing else."""
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
        self._storage: _Store | _Folder = _Store(self.source) if is_url(source) else _Folder(Path(source))
        content = self._storage.index()
        where = f"{self.source}/{INDEX}"
        try:
            index = json.loads(content)
            columns = [index["vidcorr"][key] for key in ("names", "labels", "sizes")]
            self._shards = [plain_name(chunk["filename"], where) for chunk in index["chunks"]]
            counts = [_count(chunk["chunk_size"]) for chunk in index["chunks"]]
            self.videos = tuple(VideoEntry(Path(name), _label(label)) for name, label, _ in zip(*columns, strict=True))
            self._sizes = np.array([_count(size) for size in columns[2]], dtype=np.int64)
        except DataError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise DataError(f"{where}: not an index of `vidcorr shard` ({reason}); pack the videos again") from error
        self._first = np.cumsum([0, *counts])  # number of each shard's first video
        if self._first[-1] != len(self.videos):
            raise DataError(
                f"{self.source}/{INDEX}: {len(self.videos)} names of {self._first[-1]} videos; pack them again"
            )

    def read(self, number: int) -> bytes:
        """Return a video as its file was.

        Raises:
            DecodingError: if it cannot be read.
            StoreUnreachable: if the object store does not answer: no flaw of the video, so the run ends.
        """
        shard = int(np.searchsorted(self._first, number, side="right")) - 1
        try:
            first, following = self._first[shard : shard + 2]
            begin = offsets_of(self._sizes[first:following])[number - first] + WORD
            return self._storage.read(self._shards[shard], int(begin), int(self._sizes[number]))
        except StoreUnreachable:
            raise
        except (OSError, EOFError) as error:
            where = f"{self.source}/{self._shards[shard]}"
            raise DecodingError(self.videos[number].path, f"cannot be read from {where}: {error}") from error

    def open(self, number: int, timeout: float = 60.0) -> VideoFile:
        """Open a video, as `open_video` does."""
        return VideoFile(self.videos[number].path, timeout, content=self.read(number))


@dataclass
class _Folder:
    folder: Path

    def index(self) -> bytes:
        return read_bytes(self.folder / INDEX)

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
        """Drop the clients when pickled: another process makes its own."""
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


def offsets_of(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return where each item of a shard begins, its size before its bytes, and where the last one ends."""
    return WORD * (len(sizes) + 2) + np.append(0, np.cumsum(np.asarray(sizes) + WORD))


def _count(value: object) -> int:
    """Check a number of an index that counts videos or bytes."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError(f"{value!r:.40} is not a count")
    return value


def _label(value: object) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63):
        raise ValueError(f"{value!r:.40} is not a label")
    return value
