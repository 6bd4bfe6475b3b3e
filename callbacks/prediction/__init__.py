"""Masks, boxes and points of a user, followed through a video.

`propagate_masks` and `propagate_points` propagate labels and heat maps, `track_box` follows a box by
SiamFC, and `follow_points` tracks points by a point protocol, from any frame in both directions.
"""

from .follow import follow_points, propagate_masks, propagate_points, track_box
from .predict import VideoPrediction, predict_video

__all__ = ["VideoPrediction", "follow_points", "predict_video", "propagate_masks", "propagate_points", "track_box"]
