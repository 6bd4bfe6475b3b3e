"""VFS with negative pairs."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vidcorr.backbones import NetworkName
from vidcorr.functional.device import world_size_and_rank
from vidcorr.functional.images import as_bytes, as_floats
from vidcorr.functional.losses import info_nce_loss, pair_similarities
from vidcorr.videos.files import require_fractions

from .base import Batch, CorrespondenceModule
from .parts.distributed import all_rows, keyed_generator, own_rows
from .parts.heads import mlp, split_views
from .parts.momentum import KeyQueue, MomentumMethod
from .parts.shuffle_bn import batch_norm_groups, encode_shuffled


class VFSMoCo(MomentumMethod, CorrespondenceModule):
    """Video frame-level similarity learning with negatives from a queue.

    A clip's frames are split in time into two views. The encoder maps the first view to queries q; the momentum
    encoder, its moving average, maps the second view to keys k. The keys then join the queue of negatives. Keys of a
    query's video are never its negatives. Queries and keys are normalised in different BatchNorm groups (Shuffle BN).

    Papers: VFS (Xu and Wang, ICCV 2021), sections 3.1, 3.2 and 4.1; MoCo (He et al., CVPR 2020).

    Args:
        backbone: a ResNet, `torchvision:NAME` or `timm:NAME`; `package.module:callable`; or a checkpoint to start from.
        projection_dim: width of the embeddings.
        queue_size: K, number of negatives.
        temperature: τ.
        encoder_momentum: m of the moving average.
        groups: BatchNorm groups of a device's batch, of at least 2 videos each. None: 1 with several devices; on a
            single device the largest of 4, 2 and 1 that leaves 2 videos per group.
        base_lr: learning rate for a global batch of 256 videos, scaled linearly.
        momentum: momentum of SGD.
        weight_decay: weight decay of SGD.
        seed: seed of the shuffle and of the queue's random first keys; None: the run's.

    Raises:
        ValueError: if the backbone is unknown, or a number is out of range; in training, if the groups do not divide
            the batch.
    """

    target_encoder: nn.Sequential
    further_keys = ("video_index",)

    def __init__(
        self,
        backbone: NetworkName = "torchvision:resnet18",
        projection_dim: int = 128,
        queue_size: int = 65536,
        temperature: float = 0.2,
        encoder_momentum: float = 0.999,
        groups: int | None = None,
        base_lr: float = 0.05,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        require_fractions(encoder_momentum=encoder_momentum)
        self.base_lr = base_lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.wanted_groups = groups
        self.temperature = temperature
        self.encoder_momentum = encoder_momentum
        self.backbone = self.network_to_train(backbone)
        width = self.backbone_width
        self.projector = mlp(width, width, projection_dim)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.queue = KeyQueue(queue_size, projection_dim, self.seed)

    @property
    def encoder(self) -> nn.Sequential:
        """Backbone and projector, which learn by gradient; a new container of the same modules at each access."""
        return nn.Sequential(self.backbone, self.projector)

    def forward(self, frames: Tensor) -> Tensor:
        """Return queries of a view of a clip: float `(B, n/2, 3, H, W)` in [0, 1] → unit vectors `(B, n/2, D)`."""
        return self.unit_vectors(self.encoder, frames)

    @torch.no_grad()
    def encode_keys(self, frames: Tensor) -> Tensor:
        """Encode a view `(B, n/2, 3, H, W)` by the momentum encoder to unit vectors `(B, n/2, D)`.

        In training the keys of all ranks are returned, `(ranks · B, n/2, D)`. Ranks exchange bytes for a quarter of the
        traffic of floats.
        """

        def encode(frames: Tensor) -> Tensor:
            return self.unit_vectors(self.target_encoder, as_floats(frames))

        if not self.training:
            return encode(frames)
        # a shuffle for each batch: keys of earlier batches are held until the step. Published runs drew by these seeds
        generator = keyed_generator(self.seed, self.steps_taken, len(self.queue.held))
        return encode_shuffled(frames, self.groups(len(frames)), generator, encode)

    def unit_vectors(self, encoder: nn.Sequential, frames: Tensor) -> Tensor:
        """Encode frames `(B, m, 3, H, W)`, float in [0, 1], to unit vectors `(B, m, D)`, float32 as the queue.

        In training BatchNorm normalises `groups` of the videos separately.
        """
        with batch_norm_groups(encoder, self.groups(len(frames)) if self.training else 1):
            backbone, projector = encoder
            embeddings = projector(self.embed(frames.flatten(0, 1), backbone)).float()
        return normalize(embeddings).unflatten(0, frames.shape[:2])

    def groups(self, videos: int) -> int:
        """Return the number of BatchNorm groups of a device's batch of videos: the argument `groups`, or its default.

        Example:
            >>> method = VFSMoCo("raw_colour", queue_size=8)
            >>> {videos: method.groups(videos) for videos in (1, 2, 3, 4, 6, 8, 10, 12)}
            {1: 1, 2: 1, 3: 1, 4: 2, 6: 2, 8: 4, 10: 2, 12: 4}
        """
        wanted = self.wanted_groups
        if wanted is not None:
            if wanted < 1 or videos % wanted:
                raise ValueError(f"model.groups is {wanted}, which does not divide a batch of {videos} videos")
            return int(wanted)
        if world_size_and_rank()[0] > 1:
            return 1
        # `deal_videos` refuses several groups of one video
        fitting = [groups for groups in (2, 4) if videos % groups == 0 and videos // groups >= 2]
        return max(fitting, default=1)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss (VFS, Eq. 4); in training, give the keys to the queue.

        Returns:
            `loss`, `embeddings` `(B · n/2, D)`, the mean similarities of `pair_similarities`; in training `queue_age`.
        """
        # q and k: B x n/2 x D; queue: K x D; same_video: B x K
        q = self(split_views(batch["clip"])[0])
        keys = self.encode_keys(split_views(as_bytes(batch["clip"]))[1])
        k = own_rows(keys, len(q))
        queue = self.queue.keys
        same_video = self.queue.same_video(batch["video_index"])
        loss = info_nce_loss(q, k, queue, self.temperature, same_video)
        outputs = {"loss": loss, "embeddings": q.detach().flatten(0, 1)}
        if self.training:
            self.queue.hold(keys, all_rows(batch["video_index"]))
            outputs["queue_age"] = self.queue.age
        return outputs | pair_similarities(q, k, queue)

    def on_train_start(self) -> None:
        """Refuse SyncBatchNorm, which would undo Shuffle BN."""
        if any(isinstance(module, nn.SyncBatchNorm) for module in self.modules()):
            raise ValueError("trainer.sync_batchnorm=true would undo Shuffle BN of VFSMoCo")
        super().on_train_start()

    def plan_rows(self) -> dict[str, str]:
        """Return the rows of the plan, with the groups of Shuffle BN."""
        videos = self.samples_per_device()
        groups = self.groups(videos)
        all_groups = groups * self.trainer.world_size
        text = f"Shuffle BN: {all_groups} group(s) of {videos // groups} videos"
        # queries and keys are normalised with the same videos: batch statistics tell a key from those of the queue
        if all_groups == 1:
            text += ": it gives the positives away, set model.groups to 2 or more"
        return super().plan_rows() | {"BatchNorm": text}
