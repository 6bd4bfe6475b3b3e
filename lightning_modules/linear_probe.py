"""A linear classifier on frozen features."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from torchmetrics.classification import MulticlassAccuracy

from vidcorr.backbones import NetworkName, width_of
from vidcorr.functional.images import as_floats
from vidcorr.videos.files import require_one_of

from .base import Batch, CorrespondenceModule
from .parts.schedules import cosine_factor, milestone_factor, scheduled

RATES = {"moco": 30.0, "simsiam": 0.1}
"""Default learning rate for a global batch of 256, by protocol."""


class LinearProbe(CorrespondenceModule):
    """Linear classification of pooled, frozen features; logs `val/top1` and `val/top5` (fractions).

    The backbone stays in eval mode, so its BatchNorm statistics do not change. There are two protocols. MoCo's is SGD;
    its learning rate falls tenfold at 60 % and 80 % of the epochs. SimSiam's is LARS with a cosine decay, for large
    batches.

    Papers: MoCo (He et al., CVPR 2020), section 4.1; SimSiam (Chen and He, CVPR 2021), appendix A; VFS, section 4.3,
    Table 5. SimSiam's appendix has a LARS rate of 0.02 for a batch of 256; its code later took 0.1.

    Args:
        backbone: a checkpoint, `torchvision:NAME`, `timm:NAME`, `package.module:callable` or `raw_colour`,
            the baseline without training.
        num_classes: number of classes of the data.
        stage: stage of the pooled features; None is the network's default.
        stride: pixels per feature cell; 32 keeps a ResNet's strides, None is the network's default.
        pretrained: load the library's weights, for names of timm and torchvision.
        protocol: "moco" or "simsiam".
        base_lr: learning rate for a global batch of 256; None is 30 for "moco" and 0.1 for "simsiam" (the paper: 0.02).
        momentum: momentum of SGD.
        weight_decay: weight decay of SGD.

    Raises:
        ValueError: if the backbone or the protocol is unknown.

    Example:
        >>> probe = LinearProbe("raw_colour", num_classes=1000, stage=None, stride=8)
        >>> probe(torch.rand(2, 3, 32, 48)).shape, probe.base_lr
        (torch.Size([2, 1000]), 30.0)
        >>> round(probe.classifier.weight.std().item(), 3), probe.classifier.bias.any()  # it starts near zero
        (0.01, tensor(False))
    """

    samples = "images"
    images: ClassVar[Mapping[str, str]] = {"image": "B, 3, H, W"}
    further_keys = ("label",)
    measured_by = ""

    def __init__(
        self,
        backbone: NetworkName,
        num_classes: int,
        stage: str | None = "res5",
        stride: int | None = 32,
        pretrained: bool = False,
        protocol: Literal["moco", "simsiam"] = "moco",
        base_lr: float | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        require_one_of(RATES, protocol=protocol)
        self.protocol = protocol
        self.base_lr = RATES[protocol] if base_lr is None else base_lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.backbone = self.frozen_network(backbone, pretrained).view(stage, stride).requires_grad_(False).eval()
        self.classifier = nn.Linear(width_of(self.backbone), num_classes)
        # as in MoCo's main_lincls.py
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)
        self.top1 = MulticlassAccuracy(num_classes, average="micro")
        self.top5 = MulticlassAccuracy(num_classes, top_k=min(5, num_classes), average="micro")

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return pooled features: float RGB `(N, 3, H, W)` in [0, 1] → means over the map `(N, C)`."""
        return self.backbone(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits: float RGB `(N, 3, H, W)` in [0, 1] → `(N, classes)`."""
        return self.classifier(self.features(images))

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the cross-entropy of `image` and `label`; return also `logits`, `(N, classes)`, without gradient."""
        logits = self(batch["image"])
        return {"loss": cross_entropy(logits.float(), batch["label"]), "logits": logits.detach()}

    def predict_step(self, batch: Batch, batch_index: int = 0, dataloader_idx: int = 0) -> Tensor:
        """Return logits of `image`, `(N, classes)`."""
        return self(as_floats(batch["image"]))

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> dict[str, Tensor] | None:
        """Log `val/loss`, `val/top1` and `val/top5`, over the images of all ranks."""
        outputs = super().validation_step(batch, batch_index, dataloader_idx)
        if outputs is not None:
            for name, metric in (("val/top1", self.top1), ("val/top5", self.top5)):
                # new tensors: a fit may not change those that an earlier `validate` made in inference mode
                if batch_index == 0:
                    metric.reset()
                metric(outputs["logits"], batch["label"])
                self.log(name, metric, prog_bar=True, batch_size=self.samples_in(batch))
        return outputs

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return SGD, or LARS for SimSiam's protocol (SimSiam, appendix A), with the protocol's schedule."""
        from timm.optim import Lars

        lr = self.rate_of_batch(self.base_lr)
        steps = self.total_steps()
        weights = self.classifier.parameters()
        if self.protocol == "simsiam":
            # always_adapt: the rate of a parameter is adapted also without weight decay, the protocol's default
            lars = Lars(weights, lr, self.momentum, weight_decay=self.weight_decay, always_adapt=True)
            return scheduled(lars, lambda step: cosine_factor(step, steps))
        optimizer = SGD(weights, lr, self.momentum, weight_decay=self.weight_decay)
        milestones = [round(0.6 * steps), round(0.8 * steps)]
        return scheduled(optimizer, lambda step: milestone_factor(step, milestones, 0.1))

    def feature_extractor(self, *arguments: object, **options: object) -> nn.Module:
        """Raise ValueError: benchmarks evaluate the probe's encoder by its checkpoint."""
        raise ValueError("LinearProbe: benchmarks evaluate the encoder itself; give them its checkpoint")
