"""The ranks of a distributed run."""

import torch.distributed as dist


def world_size_and_rank() -> tuple[int, int]:
    """Return the number of ranks and the rank of this process; 1 and 0 without torch.distributed."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size(), dist.get_rank()
    return 1, 0
