"""A video from its start to its end."""

import numpy as np
import pytest
import torch

from tests.helpers.numbered_videos import write_video
from tests.helpers.refusal import refused
from vidcorr.datasets.generated.writers import write_frames, write_mp4
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.files import DataError
from vidcorr.videos.stream import FrameStream

VIDEO = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("frames") / "clip.v1"
    write_frames(path, VIDEO, [f"f{t}.png" for t in range(len(VIDEO))])
    return path


def test_the_frames_of_a_folder_and_a_file_in_order_again_and_again(folder, tmp_path):
    write_mp4(tmp_path / "clip.mp4", VIDEO, rate=10)
    with VideoFile(tmp_path / "clip.mp4") as video:
        decoded = video.read(range(12))
    for path, expected, *told in (
        (folder, VIDEO, 24, "clip.v1", "f10"),
        (tmp_path / "clip.mp4", decoded, 10, "clip", "00010"),
    ):
        stream = FrameStream(path)
        assert [stream.frame_rate, stream.name, stream.stem(10)] == told
        assert (stream.size, stream.num_frames) == ((48, 64), 12)
        for _ in range(2):
            assert np.array_equal(torch.stack(list(stream)).permute(0, 2, 3, 1), expected)


def test_what_cannot_be_read_is_named(folder, tmp_path):
    assert refused(DataError, "frame_rate must be above 0 .*, got -1", FrameStream, folder, frame_rate=-1)
    assert refused(DataError, r"nowhere\.mp4: no such video", FrameStream, tmp_path / "nowhere.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    assert refused(DataError, r"text\.mp4", FrameStream, tmp_path / "text.mp4")
    write_frames(tmp_path / "odd", VIDEO[:2], ["0.png", "1.png"])
    write_frames(tmp_path / "odd", VIDEO[:1, :32], ["2.png"])
    refused(DataError, "frame 2 is 64 × 32 px, other frames 64 × 48", lambda: list(FrameStream(tmp_path / "odd")))


def test_a_file_that_lacks_its_end_is_told(tmp_path):
    write_video(tmp_path / "whole.mkv", 60, options={"g": "5"})
    content = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r"cut\.mkv: ends early: \d+ of 60 frames"):
        assert 0 < len(list(FrameStream(tmp_path / "cut.mkv"))) < 54
