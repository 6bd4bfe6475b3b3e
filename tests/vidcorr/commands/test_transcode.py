"""`transcode`: frames, times and colours of its videos, a second run, and a run that was interrupted."""

import os
import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.helpers.numbered_videos import read_number, write_folder, write_video
from tests.helpers.odd_videos import write_resized, write_with_still
from tests.helpers.refusal import refused
from vidcorr.commands import transcode as module
from vidcorr.commands.transcode import OutputFormat, command, plan, transcode, write_video as write
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.files import DataError, partial_path
from vidcorr.videos.source import VideoEntry, list_videos, open_video


@pytest.mark.slow
def test_a_list_its_labels_its_failures_and_a_second_run(tmp_path, capsys):
    write_video(tmp_path / "in/a/1.mp4", 8)
    write_video(tmp_path / "in/b/1.avi", 8, video=1)
    (tmp_path / "in/b/2.mp4").write_bytes(b"no video")
    source, out = tmp_path / "in/list.txt", tmp_path / "out"
    source.write_text("b/1.avi 4\na/1.mp4 2\nb/2.mp4 3\ngone.mp4 1\na/1.mp4 2\n")
    words = [str(source), str(out), "--workers", "2"]
    refused(SystemExit, "2 videos failed", command, words)
    printed = capsys.readouterr().out
    assert re.search(r"in/gone\.mp4: .*No such file", printed)
    assert f"{tmp_path}/in/b/2.mp4: has no complete header" in printed
    assert "2 videos written" in printed
    listed = [(entry.path.relative_to(out).as_posix(), entry.label) for entry in list_videos(out / "list.txt")]
    assert listed == [("b/1.mp4", 4), ("a/1.mp4", 2), ("a/1.mp4", 2)]

    first = (out / "b/1.mp4").stat()
    write_video(tmp_path / "in/b/2.mp4", 9)
    source.write_text("b/1.avi 4\na/1.mp4 2\nb/2.mp4 3\n")
    partial_path(out / "b/2.mp4").write_bytes(b"of a run that was killed")
    command(words)
    assert "1 videos written" in capsys.readouterr().out
    assert (out / "b/1.mp4").stat() == first
    with open_video(out / "b/2.mp4") as video:
        assert video.num_frames == 9
    assert not list(out.rglob(".*"))
    message = r"out: was made with other flags .*transcode\.json"
    refused(DataError, message, transcode, source, out, OutputFormat(crf=20))


def test_a_video_that_lacks_its_end_fails_and_leaves_nothing(real_data, tmp_path):
    whole, cut = real_data("clips/sthsthv2_166766.mp4"), tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    job = cut, tmp_path / "out/cut.mp4"
    refused(DataError, r"ends early: \d+ of 49 frames", module._run, OutputFormat(), job)
    assert not list((tmp_path / "out").iterdir())


def test_what_is_refused_before_any_work(tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    twins = [VideoEntry(root / "a.mp4"), VideoEntry(root / "a.avi")]
    refused(DataError, r"a\.avi and .*a\.mp4 would both become .*a\.mp4; rename", plan, root, twins, out)
    for destination in (root, root / "out"):
        refused(DataError, "lies in the source", plan, root, twins, destination)
    write_video(root / "a.mp4", 2)
    out.mkdir()
    (out / "precious.mp4").touch()
    refused(DataError, "were not made by transcode", transcode, root, out)
    assert os.listdir(out) == ["precious.mp4"]


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    write_video(tmp_path / "in/0.mp4", 4)
    monkeypatch.setattr(module, "write_video", lambda video, _, form: write(video, Path("/dev/full"), form))
    refused(OSError, "No space left on device", transcode, tmp_path / "in", tmp_path / "out", workers=1)


def encoded(source: Path, output: Path, **options) -> VideoFile:
    with open_video(source) as video:
        write(video, output, OutputFormat(**options))
    return open_video(output)


@pytest.mark.parametrize(("name", "options"), [("a.mp4", {"bf": "3"}), ("a.mkv", {}), ("a.avi", {"bf": "0"})])
def test_frames_and_key_frames(tmp_path, name, options):
    source = write_video(tmp_path / name, 50, options={"g": "250"} | options)
    with encoded(source, tmp_path / "out.mp4", short_side=16) as video:
        codec = video._stream.codec_context
        assert (codec.name, codec.width, codec.height, video.frame_rate) == ("h264", 80, 16, 25.0)
        assert video.num_frames == 50
        assert [read_number(frame) for frame in video.frames()] == list(range(50))
        assert [read_number(frame) for frame in video.read([49, 7, 30])] == [49, 7, 30]
        assert np.diff([*video._table.keys, 50]).max() <= 12
        assert video._table.is_from_index
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.slow
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
def test_real_videos_keep_their_colours(real_data, tmp_path, name, size, tolerance):
    with open_video(real_data(name)) as before, encoded(real_data(name), tmp_path / "out.mp4", crf=18) as after:
        for expected, got in zip(before.frames(), after.frames(), strict=True):
            assert got.shape == (*size, 3)
            scaled = cv2.resize(expected, size[::-1], interpolation=cv2.INTER_AREA).astype(int)
            assert np.abs(scaled - got).mean() < tolerance
            assert np.abs((scaled - got).mean(axis=(0, 1))).max() < 2


def test_a_folder_of_frames(tmp_path):
    with encoded(write_folder(tmp_path / "in", 12), tmp_path / "out.mp4") as video:
        assert [read_number(frame) for frame in video.frames()] == list(range(12))


def test_a_video_of_changing_size_is_refused_and_a_still_before_the_film_left_out(tmp_path):
    write_resized(tmp_path / "in/resized.mkv", [(10, (32, 160)), (8, (48, 64))])
    write_with_still(tmp_path / "in/film.mp4", 9)
    written, failed = transcode(tmp_path / "in", tmp_path / "out", workers=1)
    assert (written, list(failed.values())) == (
        1, ["frame 10 is 64 × 48 px, other frames 160 × 32 px; give frames of one size"],
    )  # fmt: skip
    with open_video(tmp_path / "out/film.mp4") as video:
        assert [read_number(frame) for frame in video.frames()] == list(range(9))
    assert not (tmp_path / "out/resized.mp4").exists()
