"""`transcode`: names of its output, a second run, and a run that was interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from datamodules.reading.decoding import VideoFile
from datamodules.reading.errors import DataError
from datamodules.reading.source import VideoEntry, list_videos, open_video
from datamodules.tools import transcode as module
from datamodules.tools.transcode import Job, OutputFormat, command, plan, transcode
from tests.helpers.numbered_videos import write_video
from tests.helpers.refusal import refused


def run(source: Path, output: Path, **form) -> VideoFile:
    """One video in this process."""
    module._run(OutputFormat(**form), Job(source, output))
    return open_video(output)


def test_a_list_its_labels_its_failures_and_a_second_run(tmp_path, capsys):
    write_video(tmp_path / "in/a/1.mp4", 8)
    write_video(tmp_path / "in/b/1.avi", 8, video=1)
    (tmp_path / "in/b/2.mp4").write_bytes(b"no video")
    source, out = tmp_path / "in/list.txt", tmp_path / "out"
    source.write_text("b/1.avi 4\na/1.mp4 2\nb/2.mp4 3\ngone.mp4 1\na/1.mp4 2\n")
    words = [str(source), str(out), "--workers", "2"]
    with pytest.raises(SystemExit, match=r"2 of 4 failed: .*failed\.txt"):
        command(words)
    assert "2 written, 0 there already" in capsys.readouterr().out
    listed = [(entry.path.relative_to(out).as_posix(), entry.label) for entry in list_videos(out / "list.txt")]
    assert listed == [("b/1.mp4", 4), ("a/1.mp4", 2), ("a/1.mp4", 2)]
    failed = (out / "failed.txt").read_text().splitlines()
    assert any(line.startswith(f"{tmp_path}/in/gone.mp4: No such file") for line in failed)
    assert any(line.startswith(f"{tmp_path}/in/b/2.mp4: Invalid data") for line in failed)

    first = (out / "b/1.mp4").stat()
    write_video(tmp_path / "in/a/1.mp4", 9)
    os.utime(tmp_path / "in/a/1.mp4", (1e9, 1e9))
    write_video(tmp_path / "in/b/2.mp4", 8)
    source.write_text("b/1.avi 4\na/1.mp4 2\nb/2.mp4 3\n")
    command(words)
    assert "2 written, 1 there already" in capsys.readouterr().out
    assert (out / "b/1.mp4").stat().st_ino == first.st_ino
    assert not (out / "failed.txt").exists()
    with open_video(out / "a/1.mp4") as video:
        assert video.num_frames == 9
    assert not list(out.rglob(".*"))
    with pytest.raises(DataError, match=r"out: was made with other flags .*transcode\.json"):
        transcode(source, out, OutputFormat(crf=20))


def test_a_video_that_lacks_its_end_fails_and_leaves_nothing(shared_data, tmp_path):
    whole, cut = shared_data / "clips/sthsthv2_166766.mp4", tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refused(DataError, r"ends early: \d+ of 49 frames", run, cut, tmp_path / "out/cut.mp4")
    assert not list((tmp_path / "out").iterdir())


SLOW_RUN = """
import sys
from pathlib import Path
from datamodules.tools import transcode
transcode.transcode(Path(sys.argv[1]), Path(sys.argv[2]), workers=1)
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_file_and_the_next_resumes(shared_data, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(4):
        shutil.copy(shared_data / "clips/sam2_01_dog.mp4", tmp_path / f"in/{number}.mp4")
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, tmp_path / "in", out], cwd=Path(__file__).parents[3])
    until = time.monotonic() + 200
    while not list(out.glob(".*.partial")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for path in out.glob("*.mp4"):
        with open_video(path) as video:
            assert video.num_frames == 289
    made, failed = transcode(tmp_path / "in", out, workers=2)
    assert (len(made), failed) == (4, {})
    assert not list(out.glob(".*"))
    for number in range(4):
        with open_video(out / f"{number}.mp4") as video:
            assert video.num_frames == 289


def test_what_is_refused_before_any_work(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    twins = [VideoEntry(root / "a.mp4"), VideoEntry(root / "a.avi")]
    with pytest.raises(DataError, match=r"a\.avi and .*a\.mp4 would both become .*a\.mp4; rename"):
        plan(root, twins, tmp_path / "out", frames=False)
    inside = [VideoEntry(root / "a.mp4"), VideoEntry(root / "a/b.mp4")]
    assert plan(root, inside, tmp_path / "out", frames=False)
    with pytest.raises(DataError, match=r"b\.mp4 would go into .*out/a, the folder of frames of .*a\.mp4"):
        plan(root, inside, tmp_path / "out", frames=True)
    for destination in (root, root / "out"):
        refused(DataError, "lies in the source", plan, root, inside, destination, frames=False)
    write_video(root / "a.mp4", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious.mp4").touch()
    refused(DataError, "were not made by transcode", transcode, root, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["precious.mp4"]
    (tmp_path / "out/transcode.json").write_text("{")
    refused(DataError, "was made with other flags", transcode, root, tmp_path / "out")
    refused(ValueError, "crf must be from 0 to 51, got 60", OutputFormat, crf=60)


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    for number in range(3):
        write_video(tmp_path / f"in/{number}.mp4", 4)
    monkeypatch.setattr(module, "write_video", _full)
    with pytest.raises(OSError, match="No space left on device"):
        transcode(tmp_path / "in", tmp_path / "out", workers=1)
    assert json.loads((tmp_path / "out/transcode.json").read_text())["short_side"] == 256


def _full(video, path, form):
    container = av.open("/dev/full", "w", format="mp4")
    stream = container.add_stream("libx264", rate=25)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    for _ in range(60):
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
    container.mux(stream.encode(None))
    container.close()


@pytest.mark.parametrize("frames", [False, True])
def test_an_emptied_output_is_made_again(tmp_path, frames):
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "a.mp4", 3)
    for _ in range(2):
        [made], _ = transcode(tmp_path / "in", tmp_path / "out", OutputFormat(frames=frames), workers=1)
        assert made.is_new
        [output] = [path for path in (tmp_path / "out").iterdir() if path.stem == "a"]
        emptied = sorted(output.iterdir())[1] if frames else output
        changed = output.stat().st_mtime_ns
        emptied.write_bytes(b"")
        for path in (emptied, output):
            os.utime(path, ns=(changed, changed))
