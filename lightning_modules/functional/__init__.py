"""Pure tensor functions: label propagation, its protocols and the coding of labels."""

from .labels import decode_keypoints, decode_masks, encode_keypoints, encode_masks
from .propagation import LabelPropagator, propagate_labels
from .protocol import PropagationProtocol

__all__ = [
    "LabelPropagator",
    "PropagationProtocol",
    "decode_keypoints",
    "decode_masks",
    "encode_keypoints",
    "encode_masks",
    "propagate_labels",
]
