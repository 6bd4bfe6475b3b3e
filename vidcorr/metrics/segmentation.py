"""Region similarity J and boundary accuracy F of the DAVIS challenge, equal to the official evaluation bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .outlines import BOUND, Masks, Outline, as_array, as_pair, boundary_score, jaccard, object_outlines


def region_similarity(prediction: Masks, target: Masks, void: Masks | None = None) -> Tensor:
    """Compute region similarity J: intersection over union of two masks, frame by frame.

    Two empty masks score 1, as in the official evaluation.
    Paper: DAVIS (Perazzi et al., CVPR 2016), section 4.

    Args:
        prediction: (T, H, W) bool, or integers 0 and 1, at the annotation's size.
        target: (T, H, W) bool, or integers 0 and 1.
        void: (T, H, W) bool, pixels that are background in both masks.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        ValueError: if the shapes differ, or the masks hold anything but bool or the integers 0 and 1.

    Example:
        >>> mask = torch.ones(2, 4, 4, dtype=torch.bool)
        >>> region_similarity(mask, mask)
        tensor([1., 1.], dtype=torch.float64)
    """
    pairs = _outlines(prediction, target, void)
    return torch.tensor([jaccard(*pair) for pair in pairs], dtype=torch.float64)


def boundary_accuracy(prediction: Masks, target: Masks, bound: float = BOUND, void: Masks | None = None) -> Tensor:
    """Compute boundary accuracy F: harmonic mean of the precision and recall of the masks' boundary pixels.

    A boundary pixel is found if the other boundary has a pixel in a disk of radius `bound` around it. Two empty
    boundaries score 1, a single empty boundary scores 0; a mask that fills the image has an empty boundary.
    Paper: DAVIS (Perazzi et al., CVPR 2016), section 4; conventions of davis2017-evaluation.

    Args:
        prediction: as of `region_similarity`; what it returns and raises, too.
        target: as of `region_similarity`.
        bound: radius in pixels if ≥ 1 (an integer), else a fraction of the diagonal, rounded up to pixels.
        void: as of `region_similarity`.

    Example:
        >>> mask = torch.zeros(1, 20, 20, dtype=torch.bool)
        >>> mask[:, 5:15, 5:15] = True
        >>> boundary_accuracy(mask, mask.roll(1, dims=2))
        tensor([1.], dtype=torch.float64)
        >>> boundary_accuracy(mask, mask.roll(5, dims=2)).round(decimals=3)
        tensor([0.4510], dtype=torch.float64)
    """
    pairs = _outlines(prediction, target, void, bound)
    return torch.tensor([boundary_score(*pair) for pair in pairs], dtype=torch.float64)


def _outlines(
    prediction: Masks, target: Masks, void: Masks | None, bound: float = BOUND
) -> Iterator[tuple[Outline, Outline]]:
    predicted, wanted = as_pair(prediction, target)
    for masks in (predicted, wanted):
        if masks.dtype.kind not in "bui" or masks.max(initial=0) > 1 or masks.min(initial=0) < 0:
            raise ValueError(f"masks must be bool, or integers 0 and 1 (ids == 1 is object 1), got {masks.dtype}")
    counted = np.ones(wanted.shape, bool) if void is None else as_array(void) == 0
    for predicted_mask, wanted_mask, inside in zip(predicted, wanted, counted, strict=True):
        predicted_outline = object_outlines(predicted_mask * inside, [1], bound)[1]
        wanted_outline = object_outlines(wanted_mask * inside, [1], bound)[1]
        yield predicted_outline, wanted_outline
