"""What a user points at in a video's first frame, followed to its last."""

from .callback import VideoPrediction, predict_video
from .follow import propagate_masks, propagate_points, track_box

__all__ = ["VideoPrediction", "predict_video", "propagate_masks", "propagate_points", "track_box"]
