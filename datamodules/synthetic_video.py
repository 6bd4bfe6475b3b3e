"""Synthetic videos as DataModules, generated once and then read like any folder of videos."""

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule

from vidcorr.datasets.generated import write_davis, write_got10k, write_otb, write_tap_vid, write_videos
from vidcorr.datasets.generated.writers import UNSEEN

from .got10k import Got10kDataModule
from .video import VideoDataModule


class GeneratedVideos(LightningDataModule):
    """Arguments of generated videos, for a DataModule that reads the videos.

    Args:
        frames_per_video: length of a video, frames.
        video_size: height and width of the frames, pixels, an even number.
        camouflage: 1: sprites have the background's colours; 0: every sprite has a different plain colour.
        generator_seed: seed of the videos.
        kwargs: arguments of the DataModule.
    """

    def __init__(
        self,
        frames_per_video: int = 48,
        video_size: int = 256,
        camouflage: float = 1.0,
        generator_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generation: dict[str, Any] = {
            "seed": generator_seed,
            "frames": frames_per_video,
            "size": (video_size, video_size),
            "camouflage": camouflage,
        }


class SyntheticVideoDataModule(GeneratedVideos, VideoDataModule):
    """`VideoDataModule` over generated videos, with unseen videos in the layouts of DAVIS and TAP-Vid.

    `prepare_data` makes `root/videos/*.mp4`, `root/davis` and, with `point_videos`, `root/tap_vid`, so that
    `DavisBenchmark(root="<root>/davis")` and `TapVidBenchmark(root="<root>/tap_vid")` run in the same fit. It keeps
    folders that were made with the same parameters.

    Args:
        root: folder of the generated videos.
        videos: number of training videos.
        benchmark_videos: number of sequences in `root/davis`.
        point_videos: number of videos with exact point tracks in `root/tap_vid`.
        kwargs: arguments of `GeneratedVideos` and `VideoDataModule`, without `source`.
    """

    def __init__(
        self,
        root: str | Path = "data/synthetic",
        videos: int = 64,
        benchmark_videos: int = 8,
        point_videos: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(source=Path(root) / "videos", **kwargs)
        self.root = Path(root).expanduser()
        self._counts = videos, benchmark_videos, point_videos

    def prepare_data(self) -> None:
        """Generate what is missing (rank zero)."""
        videos, benchmark, points = self._counts
        write_videos(self.root / "videos", videos, **self.generation)
        write_davis(self.root / "davis", benchmark, first=UNSEEN, **self.generation)
        if points:
            write_tap_vid(self.root / "tap_vid", points, first=UNSEEN, **self.generation)


class SyntheticTrackingDataModule(GeneratedVideos, Got10kDataModule):
    """`Got10kDataModule` over generated videos, with unseen videos in OTB's layout.

    `prepare_data` makes `root/got10k` and `root/otb`, so that `OtbBenchmark(root="<root>/otb", version=None)` runs in
    the same fit. It keeps folders that were made with the same parameters.

    Args:
        root: folder of the generated videos.
        videos: number of training videos.
        held_out_videos: number of validation videos.
        benchmark_videos: number of videos in `root/otb`.
        kwargs: arguments of `GeneratedVideos` and `Got10kDataModule`, without its `root`.
    """

    def __init__(
        self,
        root: str | Path = "data/synthetic_tracking",
        videos: int = 64,
        held_out_videos: int = 8,
        benchmark_videos: int = 6,
        **kwargs: Any,
    ) -> None:
        super().__init__(root=Path(root) / "got10k", **kwargs)
        self.folder = Path(root).expanduser()
        self._counts = videos, held_out_videos, benchmark_videos

    def prepare_data(self) -> None:
        """Generate what is missing (rank zero)."""
        videos, held_out, benchmark = self._counts
        write_got10k(self.folder / "got10k", videos, held_out, **self.generation)
        write_otb(self.folder / "otb", benchmark, first=UNSEEN, **self.generation)
