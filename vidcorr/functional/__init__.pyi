import vidcorr.protocols

from .colour import rgb_to_lab as rgb_to_lab
from .compactness import CompactnessPrior as CompactnessPrior
from .local_reconstruction import reconstruct_locally as reconstruct_locally
from .losses import (
    contrastive_random_walk_loss as contrastive_random_walk_loss,
    info_nce_loss as info_nce_loss,
    simsiam_loss as simsiam_loss,
)
from .points.track import PointTracks as PointTracks, track_points as track_points
from .propagation.coding import (
    decode_keypoints as decode_keypoints,
    decode_masks as decode_masks,
    encode_keypoints as encode_keypoints,
    encode_masks as encode_masks,
)
from .propagation.propagate import LabelPropagator as LabelPropagator, propagate_labels as propagate_labels
from .siamese import siamese_correlation as siamese_correlation

PropagationProtocol = vidcorr.protocols.PropagationProtocol
