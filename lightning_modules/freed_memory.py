"""Memory of training on a CPU."""

import ctypes
import os
import sys
from contextlib import suppress


def keep_freed_memory() -> None:
    """Let glibc keep freed memory in the heap of this process, in blocks of up to 1 GiB.

    By default glibc returns freed tensors to the kernel, which clears every page again at the next step. Peak memory is
    about the same. Without glibc, or if the user has set a threshold, nothing changes.
    """
    set_by_user = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys()
    if sys.platform != "linux" or set_by_user:
        return
    with suppress(AttributeError):  # another C library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
