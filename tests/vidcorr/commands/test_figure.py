"""Curves read from the files that benchmarks leave, and the picture of them."""

import errno
import os

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.commands.figure import command
from vidcorr.experiments.figure import curves_of, figure, read_results
from vidcorr.results.result import Evaluated, Network, Result, Row


def write_run(folder, scores):
    history = []
    for (epoch, step), values in sorted(scores.items()):
        place = folder / "version_0" / "benchmarks" / "davis" / f"epoch={epoch:03d}-step={step:06d}"
        history.append(Evaluated(epoch=epoch + 1 if step else 0, step=step, scores=values))
        Result(benchmark="davis", network=Network(name="A"), scores=values, history=history).save(place)
    return folder


def blocks(value):
    return {"res4.b1/J&F-Mean": value, "res4.b1/J-Mean": 0.1, "res5/J&F-Mean": value / 2}


def test_curves_of_each_stage(tmp_path):
    run = write_run(tmp_path, {(9, 40): blocks(0.6), (0, 0): blocks(0.2), (0, 4): blocks(0.4)})
    (result,) = read_results(run).values()
    assert curves_of(result) == {
        "res4.b1": [(0, 0, 0.2), (1, 4, 0.4), (10, 40, 0.6)],
        "res5": [(0, 0, 0.1), (1, 4, 0.2), (10, 40, 0.3)],
    }


def test_evaluations_within_an_epoch_are_drawn_over_steps(tmp_path):
    scores = {(0, 4): blocks(0.2), (0, 8): blocks(0.6), (1, 12): blocks(0.3)}
    often = write_run(tmp_path / "often", scores)
    once = write_run(tmp_path / "once", {when: scores[when] for when in ((0, 8), (1, 12))})
    pictures = {
        (run, unit): figure([run], tmp_path / f"{run.name}-{unit}.png", unit=unit).read_bytes()
        for run in (often, once)
        for unit in ("epoch", "step", None)
    }
    assert pictures[often, None] == pictures[often, "step"] != pictures[often, "epoch"]
    assert pictures[once, None] == pictures[once, "epoch"] != pictures[once, "step"]


def colours_in(path, pixels):
    """The colours, other than greys, of at least `pixels` of the left 1,050 columns."""
    picture = np.asarray(Image.open(path).convert("RGB"))[:, :1050]
    found, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    vivid = np.ptp(found.astype(int), axis=1) > 60
    return {(int(r), int(g), int(b)) for r, g, b in found[vivid & (counts >= pixels)]}


def test_curves_that_coincide_all_show_in_the_commands_picture(tmp_path, capsys):
    blue, orange, green = (31, 119, 180), (255, 127, 14), (44, 160, 44)
    values = {(0, 0): 0.4, (0, 4): 0.5, (1, 8): 0.45}
    equal = {when: {f"res{stage}/J&F-Mean": value for stage in (3, 4, 5)} for when, value in values.items()}
    command([str(write_run(tmp_path / "run", equal)), "--output", str(tmp_path / "equal.png")])
    assert "equal.png" in capsys.readouterr().out
    assert colours_in(tmp_path / "equal.png", 60) >= {blue, orange, green}


@pytest.mark.slow
def test_many_curves_have_colours_of_their_own_and_a_legend_beside_them(tmp_path):
    scores = {(0, 4 * t): {f"res4.b{b}/J&F-Mean": 0.1 + 0.02 * b + 0.1 * t for b in range(1, 24)} for t in range(2)}
    path = figure([write_run(tmp_path / "run", scores)], tmp_path / "many.png")
    assert Image.open(path).width > 1050
    assert len(colours_in(path, 100)) == 23


def test_a_missing_score_is_named_and_trainings_are_told_apart(tmp_path):
    refused(ValueError, r"no results.json", read_results, tmp_path)
    run = write_run(tmp_path, {(0, 4): blocks(0.4)})
    refused(ValueError, r"no results.json of vip", read_results, run, "vip")
    refused(ValueError, r"no score 'PCK'; it has J&F-Mean, J-Mean", figure, [run], score="PCK")
    refused(ValueError, "figure: name at least one run", figure, [])
    write_run(tmp_path / "a", {(0, 4): blocks(0.5), (1, 8): blocks(0.5)})
    write_run(tmp_path / "b", {(0, 4): blocks(0.5)})
    found = read_results(tmp_path)  # a curve for each training, in the order of their folders
    assert [(name.split("/")[0], result.history[-1].step) for name, result in found.items()] == [
        ("a", 8),
        ("b", 4),
        ("version_0", 4),
    ]


def test_evaluations_without_a_training_are_bars_with_intervals(tmp_path, monkeypatch):
    for name, score in (("a", 0.4), ("b", 0.6)):
        rows = [Row(video=str(k), values={"J-Mean": score + k / 10}) for k in (-1, 0, 0, 1)]
        rows = [row.model_copy(update={"video": str(k)}) for k, row in enumerate(rows)]
        Result(benchmark="davis", network=Network(name=name), scores={"J-Mean": score}, rows=rows).save(tmp_path / name)
    path = figure([tmp_path], tmp_path / "bars.png", score="J-Mean")
    assert colours_in(path, 5000) == {(31, 119, 180)}
    picture = np.asarray(Image.open(path).convert("L"))
    assert (picture < 30).any(axis=0).sum() > 100  # black lines: the intervals
    trained = write_run(tmp_path / "run", {(0, 4): {"J-Mean": 0.4}})
    refused(ValueError, "is not a training, other runs are", figure, [tmp_path / "a", trained], score="J-Mean")


def test_a_full_disk_names_the_figure_and_keeps_the_one_before(tmp_path, monkeypatch):
    run, output = write_run(tmp_path / "run", {(0, 4): {"J&F-Mean": 0.4}}), tmp_path / "curves.png"
    output.write_bytes(b"earlier")

    def full(self, *args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Figure, "savefig", full)
    refused(OSError, r"No space left on device: '.*curves\.png'", figure, [run], output)
    assert output.read_bytes() == b"earlier"
