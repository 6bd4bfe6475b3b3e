"""Random generators whose stream is a function of a key, such as (seed, epoch, batch), and of nothing else.

There are two: the loaders draw with `seeded_generator`, the methods with `keyed_generator`. With a single one the draws
of published runs would change.
"""

import hashlib

import torch


def keyed_generator(*key: int) -> torch.Generator:
    """Return a CPU generator for the draws of a method, for example of the key (seed, epoch, batch).

    Its seed is Python's hash of the key. A negative part enters as a tuple, because `hash(-1) == hash(-2)`.
    """
    distinct = tuple(part if part >= 0 else (-part,) for part in key)
    return torch.Generator().manual_seed(hash(distinct) % 2**63)


def seeded_generator(*key: int) -> torch.Generator:
    """Return a CPU generator for the draws of a loader, for example of the key (seed, epoch, sample index, attempt).

    Its seed is a digest of the key, so neighbouring keys, (seed, epoch, 3) and (seed, epoch, 4), give unrelated
    streams.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))
