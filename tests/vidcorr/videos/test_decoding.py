"""Frames by number equal those of decoding from the start, upright; broken files give one line.

Also tests `videos/container.py`, `videos/mp4.py`.
"""

from fractions import Fraction
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import av
import numpy as np
import pytest

from tests.helpers import references
from tests.helpers.numbered_videos import changed, numbered_frame, read_number, write_video
from tests.helpers.refusal import refused
from vidcorr.datasets.generated.writers import write_mp4
from vidcorr.videos import container, decoding
from vidcorr.videos.container import FrameTable
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.files import DecodingError


def files(folder):
    """The files of a folder of real videos as parameters; without it one that is skipped."""
    found = sorted((references.real_videos() or Path("absent")).joinpath(folder).glob("*"))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason="no real videos"))]


BROKEN = ["moviepy_zero_byte", "mp4parse_chunk_out_of_range", "mp4parse_invalid_userdata", "small_"]
"""Starts of the names of odd files that hold no frame that can be decoded."""


def read(path, indices):
    with VideoFile(path) as video:
        return video.read(indices)


@pytest.mark.slow
@pytest.mark.sampled(5, "exhaustive")
@pytest.mark.parametrize("path", files("clips"), ids=str)
def test_real_videos_decode_as_in_order(path):
    """Frames are those that PyAV alone decodes from the start, read together or singly, in both directions."""
    with av.open(str(path)) as opened:
        expected = [frame.to_ndarray(format="rgb24") for frame in opened.decode(opened.streams.best("video"))]
    picks = np.random.default_rng(0).integers(0, len(expected), 20).tolist()
    with VideoFile(path) as video:
        np.testing.assert_array_equal(video.read(picks), [expected[pick] for pick in picks])
        for pick in sorted(picks[:5]) + sorted(picks[5:10], reverse=True):
            np.testing.assert_array_equal(video.read([pick])[0], expected[pick])


@pytest.mark.sampled(5)
@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", files("clips_odd"), ids=str)
def test_odd_files_give_frames_or_one_line(path):
    if path.name.startswith(tuple(BROKEN)):
        said = "cannot be opened as a video|no frame could be decoded|no video stream"
        assert refused(DecodingError, said, read, path, [0]).startswith(f"{path}: ")
    elif path.name == "decord_corrupted.mp4":
        assert read(path, [20])[0].shape == (720, 1280, 3)
        refused(DecodingError, "Invalid data", read, path, [40])
    else:
        with VideoFile(path) as video:
            expected = list(video.frames())
        middle = len(expected) // 2
        found = read(path, [10**6, middle, 0])
        np.testing.assert_array_equal(found, [expected[-1], expected[middle], expected[0]])


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_numbers_beyond_the_end_give_the_last_frame(tmp_path, suffix):
    path = write_video(tmp_path / f"v.{suffix}", 20)
    with VideoFile(path) as video:
        assert [read_number(frame) for frame in video.read([25, 3])] == [19, 3]
        assert (video.num_frames, video.frame_rate) == (20, 25)
    with container.open_container(path, 60) as opened:
        codec = container.film_stream(opened).codec_context
        assert (codec.thread_count, codec.options) == (1, {"max_pixels": "89000000", "err_detect": "explode"})
    with VideoFile(write_video(tmp_path / "v.mkv", 20), table=False) as video:  # its header holds no number
        assert (video.num_frames, video.frame_rate) == (20, 25)


def test_a_read_takes_no_packets_behind_what_it_needs(tmp_path):
    with VideoFile(write_video(tmp_path / "v.mp4", 60, options={"g": "10", "bf": "2"})) as video:
        taken = []
        demuxed, keys, step = video._packets, video._table.keys, video._table.times.step

        def noted(*where):
            for packet in demuxed(*where):
                taken.append(packet.pts // step)
                yield packet

        video._packets = noted
        assert [read_number(frame) for frame in video.read([14, 31])] == [14, 31]
        assert taken == [0, 10, 13, 11, 12, 15, 14, 18, 30, 33, 31, 32]  # the first names the encoder
        taken.clear()
        video._table = FrameTable([time + (time == 15 * step) for time in video._table.times], keys)
        assert video._read_by_seeking([15]) is None
        assert (taken[0], max(taken[:-1]), taken[-1]) == (10, 29, 30)  # the second key frame behind it


def test_two_frames_of_one_time_are_told_apart_by_decoding_from_the_start(tmp_path):
    film = write_video(tmp_path / "v.mp4", 20, options={"g": "10", "bf": "3"})
    with VideoFile(film) as video:
        times = list(video._table.times)
    for equal in range(6, 10):
        path = changed(film, tmp_path / f"{equal}.mp4", times={times[equal]: times[equal - 1]})
        assert [read_number(read(path, [i])[0]) for i in range(20)] == list(range(20))


def test_a_seek_may_lead_to_another_packet_than_the_key_frame(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "picture_of", lambda packet: "I" if packet.is_keyframe else "P")
    with VideoFile(write_video(tmp_path / "v.mp4", 3)) as video:
        video._container = Mock()
        for times, is_found in (((10, 15), True), ((0, None, 5, 10, 15), True), ((15, 20, 10), False), ((), False)):
            packets = iter([SimpleNamespace(pts=time, is_keyframe=time in (0, 10, 20)) for time in times])
            video._packets = Mock(return_value=packets)
            if is_found:
                assert next(video._packets_from(10)).pts == 10
            else:
                refused(LookupError, "key frame", video._packets_from, 10)
        assert {call.args[0] for call in video._container.seek.call_args_list} == {10}


def test_missing_files_texts_negative_numbers_and_a_time_limit(tmp_path):
    refused(DecodingError, r"nothing\.mp4: cannot be opened .* \(No such file", VideoFile, tmp_path / "nothing.mp4")
    (tmp_path / "text.mp4").write_text("ffconcat version 1.0\nfile 'a b: c%d.mp4'\n")  # names another file
    path = write_video(tmp_path / "a b: c%d.mp4", 3)
    assert len(read(path, [1])) == 1
    refused(DecodingError, r"text\.mp4: cannot be opened as a video", VideoFile, tmp_path / "text.mp4")
    refused(ValueError, r"\[-1\]", read, path, [-1])
    with VideoFile(path) as video:
        for error, said in ((OSError(5, "Input/output error"), "Input/output error"), (KeyError(7), "KeyError: 7")):
            video._read_by_seeking = Mock(side_effect=error)
            refused(DecodingError, f"mp4: {said}$", video.read, [1])
    with VideoFile(path) as video:
        video._timeout = 1e-9
        refused(DecodingError, "not decoded within 1e-09 s", video.read, [1])


def matrix(a, b, c, d):
    """Return a display matrix as in a file, in fixed point."""
    return np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()


def test_a_video_is_turned_by_its_display_matrix(tmp_path):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :20] = 255, 0, 0  # no two of the eight orientations look alike
    picture[32:, 40:] = 0, 0, 255
    write_mp4(tmp_path / "plain.mp4", np.stack([picture] * 4))
    movie, name, track = (tmp_path / "plain.mp4").read_bytes().partition(b"tkhd")
    assert b"Lavf" not in movie + track  # the same bytes for every version
    stored = read(tmp_path / "plain.mp4", [2])[0]
    assert [stored[place].argmax() for place in ((5, 5), (40, 55))] == [0, 2]  # red and blue
    for right, down in product((1, -1), repeat=2):
        for shown, turned in ((stored, (right, 0, 0, down)), (stored.swapaxes(0, 1), (0, down, right, 0))):
            content = track.replace(matrix(1, 0, 0, 1), matrix(*turned), 1)
            (tmp_path / "turned.mp4").write_bytes(movie + name + content)
            with VideoFile(tmp_path / "turned.mp4") as video:
                assert np.array_equal(video.read([2])[0], shown[::down, ::right])
                assert np.array_equal(list(video.frames())[2], shown[::down, ::right])


def write_parts(path, *parts, is_cover=None):
    """Write parts, each a codec, a size and the numbers of its frames, as one stream whose size changes.

    Where it is said whether the first is a cover, each part is a stream of its own.
    """
    muxed = []
    with av.open(str(path), "w") as opened:
        for codec, (height, width), numbers in parts:
            look = {"height": height, "width": width, "pix_fmt": "yuvj420p" if codec == "mjpeg" else "yuv420p"}
            if not muxed or is_cover is not None:
                stream = opened.add_stream(codec, rate=25, **look)
            encoder = av.CodecContext.create(codec, "w")  # one for each part; parameter sets lie in-band
            for name, value in (look | {"time_base": Fraction(1, 25), "framerate": 25, "thread_count": 1}).items():
                setattr(encoder, name, value)
            encoder.options = {"g": "5", "bf": "0", "preset": "ultrafast"} if codec == "libx264" else {}
            frames = [av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24") for number in numbers]
            for number, frame in zip(numbers, frames, strict=True):
                frame.pts, frame.time_base = number, encoder.time_base
            for frame in [*frames, None]:
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    muxed.append(packet)
        if is_cover:
            opened.streams[0].disposition = av.stream.Disposition.attached_pic
        opened.mux(muxed)
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "libx264"), ("b.mp4", "mpeg4")])
def test_a_frame_of_another_size_than_the_first_is_named(tmp_path, name, codec):
    sizes = {range(10): (32, 160), range(10, 13): (48, 64), range(13, 25): (32, 160)}
    path = write_parts(tmp_path / name, *((codec, size, numbers) for numbers, size in sizes.items()))
    message = r"^.*\." + name[2:] + r": frame 10 is 64 × 48 px, other frames 160 × 32 px$"
    with VideoFile(path) as video:
        video._size = 64, 48  # a header may be wrong
        assert [read_number(frame) for frame in video.read([1, 4])] == [1, 4]
        equal = message.replace("10", "1[0-2]")  # equal sizes, but not the first frame's
        refused(DecodingError, equal, video.read, [11, 12])
        assert refused(DecodingError, message, lambda: list(video.frames()))


@pytest.mark.parametrize(("suffix", "is_cover"), [("mp4", True), ("mp4", False), ("mkv", False)])
def test_the_film_is_read_not_a_picture_before_it(tmp_path, suffix, is_cover):
    still, film = ("mjpeg", (48, 64), range(1)), ("libx264", (32, 160), range(20))
    path = write_parts(tmp_path / f"v.{suffix}", still, film, is_cover=is_cover)
    with VideoFile(path) as video:
        assert [read_number(frame) for frame in video.frames()] == list(range(20))
        assert video.num_frames == 20
        assert [read_number(frame) for frame in video.read([19, 0])] == [19, 0]
    if is_cover:
        path = write_parts(tmp_path / "cover.mp4", still, is_cover=True)
        refused(DecodingError, "no video stream besides cover pictures", VideoFile, path)
