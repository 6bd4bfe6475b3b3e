"""Generated videos with exact ground truth: every test, the demo and every benchmark run without a download."""

from .layouts import (
    write_badja,
    write_davis,
    write_got10k,
    write_jhmdb,
    write_otb,
    write_spair,
    write_tap_vid,
    write_videos,
    write_vip,
    write_youtube_vos,
)
from .scene import render_video

__all__ = [
    "render_video",
    "write_badja",
    "write_davis",
    "write_got10k",
    "write_jhmdb",
    "write_otb",
    "write_spair",
    "write_tap_vid",
    "write_videos",
    "write_vip",
    "write_youtube_vos",
]
