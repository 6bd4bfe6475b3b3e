"""The generators that a method draws from."""

import torch


def keyed_generator(*key: int) -> torch.Generator:
    """Return a CPU generator whose stream is a function of the key alone, such as (seed, epoch, batch).

    The key goes through Python's hash of a tuple, on which the draws of published runs rest; the data's generators
    (`datamodules.loading.sampling`) take blake2b.
    """
    return torch.Generator().manual_seed(hash(key) % 2**63)
