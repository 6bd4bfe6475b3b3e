"""Counting of the packets of a video file, for files whose headers cannot be trusted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MOST_REMEMBERED = 2**20
_counts: dict[tuple[str, int, int], int] = {}  # (path, bytes, time of change): packets


def count_packets(container: Any, stream: Any, check_time: Callable[[], None]) -> int:
    """Count the packets of an open file that hold a frame, from where it stands to its end.

    Args:
        container: PyAV's.
        stream: the video stream in it.
        check_time: called before each packet; raises when it has taken too long.

    Returns:
        The number; a file whose end is cut off counts as far as it can be read.
    """
    import av

    count = 0
    try:
        for packet in container.demux(stream):
            check_time()
            count += packet.size > 0 and not packet.is_discard
    except av.FFmpegError:
        pass
    return count


def remembered(path: Path, count: Callable[[], int]) -> int:
    """Return the count of a file that has not changed since it was counted in this process; else count it."""
    about = os.stat(path)
    key = (str(path), about.st_size, about.st_mtime_ns)
    if key not in _counts:
        if len(_counts) >= _MOST_REMEMBERED:
            _counts.clear()
        _counts[key] = count()
    return _counts[key]
