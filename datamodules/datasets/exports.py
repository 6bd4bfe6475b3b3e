"""Public names of `datamodules.datasets`, imported when one of them is asked for."""

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
