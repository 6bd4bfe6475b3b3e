"""Objectives on embeddings."""

from .info_nce import info_nce_loss, pair_similarities
from .logsumexp import dot_logsumexp
from .random_walk import contrastive_random_walk_loss, drop_edges
from .simsiam import simsiam_loss

__all__ = [
    "contrastive_random_walk_loss",
    "dot_logsumexp",
    "drop_edges",
    "info_nce_loss",
    "pair_similarities",
    "simsiam_loss",
]
