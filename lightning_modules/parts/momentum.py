"""The momentum encoder, the queue of keys, and the base of the methods with both."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from .checks import Batch
from .distributed import gather, keyed_generator
from .saving import SavedModule


@torch.no_grad()
def move_average(average: nn.Module, encoder: nn.Module, momentum: float) -> None:
    """Move an encoder's average towards the encoder: `ξ ← m ξ + (1 − m) θ`.

    Buffers are not averaged: BatchNorm statistics come from the average's passes, as in MoCo.

    Papers: MoCo (He et al., CVPR 2020), Eq. 2; VFS, Eq. 2.

    Args:
        average: the moving average of the parameters, which starts as a copy of the encoder.
        encoder: the encoder that learns, of the same structure.
        momentum: m in [0, 1].
    """
    torch._foreach_lerp_(list(average.parameters()), list(encoder.parameters()), 1 - momentum)


class KeyQueue(nn.Module):
    """First-in-first-out queue of the newest K keys and the indices of their videos.

    It starts with random unit vectors, or zeros, of no video (index −1), equal on all ranks.

    Paper: MoCo (He et al., CVPR 2020), section 3.2.

    Args:
        size: K.
        shape: shape of a key; an integer is the length of a vector.
        seed: seed of the first keys; None: zeros.

    Attributes:
        keys: `(K, *shape)`, float32 unless `store_as` has set another type.
        video_ids: `(K,)` long.
        pointer: long scalar, the slot of the oldest key, which the next key replaces.
    """

    keys: Tensor
    video_ids: Tensor
    pointer: Tensor

    def __init__(self, size: int, shape: int | tuple[int, ...], seed: int | None = 0) -> None:
        super().__init__()
        of_key = (shape,) if isinstance(shape, int) else shape
        first = torch.zeros(size, *of_key, dtype=torch.float32)
        if seed is not None:
            first = normalize(first.normal_(generator=torch.Generator().manual_seed(seed)), dim=1)
        self.register_buffer("keys", first)
        self.register_buffer("video_ids", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return len(self.keys)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, video_ids: Tensor) -> None:
        """Replace the N oldest keys, in place.

        Args:
            keys: `(N, *shape)`, N ≤ K.
            video_ids: `(N,)` long.
        """
        slots = (self.pointer + torch.arange(len(keys), device=self.pointer.device)) % len(self)
        self.keys.index_copy_(0, slots, keys.to(self.keys.dtype))
        self.video_ids.index_copy_(0, slots, video_ids)
        self.pointer.add_(len(keys)).remainder_(len(self))

    def store_as(self, dtype: torch.dtype) -> None:
        """Store the keys in another floating type from now on."""
        self.keys = self.keys.to(dtype)

    @property
    def filled(self) -> Tensor:
        """`(K,)` bool: True for a key of a video, False for one that the queue started with."""
        return self.video_ids >= 0

    def of_same_video(self, video_index: Tensor) -> Tensor:
        """Mark the keys that come from the video of a sample: `(B,)` long → `(B, K)` bool."""
        return video_index[:, None] == self.video_ids

    def __str__(self) -> str:
        megabytes = sum(tensor.nbytes for tensor in self.buffers()) / 1e6
        return f"{len(self)} keys of {self.keys[0].numel()} numbers, {megabytes:.1f} MB on each device"


class MomentumMethod(SavedModule):
    """Mixin before `CorrespondenceModule` for methods with a momentum encoder and a queue of its keys.

    In training, `step` also returns `keys`, `(ranks · B, n, …)`: n keys per video of all ranks, each a vector or a map.
    At the end of an optimiser step, after all accumulated batches, the average moves and the keys enter the queue. So
    all ranks hold equal queues, and DDP does not broadcast them.

    A method sets `target_encoder` and its queue, and has a hyper-parameter `encoder_momentum`.

    Attributes:
        encoder: the network that learns.
        target_encoder: its moving average, without gradient, or None.
    """

    backbone: nn.Module
    target_encoder: nn.Module | None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._batch_of_step = 0  # batches of the present optimiser step so far
        self._pending: list[tuple[Tensor, Tensor]] = []  # their keys (N, …) and video ids (N,)

    @property
    def encoder(self) -> nn.Module:
        """The network that learns and that the momentum encoder averages."""
        return self.backbone

    def momentum_of_average(self) -> float:
        """Return m of the next move of the average; override it for a schedule."""
        return float(self.hparams["encoder_momentum"])

    def step_generator(self) -> torch.Generator:
        """Return a CPU generator of (seed, optimiser step, batch of the step), in the same state on all ranks.

        Only Shuffle BN draws from it, so that its shuffles stay those of earlier trainings. A new method takes
        `generator`, which serves validation too.
        """
        return keyed_generator(self.hparams["seed"], self.global_step, self._batch_of_step)

    def plan_rows(self) -> dict[str, str]:
        """Return the size of the queue and the momentum of the average."""
        momentum = "none" if self.target_encoder is None else f"average with m = {self.momentum_of_average():g}"
        return {"negatives": str(self._queue or "none"), "momentum encoder": momentum}

    @property
    def _queue(self) -> Any:
        """The method's queue; None if it has none."""
        return next((part for part in self.children() if isinstance(part, KeyQueue)), None)

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """Names of the queues' buffers. DDP reads this attribute, and does not broadcast the buffers."""
        names = [name for name, part in self.named_children() if isinstance(part, KeyQueue)]
        return [name for name, _ in self.named_buffers() if name.partition(".")[0] in names]

    def training_step(self, batch: Batch, batch_index: int) -> Any:
        """Compute and log the loss of a batch; keep its keys for the end of the optimiser step.

        Returns:
            The tensors of `step` without `keys`, and `queue_age`: optimiser steps since the oldest key entered.
        """
        outputs: Any = super().training_step(batch, batch_index)
        self._batch_of_step += 1  # the next batch's, in the key of `step_generator`
        keys = outputs.pop("keys", None)  # ranks·B x n x …
        if keys is not None:
            keys_per_step = keys.shape[:2].numel() * self.trainer.accumulate_grad_batches
            outputs["queue_age"] = self._queue.filled.sum() / keys_per_step  # it fills from the first step on
            videos = gather(batch["video_index"]).repeat_interleave(keys.shape[1])
            self._pending.append((keys.flatten(0, 1), videos))
        return outputs

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take an optimiser step, then move the average and fill the queue."""
        super().optimizer_step(*args, **kwargs)
        if self.target_encoder is not None:
            move_average(self.target_encoder, self.encoder, self.momentum_of_average())
        if self._pending:
            keys, video_ids = map(torch.cat, zip(*self._pending, strict=True))
            size = len(self._queue)
            self._queue.enqueue(keys[-size:], video_ids[-size:])  # the newest, if a step has more than the queue holds
        self._begin_step()

    def on_fit_start(self) -> None:
        """Drop pending keys of an interrupted run.

        Raises:
            ValueError: for parameters in half precision, in which most updates of the average would round to nothing.
        """
        if self.trainer.precision in ("bf16-true", "16-true"):
            raise ValueError(f"trainer.precision={self.trainer.precision}: the moving average needs float32")
        super().on_fit_start()
        self._begin_step()

    def _begin_step(self) -> None:
        """Begin an optimiser step: no batch of it so far, and no pending key."""
        self._batch_of_step = 0
        self._pending.clear()


def without_statistics(module: nn.Module, *args: object, **options: object) -> Tensor:
    """Call a module without updating its buffers, the running statistics of BatchNorm."""
    copies = {name: buffer.clone() for name, buffer in module.named_buffers()}
    result: Tensor = functional_call(module, copies, args, options)
    return result
