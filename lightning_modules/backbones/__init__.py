"""Encoders by name, and the view of them that benchmarks use."""

from .build import (
    build_encoder,
    build_feature_extractor,
    extractor_of,
    module_from_checkpoint,
    remembered,
    trainable_network,
)
from .checkpoints import check_fit, load_strictly, migrate, note_of, read_checkpoint
from .extractor import FeatureExtractor, Normalise, RawColour
from .foreign import crw_resnet18
from .liir_encoder import LiirEncoder, LiirExtractor, PositionMap
from .networks import build_network, pooled_width, share

__all__ = [
    "FeatureExtractor",
    "LiirEncoder",
    "LiirExtractor",
    "Normalise",
    "PositionMap",
    "RawColour",
    "build_encoder",
    "build_feature_extractor",
    "build_network",
    "check_fit",
    "crw_resnet18",
    "extractor_of",
    "load_strictly",
    "migrate",
    "module_from_checkpoint",
    "note_of",
    "pooled_width",
    "read_checkpoint",
    "remembered",
    "share",
    "trainable_network",
]
