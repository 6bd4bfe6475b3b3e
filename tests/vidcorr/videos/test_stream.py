"""A video, or a part of it, from its start to its end, read ahead."""

import threading
import time

import numpy as np
import pytest

from tests.helpers.numbered_videos import changed
from tests.helpers.refusal import refused
from vidcorr.datasets.generated.writers import write_frames, write_mp4
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.files import DataError
from vidcorr.videos.image_files import read_ahead, write_behind
from vidcorr.videos.stream import FrameStream

PICTURES = np.random.default_rng(0).integers(0, 256, (30, 33, 49, 3), dtype=np.uint8)


def arrays(frames):
    return np.stack([frame.permute(1, 2, 0).numpy() for frame in frames])


@pytest.mark.parametrize("name", ["clip.mp4", "clip.v1"])
def test_the_frames_of_a_part_are_those_of_the_video(name, tmp_path):
    path = tmp_path / name
    if name == "clip.mp4":
        write_mp4(path, PICTURES, rate=30_000 / 1001)
        with VideoFile(path) as video:  # without an odd last row and column
            pictures, told = np.stack(video.read(range(30))), ("clip", 30_000 / 1001, "00007.png", (32, 48))
    else:
        write_frames(path, PICTURES, [f"p{t:03d}.png" for t in range(30)])
        pictures, told = PICTURES, ("clip.v1", 24, "p007.png", (33, 49))
    whole = FrameStream(path)
    assert (whole.name, whole.frame_rate, whole.image_name(7), whole.size) == told
    for start, end in ((0, None), (7, None), (13, 25), (0, 1)):
        stream, expected = FrameStream(path, start, end), pictures[start:end]
        assert stream.num_frames == len(expected)
        for _ in range(2):
            assert np.array_equal(arrays(stream), expected)
        middle = len(expected) // 2
        assert np.array_equal(arrays(stream.forwards(middle)), expected[middle:])
    assert FrameStream(path, 4).image_name(3) == told[2]
    for part in ((900, None), (4, 4), (0, 0), (-2, None), (0, -1)):
        refused(DataError, f"none of {part[0]} to ({part[1]}|the end)|counted from 0", FrameStream, path, *part)
    if name == "clip.v1":
        every_tenth = tmp_path / "tenth"
        write_frames(every_tenth, PICTURES, [f"p{1001 + 10 * t}.png" for t in range(30)])
        stream = FrameStream(every_tenth, 1011, 1031)
        assert np.array_equal(arrays(stream), PICTURES[1:3])
        assert [stream.number(1), stream.place(1021), stream.place(1001), stream.image_name(1)] == [
            1021,
            1,
            -1,
            "p1021.png",
        ]
        refused(DataError, "has no frame 1002; its images are p1001.png to p1291.png", stream.place, 1002)
        refused(DataError, "has no frame 1031; the last frame is 1021", stream.require, 2)
        write_frames(path, PICTURES[:1, 1:], ["p009.png"])
        refused(DataError, "p009.png: is 49 × 32 px, other frames 49 × 33", list, FrameStream(path, 4).forwards(3))


def test_calls_run_in_order_behind_the_caller():
    done = []
    with write_behind(lambda number: done.append((number, time.sleep(0.01 / (1 + number))))) as later:
        for number in range(40):
            later(number)
    assert done == [(number, None) for number in range(40)]  # though the first takes longest

    def called(*texts):
        with write_behind(int, at_most=2) as later:
            for text in texts:
                done.append(text)
                later(text)

    for texts, begun in (("a", "a"), ("a123", "a12")):  # the third call waits for the first
        done.clear()
        refused(ValueError, "invalid literal", called, *texts)
        assert done == list(begun)


def test_closing_does_not_wait_for_the_thread():
    """The garbage collector may close a reader inside a thread that is just starting: a wait there never ends."""
    begun, closed, taken = threading.Event(), threading.Event(), []

    def items():
        yield threading.current_thread()
        for _ in range(2):
            begun.set()
            taken.append(closed.wait(2))
            yield None

    found = read_ahead(items())
    thread = next(found)
    begun.wait()
    found.close()
    closed.set()
    thread.join()
    assert taken == [True]  # what was begun alone


def test_a_part_counts_the_frames_of_a_film_without_a_count(tmp_path):
    write_mp4(tmp_path / "clip.mp4", PICTURES)
    film = changed(tmp_path / "clip.mp4", tmp_path / "clip.h264")
    assert [FrameStream(film).num_frames, FrameStream(film, 7).num_frames] == [1, 23]
