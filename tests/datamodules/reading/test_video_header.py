"""Headers of video files: what they state, and the files that are refused by them."""

from pathlib import Path

import pytest

from datamodules.reading.errors import DecodingError
from datamodules.reading.guards import LIMIT_VARIABLE
from datamodules.reading.video_header import VIDEO_SUFFIXES, VideoInfo, open_container, read_header
from tests.helpers.numbered_videos import write_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    write_video(path, 12)
    return path


def test_a_header_is_the_same_of_a_file_and_of_its_bytes(video: Path) -> None:
    headers = []
    for content in (None, video.read_bytes()):
        with open_container(video, content, timeout=10) as container:
            headers.append(read_header(container))
    assert headers[0] == headers[1]
    assert headers[0].num_frames == 12
    assert headers[0].duration == pytest.approx(12 / headers[0].fps)
    assert video.suffix in VIDEO_SUFFIXES


def test_a_picture_larger_than_permitted_is_refused(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "0.0001")
    with pytest.raises(DecodingError, match=r"video\.mp4: its header claims 160 × 32 px"):
        open_container(video, None, timeout=10)


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DecodingError):
        open_container(tmp_path, None, timeout=10)


@pytest.mark.parametrize(
    ("frames", "last_time", "expected"), [(100, 3.96, False), (60, 2.36, True), (60, 3.96, False), (60, None, True)]
)
def test_a_cut_file_has_too_few_frames_and_ends_too_early(frames: int, last_time: float | None, expected: bool) -> None:
    assert VideoInfo(100, 25.0, 8, 8, "h264", 4.0).is_cut(frames, last_time) == expected
