"""Memory that a training step on a CPU frees, kept for the next step."""

import ctypes
import os
import sys
from collections.abc import Mapping

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD."""
ENVIRONMENT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
"""Variables by which a user sets the same; then nothing is changed."""
WHILE_TRAINING = {MMAP_THRESHOLD: 1 << 30, TRIM_THRESHOLD: (1 << 31) - 1}
AFTERWARDS = {MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}
"""The largest thresholds that glibc would come to by itself."""


def keep_freed_memory() -> bool:
    """Keep what the process frees in its heap, in blocks of up to 1 GiB.

    By default glibc hands freed tensors back to the kernel and fetches them again at the next step, page by page, each
    cleared by the kernel. Memory at the peak is about the same.

    Returns:
        True if both thresholds were set; False without glibc, or with either variable of `ENVIRONMENT` set.
    """
    return _set(WHILE_TRAINING)


def hand_back_freed_memory() -> None:
    """Return free memory to the kernel, now and from now on."""
    if _set(AFTERWARDS):
        ctypes.CDLL(None).malloc_trim(0)


def _set(thresholds: Mapping[int, int]) -> bool:
    if sys.platform != "linux" or any(name in os.environ for name in ENVIRONMENT):
        return False
    library = ctypes.CDLL(None)  # of the process, with its C library
    if not hasattr(library, "mallopt"):
        return False
    accepted = [library.mallopt(parameter, value) for parameter, value in thresholds.items()]
    return all(accepted)
