"""Any backbone as a module that learns nothing, so that `validate` and `predict` work without training."""

from typing import Any

from torch import nn

from .backbones import build_encoder, remembered
from .backbones.build import Encoder, Stage
from .base import ExtractorModule


class FrozenEncoder(ExtractorModule):
    """A backbone by name, checkpoint or import path, for `validate` and `predict`.

    Args:
        spec: a checkpoint, `timm:NAME`, `torchvision:NAME`, `package.module:callable`, or `raw_colour`
            (see `build_feature_extractor`).
        stage: the stage where a benchmark asks for none.
        stride: the stride, pixels per cell, where a benchmark asks for none.
        pretrained: the library's own weights, for names of timm and torchvision.
        encoder: how to make the encoder without its checkpoint; the module writes it into checkpoints of its own.
        mean: of RGB in [0, 1], where a network by name was trained with another than its library says.
        std: of RGB in [0, 1], for the same case.

    Raises:
        ValueError: if the spec is of no such form, or of one that normalises in its own way and a mean is given.
    """

    def __init__(
        self,
        spec: str,
        stage: str | None = None,
        stride: int | None = None,
        pretrained: bool = False,
        encoder: dict | None = None,
        mean: tuple[float, float, float] | None = None,
        std: tuple[float, float, float] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = build_encoder(spec, pretrained, encoder)
        if mean or std:
            if not isinstance(self.encoder, Encoder):
                raise ValueError(f"{spec}: normalises RGB in its own way; mean and std are for networks by name")
            self.encoder.mean, self.encoder.std = tuple(mean or self.encoder.mean), tuple(std or self.encoder.std)
        self.hparams.update(remembered(self.encoder))

    def feature_extractor(self, stage: Stage = None, stride: int | None = None, **options: Any) -> nn.Module:
        """Return a view of the encoder, see `CorrespondenceModule.feature_extractor`; defaults are this module's."""
        stage, stride = stage or self.hparams["stage"], stride or self.hparams["stride"]
        return self.encoder.feature_extractor(stage, stride, **options).to(self.device)

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Do nothing; benchmarks run in the hooks after it."""
