"""Metrics of the benchmarks: torchmetrics classes over pure functions."""

from .outlines import Outline, mask_outlines, object_outlines
from .segmentation import (
    RegionBoundary,
    SequenceScore,
    boundary_accuracy,
    region_similarity,
    sequence_statistics,
)

__all__ = [
    "Outline",
    "RegionBoundary",
    "SequenceScore",
    "boundary_accuracy",
    "mask_outlines",
    "object_outlines",
    "region_similarity",
    "sequence_statistics",
]
