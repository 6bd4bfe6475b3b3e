"""Conversion of other projects' checkpoints to our modules, and export of ours."""

from .families import FAMILIES, family_of
from .foreign_file import ForeignFile, read_foreign

__all__ = ["FAMILIES", "ForeignFile", "family_of", "read_foreign"]
