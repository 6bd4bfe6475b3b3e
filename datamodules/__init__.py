from .imagenet import ImageFolderDataModule, VideoFrameDataModule
from .synthetic import SyntheticVideoDataModule
from .video import VideoDataModule

__all__ = ["ImageFolderDataModule", "SyntheticVideoDataModule", "VideoDataModule", "VideoFrameDataModule"]
