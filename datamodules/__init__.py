from .synthetic import SyntheticVideoDataModule
from .video import VideoDataModule

__all__ = ["SyntheticVideoDataModule", "VideoDataModule"]
