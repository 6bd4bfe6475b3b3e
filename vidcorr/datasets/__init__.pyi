from .jhmdb import Jhmdb as Jhmdb, KeypointSequence as KeypointSequence
from .otb import BoxSequence as BoxSequence, Otb as Otb
from .records import FrameSequence as FrameSequence, MaskSequence as MaskSequence
from .tap_vid import PointSequence as PointSequence, TapVid as TapVid
from .vip import PartSequence as PartSequence, Vip as Vip
from .vos import Davis as Davis, Vos as Vos
from .youtube_vos import YoutubeVos as YoutubeVos
