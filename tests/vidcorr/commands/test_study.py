"""`vidcorr study`: it prints plain commands, all or those without a result.

Also tests `runs/config_files.py`.
"""

import json
import shlex

import pytest

from tests.helpers.parsed import Parsed
from tests.helpers.runs import write_results
from tests.helpers.words import TINY, clips
from vidcorr.cli import main
from vidcorr.commands import run_command
from vidcorr.experiments.reports.study import read_study
from vidcorr.experiments.runs.config_files import CONFIGS
from vidcorr.results.records import results_below

STUDIES = sorted((CONFIGS / "studies").glob("*.yaml"))
STUDY = """
title: a trial
train: --config demo.yaml
seeds: [0, 1]
evaluate: {davis: --on davis=DAVIS}
scores: {davis: J&F-Mean}
rows: [{name: base}, {name: soft, of: base, evaluate: {davis: --change topk=5}}, {name: raw, model: raw}]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "DAVIS").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_missing_lines_are_those_of_which_an_evaluation_has_no_result(folder, capsys):
    def printed(*more):
        run_command(["study", "study.yaml", "--output", "out", *more])
        return capsys.readouterr().out.splitlines()

    lines = printed()
    assert [line.count(" && ") for line in lines] == [2, 2, 0]
    assert printed("--missing") == lines
    for number, words in enumerate(lines[0].split(" && ")[1:]):
        assert printed("--missing") == lines, number
        write_results(words.split()[-1] + "/network-davis-key", {"J&F-Mean": 0.5})
    assert printed("--missing") == lines[1:]
    next(folder.glob("out/base/seed-0-*/*/*/results.json")).write_text("{")
    assert printed("--missing") == lines


def test_the_documented_example_is_a_study(folder, capsys):
    text = (CONFIGS.parent / "docs/studies.md").read_text()
    (folder / "study.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    run_command(["study", "study.yaml"])
    lines = [line.split(" && ") for line in capsys.readouterr().out.splitlines()]
    assert [[step.split()[1] for step in line] for line in lines] == [["fit", "evaluate"]] * 6


@pytest.mark.sampled(15, "exhaustive")
@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in STUDIES])
def test_every_training_of_a_shipped_study_is_understood(name, monkeypatch, tmp_path):
    monkeypatch.chdir(CONFIGS.parent)
    words = {
        tuple(word.partition("=data/")[0] + f"={tmp_path}" if "=data/" in word else word for word in step.words)
        for line in read_study(f"studies/{name}.yaml").lines(CONFIGS / "nowhere")
        for step in line
        if step.seed == 0
    }
    assert words
    for command, *rest in words:
        if command == "fit":
            Parsed([command, *rest])


@pytest.mark.slow
def test_a_real_study(davis_root, video_folder, tmp_path, capfd, monkeypatch):
    """A training of two steps on generated videos, scored once; then nothing is missing.

    Its commands run in this process.
    """
    content = {
        "title": "one row",
        "train": [*TINY, *clips(video_folder), "--trainer.max_steps=2"],
        "seeds": [0],
        "evaluate": {"davis": f"--on davis={davis_root} --change radius=4 --limit 1"},
        "scores": {"davis": "J&F-Mean"},
        "rows": [{"name": "two frames"}],
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(json.dumps(content))
    main(["study", "study.yaml", "--output", "out"])
    for step in capfd.readouterr().out.split(" && "):
        main(shlex.split(step)[1:])
    capfd.readouterr()
    main(["table", "out", "--study", "study.yaml"])
    (result,) = results_below(tmp_path / "out/two-frames").values()
    assert f"{100 * result.scores['J&F-Mean']:.1f}" in capfd.readouterr().out
    main(["study", "study.yaml", "--output", "out", "--missing"])
    assert capfd.readouterr().out == ""
