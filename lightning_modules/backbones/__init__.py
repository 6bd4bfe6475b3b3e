"""Encoders by name, and the view of them that benchmarks use."""

from .build import build_encoder, build_feature_extractor, extractor_of, module_from_checkpoint
from .extractor import FeatureExtractor, Normalise, RawColour
from .networks import build_network, pooled_width, share

__all__ = [
    "FeatureExtractor",
    "Normalise",
    "RawColour",
    "build_encoder",
    "build_feature_extractor",
    "build_network",
    "extractor_of",
    "module_from_checkpoint",
    "pooled_width",
    "share",
]
