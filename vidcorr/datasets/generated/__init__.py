"""Generated videos with exact ground truth: tests, the demo and most benchmarks run without a download."""

from .layouts import (
    write_davis as write_davis,
    write_jhmdb as write_jhmdb,
    write_otb as write_otb,
    write_tap_vid as write_tap_vid,
    write_videos as write_videos,
    write_vip as write_vip,
    write_youtube_vos as write_youtube_vos,
)
from .scene import render_video as render_video
from .writers import FIRST_BENCHMARK_VIDEO as FIRST_BENCHMARK_VIDEO
