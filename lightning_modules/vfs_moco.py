"""VFS with negative pairs."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import normalize

from .backbones import pooled_width, trainable_network
from .base import Batch, CorrespondenceModule, split_views
from .functional.losses.info_nce import info_nce_loss
from .heads import mlp
from .momentum import KeyQueue, averaged_copy, encode_groups, encode_shuffled, gather, ranks_and_rank, update_average


class VFSMoCo(CorrespondenceModule):
    """Video frame-level similarity learning with negatives from a queue.

    Frames of a video are pulled together and pushed from the frames of other videos. A clip's frames are split in time;
    the encoder that learns sees the first half, its moving average the second, whose embeddings then are queued as
    negatives for the steps to come. A video's own keys are never its negatives. Queries and keys are normalised in
    different company (Shuffle BN).

    Paper: Xu and Wang, Rethinking Self-supervised Correspondence Learning (VFS), ICCV 2021, sections 3.1, 3.2 and 4.1;
    He et al., Momentum Contrast (MoCo), CVPR 2020.

    Args:
        backbone: a ResNet, `torchvision:NAME` or `timm:NAME`; or `package.module:callable`; or a checkpoint to begin
            with.
        projection_dim: width of the embedding.
        queue_size: K, negatives; the keys of an optimiser step must divide it.
        temperature: τ.
        encoder_momentum: m of the moving average.
        groups: parts of a device's batch that are normalised apart, as on so many devices. None: 1 where several
            devices train; on a single one, where a whole batch would give the positives away, 4 of at least 2 videos.
        base_lr: learning rate for a global batch of 256 videos; it is scaled linearly.
        momentum: of SGD.
        weight_decay: of SGD.
        seed: of the shuffle and of the queue's first keys.
        compile: both backbones, by torch.compile, when training begins.

    Raises:
        ValueError: if the backbone's name is unknown; at the start of `fit`, if the size of the queue or the number of
            groups does not fit the batch, or if `sync_batchnorm` would undo Shuffle BN.
    """

    # Every rank writes the same into its queue, so DDP need not broadcast it before each step.
    _ddp_params_and_buffers_to_ignore = ("queue.keys", "queue.video_ids", "queue.pointer")

    def __init__(
        self,
        backbone: str = "torchvision:resnet18",
        projection_dim: int = 128,
        queue_size: int = 65536,
        temperature: float = 0.2,
        encoder_momentum: float = 0.999,
        groups: int | None = None,
        base_lr: float = 0.05,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.backbone = trainable_network(backbone)
        self.hparams["backbone"] = self.backbone.architecture  # a checkpoint to begin with is not needed again
        width = pooled_width(self.backbone)
        self.projector = mlp(width, width, projection_dim)
        self.target_encoder = averaged_copy(self.encoder)
        self.queue = KeyQueue(queue_size, projection_dim, seed)
        self._new_keys: list[tuple[Tensor, Tensor]] = []

    @property
    def encoder(self) -> nn.Sequential:
        """What learns: backbone and projector."""
        return nn.Sequential(self.backbone, self.projector)

    def forward(self, frames: Tensor) -> Tensor:
        """Queries of one view: `(B, n/2, 3, H, W)` in [0, 1] → unit vectors `(B, n/2, D)`."""
        return encode_groups(self._unit(self.encoder), frames, self._groups(len(frames)))

    @torch.no_grad()
    def keys(self, frames: Tensor) -> Tensor:
        """Keys of the other view, by the moving average; in training those of all ranks, `(ranks · B, n/2, D)`."""
        encode = self._unit(self.target_encoder)
        if not self.training:
            return encode_groups(encode, frames, 1)
        place = hash((self.hparams["seed"], self.global_step, len(self._new_keys))) % 2**63
        return encode_shuffled(encode, frames, self._groups(len(frames)), torch.Generator().manual_seed(place))

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """See `CorrespondenceModule`; publishes also the keys and what tells about the queue."""
        view1, view2 = split_views(batch["clip"])
        p, keys = self(view1), self.keys(view2)
        z = keys.tensor_split(len(keys) // len(p))[ranks_and_rank()[1] if self.training else 0]
        negatives, temperature = self.queue.keys, self.hparams["temperature"]
        video_index = batch["video_index"]
        loss = info_nce_loss(p, z, negatives, temperature, self.queue.own(video_index))
        queries = p.detach()
        return {
            "loss": loss,
            "embeddings": queries.flatten(0, 1),
            "keys": keys,
            "positive_similarity": (queries.mean(dim=1) * z.mean(dim=1)).sum(dim=1).mean(),
            "negative_similarity": queries.mean(dim=(0, 1)) @ negatives.mean(dim=0).to(queries.dtype),
            "queue_age": (self.queue.video_ids >= 0).sum() / self._keys_per_step(batch["clip"]),
        }

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """See `CorrespondenceModule`; the new keys wait for the end of the optimiser step."""
        published = super().training_step(batch, batch_index)
        keys = published.pop("keys")
        self._new_keys.append((keys.flatten(0, 1), gather(batch["video_index"]).repeat_interleave(keys.shape[1])))
        return published

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One optimiser step, then the moving average and the queue follow, once for all accumulated batches."""
        super().optimizer_step(*args, **kwargs)
        update_average(self.target_encoder, self.encoder, self.hparams["encoder_momentum"])
        keys, video_ids = zip(*self._new_keys, strict=True)
        self._new_keys.clear()
        self.queue.enqueue(torch.cat(keys), torch.cat(video_ids))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """SGD with a cosine decay to 0 by step (VFS, section 4.1)."""
        return self.scaled_sgd()

    def on_fit_start(self) -> None:
        """Refuse what would undo Shuffle BN."""
        if self.trainer._accelerator_connector._layer_sync is not None:
            raise ValueError("trainer.sync_batchnorm=true: it would undo Shuffle BN of VFSMoCo; leave it out")
        super().on_fit_start()
        self._new_keys.clear()

    def on_train_start(self) -> None:
        """Print the plan, and warn of BatchNorm that would give the positives away."""
        super().on_train_start()
        if self._groups(self._videos_per_device()) * self.trainer.world_size == 1:
            rank_zero_warn(
                "VFSMoCo: all videos of a batch are normalised together, which tells positives from the queue's keys; "
                "set model.groups to 2 or more (Shuffle BN)"
            )

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Refuse a queue that the keys of a step do not divide, before any work."""
        super().on_train_batch_start(batch, batch_index)
        keys = self._keys_per_step(batch["clip"])
        if sizes := self.queue.nearest_sizes(keys):
            raise ValueError(
                f"queue_size {len(self.queue)}: a step brings {keys} keys, which must divide it; "
                f"the nearest are {' and '.join(map(str, sizes))}"
            )

    def compiled_networks(self) -> list[nn.Module]:
        """The backbone that learns and its moving average."""
        return [self.backbone, self.target_encoder.get_submodule("0")]

    def plan(self) -> dict[str, str]:
        """See `CorrespondenceModule`."""
        plan, queue = super().plan(), self.queue
        batch, world = self._videos_per_device(), self.trainer.world_size
        groups = self._groups(batch)
        megabytes = sum(tensor.nbytes for tensor in queue.buffers()) / 1e6
        plan["BatchNorm"] = f"Shuffle BN: {groups * world} group(s) of {batch // groups} videos"
        plan["negatives"] = f"{len(queue)} keys of {queue.keys.shape[1]} numbers, {megabytes:.1f} MB on each device"
        return plan

    def _unit(self, encoder: nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda images: normalize(encoder(self.normalise(images)).float(), dim=1)

    def _groups(self, videos: int) -> int:
        """Parts of a batch that are normalised apart; one in evaluation, where BatchNorm looks at no batch."""
        if not self.training:
            return 1
        if self.hparams["groups"] is not None:
            return int(self.hparams["groups"])
        if ranks_and_rank()[0] > 1:
            return 1
        return max(groups for groups in (1, 2, 4) if groups == 1 or (videos % groups == 0 and videos >= 2 * groups))

    def _videos_per_device(self) -> int:
        return self.global_batch() // self.trainer.world_size // self.trainer.accumulate_grad_batches

    def _keys_per_step(self, clip: Tensor) -> int:
        accumulated = self._trainer.accumulate_grad_batches if self._trainer is not None else 1
        return len(clip) * clip.shape[1] // 2 * accumulated * ranks_and_rank()[0]
