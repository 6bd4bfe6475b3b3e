from .got10k import Got10kDataModule as Got10kDataModule
from .imagenet import ImageFolderDataModule as ImageFolderDataModule, VideoFrameDataModule as VideoFrameDataModule
from .synthetic_video import SyntheticVideoDataModule as SyntheticVideoDataModule
from .video import VideoDataModule as VideoDataModule
