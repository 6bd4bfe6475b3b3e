"""Public names of `datamodules`, imported when one of them is asked for."""

from .got10k import Got10kDataModule
from .imagenet import ImageFolderDataModule, VideoFrameDataModule
from .prompted_video import FrameStream, PromptedVideoDataModule
from .reading.prompts import BoxPrompt, MaskPrompt, PointPrompt
from .synthetic_video import SyntheticTrackingDataModule, SyntheticVideoDataModule
from .video import VideoDataModule

__all__ = [
    "BoxPrompt",
    "FrameStream",
    "Got10kDataModule",
    "ImageFolderDataModule",
    "MaskPrompt",
    "PointPrompt",
    "PromptedVideoDataModule",
    "SyntheticTrackingDataModule",
    "SyntheticVideoDataModule",
    "VideoDataModule",
    "VideoFrameDataModule",
]
