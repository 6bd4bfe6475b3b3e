"""Readers of the benchmarks' layouts on disk."""

from .davis import Davis
from .jhmdb import Jhmdb
from .records import FrameSequence, KeypointSequence, MaskSequence, PartSequence, Reader
from .vip import Vip
from .youtube_vos import YoutubeVos

__all__ = [
    "Davis",
    "FrameSequence",
    "Jhmdb",
    "KeypointSequence",
    "MaskSequence",
    "PartSequence",
    "Reader",
    "Vip",
    "YoutubeVos",
]
