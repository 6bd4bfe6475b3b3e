"""`vidcorr sweep`: its parts, for several machines."""

from pathlib import Path

import pytest

from callbacks.tools.sweep import command


def test_parts_share_out_the_batches(davis_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["raw_colour", "--root", str(davis_root), "--limit", "2", "--vary", "topk=2,10", "--at-once", "1"]
    words += ["--output", str(tmp_path)]
    command([*words, "--part", "1/2"])
    assert "1 of 2 batches are done" in capsys.readouterr().out
    command([*words, "--part", "2/2"])
    assert "Best 2 of 2 protocols" in capsys.readouterr().out


def test_a_part_that_is_none_is_one_line(davis_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="part 3/2: give K/N"):
        command(["raw_colour", "--root", str(davis_root), "--part", "3/2", "--output", str(tmp_path)])


@pytest.mark.parametrize("flag", ["--strides", "--at-once", "--limit", "--most"])
def test_a_number_below_one_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(["raw_colour", flag, "0"])
    assert f"argument {flag}: expected an integer of at least 1, got '0'" in capsys.readouterr().err
