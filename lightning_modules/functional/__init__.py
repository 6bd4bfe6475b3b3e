"""Pure tensor functions: label propagation, its protocols and the coding of labels."""

from .colour import rgb_to_lab
from .compactness import CompactnessPrior, compact_affinity, compactness_loss
from .local_reconstruction import reconstruct_locally
from .losses import contrastive_random_walk_loss, info_nce_loss, simsiam_loss
from .points import PointProtocol, PointTracks, track_points
from .propagation.label_coding import decode_keypoints, decode_masks, encode_keypoints, encode_masks
from .propagation.propagate import LabelPropagator, propagate_labels
from .propagation.protocol import PropagationProtocol
from .reconstruction import local_affinity, reconstruct, reconstruct_with_negatives
from .siamese import siamese_correlation

__all__ = [
    "CompactnessPrior",
    "LabelPropagator",
    "PointProtocol",
    "PointTracks",
    "PropagationProtocol",
    "compact_affinity",
    "compactness_loss",
    "contrastive_random_walk_loss",
    "decode_keypoints",
    "decode_masks",
    "encode_keypoints",
    "encode_masks",
    "info_nce_loss",
    "local_affinity",
    "propagate_labels",
    "reconstruct",
    "reconstruct_locally",
    "reconstruct_with_negatives",
    "rgb_to_lab",
    "siamese_correlation",
    "simsiam_loss",
    "track_points",
]
