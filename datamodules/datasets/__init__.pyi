from .badja import Badja as Badja
from .jhmdb import Jhmdb as Jhmdb
from .otb import Otb as Otb
from .records import (
    BoxSequence as BoxSequence,
    FrameSequence as FrameSequence,
    KeypointSequence as KeypointSequence,
    MaskSequence as MaskSequence,
    PartSequence as PartSequence,
    Reader as Reader,
)
from .tap_vid import (
    PointSequence as PointSequence,
    TapVid as TapVid,
)
from .vip import Vip as Vip
from .vos import (
    Davis as Davis,
    Vos as Vos,
)
from .youtube_vos import YoutubeVos as YoutubeVos
