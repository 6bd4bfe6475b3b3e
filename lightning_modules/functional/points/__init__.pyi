from .protocol import PointProtocol as PointProtocol
from .track import PointTracks as PointTracks, track_points as track_points
