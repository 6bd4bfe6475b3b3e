"""Pure tensor functions: label propagation and its protocols."""

from .propagation import LabelPropagator, propagate_labels
from .protocol import PropagationProtocol

__all__ = ["LabelPropagator", "PropagationProtocol", "propagate_labels"]
