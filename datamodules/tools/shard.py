"""Pack a folder or list of video files into shards for `data.source`."""

import argparse
from collections.abc import Sequence

from ..reading.shards import write_shards


def command(words: Sequence[str]) -> None:
    """Run `vidcorr shard` with the words after it.

    Raises:
        ValueError, OSError: for a user's mistake; one line.
    """
    parser = argparse.ArgumentParser(prog="vidcorr shard", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="folder of video files, or a .txt or .csv list of them")
    parser.add_argument("destination", metavar="DESTINATION", help="folder for the shards")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="files copied at once (default: 4)")
    parser.add_argument("--chunk-mb", type=int, default=64, metavar="MB", help="size of a shard (default: 64)")
    given = parser.parse_args(list(words))
    count = write_shards(given.source, given.destination, given.workers, given.chunk_mb)
    print(f"{given.destination}: {count} shards; train with --data.source {given.destination}")
