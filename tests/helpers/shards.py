"""A DataModule over a small source."""

from datamodules import VideoDataModule


def make(source, **arguments):
    defaults = {"frames": 3, "size": 24, "batch_size": 2, "num_workers": 0, "validation_fraction": 0.2}
    data = VideoDataModule(source, **(defaults | arguments))
    data.setup("fit")
    return data


VIDEOS = 9
