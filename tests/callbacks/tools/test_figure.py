"""Curves read from the files that benchmarks leave, and the picture of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callbacks.benchmarks.results import Results
from callbacks.tools.figure import command, figure, read_curves


def write_run(folder: Path, scores: dict[tuple[int, int], dict[str, float]]) -> Path:
    for (epoch, step), values in scores.items():
        place = folder / "version_0" / "benchmarks" / "davis" / f"epoch={epoch:03d}-step={step:06d}"
        Results("davis", values, []).write(place)
    return folder


def blocks(value: float) -> dict[str, float]:
    return {"res4.b1/J&F-Mean": value, "res4.b1/J-Mean": 0.1, "res5/J&F-Mean": value / 2}


def test_curves_of_each_stage(tmp_path: Path) -> None:
    run = write_run(tmp_path, {(9, 40): blocks(0.6), (0, 0): blocks(0.2), (0, 4): blocks(0.4)})
    assert read_curves(run) == {
        "res4.b1": [(0, 0.2), (1, 0.4), (10, 0.6)],
        "res5": [(0, 0.1), (1, 0.2), (10, 0.3)],
    }
    single = write_run(tmp_path / "single", {(1, 8): {"J&F-Mean": 0.5}})
    assert read_curves(single) == {"": [(2, 0.5)]}


def test_the_picture_shows_a_curve_for_each_stage_and_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    runs = [write_run(tmp_path / name, {(0, 4): blocks(0.4), (1, 8): blocks(0.5)}) for name in ("one", "two")]
    pictures = []
    for number in (1, 2):
        path = figure(runs[:number], tmp_path / "new" / f"{number}.png", title="VFS")
        pictures.append(np.asarray(Image.open(path).convert("RGB")))
    assert pictures[0].shape == (675, 1050, 3)
    colourful = [(np.ptp(picture.astype(int), axis=2) > 60).sum() for picture in pictures]
    assert colourful[0] > 500  # lines are there
    assert colourful[1] != colourful[0]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no benchmarks/davis/epoch"):
        read_curves(tmp_path)
    run = write_run(tmp_path, {(0, 4): blocks(0.4)})
    with pytest.raises(ValueError, match=r"no score 'PCK'; it has J&F-Mean, J-Mean"):
        read_curves(run, score="PCK")
    broken = next(run.glob("**/results.json"))
    broken.write_text(json.dumps([]))
    with pytest.raises(ValueError, match=r"results\.json: is not a results\.json"):
        read_curves(run)
    write_run(tmp_path / "other", {(0, 4): blocks(0.4)})
    with pytest.raises(ValueError, match=r"holds 2 runs: name one or several \(.*other/version_0, .*/version_0\)"):
        read_curves(tmp_path)
    with pytest.raises(ValueError, match="at least one"):
        figure([])


def test_command_draws_the_picture(tmp_path, capsys):
    write_run(tmp_path / "run", {(0, 4): {"J&F-Mean": 0.3}, (1, 8): {"J&F-Mean": 0.4}})
    command([str(tmp_path / "run"), "--output", str(tmp_path / "curve.png")])
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert "curve.png" in capsys.readouterr().out
