"""Views of a clip, and projector and predictor of the siamese networks."""

from typing import Self

import torch
from torch import Tensor, nn

from vidcorr.backbones.copies import module_copy
from vidcorr.backbones.extractor import FeatureExtractor, View


def split_views(clip: Tensor) -> tuple[Tensor, Tensor]:
    """Split a clip in time into the two views of VFS, the first and the last half (VFS, section 3.2).

    Args:
        clip: `(B, n, …)`, frames in time order.

    Returns:
        Two tensors `(B, n/2, …)`.

    Raises:
        ValueError: if n is odd.

    Example:
        >>> split_views(torch.tensor([[0, 1, 2, 3]]))
        (tensor([[0, 1]]), tensor([[2, 3]]))
    """
    if clip.shape[1] % 2:
        raise ValueError(f"a clip of {clip.shape[1]} frames has no two halves: set data.frames to an even number")
    first, second = torch.chunk(clip, 2, dim=1)
    return first, second


def mlp(*widths: int, norm: bool = False, norm_last: bool = False) -> nn.Sequential:
    """Return linear layers with ReLU between them.

    VFS without negatives (as SimSiam): projector `mlp(C, D, D, D, norm=True, norm_last=True)` and predictor
    `mlp(D, hidden, D, norm=True)`. VFS with negatives (as MoCo v2): projector `mlp(C, C, 128)`.

    Args:
        widths: width of the input, then the output width of every layer.
        norm: put BatchNorm before every ReLU.
        norm_last: put BatchNorm after the last layer.
    """
    layers: list[nn.Module] = []
    last = len(widths) - 2
    for index, width in enumerate(widths[:-1]):
        layers.append(nn.Linear(width, widths[index + 1]))
        has_norm = norm_last if index == last else norm
        if has_norm:
            layers.append(nn.BatchNorm1d(widths[index + 1]))
        if index != last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def start_linear(module: nn.Module) -> None:
    """Start a linear layer, also of an attention, by Xavier's uniform weights and bias 0; leave other modules alone."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


class ProjectedExtractor(FeatureExtractor):
    """An extractor of an encoder's maps after a projection; it shares the weights of encoder and projection.

    Args:
        inner: the encoder's extractor.
        head: the projection: maps `(N, C, h, w)` → `(N, D, h, w)`.
        further: modules that a subclass's constructor takes after these two; `folded` and `changed` pass them on.
    """

    def __init__(self, inner: FeatureExtractor, head: nn.Module, *further: nn.Module) -> None:
        super().__init__(inner.stage, "the encoder")
        self.inner = inner
        # a copy, so that `eval` below leaves the mode of `head`
        self.head = module_copy(head, shares_tensors=True)
        self.further = further
        # the annotations name the facts that benchmarks read: stride, input, description, …; all are the encoder's
        for name in (*View.__annotations__, *FeatureExtractor.__annotations__):
            setattr(self, name, getattr(inner, name))
        self.eval()

    def map_of(self, images: Tensor) -> Tensor:
        """Return the projected maps `(N, D, h, w)` of images that `prepared` has normalised."""
        return self.head(self.inner.map_of(images))

    def folded(self) -> Self:
        """Return a copy whose encoder has its BatchNorms folded into its convolutions."""
        return type(self)(self.inner.folded(), self.head, *self.further)

    def changed(self, **values: object) -> Self:
        """Return a copy whose encoder's extractor has other values, by its own `changed(**values)`."""
        return type(self)(self.inner.changed(**values), self.head, *self.further)
