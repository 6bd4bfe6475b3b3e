"""Synthetic videos as a DataModule, generated once and then read like any folder of videos."""

from pathlib import Path
from typing import Any

from vidcorr.datasets.generated import write_davis, write_tap_vid, write_videos
from vidcorr.datasets.generated.writers import FIRST_BENCHMARK_VIDEO
from vidcorr.videos.files import user_path

from .video import VideoDataModule


class SyntheticVideoDataModule(VideoDataModule):
    """`VideoDataModule` over generated videos, with unseen videos in the layouts of DAVIS and TAP-Vid.

    `prepare_data` makes `root/videos/*.mp4`, `root/davis` and, with `point_videos`, `root/tap_vid`, so that
    `DavisBenchmark(root="<root>/davis")` and `TapVidBenchmark(root="<root>/tap_vid")` run in the same fit. It keeps
    folders that were made with the same parameters.

    Args:
        root: folder of the generated videos.
        videos: number of training videos.
        benchmark_videos: number of sequences in `root/davis`.
        point_videos: number of videos with exact point tracks in `root/tap_vid`.
        frames_per_video: length of a video, frames.
        video_size: height and width of the frames, pixels, an even number.
        sprites: fewest and most sprites per video, at most 7.
        camouflage: 1: sprites have the background's colours; 0: every sprite has a different plain colour.
        generator_seed: seed of the videos.
        kwargs: arguments of `VideoDataModule`, without `source`.
    """

    def __init__(
        self,
        root: str | Path = "data/synthetic",
        videos: int = 64,
        benchmark_videos: int = 8,
        point_videos: int = 0,
        frames_per_video: int = 48,
        video_size: int = 256,
        sprites: tuple[int, int] = (2, 4),
        camouflage: float = 1.0,
        generator_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(source=Path(root) / "videos", **kwargs)
        self.root = user_path(root)
        self._counts = videos, benchmark_videos, point_videos
        # arguments of the functions that write the videos and the benchmarks
        self.generation: dict[str, Any] = {
            "seed": generator_seed,
            "frames": frames_per_video,
            "size": (video_size, video_size),
            "sprites": sprites,
            "camouflage": camouflage,
        }

    def prepare_data(self) -> None:
        """Generate what is missing, on one rank; benchmarks have other scenes than the training videos."""
        videos, benchmark, points = self._counts
        write_videos(self.root / "videos", videos, **self.generation)
        write_davis(self.root / "davis", benchmark, first=FIRST_BENCHMARK_VIDEO, **self.generation)
        if points:
            write_tap_vid(self.root / "tap_vid", points, first=FIRST_BENCHMARK_VIDEO, **self.generation)
