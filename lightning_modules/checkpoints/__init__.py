"""Checkpoints of this project: their metadata, safe reading, and the classes that they may construct."""

from .command_line import allow_named, saved_model
from .metadata import ForeignCheckpoint
from .reading import SUFFIXES, module_from_checkpoint, read_content
from .saved_module import SavedModule
from .trust import allow
from .weights import load_strictly
from .writing import write_checkpoint, written_completely

__all__ = [
    "SUFFIXES",
    "ForeignCheckpoint",
    "SavedModule",
    "allow",
    "allow_named",
    "load_strictly",
    "module_from_checkpoint",
    "read_content",
    "saved_model",
    "write_checkpoint",
    "written_completely",
]
