"""The contrastive random walk (CRW): walks through a video's patches should return to their first patch."""

from typing import Literal

from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.optim import Adam

from vidcorr.backbones import Input, NetworkName, Normalise
from vidcorr.description import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.functional.device import world_size_and_rank
from vidcorr.functional.losses import contrastive_random_walk_loss, draw_dropped_edges
from vidcorr.functional.patches import crop_and_resize, grid_patches, random_patch_boxes
from vidcorr.videos.files import require_fractions, require_one_of

from .base import Batch, CorrespondenceModule
from .parts.schedules import milestone_factor, scheduled

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)
"""CIFAR-10's, by which the public code normalises in training; its evaluation and our extractors take ImageNet's."""
EVALUATION = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="of CRW's evaluation, not of its training")
"""Input of the backbone in benchmarks."""

MILESTONES = (20, 30, 40)
"""Epochs after which the learning rate falls."""


class ContrastiveRandomWalk(CorrespondenceModule):
    """Space-time correspondence as a contrastive random walk.

    Nodes are patches of a frame, or the cells of its feature map. A walker steps from frame to frame with the softmax
    of the nodes' similarities, turns round, and should return to its first node. Edges are dropped at random.

    Paper: CRW (Jabri et al., NeurIPS 2020); the defaults are the released command's. `VideoDataModule` crops the frames
    (area 0.8 to 0.95, no flip, 256 px, every frame separately); its aspect ratio is 3/4 to 4/3, the released code's
    0.7 to 1.3. The released code also passes a black image through the network before training, which moves its
    BatchNorm statistics by one step.

    Args:
        backbone: a network by name, `torchvision:NAME` or `package.module:callable`; or a checkpoint to start from. The
            default is the public code's: ResNet-18 without the strides of res4 and res5, padding by reflection.
        embedding_dim: width of the nodes.
        nodes: "patches": patches of a frame, averaged over their feature map; "cells": cells of a frame's feature map.
        patch_size: side of a patch, pixels.
        patch_stride: pixels from one patch to the next.
        patch_area: smallest and largest fraction of a patch that its random resized crop takes in training.
        temperature: τ.
        edge_dropout: probability that an edge is dropped in training.
        lr: learning rate of Adam; × 0.3 after 20, 30 and 40 epochs. Not scaled with the batch.
        seed: seed of patch crops and dropped edges; None: the run's.

    Raises:
        ValueError: if `nodes` is unknown or a number out of range; in training, if clips have fewer than 3 frames, or
            frames a single node or none.
    """

    def __init__(
        self,
        backbone: NetworkName = "vidcorr.backbones:crw_training_resnet18",
        embedding_dim: int = 128,
        nodes: Literal["patches", "cells"] = "patches",
        patch_size: int = 64,
        patch_stride: int = 32,
        patch_area: tuple[float, float] = (0.7, 0.9),
        temperature: float = 0.05,
        edge_dropout: float = 0.1,
        lr: float = 1e-4,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        require_one_of(("patches", "cells"), nodes=nodes)
        least, most = patch_area
        require_fractions(edge_dropout=edge_dropout, patch_area=most)
        if not 0 < least <= most:
            raise ValueError(f"patch_area must be in [0, 1] and rise, from above 0, got {patch_area}")
        self.nodes = nodes
        self.patch_size = patch_size
        self.patch_stride = patch_stride
        self.patch_area = patch_area
        self.temperature = temperature
        self.edge_dropout = edge_dropout
        self.lr: float = lr
        self.backbone = self.network_to_train(backbone)
        self.normalise = Normalise(MEAN, STD)
        self.scored_input = EVALUATION
        self.head = nn.Linear(self.backbone_width, embedding_dim)

    def forward(self, clip: Tensor) -> Tensor:
        """Return the nodes of a clip, vectors of unit length: `(B, T, 3, H, W)` in [0, 1] → `(B, D, T, N)`.

        N counts the nodes of a frame: its patches, or the cells of its map.
        """
        images = clip.flatten(0, 1)
        if self.nodes == "patches":
            images = self.patches(images)
        return self.nodes_of(self.maps(images), *clip.shape[:2])

    def patches(self, images: Tensor) -> Tensor:
        """Cut frames `(B · T, 3, H, W)` into patches `(B · T · N, 3, P, P)`, cropped at random in training.

        Raises:
            ValueError: for frames smaller than a patch.
        """
        size = self.patch_size
        side = min(images.shape[2:])
        if side < size:
            raise ValueError(f"frames of {side} px hold no patch of {size} px: lower patch_size, or raise data.size")
        patches = grid_patches(images, size, self.patch_stride).flatten(0, 1)
        if not self.training:
            return patches
        generator = self.generator(world_size_and_rank()[1])
        return crop_and_resize(patches, random_patch_boxes(len(patches), size, self.patch_area, generator))

    def nodes_of(self, maps: Tensor, batch: int, frames: int) -> Tensor:
        """Turn maps `(B · T · N, C, h, w)` of patches, or `(B · T, C, h, w)` of frames, into unit nodes `(B, D, T, N)`.

        A node is the mean over the map of a patch; or a cell of a frame's map, row by row.
        """
        cells = maps.flatten(2).mT
        nodes = cells if self.nodes == "cells" else cells.mean(1, keepdim=True)
        nodes = normalize(self.head(nodes).float(), dim=-1)
        return nodes.reshape(batch, frames, -1, nodes.shape[-1]).permute(0, 3, 1, 2)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the mean cross-entropy of all walks; return also `embeddings`, `(B · T · N, D)`, without gradient.

        Raises:
            ValueError: for clips of fewer than 3 frames or with a single node per frame: their loss is always 0.
        """
        nodes = self(batch["clip"])
        frames, count = nodes.shape[2:]
        if frames < 3 or count < 2:
            needed = "CRW needs at least 3 frames and 2 nodes; raise data.frames or data.size"
            raise ValueError(f"clips of {frames} frame(s) with {count} node(s) per frame: {needed}")
        # 1: not the draws of the patch crops
        generator = self.generator(world_size_and_rank()[1], 1)
        dropped = draw_dropped_edges(nodes, self.edge_dropout, generator) if self.training else None
        loss = contrastive_random_walk_loss(nodes, self.temperature, dropped)
        return {"loss": loss, "embeddings": nodes.detach().permute(0, 2, 3, 1).flatten(0, 2)}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam without weight decay; × 0.3 after 20, 30 and 40 epochs."""
        optimizer = Adam([*self.backbone.parameters(), *self.head.parameters()], self.lr)
        epoch_steps = self.steps_per_epoch()
        return scheduled(optimizer, lambda step: milestone_factor(step // epoch_steps, MILESTONES, 0.3))
