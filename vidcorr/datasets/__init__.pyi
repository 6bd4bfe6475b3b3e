from .jhmdb_files import Jhmdb as Jhmdb, KeypointSequence as KeypointSequence
from .otb_files import BoxSequence as BoxSequence, Otb as Otb
from .sequences import FrameSequence as FrameSequence, MaskSequence as MaskSequence
from .tap_vid_files import PointSequence as PointSequence, TapVid as TapVid
from .vip_files import PartSequence as PartSequence, Vip as Vip
from .vos_files import Davis as Davis, Vos as Vos
from .youtube_vos_files import YoutubeVos as YoutubeVos
