"""Sampling, augmentation and loading of training clips."""

from .sampling import Augmentation, FrameSampling, continuous_indices, distant_indices

__all__ = ["Augmentation", "FrameSampling", "continuous_indices", "distant_indices"]
