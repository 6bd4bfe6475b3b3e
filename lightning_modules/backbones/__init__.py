"""Networks by name, and the views of them that benchmarks use."""

from .build import (
    build_encoder,
    build_feature_extractor,
    describe_network,
    encoder_hparams,
    extractor_of,
    module_from_checkpoint,
    trainable_network,
)
from .extractor import FeatureExtractor, Normalise, RawColour
from .liir_encoder import LiirEncoder, LiirExtractor, PositionMap
from .map_extractor import HeadExtractor, build_head
from .networks import build_network, pooled_width, shared_copy
from .resnet import crw_resnet18, crw_training_resnet18
from .video import Clips, Recurrent, VideoEncoder

__all__ = [
    "Clips",
    "FeatureExtractor",
    "HeadExtractor",
    "LiirEncoder",
    "LiirExtractor",
    "Normalise",
    "PositionMap",
    "RawColour",
    "Recurrent",
    "VideoEncoder",
    "build_encoder",
    "build_feature_extractor",
    "build_head",
    "build_network",
    "crw_resnet18",
    "crw_training_resnet18",
    "describe_network",
    "encoder_hparams",
    "extractor_of",
    "module_from_checkpoint",
    "pooled_width",
    "shared_copy",
    "trainable_network",
]
