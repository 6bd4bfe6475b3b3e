"""A module around a frozen backbone, for `validate` without training."""

from typing import Any

from vidcorr.backbones import Encoder, NetworkName
from vidcorr.description import stated_input

from .parts.saving import SavedModule


class FrozenEncoder(SavedModule):
    """A backbone by name, checkpoint or import path, for `validate`.

    Args:
        spec: a checkpoint, `timm:NAME`, `torchvision:NAME`, `package.module:callable`, or `raw_colour`,
            the baseline without training.
        stage: stage of the features, unless a benchmark names another.
        stride: pixels per feature cell, unless a benchmark names another.
        pretrained: load the library's weights, for names of timm and torchvision.
        mean: mean of RGB in [0, 1] in the network's training; None: as the network, its checkpoint or its library
            states.
        std: standard deviation of RGB in [0, 1] in the network's training, given with `mean`.

    Raises:
        ValueError: for an unknown spec, or a mean without a deviation.
    """

    evaluated_prefix = "encoder.network."

    def __init__(
        self,
        spec: NetworkName,
        stage: str | None = None,
        stride: int | None = None,
        pretrained: bool = False,
        mean: tuple[float, float, float] | None = None,
        std: tuple[float, float, float] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        encoder = self.frozen_network(spec, pretrained, "spec")
        # what the user gives replaces what the network's name or checkpoint states
        self.encoder = encoder.changed(
            stated=stated_input(mean, std) or encoder.stated,
            default_stage=stage or encoder.default_stage,
            default_stride=stride or encoder.default_stride,
        )

    @property
    def evaluated(self) -> Encoder:
        """The encoder; its description names the checkpoint of a loaded module."""
        return self.encoder.changed(described=self.described or self.encoder.described)

    def validation_step(self, batch: dict[str, Any], batch_index: int, dataloader_idx: int = 0) -> None:
        """Do nothing: Lightning validates only a module with this method."""
