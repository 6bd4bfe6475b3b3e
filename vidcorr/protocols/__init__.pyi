from .base import EvaluationProtocol as EvaluationProtocol
from .boxes import TrackingProtocol as TrackingProtocol
from .masks import (
    JointProtocol as JointProtocol,
    LabelProtocol as LabelProtocol,
    PropagationProtocol as PropagationProtocol,
)
from .pairs import MatchingProtocol as MatchingProtocol
from .points import PointProtocol as PointProtocol
from .surfaces import SurfaceProtocol as SurfaceProtocol
