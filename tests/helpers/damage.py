"""Files as interrupted copies and faulty disks leave them."""

import numpy as np


def with_hole(content: bytes, size: int = 64) -> bytes:
    """Return a file with zeros in its middle."""
    start = len(content) // 2
    return content[:start] + bytes(size) + content[start + size :]


def with_changes(content: bytes, seed: int = 0, number: int = 20) -> bytes:
    """Return a file with some other bytes in its middle half."""
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    for place in rng.integers(len(content) // 4, 3 * len(content) // 4, number):
        changed[place] ^= int(rng.integers(1, 256))
    return bytes(changed)
