"""`check-data`: what it finds in a source, and the list that it writes.

Also tests `videos/check.py`.
"""

from pathlib import Path

from PIL import Image

from tests.helpers.damage import with_hole
from tests.helpers.numbered_videos import write_folder
from tests.helpers.refusal import refused
from vidcorr.commands import run_command
from vidcorr.videos.check import Frames, _frames
from vidcorr.videos.files import DataError


def test_outcomes_are_sorted_counted_and_listed(tmp_path, monkeypatch, capsys, recorded):
    outcomes = {"a.mp4": Frames(8, 6, 4), "b.mp4": Frames(7, 6, 4), "c.mp4": Frames(9, 6, 4), "d.mp4": Frames(9, 4, 6)}
    outcomes["e.mp4"] = DataError(f"{tmp_path / 'e.mp4'}: is\x1b broken")
    asked = []

    def in_processes(work, paths, *arguments):
        asked.append((work, [Path(path).name for path in paths], *arguments))
        yield from ((path, outcomes[Path(path).name]) for path in reversed(paths))

    monkeypatch.setattr("vidcorr.videos.check.in_processes", in_processes)
    source, clean = tmp_path / "list.txt", tmp_path / "new/out/clean.txt"
    source.write_text("c.mp4 1\na.mp4 2\nb.mp4 0\nd.mp4 1\ne.mp4 2\nc.mp4 3\n")
    words = ["check-data", str(source), "--output", str(clean.parent)]
    refused(SystemExit, "2 of 5 videos cannot be used", run_command, [*words, "--workers", "3"])
    assert asked == [(_frames, ["c.mp4", "a.mp4", "b.mp4", "d.mp4", "e.mp4"], 3, 3600.0, "check-data")]
    assert capsys.readouterr().out.replace(str(tmp_path), "DATA").splitlines() == recorded
    assert clean.read_text() == "".join(f"{tmp_path / name}\n" for name in ("c.mp4 1", "a.mp4 2", "d.mp4 1", "c.mp4 3"))
    refused(DataError, "none of 5 videos .* first is .*/c.mp4: 9 frame", run_command, [*words, "--min-frames", "10"])
    assert not clean.exists()
    clean.write_text("b.mp4\n")  # a list that is checked itself is the user's
    refused(DataError, "none of 1 videos", run_command, ["check-data", str(clean), "--output", str(clean.parent)])
    assert clean.read_text() == "b.mp4\n"
    source.write_text("b.mp4\n")
    run_command([*words, "--min-frames", "7"])
    assert capsys.readouterr().out.startswith("1 videos, 7 frames")
    run_command(["check-data", str(clean), *words[2:], "--min-frames", "7"])  # its own list
    assert clean.read_text() == f"{tmp_path / 'b.mp4'}\n"
    asked.clear()
    refused(OSError, "list.txt", run_command, ["check-data", str(source), "--output", f"{source}/out"])
    assert not asked  # before hours of decoding


def test_a_folder_of_frames_is_counted_and_measured_to_its_end(tmp_path):
    write_folder(tmp_path / "frames", 9)
    assert _frames(str(tmp_path / "frames")) == Frames(9, 160, 32)
    last = max((tmp_path / "frames").iterdir())
    Image.new("RGB", (80, 32)).save(last)
    refused(DataError, last.name, _frames, str(tmp_path / "frames"))
    write_folder(tmp_path / "damaged", 9, suffix=".jpg")
    file = sorted((tmp_path / "damaged").iterdir())[5]
    file.write_bytes(with_hole(file.read_bytes()))
    refused(DataError, "05.jpg: is damaged", _frames, str(tmp_path / "damaged"))
