"""The momentum encoder, the queue of keys, and the base of the methods with both."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from .saving import SavedModule


@torch.no_grad()
def move_average(average: nn.Module, encoder: nn.Module, momentum: float) -> None:
    """Move an encoder's average towards the encoder: `ξ ← m ξ + (1 − m) θ`, m in [0, 1].

    Buffers are not averaged: BatchNorm statistics come from the average's passes, as in MoCo.

    Papers: MoCo (He et al., CVPR 2020), Eq. 2; VFS, Eq. 2.

    Raises:
        ValueError: for parameters in half precision, in which most updates would round to nothing.
    """
    if any(parameter.dtype in (torch.bfloat16, torch.float16) for parameter in average.parameters()):
        raise ValueError("the moving average needs float32: take bf16-mixed for bf16-true, 16-mixed for 16-true")
    torch._foreach_lerp_(list(average.parameters()), list(encoder.parameters()), 1 - momentum)


MOST_HELD = 512
"""Batches of an optimiser step whose keys wait: more than anybody accumulates."""


class KeyQueue(nn.Module):
    """First-in-first-out queue of the newest K keys and the indices of their videos.

    It starts with random unit vectors, or zeros, of no video (index −1), equal on all ranks.

    Paper: MoCo (He et al., CVPR 2020), section 3.2.

    Args:
        size: K.
        shape: shape of a key; an integer is the length of a vector.
        seed: seed of the first keys; None: zeros.

    Attributes:
        keys: `(K, *shape)`, float32 unless a method stores them in another floating type.
        video_ids: `(K,)` long.
        pointer: long scalar, the slot of the oldest key, which the next key replaces.
        held: keys `(N, *shape)` and video ids `(N,)` of each batch of the present optimiser step.

    Example:
        >>> queue = KeyQueue(4, shape=2, seed=None)
        >>> queue.enqueue(torch.ones(3, 2), torch.tensor([5, 5, 7]))
        >>> queue.enqueue(torch.ones(2, 2), torch.tensor([8, 9]))
        >>> queue.video_ids, queue.pointer
        (tensor([9, 5, 7, 8]), tensor(1))
    """

    keys: Tensor
    video_ids: Tensor
    pointer: Tensor

    def __init__(self, size: int, shape: int | tuple[int, ...], seed: int | None = 0) -> None:
        super().__init__()
        key_shape = (shape,) if isinstance(shape, int) else shape
        first = torch.zeros(size, *key_shape, dtype=torch.float32)
        if seed is not None:
            first = normalize(first.normal_(generator=torch.Generator().manual_seed(seed)))
        self.register_buffer("keys", first)
        self.register_buffer("video_ids", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.held: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        """Return K."""
        return len(self.keys)

    def hold(self, keys: Tensor, video_index: Tensor) -> None:
        """Hold the keys of a batch until `flush` is called at the end of the optimiser step.

        Args:
            keys: `(ranks · B, n, *shape)`, n keys per video of all ranks.
            video_index: `(ranks · B,)` long, their videos.

        Raises:
            RuntimeError: if `MOST_HELD` batches are held already, because nobody calls `end_step`.
        """
        if len(self.held) == MOST_HELD:
            remedy = "a loop of your own calls end_step() of the method after each step of the optimiser"
            raise RuntimeError(f"the keys of {MOST_HELD} batches wait for the end of a step: {remedy}")
        self.held.append((keys.flatten(0, 1), video_index.repeat_interleave(keys.shape[1])))

    def flush(self) -> None:
        """Enqueue the held keys, of more than K the newest K, and hold none."""
        if self.held:
            keys, video_ids = map(torch.cat, zip(*self.held, strict=True))
            self.enqueue(keys[-len(self) :], video_ids[-len(self) :])
            self.held.clear()

    @property
    def age(self) -> Tensor:
        """Optimiser steps since the oldest key entered, if every step brings as many keys as are held."""
        return self.filled.sum() / sum(len(keys) for keys, _ in self.held)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, video_ids: Tensor) -> None:
        """Replace the N oldest keys, in place, by keys `(N, *shape)` of videos `(N,)`, N ≤ K."""
        slots = (self.pointer + torch.arange(len(keys), device=self.pointer.device)) % len(self)
        self.keys.index_copy_(0, slots, keys.to(self.keys.dtype))
        self.video_ids.index_copy_(0, slots, video_ids)
        self.pointer.add_(len(keys)).remainder_(len(self))

    @property
    def filled(self) -> Tensor:
        """`(K,)` bool: True for a key of a video, False for one that the queue started with."""
        return self.video_ids >= 0

    def same_video(self, video_index: Tensor) -> Tensor:
        """Mark the keys that come from the video of a sample: `(B,)` long → `(B, K)` bool."""
        return video_index[:, None] == self.video_ids

    def __str__(self) -> str:
        """Return the size of the queue, for the plan of a training."""
        megabytes = sum(tensor.nbytes for tensor in self.buffers()) / 1e6
        return f"{len(self)} keys of {self.keys[0].numel()} numbers, {megabytes:.1f} MB on each device"


class MomentumMethod(SavedModule):
    """Mixin before `CorrespondenceModule` for methods with a momentum encoder, a queue of its keys, or both.

    A method sets `target_encoder` and its number m, `encoder_momentum`. In training its `step` gives new keys of all
    ranks to `hold` of its queue. At the end of an optimiser step, after all accumulated batches, `end_step` moves the
    average and lets the keys enter the queue. So all ranks hold equal queues, and DDP does not broadcast them.

    Lightning's automatic optimisation ends steps by itself. Whoever steps an optimiser of their own calls `end_step`: a
    loop without a Trainer, manual optimisation, or a LightningModule of which the method is a part.
    """

    backbone: nn.Module
    target_encoder: nn.Module | None
    encoder_momentum: float

    def __init__(self) -> None:
        super().__init__()
        self._own_steps = 0

    @property
    def encoder(self) -> nn.Module:
        """The network that learns and that the momentum encoder averages."""
        return self.backbone

    def momentum_of_average(self) -> float:
        """Return m of the next move of the average; override it for a schedule."""
        return self.encoder_momentum

    @property
    def queues(self) -> dict[str, KeyQueue]:
        """Queues of the method, by their names."""
        return {name: child for name, child in self.named_children() if isinstance(child, KeyQueue)}

    def plan_rows(self) -> dict[str, str]:
        """Return the size of the queue and the momentum of the average."""
        momentum = "none" if self.target_encoder is None else f"average with m = {self.momentum_of_average():g}"
        return {"negatives": ", ".join(map(str, self.queues.values())) or "none", "momentum encoder": momentum}

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        prefixes = tuple(f"{name}." for name in self.queues)
        return [name for name, _ in self.named_buffers() if name.startswith(prefixes)]

    def on_fit_start(self) -> None:
        """Forget the keys that an interrupted fit has held."""
        super().on_fit_start()
        for queue in self.queues.values():
            queue.held.clear()

    @property
    def steps_taken(self) -> int:
        """Optimiser steps so far: counted by the Trainer, also over a resumed run; without one by this module."""
        trainer = self.counting_trainer
        return self._own_steps if trainer is None else int(trainer.global_step)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Step, as Lightning does, and end the step, unless a gradient scaler has left it out."""
        # before the step, because Lightning then counts it
        momentum = None if self.target_encoder is None else self.momentum_of_average()
        steps: list[object] = []
        unwrapped = getattr(optimizer, "optimizer", optimizer)
        hook = unwrapped.register_step_post_hook(lambda *_: steps.append(None))
        try:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        finally:
            hook.remove()
        if steps:
            self.end_step(momentum)

    def end_step(self, momentum: float | None = None) -> None:
        """End an optimiser step: move the average, and let the keys of its batches enter the queues.

        For methods with queues, nothing happens where no batch came since the last call.

        Args:
            momentum: m of the average's move; None asks `momentum_of_average`.

        Raises:
            ValueError: for an average in half precision.
        """
        queues = self.queues.values()
        if queues and not any(queue.held for queue in queues):
            return
        self._own_steps += 1
        if self.target_encoder is not None:
            momentum = self.momentum_of_average() if momentum is None else momentum
            move_average(self.target_encoder, self.encoder, momentum)
        for queue in queues:
            queue.flush()


def without_statistics(module: nn.Module, *args: object, **options: object) -> Tensor:
    """Return the output of a module, called with copies of its buffers: its BatchNorm statistics stay as they are."""
    copies = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, copies, args, options)
