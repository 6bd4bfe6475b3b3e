"""Sweeps: one backbone under many protocols, with each frame encoded and searched as rarely as possible."""

from .effects import Effect, Scored, choose, effects, read_scores
from .grid import Batch, Grid, batches, read_grid

__all__ = ["Batch", "Effect", "Grid", "Scored", "batches", "choose", "effects", "read_grid", "read_scores"]
