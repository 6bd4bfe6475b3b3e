"""`check-data`: what it finds in a source, and the list that it writes."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.numbered_videos import write_folder, write_video
from tests.helpers.odd_videos import write_resized, write_song, write_with_still
from tests.helpers.refusal import refused
from vidcorr.commands.check_data import Frames, check_data, command, content_digest
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.videos.files import DataError
from vidcorr.videos.source import list_videos

GOOD = ["good 1.mp4", "other.mkv", "frames", "#1.mp4"]
BAD = {
    "short.mp4": "5 frame(s), fewer than 8",
    "broken.mp4": "cannot be opened as a video",
    "one": "a folder of frames needs at least 2",
    "gone.mp4": "No such file",
}


@pytest.mark.slow
def test_unusable_videos_are_named_and_the_others_are_listed_with_their_labels(tmp_path, capsys):
    videos, source = tmp_path / "videos", tmp_path / "list.txt"
    write_video(videos / "good 1.mp4", 30)
    write_video(videos / "other.mkv", 24, video=1)
    write_folder(videos / "frames", 9)
    write_video(videos / "#1.mp4", 8)
    write_video(videos / "short.mp4", 5)
    (videos / "broken.mp4").write_bytes(b"no video")
    write_folder(videos / "one", 1)
    source.write_text("".join(f"videos/{name} {label}\n" for label, name in enumerate([*GOOD, *BAD])))
    words = [str(source), "--output", str(tmp_path / "out"), "--workers", "2"]
    refused(SystemExit, "4 of 8 videos cannot be used", command, words)
    lines = capsys.readouterr().out.splitlines()
    for line, (name, reason) in zip(lines, BAD.items(), strict=False):
        assert line.startswith(f"{videos / name}: ")
        assert reason in line
    assert lines[4] == "4 videos, 71 frames, most of 160 × 32 px"
    clean = list_videos(tmp_path / "out/clean.txt")
    assert [(entry.path.name, entry.label) for entry in clean] == [(name, label) for label, name in enumerate(GOOD)]

    usable, _ = check_data(source, tmp_path / "out", 1, min_frames=25)
    assert {Path(path).name: frames for path, frames in usable.items()} == {"good 1.mp4": Frames(30, 160, 32)}
    refused(DataError, r"none of 8 videos can be used; the first is .*/good 1\.mp4: 30 frame", check_data, source,
            tmp_path / "out", 1, min_frames=31)  # fmt: skip
    assert not (tmp_path / "out/clean.txt").exists()


def test_the_digest_is_of_the_content_and_not_of_its_place_order_or_encoding():
    dog, cat = Frames(30, 8, 6), Frames(31, 8, 6)
    digest = content_digest({"a/dog.avi": dog, "a/cat.avi": cat})
    assert digest == content_digest({"b/cat.mp4": cat, "b/dog.mp4": dog})
    assert digest != content_digest({"a/dog.avi": dog, "a/cat.avi": dog})


@pytest.mark.slow
def test_videos_of_changing_size_and_songs_are_named(tmp_path):
    write_video(tmp_path / "plain.mp4", 20)
    write_with_still(tmp_path / "film.mp4", 20)
    write_song(tmp_path / "song.mp4")
    write_resized(tmp_path / "middle.mkv", [(12, (32, 160)), (5, (48, 64)), (60, (32, 160))])  # between the samples
    write_folder(tmp_path / "frames", 30)
    write_frames(tmp_path / "frames", np.zeros((1, 20, 30, 3), np.uint8), ["02.png"])
    usable, unusable = check_data(tmp_path, tmp_path / "out", 1)
    assert sorted(Path(path).name for path in usable) == ["film.mp4", "plain.mp4"]
    reasons = {Path(path).name: reason for path, reason in unusable.items()}
    assert reasons == {
        "frames": f"{tmp_path}/frames/02.png: is 30 × 20 px, other frames 160 × 32 px",
        "middle.mkv": "frame 12 is 64 × 48 px, other frames 160 × 32 px",
        "song.mp4": "has no video stream besides cover pictures",
    }
