"""Training clips of augmented views of single images, for the image-level baselines of VFS."""

import os

from vidcorr.videos.source import VideoEntry, list_images_of

from .loading.sampling import Augmentation, PairCrops
from .video import VideoDataModule

MOCO_V2 = Augmentation(colour=True, blur_sigma=(0.1, 2.0))
"""Augmentation of MoCo v2 and SimSiam (appendix A): crops of area 0.2 to 1, flips, colours and blur."""


class ImageClipDataModule(VideoDataModule):
    """Clips of augmented views of one image, as `VideoDataModule` gives clips of one video.

    `VFSSimSiam` and `VFSMoCo` on such clips are SimSiam and MoCo v2, the image-level baselines of VFS, Tables 7 and 8.
    A batch holds the same entries; `video_index` is the index of the image in the source, `frame_index` is 0.

    Papers: SimSiam (Chen and He, CVPR 2021), appendix A; MoCo v2 (Chen et al., 2020).

    Args:
        source: folder that is searched for images, for example `data/imagenet/train`, or a .txt or .csv list of images
            with optional labels.
        views: T, views of an image in a clip.
        size: side of the views, pixels.
        augmentation: random crops, flips and colours of every view.
        pair: crops that the two views of a pair share, or of which one lies in the other; None: each has its own.
        batch_size: images per rank.
        num_workers: decoding processes per rank; by default the usable cores, at most 8.
        validation_fraction: fraction of the images kept for validation, at least one image unless 0.
        repeat: passes over the images in an epoch.
        seed: seed of every draw.

    Raises:
        DataError: from `setup`, if the source is not as described.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        views: int = 2,
        size: int = 224,
        augmentation: Augmentation = MOCO_V2,
        pair: PairCrops | None = None,
        batch_size: int = 32,
        num_workers: int | None = None,
        validation_fraction: float = 0.0,
        repeat: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(
            source,
            views,
            size=size,
            augmentation=augmentation,
            pair=pair,
            batch_size=batch_size,
            num_workers=num_workers,
            validation_fraction=validation_fraction,
            repeat=repeat,
            seed=seed,
        )

    def list_source(self) -> tuple[VideoEntry, ...]:
        """List the images of the source."""
        return list_images_of(self.source)
