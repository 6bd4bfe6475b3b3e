"""Reconstruction of a frame from windows of its reference frames (Liir)."""

from .affinity import (
    local_affinity,
    positive_mass,
    reconstruct,
    reconstruct_with_negatives,
    reconstruction_loss,
)
from .local_reconstruction import LocalReconstruction, reconstruct_locally
from .window_tiles import Border

__all__ = [
    "Border",
    "LocalReconstruction",
    "local_affinity",
    "positive_mass",
    "reconstruct",
    "reconstruct_locally",
    "reconstruct_with_negatives",
    "reconstruction_loss",
]
