from .base import EvaluationProtocol as EvaluationProtocol
from .box_protocols import TrackingProtocol as TrackingProtocol
from .label_protocols import (
    JointProtocol as JointProtocol,
    LabelProtocol as LabelProtocol,
    PropagationProtocol as PropagationProtocol,
)
from .points import PointProtocol as PointProtocol
