"""Headers of video files: what they state, and the files that are refused by them."""

from pathlib import Path

import av
import pytest

from datamodules.reading.container import open_container, read_header
from tests.helpers.numbered_videos import write_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    write_video(path, 12)
    return path


def test_a_title_in_another_encoding_does_not_keep_a_file_from_opening(video: Path, tmp_path: Path) -> None:
    titled = tmp_path / "titled.mp4"
    with av.open(str(video)) as source, av.open(str(titled), "w") as container:
        container.metadata["title"] = "a title"
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    content = titled.read_bytes()
    assert content.count(b"a title") == 1
    titled.write_bytes(content.replace(b"a title", b"a t\xeetr\xe9"))  # Latin-1
    with open_container(titled, None, timeout=10) as opened:
        assert read_header(opened).num_frames == 12
