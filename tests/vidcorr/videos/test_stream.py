"""A video, or a part of it, from its start to its end."""

import numpy as np
import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr.datasets.generated.writers import write_frames, write_mp4
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.files import DataError
from vidcorr.videos.stream import FrameStream

FRAMES = 30


@pytest.fixture(scope="module", params=["clip.mp4", "frames"])
def video(request, tmp_path_factory):
    """A file and a folder, each with what it shows."""
    path = tmp_path_factory.mktemp("videos") / request.param
    pictures = np.random.default_rng(0).integers(0, 256, (FRAMES, 32, 48, 3), dtype=np.uint8)
    if request.param == "frames":
        write_frames(path, pictures, [f"p{t:03d}.png" for t in range(FRAMES)])
    else:
        write_mp4(path, pictures, rate=10)
    stream = FrameStream(path)
    return path, np.stack([frame.numpy() for frame in stream])


@pytest.mark.parametrize(("start", "end"), [(7, None), (13, 25), (0, 1)])
def test_the_frames_of_a_part_are_those_of_the_video(video, start, end):
    path, pictures = video
    stream = FrameStream(path, start, end)
    expected = pictures[start:end]
    assert stream.num_frames == len(expected)
    assert np.array_equal(np.stack([frame.numpy() for frame in stream]), expected)
    middle = len(expected) // 2
    assert np.array_equal(np.stack([frame.numpy() for frame in stream.forwards(middle)]), expected[middle:])
    assert stream.stem(0) == (f"p{start:03d}" if path.is_dir() else f"{start:05d}")


def test_a_part_beyond_the_video_is_refused(video):
    path, _ = video
    for part in ((900, None), (4, 4), (-2, None)):
        refused(DataError, "none of", FrameStream, path, *part)


def test_a_folder_and_a_file_are_read_again_and_again(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3)).astype(np.uint8)
    write_frames(tmp_path / "clip.v1", pictures, [f"f{t}.png" for t in range(8)])
    write_mp4(tmp_path / "clip.mp4", pictures, rate=10)
    with VideoFile(tmp_path / "clip.mp4") as video:
        decoded = video.read(range(8))
    for name, expected, *told in (("clip.v1", pictures, 24, "clip.v1"), ("clip.mp4", decoded, 10, "clip")):
        stream = FrameStream(tmp_path / name)
        assert [stream.frame_rate, stream.name, stream.size, stream.num_frames] == [*told, (48, 64), 8]
        for _ in range(2):
            assert np.array_equal(torch.stack(list(stream)).permute(0, 2, 3, 1), expected)


def test_what_cannot_be_read_is_named(tmp_path):
    assert refused(DataError, r"nowhere\.mp4: cannot be opened", FrameStream, tmp_path / "nowhere.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    assert refused(DataError, r"text\.mp4", FrameStream, tmp_path / "text.mp4")
    write_frames(tmp_path / "odd", np.zeros((2, 48, 64, 3), np.uint8), ["0.png", "1.png"])
    write_frames(tmp_path / "odd", np.zeros((1, 32, 64, 3), np.uint8), ["2.png"])
    refused(DataError, "frame 2 is 64 × 32 px, other frames 64 × 48", lambda: list(FrameStream(tmp_path / "odd")))
