"""Region similarity J and boundary accuracy F of the DAVIS challenge, equal to the official evaluation bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .outlines import BOUND, Masks, Outline, binary_masks, boundary_score, integer_pair, jaccard, object_outlines
from .scoring import DavisRules, MaskScorer, ObjectRows, Video


def region_similarity(prediction: Masks, target: Masks, void: Masks | None = None) -> Tensor:
    """Compute region similarity J: intersection over union of two masks, frame by frame.

    Two empty masks score 1, as in the official evaluation.
    Paper: DAVIS (Perazzi et al., CVPR 2016), section 4.

    Args:
        prediction: (T, H, W) bool, at the annotation's size.
        target: (T, H, W) bool.
        void: (T, H, W) bool, ignored pixels.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        ValueError: if the shapes differ or the masks are not binary.

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
        prediction: (T, H, W) bool, at the annotation's size.
        target: (T, H, W) bool.
        bound: radius in pixels if ≥ 1 (an integer), else a fraction of the diagonal, rounded up to pixels.
        void: (T, H, W) bool, pixels that are background in both masks.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        ValueError: if the shapes differ, the masks are not binary or `bound` is not a radius.
    """
    pairs = _outlines(prediction, target, void, bound)
    return torch.tensor([boundary_score(*pair) for pair in pairs], dtype=torch.float64)


def _outlines(
    prediction: Masks, target: Masks, void: Masks | None, bound: float = BOUND
) -> Iterator[tuple[Outline, Outline]]:
    """Yield the outlines of both masks, frame by frame, without the void pixels."""
    for pair in zip(*binary_masks(prediction, target, void), strict=True):
        predicted, wanted = (object_outlines(mask, [1], bound)[1] for mask in pair)
        yield predicted, wanted


class RegionRows(ObjectRows):
    """J, F and J&F over sequences: mean, recall and decay, averaged over the objects.

    As in DAVIS's semi-supervised task, the first and the last frame of a sequence do not count, and its objects are 1
    to the largest id of the first target. The state is a row per object.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(DavisRules("davis-2017"), **kwargs)

    def update(self, prediction: Masks, target: Masks, *, name: str | None = None) -> None:  # type: ignore[override]
        """Add a sequence.

        Args:
            prediction: (T, H, W) integer ids (or bool for a single object) at the annotation's size.
            target: (T, H, W) integer ids; 255 is never an object: a pixel that is 255 in both is ignored.
            name: the sequence's name; by default its index.

        Raises:
            ValueError: if the shapes differ, or no object or no frame is scored; the message names the sequence.
        """
        with self.named(name) as name:
            predicted, wanted = integer_pair(prediction, target, 3)
            frames = {f"{t:06d}": t for t in range(len(wanted))}
            if len(frames) < 3:
                raise ValueError("no frame is scored")
            scorer = MaskScorer(self.rules, Video(name, list(frames), lambda stem: wanted[frames[stem]]))
            if not scorer.plan:
                raise ValueError("no object to score")
            for stem, t in frames.items():
                scorer.add(stem, wanted[t], predicted[t])
            (objects,) = scorer.finish()
        super().update(name, objects)
