"""Generated videos with exact ground truth, so that every test and the demo run without a download."""

from .datamodule import SyntheticVideoDataModule
from .scene import render_video
from .writers import write_davis, write_videos

__all__ = ["SyntheticVideoDataModule", "render_video", "write_davis", "write_videos"]
