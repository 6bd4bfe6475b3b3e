"""A linear classifier on frozen features."""

from typing import Any, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import MultiStepLR
from torchmetrics.classification import MulticlassAccuracy

from .backbones import build_encoder, remembered
from .base import CorrespondenceModule
from .schedules import scaled_lr, sgd_with_cosine

LARC_TRUST = 0.001


class LinearProbe(CorrespondenceModule):
    """Linear classification of pooled, frozen features; logs `val/top1` and `val/top5` (fractions).

    The backbone stays in eval mode, its BatchNorm statistics as they are. Two protocols: MoCo's, SGD whose rate falls
    tenfold at 60 % and 80 % of the epochs; SimSiam's, LARS with a cosine decay, for large batches.

    Papers: MoCo (He et al., CVPR 2020), section 4.1; SimSiam (Chen and He, CVPR 2021), appendix A; used in VFS,
    section 4.3, Table 5.

    Args:
        backbone: a checkpoint, `torchvision:NAME`, `timm:NAME`, `package.module:callable` or `raw_colour`
            (see `build_feature_extractor`).
        num_classes: of the data.
        stage: whose map is pooled; None is the network's default.
        stride: of that map; 32 leaves a ResNet as it was trained, None is the network's default.
        pretrained: the library's own weights, for names of timm and torchvision.
        protocol: "moco" or "simsiam".
        base_lr: for a global batch of 256; None is 30 for "moco", 0.1 for "simsiam".
        momentum: of SGD.
        weight_decay: of SGD.
        encoder: how to make the encoder without its checkpoint; the module writes it into checkpoints of its own.

    Raises:
        ValueError: if the backbone is of no such form; at the start of `fit`, if the data have another number of
            classes.
    """

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        stage: str | None = "res5",
        stride: int | None = 32,
        pretrained: bool = False,
        protocol: Literal["moco", "simsiam"] = "moco",
        base_lr: float | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        encoder: dict | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if protocol not in ("moco", "simsiam"):
            raise ValueError(f"protocol must be 'moco' or 'simsiam', got {protocol!r}")
        self.base_lr = base_lr if base_lr is not None else {"moco": 30.0, "simsiam": 0.1}[protocol]
        whole = build_encoder(backbone, pretrained, encoder)
        self.hparams.update(remembered(whole))
        self.backbone = whole.feature_extractor(stage, stride).requires_grad_(False).eval()
        self.classifier = nn.Linear(self.features(torch.zeros(1, 3, 64, 64)).shape[1], num_classes)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)
        self.top1 = MulticlassAccuracy(num_classes, average="micro")
        self.top5 = MulticlassAccuracy(num_classes, top_k=min(5, num_classes), average="micro")

    def train(self, mode: bool = True) -> "LinearProbe":
        """The classifier may train; the backbone never does."""
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Float RGB `(N, 3, H, W)` in [0, 1] → means of the map `(N, C)`."""
        return self.backbone(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Float RGB `(N, 3, H, W)` in [0, 1] → logits `(N, classes)`."""
        return self.classifier(self.features(images))

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`image` and `label` → `loss` and `logits`."""
        logits = self(batch["image"])
        return {"loss": cross_entropy(logits.float(), batch["label"]), "logits": logits.detach()}

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> dict[str, Tensor]:
        """One step; logs `train/loss`."""
        published = self.step(batch)
        self.log("train/loss", published["loss"], prog_bar=True, batch_size=len(batch["label"]))
        return published

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Logs `val/loss`, `val/top1` and `val/top5`, over all ranks."""
        if "image" not in batch:
            return
        published = self.step(batch)
        size = len(batch["label"])
        self.log("val/loss", published["loss"], sync_dist=True, batch_size=size)
        for name, metric in (("val/top1", self.top1), ("val/top5", self.top5)):
            metric(published["logits"], batch["label"])
            self.log(name, metric, prog_bar=True, batch_size=size)

    def on_fit_start(self) -> None:
        """Refuse data of another number of classes."""
        super().on_fit_start()
        classes = getattr(getattr(self.trainer, "datamodule", None), "classes", None)
        if classes is not None and len(classes) != self.hparams["num_classes"]:
            raise ValueError(f"num_classes is {self.hparams['num_classes']}, the data have {len(classes)}")

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """LARS: each gradient as long as 0.001 of its parameter (SimSiam, appendix A)."""
        if self.hparams["protocol"] == "simsiam":
            for parameter in self.classifier.parameters():
                _scale_gradient(parameter, self.hparams["weight_decay"])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """SGD, or LARS as SGD over scaled gradients, which hold the weight decay already."""
        settings = self.hparams
        lr = scaled_lr(self.base_lr, self.global_batch())
        steps = self.total_steps()
        if settings["protocol"] == "simsiam":
            return sgd_with_cosine(self, lr, settings["momentum"], 0.0, steps)
        optimizer = SGD(self.classifier.parameters(), lr, settings["momentum"], weight_decay=settings["weight_decay"])
        schedule = MultiStepLR(optimizer, [round(0.6 * steps), round(0.8 * steps)])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"}}

    def plan(self) -> dict[str, str]:
        """See `CorrespondenceModule`."""
        return super().plan() | {"BatchNorm": "frozen"}

    def feature_extractor(self, *args: Any, **kwargs: Any) -> nn.Module:
        """A probe has no features of its own.

        Raises:
            ValueError: always.
        """
        raise ValueError("LinearProbe: benchmarks look at the encoder itself; give them its checkpoint")


@torch.no_grad()
def _scale_gradient(parameter: nn.Parameter, weight_decay: float) -> None:
    gradient, length = parameter.grad, parameter.norm()
    if gradient is None:
        return
    ratio = LARC_TRUST * length / (gradient.norm() + weight_decay * length).clamp_min(torch.finfo(length.dtype).tiny)
    # a parameter that is still 0 has no length to go by: its gradient stays as it is
    gradient.add_(parameter, alpha=weight_decay).mul_(torch.where(length > 0, ratio, 1.0))
