"""Any backbone as a module that learns nothing, so that `validate` and `predict` work without training."""

from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .backbones import build_encoder, migrate, note_of, remembered
from .backbones.build import Stage
from .base import features_of, one_empty_batch


class FrozenEncoder(pl.LightningModule):
    """A backbone by name, checkpoint or import path, for `validate` and `predict`.

    Args:
        spec: a checkpoint, `timm:NAME`, `torchvision:NAME`, `package.module:callable`, or `raw_colour`
            (see `build_feature_extractor`).
        stage: the stage where a benchmark asks for none.
        stride: likewise, pixels per cell.
        pretrained: the library's own weights, for names of timm and torchvision.
        encoder: how to make the encoder without its checkpoint; the module writes it into checkpoints of its own.

    Raises:
        ValueError: if the spec is of no such form.
    """

    def __init__(
        self,
        spec: str,
        stage: str | None = None,
        stride: int | None = None,
        pretrained: bool = False,
        encoder: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = build_encoder(spec, pretrained, encoder)
        self.hparams.update(remembered(self.encoder))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `CorrespondenceModule`."""
        checkpoint["vidcorr"] = note_of(self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `CorrespondenceModule`."""
        migrate(checkpoint)

    def feature_extractor(self, stage: Stage = None, stride: int | None = None, dilated: bool = False) -> nn.Module:
        """See `CorrespondenceModule.feature_extractor`."""
        stage, stride = stage or self.hparams["stage"], stride or self.hparams["stride"]
        return self.encoder.feature_extractor(stage, stride, dilated).to(self.device)

    def val_dataloader(self) -> DataLoader[Any]:
        """See `one_empty_batch`."""
        return one_empty_batch()

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Nothing to do; the benchmarks run in the hooks after it."""

    def predict_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Tensor]:
        """See `features_of`."""
        return features_of(self, batch)
