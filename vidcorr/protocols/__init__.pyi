from .base import EvaluationProtocol as EvaluationProtocol
from .boxes import TrackingProtocol as TrackingProtocol
from .masks import (
    JointProtocol as JointProtocol,
    LabelProtocol as LabelProtocol,
    PropagationProtocol as PropagationProtocol,
)
from .points import PointProtocol as PointProtocol
