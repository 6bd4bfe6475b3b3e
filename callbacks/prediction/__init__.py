"""What a user points at in a video's first frame, followed to its last."""

from .callback import VideoPrediction, predict_video
from .follow import propagate_masks, propagate_points, track_box
from .queries import follow_points

__all__ = ["VideoPrediction", "follow_points", "predict_video", "propagate_masks", "propagate_points", "track_box"]
