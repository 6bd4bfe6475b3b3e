"""A DataModule over generated videos."""

from pathlib import Path

from datamodules import SyntheticVideoDataModule
from datamodules.datasets import Davis, TapVid


def test_data_module_gives_clips_and_a_benchmark(tmp_path: Path) -> None:
    data = SyntheticVideoDataModule(
        tmp_path, videos=4, benchmark_videos=2, point_videos=2, frames_per_video=6, video_size=64,
        frames=2, size=32, batch_size=2, num_workers=0, validation_fraction=0.25,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["clip"].shape == (2, 2, 3, 32, 32)
    assert batch["failures"] == []
    assert len(Davis(tmp_path / "davis")) == 2
    assert [(video.num_frames, video.size) for video in TapVid(tmp_path / "tap_vid")] == [(6, (64, 64))] * 2
