"""This project's own choices, for every benchmark: VFS's numbers wherever a source has none."""

from ...evaluation_protocol import Source
from . import vfs

VIDCORR = Source(
    code="this project",
    values={
        "davis": vfs.NUMBERS,
        "youtube_vos": vfs.NUMBERS,
        "vip": vfs.NUMBERS | {"context": 8, "radius": 20},
        "jhmdb": vfs.JHMDB | {"keypoint_counting": "ground-truth"},
    },
)
