"""Synthetic videos as a DataModule: generated once, then read as any other folder of videos."""

from pathlib import Path
from typing import Any

from .synthetic.point_tracks import write_tap_vid
from .synthetic.writers import write_davis, write_videos
from .video import VideoDataModule

UNSEEN = 1_000_000
"""Index of the first benchmark video: far beyond those of any training set."""


class SyntheticVideoDataModule(VideoDataModule):
    """`VideoDataModule` over generated videos, with a DAVIS-layout benchmark of unseen ones beside them.

    `prepare_data` makes `root/videos/*.mp4`, `root/davis` and, where asked for, `root/tap_vid`, unless they are there
    with the same parameters, so that `DavisBenchmark(root="<root>/davis")` and `TapVidBenchmark(root="<root>/tap_vid")`
    run in the same fit.

    Args:
        root: folder for what is generated.
        videos: number of training videos.
        benchmark_videos: number of sequences in `root/davis`.
        point_videos: number of videos with exact point tracks in `root/tap_vid`.
        frames_per_video: frames in each.
        video_size: height and width of the frames, pixels, an even number.
        camouflage: 1: sprites have the background's colours; 0: each has one plain colour of its own.
        generator_seed: another seed gives other videos.
        kwargs: as of `VideoDataModule`, without `source`.
    """

    def __init__(
        self,
        root: str | Path = "data/synthetic",
        videos: int = 64,
        benchmark_videos: int = 8,
        frames_per_video: int = 48,
        video_size: int = 256,
        camouflage: float = 1.0,
        generator_seed: int = 0,
        point_videos: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(source=Path(root) / "videos", **kwargs)
        self.root = Path(root).expanduser()
        self._counts = {"videos": videos, "davis": benchmark_videos, "tap_vid": point_videos}
        self._generation: dict[str, Any] = {
            "seed": generator_seed,
            "frames": frames_per_video,
            "size": (video_size, video_size),
            "camouflage": camouflage,
        }

    def prepare_data(self) -> None:
        """Generate what is missing (rank zero)."""
        write_videos(self.root / "videos", self._counts["videos"], **self._generation)
        write_davis(self.root / "davis", self._counts["davis"], first=UNSEEN, **self._generation)
        if self._counts["tap_vid"]:
            write_tap_vid(self.root / "tap_vid", self._counts["tap_vid"], first=UNSEEN, **self._generation)
