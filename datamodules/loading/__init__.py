"""Sampling, crops and loading of training clips."""

from .sampling import continuous_indices, distant_indices

__all__ = ["continuous_indices", "distant_indices"]
