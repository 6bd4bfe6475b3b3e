"""Objectives on embeddings."""

from .info_nce import info_nce_loss
from .simsiam import simsiam_loss

__all__ = ["info_nce_loss", "simsiam_loss"]
