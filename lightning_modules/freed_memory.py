"""Memory that a training step on a CPU frees, kept for the next step."""

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD."""
ENVIRONMENT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
"""Variables by which a user sets the same; then nothing is changed."""


def keep_freed_memory() -> bool:
    """Keep what the process frees in its heap from now on, in blocks of up to 1 GiB.

    By default glibc hands freed tensors back to the kernel and fetches them again at the next step, page by page, each
    cleared by the kernel. Memory at the peak is about the same.

    Returns:
        True if both thresholds were set; False without glibc, or with either variable of `ENVIRONMENT` set.
    """
    if sys.platform != "linux" or any(name in os.environ for name in ENVIRONMENT):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of the process's own C library
    return mallopt is not None and bool(mallopt(MMAP_THRESHOLD, 1 << 30) & mallopt(TRIM_THRESHOLD, (1 << 31) - 1))
