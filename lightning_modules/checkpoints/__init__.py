"""Checkpoints of this project: their metadata, safe reading, and the classes that they may construct."""

from .command_line import allow_named, saved_model
from .reading import SUFFIXES, ForeignCheckpoint, module_from_checkpoint, read_content
from .saving import SavedModule, write_checkpoint, written_completely
from .trust import allow

__all__ = [
    "SUFFIXES",
    "ForeignCheckpoint",
    "SavedModule",
    "allow",
    "allow_named",
    "module_from_checkpoint",
    "read_content",
    "saved_model",
    "write_checkpoint",
    "written_completely",
]
