"""Following points through a video by the similarity of features."""

from .protocol import PointProtocol
from .track import PointTracks, track_points

__all__ = ["PointProtocol", "PointTracks", "track_points"]
