"""Readers of the benchmarks' layouts on disk."""

from .davis import Davis
from .records import MaskSequence

__all__ = ["Davis", "MaskSequence"]
