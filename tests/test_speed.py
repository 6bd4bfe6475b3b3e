"""The commands that measure a GPU run on a CPU in their small form."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.speed import all as speed
from tests.speed.gpu import with_table
from tests.speed.timing import real_folder


def rows(*words):
    """Run a script of tests/speed; return the first cell of each row of its table."""
    root = Path(__file__).parents[1]
    run = [sys.executable, "-m", *words]
    done = subprocess.run(run, cwd=root, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]


@pytest.mark.slow
@pytest.mark.exhaustive
def test_each_fills_the_rows_of_a_table():
    """All commands of `make gpu`."""
    found = rows("tests.speed.gpu", "--small")
    steps = {row.split(",")[0] for row in found}
    assert steps >= {f"step of {m}" for m in ("VFSSimSiam", "VFSMoCo", "Liir", "SiamFC")}
    assert sum("a frame of" in row for row in found) >= 13
    assert any(row.startswith("40 frames under dino") for row in found)


def test_a_gpus_table_replaces_its_earlier_one_alone():
    page = "# Speed\n\nWords.\n"
    one = with_table(page, "A100", "torch 1:", ["| step | 2 s | 1 s | 2× |"])
    both = with_table(one, "H100", "torch 1:", ["| step | 1 s | 0.5 s | 2× |"])
    again = with_table(both, "A100", "torch 2:", ["| step | 3 s | 1 s | 3× |"])
    assert again.startswith(page)
    assert "torch 2:" in again
    assert "| 3 s |" in again
    assert "| 2 s |" not in again
    assert "| 0.5 s |" in again


def test_a_clone_alone_skips_what_needs_real_videos(monkeypatch, capsys, tmp_path):
    """And only that: the other scripts name no real videos."""
    page = tmp_path / "speed.md"
    page.write_text("measured")
    monkeypatch.delenv("VIDCORR_DATA", raising=False)
    monkeypatch.setattr(speed, "PAGE", page)
    ran = []
    monkeypatch.setattr(speed, "run", lambda commands: (ran.extend(commands), ([], []))[1])
    speed.main()
    assert capsys.readouterr().out.count("skipped: needs real videos") == 3
    scripts = [command.split()[1].rpartition(".")[2] for command in ran]
    assert len(scripts) == len(speed.COMMANDS) - 3
    assert not [name for name in scripts if "real_folder()" in Path(speed.__file__).with_name(f"{name}.py").read_text()]
    assert page.read_text() == "measured"


def test_a_script_alone_names_the_real_videos_that_it_lacks(monkeypatch):
    """Each script takes the folder from this one function."""
    monkeypatch.delenv("VIDCORR_DATA", raising=False)
    with pytest.raises(SystemExit, match="set VIDCORR_DATA to their folder"):
        real_folder()
    scripts = Path(speed.__file__).parent.glob("*.py")
    asking = {script.stem for script in scripts if re.search(r"real_videos\(\)|VIDCORR_DATA.\]", script.read_text())}
    assert asking == {"all", "timing"}
