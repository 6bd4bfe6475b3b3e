"""Checkpoints of this project: what they note, and how they are read."""

from .reading import ForeignCheckpoint, check_fit, hyper_parameters, load_strictly, migrate, note_of, read_checkpoint

__all__ = [
    "ForeignCheckpoint",
    "check_fit",
    "hyper_parameters",
    "load_strictly",
    "migrate",
    "note_of",
    "read_checkpoint",
]
