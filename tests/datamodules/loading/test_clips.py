"""Clips of files whose headers claim frames that do not exist."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules import VideoDataModule
from datamodules.loading.clips import draw_frames
from datamodules.loading.sampling import continuous_indices, seeded_generator
from datamodules.reading.decoding import VideoFile
from datamodules.reading.source import list_videos
from datamodules.synthetic import render_video
from datamodules.synthetic.writers import write_mp4


class Claiming:
    """A video that claims more frames than it has, until its end has been read."""

    path = "claims.avi"

    def __init__(self, claimed: int, actual: int) -> None:
        self.num_frames, self.actual = claimed, actual

    def read(self, indices: list[int]) -> list[np.ndarray]:
        if max(indices) >= self.actual:
            self.num_frames = self.actual
        return [np.full((1, 1, 3), min(i, self.actual - 1), np.uint8) for i in indices]


def last_frames(count: int, generator: torch.Generator) -> torch.Tensor:
    return continuous_indices(count, 4, 2, generator)


def draw(claimed: int, actual: int, seed: int) -> tuple[list[int], list[int], str | None]:
    video: Any = Claiming(claimed, actual)
    indices, frames, note = draw_frames(video, last_frames, seeded_generator(seed))
    return indices.tolist(), [int(frame[0, 0, 0]) for frame in frames], note


def test_missing_frames_are_drawn_again_and_told() -> None:
    notes = 0
    for seed in range(50):
        indices, frames, note = draw(40, 20, seed)
        assert indices == frames
        assert max(indices) < 20
        if note:
            notes += 1
            assert (indices, frames, None) == draw(20, 20, seed)
    assert 10 < notes < 50
    assert draw(40, 20, 1)[2] in (None, "claims.avi: 40 frames expected, 20 can be decoded")


def test_counts_of_jhmdb_are_those_of_its_frames(shared_data: Path) -> None:
    path = shared_data / "clips" / "jhmdb_wave.avi"
    with VideoFile(path) as video:
        assert video.info.num_frames == 27
        assert video.num_frames == 23 == len(list(video.frames()))


def test_a_header_that_claims_a_thousand_frames(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    write_mp4(path, render_video(0, 0, 2, (64, 64))[0])
    content = bytearray(path.read_bytes())
    place = content.index(b"avih") + 8 + 16
    content[place : place + 4] = (1000).to_bytes(4, "little")
    stream = content.index(b"strh") + 8 + 32
    content[stream : stream + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    with VideoFile(path) as video:
        assert video.info.num_frames == 1000
        assert video.num_frames == 2
    module = VideoDataModule(tmp_path, frames=4, sampling="continuous", interval=3, size=32, batch_size=1, holdout=0)
    module.setup("fit")
    [batch] = module.train_dataloader()
    assert batch["frame_index"].max() < 2


@pytest.mark.parametrize(("suffix", "form"), [(".h264", "h264"), (".m2v", "mpeg2video"), (".y4m", "yuv4mpegpipe")])
def test_raw_streams_are_read(tmp_path: Path, suffix: str, form: str) -> None:
    import av

    codec = {".h264": "libx264", ".m2v": "mpeg2video", ".y4m": "wrapped_avframe"}[suffix]
    path = tmp_path / f"raw{suffix}"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for picture in render_video(0, 0, 7, (64, 64))[0]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    [entry] = list_videos(tmp_path)
    with VideoFile(entry.path) as video:
        frames = list(video.frames())
        assert len(frames) == 7
    with VideoFile(entry.path) as video:
        assert abs(video.num_frames - 7) <= 1
        assert np.array_equal(video.read([4])[0], frames[4])


def test_what_is_not_read_is_named(video_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes((video_folder / "00000.mp4").read_bytes())
    (tmp_path / "b.yuv").write_bytes(b"")
    (tmp_path / "c.rmvb").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"not read, by their names: 1 \.rmvb, 1 \.yuv"):
        list_videos(tmp_path)
