"""Pure tensor functions: label propagation, its protocols and the coding of labels."""

from .affinity import local_affinity, reconstruct, reconstruct_with_negatives
from .color import rgb_to_lab
from .compactness import CompactnessPrior, compact_affinity, compactness_loss
from .info_nce import info_nce_loss
from .labels import decode_keypoints, decode_masks, encode_keypoints, encode_masks
from .local_reconstruction import reconstruct_locally
from .losses import simsiam_loss
from .propagation import LabelPropagator, propagate_labels, propagation_memory
from .protocol import PropagationProtocol
from .siamese import siamese_correlation

__all__ = [
    "CompactnessPrior",
    "LabelPropagator",
    "PropagationProtocol",
    "compact_affinity",
    "compactness_loss",
    "decode_keypoints",
    "decode_masks",
    "encode_keypoints",
    "encode_masks",
    "info_nce_loss",
    "local_affinity",
    "propagate_labels",
    "propagation_memory",
    "reconstruct",
    "reconstruct_locally",
    "reconstruct_with_negatives",
    "rgb_to_lab",
    "siamese_correlation",
    "simsiam_loss",
]
