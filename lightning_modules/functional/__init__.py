"""Pure tensor functions: label propagation, its protocols and the coding of labels."""

from .compactness import compact_affinity
from .info_nce import info_nce_loss
from .labels import decode_keypoints, decode_masks, encode_keypoints, encode_masks
from .propagation import LabelPropagator, propagate_labels, propagation_memory
from .protocol import PropagationProtocol
from .siamese import siamese_correlation

__all__ = [
    "LabelPropagator",
    "PropagationProtocol",
    "compact_affinity",
    "decode_keypoints",
    "decode_masks",
    "encode_keypoints",
    "encode_masks",
    "info_nce_loss",
    "propagate_labels",
    "propagation_memory",
    "siamese_correlation",
]
