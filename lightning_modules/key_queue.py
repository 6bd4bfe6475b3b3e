"""The queue of keys that contrastive methods take their negatives from."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class FullPrecision(nn.Module):
    """Base of modules whose parameters and buffers are float32 or finer, whatever the surrounding module is cast to.

    `module.to(torch.bfloat16)`, as by Lightning's precision `bf16-true`, reaches every submodule. An average that moves
    by a thousandth of a difference cannot be held in 8 significant bits: most of its updates would round to nothing.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        def apply(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            if not result.is_floating_point() or result.dtype.itemsize >= torch.float32.itemsize:
                return result
            return tensor.to(result.device, torch.promote_types(tensor.dtype, torch.float32))

        return super()._apply(apply, recurse)


class KeyQueue(FullPrecision):
    """First-in-first-out queue of the newest K keys, each with the index of the video it comes from.

    It starts with random unit vectors of no video (index −1), the same on every rank. Keys stay in float32 whatever the
    precision of training.

    Paper: MoCo (He et al., CVPR 2020), section 3.2.

    Args:
        size: K.
        dim: width of a key.
        seed: seed of the random keys it starts with.

    Attributes:
        keys: `(K, dim)` float32.
        video_ids: `(K,)` long.
        pointer: long scalar, the slot of the oldest key, which the next key replaces.

    Raises:
        ValueError: if `size` is below 1.
    """

    keys: Tensor
    video_ids: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int, seed: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"a queue must hold at least 1 key, got {size}")
        first = torch.randn(size, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        self.register_buffer("keys", normalize(first, dim=1))
        self.register_buffer("video_ids", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return len(self.keys)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, video_ids: Tensor) -> None:
        """Replace the N oldest keys, in place.

        Args:
            keys: `(N, dim)`.
            video_ids: `(N,)` long.

        Raises:
            ValueError: if there are more keys than slots, or not one video id per key.
        """
        if len(keys) > len(self) or video_ids.shape != keys.shape[:1]:
            raise ValueError(
                f"a queue of {len(self)} cannot take {len(keys)} keys with {tuple(video_ids.shape)} video ids"
            )
        slots = (self.pointer + torch.arange(len(keys), device=self.pointer.device)) % len(self)
        self.keys.index_copy_(0, slots, keys.to(self.keys.dtype))
        self.video_ids.index_copy_(0, slots, video_ids)
        self.pointer.add_(len(keys)).remainder_(len(self))

    def of_same_video(self, video_index: Tensor) -> Tensor:
        """Mark the keys that come from each sample's own video: `(B,)` long → `(B, K)` bool."""
        return video_index[:, None] == self.video_ids

    def require_divisor(self, keys_per_step: int) -> None:
        """Refuse a queue that the keys of an optimiser step do not divide.

        Raises:
            ValueError: one line that names the nearest sizes that would do.
        """
        below = len(self) // keys_per_step * keys_per_step
        if below != len(self):
            sizes = [str(size) for size in (below, below + keys_per_step) if size]
            raise ValueError(
                f"queue_size {len(self)}: a step brings {keys_per_step} keys, which must divide it; "
                f"the nearest are {' and '.join(sizes)}"
            )
