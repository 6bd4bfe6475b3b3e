"""Generated videos with exact ground truth: every test, the demo and every benchmark run without a download."""

from .layouts import (
    write_badja as write_badja,
    write_davis as write_davis,
    write_got10k as write_got10k,
    write_jhmdb as write_jhmdb,
    write_otb as write_otb,
    write_soco as write_soco,
    write_spair as write_spair,
    write_tap_vid as write_tap_vid,
    write_videos as write_videos,
    write_vip as write_vip,
    write_youtube_vos as write_youtube_vos,
)
from .scene import render_video as render_video
from .surfaces import write_navi as write_navi, write_scannet as write_scannet
