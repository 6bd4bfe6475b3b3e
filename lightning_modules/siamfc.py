"""SiamFC over a frozen encoder: a 1 × 1 convolution for exemplars and one for search regions learn to track."""

from typing import Any, Literal, cast

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from .backbones import build_encoder, remembered, share
from .backbones.build import UNDILATED, Stage
from .backbones.extractor import Dilated
from .base import CorrespondenceModule
from .functional.siamese import balanced_loss, exponential_factor, focal_loss, response_labels, siamese_correlation

LOSSES = {"focal": focal_loss, "balanced": balanced_loss}


class SiamFC(CorrespondenceModule):
    """The tracking fine-tune of VFS: only two 1 × 1 convolutions over the frozen features learn.

    The backbone stays in eval mode, its BatchNorm statistics as they are. `OtbBenchmark` tracks with it as it does with
    any module. Data: `Got10kDataModule`.

    Papers: SiamFC (Bertinetto et al., 2016); VFS, section 4.2, Table 8 and appendix.

    Args:
        backbone: a checkpoint of any module, `torchvision:NAME`, `timm:NAME` or `package.module:callable` (see
            `build_feature_extractor`).
        stage: whose features are taken, one; None is the network's default.
        stride: pixels per feature cell, where `dilated` is False.
        dilated: remove the strides of res4 and res5 and dilate their 3 × 3 convolutions instead, see
            `ResNetExtractor`; False for networks other than ResNets, Liir's among them.
        pretrained: the library's own weights, for names of timm and torchvision.
        loss: "focal" (VFS) or "balanced" (SiamFC).
        start: "random" (VFS), or "identity": both convolutions begin as none, so that the first response is that of the
            frozen features. That is for budgets far below the paper's 50 epochs of GOT-10k; a frozen response is large,
            so give a `response_scale` of 1e-4 or less with it.
        response_scale: factor on the correlation, 1e-3 for ResNet-18 and 1e-5 for ResNet-50.
        positive_radius: of the label's positive places, pixels of the search crop.
        lr: of Adam, in the first epoch.
        last_lr: reached after the last epoch, by the same factor in each (VFS's appendix: × 0.9 an epoch, which is
            5e-6 after 50).
        encoder: how to make the encoder without its checkpoint; the module writes it into checkpoints of its own.

    Raises:
        ValueError: if the backbone is of no such form or has no such stage, or the loss or the start is another.
    """

    def __init__(
        self,
        backbone: str,
        stage: str | None = "res5",
        stride: int | None = None,
        dilated: Dilated = True,
        pretrained: bool = False,
        loss: Literal["focal", "balanced"] = "focal",
        start: Literal["random", "identity"] = "random",
        response_scale: float = 1e-3,
        positive_radius: float = 16.0,
        lr: float = 1e-3,
        last_lr: float = 1e-5,
        encoder: dict | None = None,
    ) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise ValueError(f"loss must be 'focal' or 'balanced', got {loss!r}")
        if start not in ("random", "identity"):
            raise ValueError(f"start must be 'random' or 'identity', got {start!r}")
        if isinstance(stage, list):
            raise ValueError(f"stage must be one name, got {stage}")
        self.save_hyperparameters()
        whole = build_encoder(backbone, pretrained, encoder)
        self.hparams.update(remembered(whole))
        self.backbone = whole.feature_extractor(stage, stride, dilated).requires_grad_(False).eval()
        self.stride = int(self.backbone.stride)  # type: ignore[arg-type]
        with torch.inference_mode():
            width = self.backbone(torch.zeros(1, 3, 64, 64)).shape[1]
        self.exemplar_conv, self.search_conv = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        if start == "identity":
            for convolution in (self.exemplar_conv, self.search_conv):
                nn.init.dirac_(convolution.weight)
                nn.init.zeros_(cast(Tensor, convolution.bias))

    def train(self, mode: bool = True) -> "SiamFC":
        """The convolutions may train; the backbone never does."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, exemplar: Tensor, search: Tensor) -> Tensor:
        """Float RGB `(N, 3, a, a)` and `(N, 3, b, b)` in [0, 1] → response `(N, 1, n, n)`, logits."""
        with torch.no_grad():
            z, x = self.backbone(exemplar), self.backbone(search)
        return siamese_correlation(self.exemplar_conv(z), self.search_conv(x)) * self.hparams["response_scale"]

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `CorrespondenceModule`; batches are those of `Got10kDataModule`."""
        response = self(batch["exemplar"], batch["search"]).float()
        labels = response_labels(response.shape[-2:], self.hparams["positive_radius"] / self.stride)
        loss = LOSSES[self.hparams["loss"]](response, labels.to(response.device))
        return {"loss": loss, "response": response.detach()}

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> dict[str, Tensor]:
        """One step; logs `train/loss`."""
        published = self.step(batch)
        self.log("train/loss", published["loss"], prog_bar=True, batch_size=len(batch["search"]))
        return published

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """The same objective on held-out pairs; logs `val/loss`."""
        if "search" in batch:
            loss = self.step(batch)["loss"]
            self.log("val/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["search"]))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam without weight decay; the rate falls epoch by epoch, or step by step where the run counts steps."""
        settings, trainer = self.hparams, self.trainer
        optimizer = Adam([p for p in self.parameters() if p.requires_grad], lr=settings["lr"])
        by_epoch = (trainer.max_epochs or 0) > 0
        total = int(trainer.max_epochs) if by_epoch else self.total_steps()  # type: ignore[arg-type]
        last = settings["last_lr"] / settings["lr"]
        schedule = LambdaLR(optimizer, lambda passed: exponential_factor(passed, total, last))
        interval = "epoch" if by_epoch else "step"
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": interval, "name": "lr"}}

    def plan(self) -> dict[str, str]:
        """See `CorrespondenceModule`."""
        return super().plan() | {"BatchNorm": "frozen"}

    def feature_extractor(self, stage: Stage = None, stride: int | None = None, dilated: Dilated = False) -> nn.Module:
        """The features that the tracker correlates.

        Args:
            stage: None or the one that this module was made with.
            stride: None or its own.
            dilated: False or its own.

        Returns:
            See `SiameseExtractor`; it shares the weights.

        Raises:
            ValueError: for another stage, stride or dilation.
        """
        own: Any = self.backbone
        dilation = getattr(own, "dilated", False)
        if stage not in (None, own.stage) or stride not in (None, self.stride) or dilated not in (False, dilation):
            wanted = f"{stage or own.stage} at {stride or self.stride}" + (", dilated," if dilated else "")
            raise ValueError(
                f"SiamFC: it was made for {own.stage} at stride {self.stride}, {wanted} was asked for; {UNDILATED}; "
                "benchmarks other than tracking look at the encoder itself, give them its checkpoint"
            )
        return SiameseExtractor(share(self.backbone), share(self.exemplar_conv), share(self.search_conv)).eval()


class SiameseExtractor(nn.Module):
    """Features of search regions by a call, those of exemplars by `exemplar`.

    Attributes:
        stride: pixels per cell.
    """

    def __init__(self, backbone: nn.Module, exemplar_conv: nn.Module, search_conv: nn.Module) -> None:
        super().__init__()
        self.backbone, self.exemplar_conv, self.search_conv = backbone, exemplar_conv, search_conv
        self.stage, self.stride = getattr(backbone, "stage", None), backbone.stride
        self.dilated = getattr(backbone, "dilated", False)

    def forward(self, images: Tensor) -> Tensor:
        """Float RGB `(N, 3, H, W)` in [0, 1] → `(N, C, h, w)`."""
        return self.search_conv(self.backbone(images))

    def exemplar(self, crops: Tensor) -> Tensor:
        """The same of the crops that a target is known by."""
        return self.exemplar_conv(self.backbone(crops))

    def folded(self) -> "SiameseExtractor":
        """A copy whose backbone has its BatchNorms folded, where it can do that."""
        backbone: Any = self.backbone
        fast = backbone.folded() if hasattr(backbone, "folded") else backbone
        return SiameseExtractor(fast, self.exemplar_conv, self.search_conv)
