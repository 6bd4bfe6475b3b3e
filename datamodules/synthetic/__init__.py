"""Generated videos with exact ground truth, so that every test and the demo run without a download."""

from .scene import render_video
from .writers import write_davis, write_got10k, write_otb, write_tap_vid, write_videos

__all__ = [
    "render_video",
    "write_davis",
    "write_got10k",
    "write_otb",
    "write_tap_vid",
    "write_videos",
]
