"""SiamFC over a frozen encoder: 1 × 1 convolutions, for exemplars and for search regions, learn to track."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Adam

from vidcorr.backbones import FeatureExtractor, NetworkName, width_of
from vidcorr.backbones.copies import module_copy
from vidcorr.backbones.extractor import Dilated
from vidcorr.functional.images import as_floats
from vidcorr.functional.siamese import balanced_loss, focal_loss, response_labels, siamese_correlation
from vidcorr.videos.files import require_one_of

from .base import Batch, CorrespondenceModule
from .parts.heads import ProjectedExtractor
from .parts.schedules import scheduled

LOSSES = {"focal": focal_loss, "balanced": balanced_loss}
"""Argument `loss` → function of logits and labels."""


class SiameseExtractor(ProjectedExtractor):
    """Extractor of search-region features, with `exemplar` for the exemplars' features."""

    def __init__(self, inner: FeatureExtractor, search_conv: nn.Module, exemplar_conv: nn.Module) -> None:
        super().__init__(inner, search_conv, exemplar_conv)
        self.exemplar_conv = exemplar_conv

    def exemplar(self, crops: Tensor) -> Tensor:
        """Return features of exemplar crops, float RGB in [0, 1]: `(N, 3, a, a)` → `(N, C, h, w)`."""
        return self.exemplar_conv(self.inner.map_of(self.prepared(crops)))


class SiamFC(CorrespondenceModule):
    """The tracking fine-tune of VFS: only 1 × 1 convolutions over the frozen features learn.

    The backbone stays in eval mode, so its BatchNorm statistics do not change. `OtbBenchmark` tracks with the module.
    Data: `Got10kDataModule`.

    Papers: SiamFC (Bertinetto et al., ECCV workshops 2016); VFS, section 4.2, Table 8 and appendix. The paper's 68.9 /
    52.2 (precision / success, ResNet-18) belongs to an encoder trained with colour augmentation and 8 frames.

    Args:
        backbone: a checkpoint of any module, `torchvision:NAME`, `timm:NAME` or `package.module:callable` (see
            `build_feature_extractor`).
        stage: stage of the correlated features; None is the network's default.
        stride: pixels per feature cell, if `dilated` is False.
        dilated: dilations in place of the strides of res4 and res5, as in VFS's code; "text": as in its section 4.2.
            False for networks other than ResNets, Liir's among them.
        pretrained: load the library's own weights, for names of timm and torchvision.
        loss: "focal" (VFS) or "balanced" (SiamFC).
        start: "random" (VFS), or "identity": the convolutions start as the identity, so the first response comes from
            the frozen features. Take it for budgets far below the paper's 50 epochs of GOT-10k, with a
            `response_scale` of 1e-4 or less, because the frozen response is large.
        shared_convolution: one convolution for exemplars and search regions, the "additional 1 × 1 convolution" of
            VFS's appendix; False: one for each, as in the released code, whose numbers the paper prints.
        response_scale: factor on the correlation, 1e-3 for ResNet-18 and 1e-5 for ResNet-50.
        positive_radius: radius of the label's positive cells, in pixels of the search crop.
        lr: learning rate of Adam in the first epoch.
        last_lr: learning rate after the last epoch. The rate falls by a constant ratio per epoch: 0.912 over 50 epochs,
            as in the released configuration (the paper's appendix says 0.9, which ends at 5e-6).

    Raises:
        ValueError: if the backbone, its stage, the loss or the start is unknown.
    """

    samples = "pairs"
    measured_by = "--on otb=/data/OTB100"
    images: ClassVar[Mapping[str, str]] = {"exemplar": "B, 3, a, a", "search": "B, 3, b, b"}

    def __init__(
        self,
        backbone: NetworkName,
        stage: str | None = "res5",
        stride: int | None = None,
        dilated: Dilated = True,
        pretrained: bool = False,
        loss: Literal["focal", "balanced"] = "focal",
        start: Literal["random", "identity"] = "random",
        shared_convolution: bool = False,
        response_scale: float = 1e-3,
        positive_radius: float = 16.0,
        lr: float = 1e-3,
        last_lr: float = 1e-5,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        require_one_of(LOSSES, loss=loss)
        require_one_of(("random", "identity"), start=start)
        self.loss = loss
        self.response_scale = response_scale
        self.positive_radius = positive_radius
        self.lr: float = lr
        self.last_lr = last_lr
        encoder = self.frozen_network(backbone, pretrained)
        self.backbone: Any = encoder.view(stage, stride, dilated=dilated).requires_grad_(False).eval()
        self.stride: int = self.backbone.stride
        width = width_of(self.backbone)
        self.exemplar_conv = nn.Conv2d(width, width, 1)
        self.search_conv = self.exemplar_conv if shared_convolution else nn.Conv2d(width, width, 1)
        if start == "identity":
            for convolution in (self.exemplar_conv, self.search_conv):
                nn.init.dirac_(convolution.weight)
                nn.init.zeros_(cast(Tensor, convolution.bias))

    def forward(self, exemplar: Tensor, search: Tensor) -> Tensor:
        """Return logits `(N, 1, n, n)` of float RGB crops `(N, 3, a, a)` and `(N, 3, b, b)` in [0, 1]."""
        with torch.no_grad():
            z = self.backbone(exemplar)
            x = self.backbone(search)
        return siamese_correlation(self.exemplar_conv(z), self.search_conv(x)) * self.response_scale

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss of pairs of `Got10kDataModule`; also return `response` `(N, 1, n, n)`, without gradient."""
        response = self(batch["exemplar"], batch["search"]).float()
        radius = self.positive_radius / self.stride
        labels = response_labels(response.shape[-2:], radius, device=response.device)
        loss = LOSSES[self.loss](response, labels)
        return {"loss": loss, "response": response.detach()}

    def predict_step(self, batch: Batch, batch_index: int = 0, dataloader_idx: int = 0) -> Tensor:
        """Return logits of `exemplar` in `search`, `(N, 1, n, n)`."""
        return self(as_floats(batch["exemplar"]), as_floats(batch["search"]))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam without weight decay; the rate falls by epoch, or by step if `trainer.max_steps` limits the run.

        Source: SiamFC (Bertinetto et al., 2016), section 3.1.
        """
        optimizer = Adam(self.learned_parameters(), self.lr)
        whole_fall = self.last_lr / self.lr
        rate_steps = self.steps_per_epoch() if self.trainer.max_steps == -1 else 1
        steps = self.total_steps()
        return scheduled(optimizer, lambda step: whole_fall ** (step // rate_steps * rate_steps / steps))

    def feature_extractor(
        self, stage: str | None = None, stride: int | None = None, dilated: Dilated = False
    ) -> nn.Module:
        """Return the features that the tracker correlates, a `SiameseExtractor` that shares the weights.

        Raises:
            ValueError: for a stage, stride or dilations that are not this module's; None and False ask for any.
        """
        inner = self.backbone.feature_extractor(stage, stride, dilated).changed(described=self.described)
        # a copy, so that `eval` leaves the mode of this module's convolutions as it is
        return module_copy(SiameseExtractor(inner, self.search_conv, self.exemplar_conv), shares_tensors=True).eval()
