"""A module around any backbone that learns nothing, for `validate` and `predict` without training."""

from typing import Any

import torch
from torch import nn

from .backbones import FeatureExtractor, HeadExtractor, build_encoder, build_head, encoder_hparams
from .backbones.build import Encoder, Stage
from .base import ExtractorModule


class FrozenEncoder(ExtractorModule):
    """A backbone by name, checkpoint or import path, for `validate` and `predict`.

    Args:
        spec: a checkpoint, `timm:NAME`, `torchvision:NAME`, `package.module:callable`, or `raw_colour`
            (see `build_feature_extractor`).
        stage: default where a benchmark names no stage.
        stride: default in pixels per cell, where a benchmark names none.
        pretrained: the library's own weights, for names of timm and torchvision.
        encoder: class and arguments of an encoder that came from a checkpoint; written into checkpoints of this module.
        mean: mean of RGB in [0, 1], where a network by name was trained with another than its library says.
        std: standard deviation of RGB in [0, 1], for the same case.
        head: `package.module:callable` of a module over the features, such as an up-sampler; see `build_head`.

    Raises:
        ValueError: if the spec or the head is of no such form, or a mean is given for an encoder that normalises RGB in
            its own way.
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
        head: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = build_encoder(spec, pretrained, encoder)
        if mean or std:
            if not isinstance(self.encoder, Encoder):
                raise ValueError(f"{spec}: normalises RGB in its own way; mean and std are for networks by name")
            self.encoder.mean, self.encoder.std = tuple(mean or self.encoder.mean), tuple(std or self.encoder.std)
        self.head = build_head(head) if head else None
        self.hparams.update(encoder_hparams(self.encoder))

    def feature_extractor(self, stage: Stage = None, stride: int | None = None, **options: Any) -> nn.Module:
        """Return a view of the encoder, see `CorrespondenceModule.feature_extractor`; defaults are this module's."""
        stage, stride = stage or self.hparams["stage"], stride or self.hparams["stride"]
        view = self.encoder.feature_extractor(stage, stride, **options)
        tried_on_meta = torch.empty(0).is_meta  # `self.device` is the CPU then in torch 2.6
        if isinstance(view, nn.Module) and not tried_on_meta:  # an encoder of video moves with the network inside
            view = view.to(self.device)
        if self.head is None:
            return view
        if not isinstance(view, FeatureExtractor):
            raise ValueError(f"{type(view).__name__} has its own head; leave --model.head out")
        return HeadExtractor(view, self.head)

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Do nothing; benchmarks run in the hooks after it."""
        return
