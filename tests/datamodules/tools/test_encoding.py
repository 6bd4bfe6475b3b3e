"""Frames, times and colours of encoded videos."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from datamodules.reading.decoding import VideoFile
from datamodules.reading.errors import DataError
from datamodules.reading.source import open_video
from datamodules.tools import encoding
from datamodules.tools.encoding import OutputFormat, write_images
from tests.helpers.numbered_videos import read_number, write_folder, write_video


def run(source: Path, output: Path, **options) -> VideoFile:
    form = OutputFormat(**options)
    with open_video(source) as video:
        (write_images if form.frames else encoding.write_video)(video, output, form)
    return open_video(output)


@pytest.mark.parametrize(("name", "options"), [("a.mp4", {"bf": "3"}), ("a.mkv", {}), ("a.avi", {"bf": "0"})])
def test_frames_and_key_frames(tmp_path, name, options):
    source = write_video(tmp_path / name, 50, options={"g": "250"} | options)
    with run(source, tmp_path / "out.mp4", short_side=16) as video:
        assert (video.info.codec, video.info.width, video.info.height, video.info.fps) == ("h264", 80, 16, 25.0)
        assert video.num_frames == 50
        assert [read_number(frame) for frame in video.frames()] == list(range(50))
        assert [read_number(frame) for frame in video.read([49, 7, 30])] == [49, 7, 30]
        assert np.diff([*video._table.keys, 50]).max() <= 12
        assert video._table.is_from_index
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.parametrize(
    ("name", "size", "tolerance"),
    [
        ("clips_odd/decord_rot_90.mov", (454, 256), 4),  # rotation
        ("clips/intel_asl_eat.mkv", (256, 342), 3),  # full range
        ("clips_odd/torchcodec_h264_10bits.mp4", (200, 200), 6),  # 10 bit
        ("clips/sthsthv2_166766.mp4", (240, 426), 3),  # odd width
        ("clips_odd/moviepy_-video-with-dash-.mp4", (2, 2), 2),  # 1 × 1
    ],
)
def test_real_videos_keep_their_colours(shared_data, tmp_path, name, size, tolerance):
    with open_video(shared_data / name) as before, run(shared_data / name, tmp_path / "out.mp4", crf=18) as after:
        for expected, got in zip(before.frames(), after.frames(), strict=True):
            assert got.shape == (*size, 3)
            scaled = cv2.resize(expected, size[::-1], interpolation=cv2.INTER_AREA).astype(int)
            assert np.abs(scaled - got).mean() < tolerance
            assert np.abs((scaled - got).mean(axis=(0, 1))).max() < 2


@pytest.mark.parametrize("folder", [False, True])
def test_folders_of_frames_in_and_out(tmp_path, folder):
    source = write_folder(tmp_path / "in", 12) if folder else write_video(tmp_path / "in.mp4", 12)
    with run(source, tmp_path / "out", frames=True, short_side=16) as video:
        assert [read_number(frame) for frame in video.frames()] == list(range(12))
        assert next(video.frames()).shape == (16, 80, 3)
        assert video.stems[11] == "00011"
    with run(source, tmp_path / "out.mp4") as video:
        assert [read_number(frame) for frame in video.frames()] == list(range(12))
    with pytest.raises(DataError, match="needs at least 2"):
        run(write_video(tmp_path / "one.mp4", 1), tmp_path / "one", frames=True)
