"""This project's own choices, for every benchmark: VFS's numbers wherever a source has none."""

from ...evaluation_protocol import Source
from . import vfs

_MASKS = {**vfs.NUMBERS, "label_rescaling_floor": 0.3}

VIDCORR = Source(
    code="this project",
    values={
        "davis": _MASKS,
        "youtube_vos": _MASKS,
        "vip": _MASKS | {"context": 8, "radius": 20},
        "jhmdb": vfs.JHMDB | {"keypoint_counting": "ground-truth"},
    },
    note="The floor keeps the trace of an object that has left from being painted; measured on real videos with "
    "one object each (configs/README.md).",
)
