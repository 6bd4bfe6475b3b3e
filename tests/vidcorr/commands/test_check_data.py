"""`check-data`: its findings in a source, the files that it writes, and a second run over them."""

import json
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from tests.helpers.numbered_videos import write_folder, write_video
from tests.helpers.refusal import refused
from vidcorr.commands import check_data as module
from vidcorr.commands.check_data import VideoReport, check_data, command, content_digest
from vidcorr.videos.files import DataError
from vidcorr.videos.processes import in_processes
from vidcorr.videos.source import list_videos, open_video


@pytest.fixture
def source(tmp_path):
    """A list with labels of good, broken, short and missing videos."""
    write_video(tmp_path / "videos/good 1.mp4", 30, options={"g": "12"})
    write_video(tmp_path / "videos/other.mkv", 24, video=1)
    write_folder(tmp_path / "videos/frames", 9)
    write_video(tmp_path / "videos/short.mp4", 5)
    data = (tmp_path / "videos/other.mkv").read_bytes()
    (tmp_path / "videos/cut.mkv").write_bytes(data[: len(data) // 2])
    (tmp_path / "videos/broken.mp4").write_bytes(b"no video")
    write_folder(tmp_path / "videos/one", 1)
    lines = [f"videos/{name} {label}\n" for label, name in enumerate(EXPECTED)]
    (tmp_path / "list.txt").write_text("".join(lines))
    return tmp_path / "list.txt"


EXPECTED = {
    "good 1.mp4": (None, ""),
    "other.mkv": (None, ""),
    "frames": (None, ""),
    "short.mp4": ("too short", "5 frame(s), fewer than 8"),
    "cut.mkv": ("unreadable", ""),
    "broken.mp4": ("unreadable", "has no complete header: cut off, damaged or no video; copy it again"),
    "one": ("unreadable", "a folder of frames needs at least 2"),
    "gone.mp4": ("unreadable", "No such file"),
}


def test_a_source_is_read_and_a_second_run_reads_what_has_changed(source, tmp_path, monkeypatch, capsys):
    command([str(source), "--output", str(tmp_path / "out"), "--workers", "2"])
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["complete"]
    rows = report["videos"]
    assert [Path(row["path"]).name for row in rows] == list(EXPECTED)
    for row, (kind, reason) in zip(rows, EXPECTED.values(), strict=True):
        assert row["kind"] == kind
        assert reason in row["reason"]
        assert row["reason"] in printed
    good = rows[0]
    assert (good["frames"], good["fps"], good["seconds"], good["codec"]) == (30, 25.0, 1.2, "h264")
    assert (good["width"], good["height"], good["label"]) == (160, 32, 0)
    assert good["bytes"] == (tmp_path / "videos/good 1.mp4").stat().st_size
    assert (rows[2]["frames"], rows[2]["codec"], rows[2]["width"]) == (9, "frames", 160)
    assert "5 of 8 (62.5%): 4 unreadable, 1 too short" in printed
    clean = list_videos(tmp_path / "out/clean.txt")
    assert [(entry.path.name, entry.label) for entry in clean] == [("good 1.mp4", 0), ("other.mkv", 1), ("frames", 2)]

    # nothing is opened again but what failed; another limit on the length needs no reading
    opened = tmp_path / "opened"
    monkeypatch.setattr(module, "open_video", partial(noted_open_video, opened))
    assert [row.kind is None for row in check_data(source, tmp_path / "out", 1, min_frames=25)][:2] == [True, False]
    assert sorted(opened.read_text().split("\n")[:-1]) == ["broken.mp4", "cut.mkv", "one"]
    opened.unlink()
    write_video(tmp_path / "videos/good 1.mp4", 31)
    rows = check_data(source, tmp_path / "out", 1)
    assert "good 1.mp4" in opened.read_text()
    assert rows[0].frames == 31


def noted_open_video(notes, path, timeout):
    """Open a video and note its name in a file, which the processes share."""
    with notes.open("a") as file:
        file.write(f"{Path(path).name}\n")
    return open_video(path, timeout)


def inspected(path):
    return module._inspect(20, (str(path), None))


def test_an_interrupted_run_keeps_what_is_done(tmp_path, monkeypatch):
    for number in range(4):
        write_video(tmp_path / f"videos/{number}.mp4", 8, video=number)

    def two_then_ctrl_c(*arguments):
        with closing(in_processes(*arguments)) as outcomes:
            yield from islice(outcomes, 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "in_processes", two_then_ctrl_c)
    with pytest.raises(KeyboardInterrupt, match="keeps what is done; run the same command again to resume"):
        command([str(tmp_path / "videos"), "--output", str(tmp_path / "out"), "--workers", "1"])
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert (len(report["videos"]), report["complete"]) == (2, False)
    assert not (tmp_path / "out/clean.txt").exists()


def test_odd_names_are_read_back_from_the_list(tmp_path):
    odd = [" blank.mp4", "#1.mp4", "a 2.mp4"]
    for video, name in enumerate(odd):
        write_video(tmp_path / "videos" / name, 8 + video)
    rows = check_data(tmp_path / "videos", tmp_path / "out", workers=1)
    assert [entry.path.name for entry in list_videos(tmp_path / "out/clean.txt")] == odd
    assert not any(row.kind for row in rows)


@pytest.mark.parametrize(
    "name", ["jhmdb_wave.avi", "hmdb51_golf.avi", "mmaction2_part0.mp4", "intel_asl_milk.mkv", "sthsthv2_166766.mp4"]
)
def test_cut_files_are_told_from_whole_ones_with_dropped_frames(real_data, tmp_path, name):
    whole = real_data("clips") / name
    assert inspected(whole).frames > 8
    (tmp_path / name).write_bytes(whole.read_bytes()[: whole.stat().st_size * 7 // 10])
    refused(DataError, r"ends early: \d+ of \d+|has no complete header", inspected, tmp_path / name)


def test_an_avi_without_its_last_bytes_is_told_from_a_whole_one(tmp_path):
    whole = write_video(tmp_path / "v.avi", 30)
    assert inspected(whole).frames == 30
    content = whole.read_bytes()
    whole.write_bytes(content[:-40])
    refused(DataError, r"ends early: \d+ of \d+ bytes", inspected, whole)
    whole.write_bytes(content[:4] + b"\xff" * 4 + content[8:])  # as written to a pipe, of unknown size
    assert inspected(whole).frames == 30


def test_the_digest_is_of_the_content_and_not_of_its_place_order_or_encoding():
    rows = [VideoReport("a/dog.avi", 10, frames=30, width=8, height=6), VideoReport("a/cat.avi", 20, frames=31)]
    moved = [VideoReport("b/cat.mp4", 5, frames=31), VideoReport("b/dog.mp4", 9, frames=30, width=8, height=6)]
    assert content_digest(rows) == content_digest(moved)
    assert content_digest(rows) != content_digest([rows[0], VideoReport("a/cat.avi", 20, frames=30)])
