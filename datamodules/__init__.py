from .got10k import Got10kDataModule
from .imagenet import ImageFolderDataModule, VideoFrameDataModule
from .synthetic import SyntheticTrackingDataModule, SyntheticVideoDataModule
from .video import VideoDataModule

__all__ = [
    "Got10kDataModule",
    "ImageFolderDataModule",
    "SyntheticTrackingDataModule",
    "SyntheticVideoDataModule",
    "VideoDataModule",
    "VideoFrameDataModule",
]
