"""A part of a video, by numbers and by times."""

from unittest.mock import Mock

import numpy as np
import pytest

from tests.helpers.numbered_videos import write_video
from tests.helpers.refusal import refused
from vidcorr.datasets.generated.writers import write_frames, write_mp4
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.files import DataError
from vidcorr.videos.prompts import read_prompt
from vidcorr.videos.stream import FrameStream, placed

FRAMES = 30


@pytest.fixture(scope="module", params=["short.mp4", "long_groups.mkv", "no_table.avi", "frames"])
def video(request, tmp_path_factory):
    """Videos that can be sought in, one that cannot, and a folder, each with what it shows."""
    path = tmp_path_factory.mktemp("videos") / request.param
    pictures = np.random.default_rng(0).integers(0, 256, (FRAMES, 32, 48, 3), dtype=np.uint8)
    if request.param == "frames":
        write_frames(path, pictures, [f"p{t:03d}.png" for t in range(FRAMES)])
    elif request.param == "short.mp4":
        write_mp4(path, pictures, rate=10)
    else:
        codec = {"codec": "mpeg4"} if path.suffix == ".avi" else {"options": {"g": "12", "bf": "2"}}
        write_video(path, FRAMES, **codec)
    stream = FrameStream(path)
    return path, np.stack([frame.numpy() for frame in stream])


@pytest.mark.parametrize(
    ("start", "end", "every"), [(0, None, 1), (7, None, 1), (13, 25, 1), (4, 29, 3), (29, None, 1)]
)
def test_the_frames_of_a_part_are_those_of_the_video(video, start, end, every):
    path, pictures = video
    stream = FrameStream(path, start=start, end=end, every=every)
    expected = pictures[start:end:every]
    assert stream.num_frames == len(expected)
    assert np.array_equal(np.stack([frame.numpy() for frame in stream]), expected)
    assert stream.frame_rate == pytest.approx(FrameStream(path).frame_rate / every)
    middle = len(expected) // 2
    assert np.array_equal(np.stack([frame.numpy() for frame in stream.forwards(middle)]), expected[middle:])


@pytest.mark.parametrize("held", [1, 5, 1000])
def test_backwards_it_gives_the_same_frames_from_the_last_one_asked_for(video, held, monkeypatch):
    path, pictures = video
    stream = FrameStream(path, start=2, every=2)
    monkeypatch.setattr("vidcorr.videos.stream.HELD", held * 3 * stream.size[0] * stream.size[1])
    expected = pictures[2::2][:10][::-1]
    assert np.array_equal(np.stack([frame.numpy() for frame in stream.backwards(9)]), expected)


def test_a_start_after_the_end_is_refused_and_frames_are_known(video):
    path, _ = video
    refused(DataError, "none from frame 900 on", FrameStream, path, start=900)
    refused(DataError, "every: expected 1 or more", FrameStream, path, every=0)
    refused(DataError, "frame 4 is not after the start, frame 4", FrameStream, path, start=4, end=4)
    assert FrameStream(path).holds(29)
    assert not FrameStream(path).holds(30)


def test_a_frame_that_no_seek_finds_is_decoded_from_the_start(tmp_path, monkeypatch):
    with VideoFile(write_video(tmp_path / "clip.mkv", FRAMES, options={"g": "6"})) as video:
        expected = [frame.tobytes() for frame in video.frames()][20:]
        monkeypatch.setattr(VideoFile, "_packets_from", Mock(side_effect=LookupError("no such key frame")))
        assert [frame.tobytes() for frame in video.frames(20)] == expected


def test_pictures_of_a_folder_go_by_their_names(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    write_frames(tmp_path / "frames", pictures, [f"{t:05d}.png" for t in range(10, 16)])
    stream = FrameStream(tmp_path / "frames", start="stem:00012", end=5)
    assert (stream.part.start, stream.stem(0), stream.stem(2)) == (2, "00012", "00014")
    assert [stream.index_of(name) for name in ("stem:00014", 4, "4", "00004", "4.0", "00014.png")] == [4] * 6
    assert stream.index_of("00014") == 14  # a number, whatever the names of the images
    for name in ("p12", "2.5", "-3", None, "stem:4"):
        refused(DataError, "frame: expected a frame index such as 120", stream.index_of, name)


@pytest.mark.parametrize("name", ["{:05d}.png", "{}.png", "img_{:03d}.png"])
@pytest.mark.parametrize("first", [0, 1, 5])
def test_a_number_means_one_frame_in_flags_prompts_and_tables(name, first, tmp_path):
    """Counted from 0, whatever the padding and the first number of the names; a stem has its own spelling."""
    names = [name.format(t + first) for t in range(12)]
    write_frames(tmp_path / "frames", np.zeros((12, 16, 16, 3), np.uint8), names)
    stream = FrameStream(tmp_path / "frames")
    (tmp_path / "points.csv").write_text("frame,name,x,y\n5,nose,1,2\n")
    prompts = [read_prompt(box="1,1,4,4@5"), read_prompt(points=str(tmp_path / "points.csv"))]
    stem = names[7].removesuffix(".png")
    assert [placed(prompt, stream).frame for prompt in prompts] == [5, 5]
    assert [FrameStream(tmp_path / "frames", start=start).part.start for start in (5, "5", "00005")] == [5] * 3
    assert placed(read_prompt(box=f"1,1,4,4@stem:{stem}"), stream).frame == 7
    (tmp_path / "points.csv").write_text(f"image,name,x,y\n{names[7]},nose,1,2\n")
    assert placed(read_prompt(points=str(tmp_path / "points.csv")), stream).frame == 7
