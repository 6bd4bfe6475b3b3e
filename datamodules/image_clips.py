"""Training clips of augmented views of single images, for the image-level baselines of VFS."""

import os
from typing import Any

from vidcorr.videos.source import SourceEntry, list_single_images

from .base import Sources
from .video import VideoDataModule


class ImageClipDataModule(VideoDataModule):
    """Clips of augmented views of one image, as `VideoDataModule` gives clips of one video.

    `VFSSimSiam` and `VFSMoCo` on such clips are SimSiam and MoCo v2, the image-level baselines of VFS, Tables 7 and 8;
    the defaults are their crops, flips, colours and blur. A batch holds the same entries; `video_index` is the index of
    the image in the source, `frame_index` is 0.

    Papers: SimSiam (Chen and He, CVPR 2021), appendix A; MoCo v2 (Chen et al., 2020).

    Args:
        source: folder that is searched for images, for example `data/imagenet/train`, without folders of annotations; a
            list (.txt) of images with optional labels; or several of them.
        frames: T, views of an image in a clip.
        colour: apply colour jitter, greyscale and blur, in training, on the device.
        blur_sigma: smallest and largest standard deviation of that blur, pixels.
        validation_fraction: fraction of the images kept for validation, at least one image unless 0.
        kwargs: further arguments of `VideoDataModule`.

    Raises:
        DataError: from `setup`, if the source is not as described.
    """

    def __init__(
        self,
        source: Sources,
        frames: int = 2,
        colour: bool = True,
        blur_sigma: tuple[float, float] = (0.1, 2.0),
        validation_fraction: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            source, frames, colour=colour, blur_sigma=blur_sigma, validation_fraction=validation_fraction, **kwargs
        )

    def list_source(self) -> tuple[SourceEntry, ...]:
        """List the images of all sources."""
        return self.listed(list_single_images)

    def trained_videos(self) -> set[str]:
        """Return the real paths of the images and of their folders: an image may be a frame of a scored video."""
        trained: set[str] = set()
        # without the bare names: many images have a name such as 00001
        for path in filter(os.path.isabs, super().trained_videos()):
            trained.update((path, os.path.dirname(path)))
        return trained
