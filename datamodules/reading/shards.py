"""Training videos packed in shards: a few hundred in a file, on a disk or in an object store.

A shard is as litdata writes it: the number of its items, where each begins, and the items, each a size and a video file
as it is. `index.json` holds the shards and each video's name, label and size. A video is read by its number, in our own
sampler's order: the batches are those of the files, whatever the number of ranks, workers and restarts. Each rank asks
for its own samples only, each by one request, and keeps nothing on a disk.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .decoding import VideoFile
from .errors import DataError, DecodingError
from .guards import plain_name
from .source import VideoEntry

INDEX = "index.json"
WORD = 4  # bytes of a number

Count = Annotated[int, Field(ge=0, lt=2**32)]


class Shard(BaseModel, strict=True):
    """A file of `chunk_size` videos."""

    filename: str
    chunk_size: Count


class Videos(BaseModel, strict=True):
    """Columns of all videos."""

    names: list[str]
    labels: list[Annotated[int, Field(gt=-(2**63), lt=2**63)] | None]
    sizes: list[Count]


class Index(BaseModel, strict=True):
    """Content of `index.json`, under litdata's names."""

    model_config = ConfigDict(extra="ignore")
    chunks: list[Shard]
    vidcorr: Videos


def is_url(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is in an object store (`s3://…`, `gs://…`)."""
    return "://" in str(source)


def is_sharded(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is a folder of shards, or a URL, which can be nothing else."""
    return is_url(source) or (Path(source, INDEX).is_file() and any(Path(source).glob("*.bin")))


class ShardedVideos:
    """The videos of a folder of shards or of a URL, by their numbers.

    An object store is read by fsspec, ranges of bytes only; no test of ours has done so.

    Args:
        source: folder or URL that `vidcorr shard` has written, or a copy of it.

    Attributes:
        videos: names as in the source that was packed, relative to it, with labels where it had some.

    Raises:
        DataError: if there is no index, or one of something else.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self.source = str(source).rstrip("/")
        where = f"{self.source}/{INDEX}"
        try:
            index = Index.model_validate_json(self._bytes(INDEX))
            columns = zip(index.vidcorr.names, index.vidcorr.labels, index.vidcorr.sizes, strict=True)
            self.videos = tuple(VideoEntry(Path(name), label) for name, label, _ in columns)
        except ImportError as error:  # fsspec says which package it lacks
            raise DataError(f'{self.source}: {error} (pip install "vidcorr[stream]")') from error
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise DataError(f"{where}: not an index of `vidcorr shard` ({reason}); pack the videos again") from error
        except Exception as error:  # whatever a store's client may raise
            raise DataError(f"{where}: cannot be read: {error}") from error
        self._shards = [plain_name(shard.filename, where) for shard in index.chunks]
        self._sizes = np.array(index.vidcorr.sizes, dtype=np.int64)
        self._first = np.cumsum([0, *(shard.chunk_size for shard in index.chunks)])  # number of each one's first video
        if self._first[-1] != len(self.videos):
            raise DataError(f"{where}: {len(self.videos)} names of {self._first[-1]} videos; pack them again")

    def read(self, number: int) -> bytes:
        """Return a video as its file was.

        Raises:
            DecodingError: if it cannot be read.
            OSError: if an object store does not give it: no flaw of the video, so the run ends.
        """
        shard = int(np.searchsorted(self._first, number, side="right")) - 1
        first, following = self._first[shard : shard + 2]
        begin = int(offsets_of(self._sizes[first:following])[number - first]) + WORD
        path, where = self.videos[number].path, f"{self.source}/{self._shards[shard]}"
        try:
            content = self._bytes(self._shards[shard], begin, begin + int(self._sizes[number]))
        except Exception as error:
            if is_url(self.source):
                raise OSError(f"{where}: cannot be read: {error}") from error
            raise DecodingError(path, f"cannot be read from {where}: {error}") from error
        if len(content) < self._sizes[number]:
            raise DecodingError(path, f"cannot be read from {where}: the shard is truncated")
        return content

    def open(self, number: int, timeout: float = 60.0) -> VideoFile:
        """Open a video, as `open_video` does."""
        return VideoFile(self.videos[number].path, timeout, content=self.read(number))

    def _bytes(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        """Read bytes `begin` to `end` of a file."""
        if is_url(self.source):
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            store, folder = url_to_fs(self.source)  # fsspec keeps one client for each process
            content: bytes = store.cat_file(f"{folder}/{name}", begin, end)
            return content
        with Path(self.source, name).open("rb") as file:
            file.seek(begin)
            return file.read() if end is None else file.read(end - begin)


def offsets_of(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return where each item of a shard begins, its size before its bytes, and where the last one ends."""
    return WORD * (len(sizes) + 2) + np.append(0, np.cumsum(np.asarray(sizes) + WORD))
