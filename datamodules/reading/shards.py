"""Training videos packed in shards: tar archives of a few hundred videos, on a disk or in an object store.

`index.json` holds of each video its name, its label, its shard and where its bytes are in that. A video is read by its
number, in our own sampler's order: the batches are those of the files, whatever the number of ranks, workers and
restarts. Each rank asks for its own samples only, each by one request, and keeps nothing on a disk.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from .decoding import VideoFile
from .guards import DataError, DecodingError, plain_name
from .source import VideoEntry

INDEX = "index.json"

Count = Annotated[int, Field(ge=0, lt=2**62)]


class Index(BaseModel, strict=True):
    """Content of `index.json`: the names of the shards, and of each video its columns.

    Attributes:
        shards: file names.
        names: paths relative to the source that was packed.
        labels: classes, None where the source gives none.
        shard: number of the shard.
        begins: bytes of the shard before the video's.
        sizes: bytes of the video.
    """

    shards: list[str]
    names: list[str]
    labels: list[Annotated[int, Field(gt=-(2**63), lt=2**63)] | None]
    shard: list[Count]
    begins: list[Count]
    sizes: list[Count]


def is_url(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is in an object store (`s3://…`, `gs://…`)."""
    return "://" in str(source)


def is_sharded(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is a folder of shards, or a URL, which can be nothing else."""
    return is_url(source) or (Path(source, INDEX).is_file() and any(Path(source).glob("*.tar")))


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
        except ImportError as error:  # fsspec says which package it lacks
            raise DataError(f'{self.source}: {error} (pip install "vidcorr[stream]")') from error
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise DataError(f"{where}: not an index of `vidcorr shard` ({reason}); pack the videos again") from error
        except Exception as error:  # whatever a store's client may raise
            raise DataError(f"{where}: cannot be read: {error}") from error
        self._shards = [plain_name(name, where) for name in index.shards]
        columns: Sequence[list[Any]] = (index.names, index.labels, index.shard, index.begins, index.sizes)
        if len(set(map(len, columns))) > 1 or max(index.shard, default=0) >= len(self._shards):
            raise DataError(f"{where}: its columns do not fit each other; pack the videos again")
        self.videos = tuple(VideoEntry(Path(name), label) for name, label in zip(*columns[:2], strict=True))
        self._places = np.array(columns[2:], dtype=np.int64).T  # arrays: workers are forks, and share their pages

    def read(self, number: int) -> bytes:
        """Return a video as its file was.

        Raises:
            DecodingError: if it cannot be read.
            OSError: if an object store does not give it: no flaw of the video, so the run ends.
        """
        shard, begin, size = self._places[number].tolist()
        path, where = self.videos[number].path, f"{self.source}/{self._shards[shard]}"
        try:
            content = self._bytes(self._shards[shard], begin, begin + size)
        except Exception as error:
            if is_url(self.source):
                raise OSError(f"{where}: cannot be read: {error}") from error
            raise DecodingError(path, f"cannot be read from {where}: {error}") from error
        if len(content) < size:
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
