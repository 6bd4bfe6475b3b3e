"""Label propagation: its protocols, the engine, and the coding of labels."""

from .label_coding import decode_keypoints, decode_masks, encode_keypoints, encode_masks
from .propagate import LabelPropagator, propagate_labels
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
