"""Synthetic tracking sequences as a DataModule."""

from pathlib import Path
from typing import Any

from .got10k import Got10kDataModule
from .synthetic.box_sequences import UNSEEN, write_got10k, write_otb


class SyntheticTrackingDataModule(Got10kDataModule):
    """`Got10kDataModule` over generated videos, with an OTB-layout benchmark of unseen ones beside them.

    `prepare_data` makes `root/got10k` and `root/otb`, unless they are there with the same parameters, so that
    `OtbBenchmark(root="<root>/otb", version=None)` runs in the same fit.

    Args:
        root: folder for what is generated.
        videos: number of training videos.
        held_out_videos: number of validation videos.
        benchmark_videos: number of videos in `root/otb`.
        frames_per_video: frames in each.
        video_size: height and width of the frames, pixels.
        generator_seed: another seed gives other videos.
        camouflage: 1: sprites have the background's colours; 0: each has one plain colour of its own.
        kwargs: as of `Got10kDataModule`, without `root`.
    """

    def __init__(
        self,
        root: str | Path = "data/synthetic_tracking",
        videos: int = 64,
        held_out_videos: int = 8,
        benchmark_videos: int = 6,
        frames_per_video: int = 48,
        video_size: int = 256,
        generator_seed: int = 0,
        camouflage: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(root=Path(root) / "got10k", **kwargs)
        self.folder = Path(root).expanduser()
        self._counts = videos, held_out_videos, benchmark_videos
        self._generation: dict[str, Any] = {
            "seed": generator_seed,
            "frames": frames_per_video,
            "size": (video_size, video_size),
            "camouflage": camouflage,
        }

    def prepare_data(self) -> None:
        """Generate what is missing (rank zero)."""
        videos, held_out, benchmark = self._counts
        write_got10k(self.folder / "got10k", videos, held_out, **self._generation)
        write_otb(self.folder / "otb", benchmark, first=UNSEEN, **self._generation)
