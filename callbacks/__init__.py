"""Benchmarks, checkpoints and predictions as Lightning callbacks.

The names are those of `exports.py`, imported when one is asked for (PEP 562): a tool that needs neither torch nor
Lightning imports neither.
"""

from typing import TYPE_CHECKING

from datamodules.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .exports import *  # noqa: F403

__getattr__, __dir__ = lazy_exports(__name__)
