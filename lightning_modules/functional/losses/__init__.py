"""Objectives on embeddings."""

from .info_nce import info_nce_loss, pair_similarities
from .logsumexp import dot_logsumexp
from .simsiam import simsiam_loss

__all__ = ["dot_logsumexp", "info_nce_loss", "pair_similarities", "simsiam_loss"]
