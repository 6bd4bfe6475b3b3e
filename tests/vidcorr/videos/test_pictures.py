"""Seeks give the frames of decoding from the start, or are given up."""

import av
import numpy as np
import pytest
from PIL import Image

from tests.helpers.numbered_videos import changed, numbered_frame, write_video
from vidcorr.videos.container import open_container, scan_packets
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.stream import FrameStream

COUNT = 40
VOP = b"\0\0\1\xb6"
MPEG4 = {"g": "12", "b": "2M"}
VP8 = {"g": "16", "deadline": "realtime", "cpu-used": "8"}


def picture(number, _):
    """(96, 160, 3) uint8: a numbered frame above texture, for packets that are as large as those of real videos."""
    texture = np.random.default_rng(number).integers(0, 40, (64, 160, 3), dtype=np.uint8)
    ramp = (np.arange(160, dtype=np.uint8) + 3 * number).astype(np.uint8)[None, :, None] // 2
    return np.concatenate([numbered_frame(number), texture + ramp])


def write(path, codec, options=None, times=range(COUNT)):
    return write_video(path, len(times), 0, codec, options, times, picture)


def ways(path):
    """Return the frames by decoding from the start; whether seeks found all, in both directions; and equality."""
    with VideoFile(path, table=False) as video:
        expected = list(video.frames())
    backward = list(range(len(expected)))[::-1]
    random = np.random.default_rng(0).integers(0, len(expected), 9).tolist()
    picks = [[number] for number in backward[::3] + backward[::-4]] + [random, backward]
    with VideoFile(path) as video:
        read = video.read(random)  # an index that is wrong is replaced by the times of the packets
        found = [video._read_by_seeking(numbers) for numbers in picks]
    by_seeking = [frames for frames in found if frames is not None]
    is_equal = all(np.array_equal(frames[i], expected[i]) for frames in by_seeking for i in frames)
    is_equal &= all(map(np.array_equal, read, [expected[i] for i in random]))
    return len(expected), len(by_seeking) / len(picks), is_equal


SEEKS = [
    ("uneven.avi", "mpeg4", MPEG4 | {"bf": "2"}, 4, 1),
    ("a.mov", "mpeg4", MPEG4 | {"bf": "2"}, 1, 1),
    ("a.webm", "libvpx", VP8, 1, 0),
    ("vp9.webm", "libvpx-vp9", VP8, 1, 1),
    ("uneven.mkv", "libx264", {"g": "10", "bf": "2"}, 8, 1),
    ("open.mp4", "libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1:b-pyramid=normal"}, 1, 1),
    ("hevc.mp4", "libx265", {"x265-params": "keyint=12:bframes=3:log-level=none"}, 1, 1),
    ("stream.ts", "libx264", {"g": "12", "bf": "2"}, 1, 0),
]
"""Film, codec and its options, largest distance of two frames, share of the frames that seeks find."""


@pytest.mark.parametrize(("name", "codec", "options", "distance", "share"), SEEKS)
def test_frames_by_seeking_equal_those_from_the_start(tmp_path, name, codec, options, distance, share):
    distances = np.random.default_rng(0).integers(1, 1 + distance, COUNT)
    times = (np.cumsum(distances) - 1).tolist()
    path = write(tmp_path / name, codec, options, times=times)
    assert ways(path) == (COUNT, share, True)
    with VideoFile(path) as video:
        assert video.num_frames == COUNT or not share


WITHIN_A_GROUP = [
    ("a.avi", "mpeg4", MPEG4 | {"bf": "2"}, (3, 10)),
    ("c.mkv", "libx265", {"x265-params": "keyint=12:bframes=3:log-level=none"}, (3, 9)),
]


@pytest.mark.parametrize(("name", "codec", "options", "firsts"), WITHIN_A_GROUP)
def test_a_film_that_begins_within_a_group_is_decoded_from_the_start(tmp_path, name, codec, options, firsts):
    path = write(tmp_path / name, codec, options)
    for first in firsts:  # a P-picture; a key frame, before which B-pictures are shown that lack their reference

        def end(number, data, first=first):
            return data if number >= first else None

        count, share, is_equal = ways(changed(path, tmp_path / f"cut-{name}", end))
        assert (share, is_equal) == (0, True)
        assert count <= COUNT - first


def test_pictures_that_show_nothing_are_no_frames(tmp_path):
    empty = VOP + b"\x52\xcf"  # not coded
    for suffix in ("avi", "mov"):
        film = write(tmp_path / f"v.{suffix}", "mpeg4", MPEG4)
        dropped = tmp_path / f"dropped.{suffix}"
        changed(film, dropped, lambda number, data: empty if number in (5, 6, 20) else data)
        assert ways(dropped) == (COUNT - 3, 0, True)


def test_b_pictures_packed_with_their_reference_are_decoded_from_the_start(tmp_path):
    film = write(tmp_path / "v.avi", "mpeg4", MPEG4 | {"bf": "1", "flags": "+bitexact"})
    with av.open(str(film)) as opened:
        data = [bytes(packet) for packet in opened.demux(opened.streams.video[0]) if packet.size]

    def pack(number, packet):
        is_b = packet[packet.find(VOP) + 4] >> 6 == 2
        following = data[number + 1] if number + 1 < len(data) else packet
        is_followed = not is_b and following[following.find(VOP) + 4] >> 6 == 2
        mark = b"\0\0\1\xb2DivX503b1393p" if number == 0 else b""
        return VOP + b"\x52\xcf" if is_b else mark + packet + following * is_followed

    packed = changed(film, tmp_path / "packed.avi", pack)
    with open_container(packed, 60) as opened:
        assert scan_packets(opened)[0] is None
    assert ways(packed)[1:] == (0, True)


UNEVEN = [*range(10), *range(10, 40, 6)]
NOTED = {
    "plain.mp4": None,
    "plain.avi": None,
    "phone.mp4": "not evenly spaced",
    "television.mp4": "not square",
    "cut.avi": "its first 11 frames",
}
"""A film → what is said of it."""


@pytest.mark.parametrize("name", NOTED)
def test_what_a_film_is_not_is_said_in_a_line(name, tmp_path):
    options = {"aspect": "16:11"} if name == "television.mp4" else {"g": "12"}
    times = UNEVEN if name == "phone.mp4" else range(30)
    path = write(tmp_path / name, "libx264" if name.endswith("mp4") else "mpeg4", options, times=times)
    if name == "cut.avi":
        path = changed(path, tmp_path / "v.avi", lambda number, data: data if number else None)
    notes = FrameStream(path).notes()
    assert len(notes) == (NOTED[name] is not None)
    assert all(NOTED[name] in note for note in notes)


@pytest.mark.parametrize(("largest", "noted"), [(4080, "16 of 256 levels"), (65280, None), (None, None)])
def test_images_of_12_bits_in_16_are_said_to_lose_levels(largest, noted, tmp_path):
    image = np.linspace(0, largest or 255, 48 * 64).reshape(48, 64).astype(np.uint16 if largest else np.uint8)
    for name in ("0.png", "1.png"):
        Image.fromarray(image).save(tmp_path / name)
    assert [noted in note for note in FrameStream(tmp_path).notes()] == [True] * bool(noted)
