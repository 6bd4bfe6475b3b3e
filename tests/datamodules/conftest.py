"""Videos of three containers, as files and packed into shards."""

import pytest

from datamodules.tools.shard import write_shards
from tests.helpers.numbered_videos import write_video
from tests.helpers.shards import VIDEOS


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Nine videos of three containers, some in folders."""
    root = tmp_path_factory.mktemp("videos")
    for i in range(VIDEOS):
        name = (f"{i}.mp4", f"more/{i} b.mkv", f"{i}.avi")[i % 3]
        write_video(root / name, 12 + i, video=i, codec="mpeg4" if i % 3 == 2 else "libx264", options={"g": "5"})
    return root


@pytest.fixture(scope="session")
def shards(videos, tmp_path_factory):
    """The same, in shards of few videos."""
    folder = tmp_path_factory.mktemp("shards") / "packed"
    largest = max(path.stat().st_size for path in videos.rglob("*.*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datamodules.tools.shard._MB", largest)
        assert write_shards(videos, folder, workers=2, megabytes=2) > 2
    return folder
