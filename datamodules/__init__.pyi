from .got10k import Got10kDataModule as Got10kDataModule
from .image_clips import ImageClipDataModule as ImageClipDataModule
from .imagenet import ImageFolderDataModule as ImageFolderDataModule
from .loading.sampling import (
    CentreCrops as CentreCrops,
    Continuous as Continuous,
    Distant as Distant,
    FractionPairs as FractionPairs,
    GapPairs as GapPairs,
    Looping as Looping,
    PairCrops as PairCrops,
    RandomCrops as RandomCrops,
    WholeFrames as WholeFrames,
)
from .synthetic_video import SyntheticVideoDataModule as SyntheticVideoDataModule
from .video import VideoDataModule as VideoDataModule
