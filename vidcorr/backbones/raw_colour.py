"""Raw colour, a baseline without training."""

from typing import Self

from torch import Tensor, nn

from ..description import IMAGENET_MEAN, IMAGENET_STD, Input, Network
from .extractor import Dilated, FeatureExtractor, NoSuchMap


class RawColour(FeatureExtractor):
    """Baseline without training: the feature of a cell is its mean colour.

    A trained encoder should propagate labels better than this.

    Args:
        stage: `colour`, the only stage.
        stride: pixels per cell; None is 8.

    Raises:
        ValueError: for another stage.
    """

    described = Network(name="raw colour")
    input = Input(mean=IMAGENET_MEAN, std=IMAGENET_STD, source="of raw colour")

    def __init__(self, stage: str = "colour", stride: int | None = None) -> None:
        if stage != "colour":
            raise NoSuchMap(f"stage {stage!r}: raw colour has colour; null is its default")
        super().__init__(stage, self.described.name)
        self.stride = stride or 8

    def feature_extractor(self, stage: str | None = None, stride: int | None = None, dilated: Dilated = False) -> Self:
        """Return raw colour at a stride; None keeps the stride."""
        return super().feature_extractor(stage, dilated=dilated).changed(stride=stride or self.stride)

    def map_of(self, images: Tensor) -> Tensor:
        """Return the mean colours of cells: `(N, 3, H, W)` → `(N, 3, h, w)`, h and w rounded up.

        A cell that the right or lower border cuts has the mean of its pixels within the image.
        """
        return nn.functional.avg_pool2d(images, self.stride, ceil_mode=True)
