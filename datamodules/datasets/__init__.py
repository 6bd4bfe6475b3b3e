"""Readers of the benchmarks' layouts on disk."""

from .badja import Badja
from .davis import Davis
from .jhmdb import Jhmdb
from .otb import Otb
from .records import BoxSequence, FrameSequence, KeypointSequence, MaskSequence, PartSequence, Reader
from .tap_vid import PointSequence, TapVid
from .vip import Vip
from .vos import Vos
from .youtube_vos import YoutubeVos

__all__ = [
    "Badja",
    "BoxSequence",
    "Davis",
    "FrameSequence",
    "Jhmdb",
    "KeypointSequence",
    "MaskSequence",
    "Otb",
    "PartSequence",
    "PointSequence",
    "Reader",
    "TapVid",
    "Vip",
    "Vos",
    "YoutubeVos",
]
