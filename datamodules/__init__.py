from .video import VideoDataModule

__all__ = ["VideoDataModule"]
