"""VFS without negative pairs."""

import torch
from torch import Tensor

from vidcorr.backbones import NetworkName
from vidcorr.functional.losses import simsiam_loss

from .base import Batch, CorrespondenceModule
from .parts.heads import mlp, split_views
from .parts.shuffle_bn import batch_norm_groups


class VFSSimSiam(CorrespondenceModule):
    """Video frame-level similarity learning without negatives: frames of a video are pulled together.

    A clip's frames are split in time into two views. A predictor maps the projections of a view onto the projections
    of the other view, which receive no gradient. BatchNorm in the heads helps to prevent collapse; on several GPUs its
    statistics are taken over all GPUs.

    Paper: Xu and Wang, Rethinking Self-supervised Correspondence Learning (VFS), ICCV 2021, sections 3.2 and 4.1.

    Args:
        backbone: a ResNet, `torchvision:NAME` or `timm:NAME`; `package.module:callable`; or a checkpoint to start from.
        projector_dim: width of the projector (512 for ResNet-18, 2048 for ResNet-50).
        predictor_dim: hidden width of the predictor (128 for ResNet-18, 512 for ResNet-50).
        base_lr: learning rate for a global batch of 256 videos, scaled linearly.
        momentum: momentum of SGD.
        weight_decay: weight decay of SGD.

    Raises:
        ValueError: if the backbone is unknown.
    """

    synchronises_batch_norm = True

    def __init__(
        self,
        backbone: NetworkName = "torchvision:resnet18",
        projector_dim: int = 512,
        predictor_dim: int = 128,
        base_lr: float = 0.05,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.base_lr = base_lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.backbone = self.network_to_train(backbone)
        self.projector = mlp(self.backbone_width, *[projector_dim] * 3, norm=True, norm_last=True)
        self.predictor = mlp(projector_dim, predictor_dim, projector_dim, norm=True)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and projections of a view: `(B, n/2, 3, H, W)` in [0, 1] → p and z, both `(B, n/2, D)`."""
        z = self.projector(self.embed(frames.flatten(0, 1)))
        p = self.predictor(z)
        return p.unflatten(0, frames.shape[:2]), z.unflatten(0, frames.shape[:2])

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss (Eq. 5); return also `embeddings`, the first view's projections `(B · n/2, D)`.

        In training BatchNorm statistics are taken separately over the two views, as in SimSiam.
        """
        views = torch.cat(split_views(batch["clip"]))
        with batch_norm_groups(self, 2 if self.training else 1):
            p, z = self(views)
        p1, p2 = p.chunk(2)
        z1, z2 = z.chunk(2)
        return {"loss": simsiam_loss(p1, z1, p2, z2), "embeddings": z1.detach().flatten(0, 1)}
