"""`vidcorr study`: it prints plain commands, and with --run runs those without a result.

Also tests `runs/config_files.py`.
"""

import json
import sys
from unittest.mock import Mock

import pytest

from tests.helpers.parsed import Parsed
from tests.helpers.refusal import refused
from tests.helpers.runs import write_results
from tests.helpers.words import NETWORK, TINY, clips
from vidcorr.cli import main
from vidcorr.commands import run_command
from vidcorr.experiments.reports import study as tool
from vidcorr.experiments.reports.study import read_study
from vidcorr.experiments.runs.config_files import CONFIGS
from vidcorr.results.records import results_below
from vidcorr.signals import Stopped

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


@pytest.fixture
def called(monkeypatch):
    """Commands that `--run` ran, as (command, name of the row); an evaluation leaves a result, unless it is to fail."""
    calls = []

    def run(words):
        calls.append((words[0], words[-1].split("/")[1] if words[0] == "evaluate" else ""))
        if calls[-1] in failing:
            return 1
        if words[0] == "evaluate":
            write_results(words[-1] + "/network-davis-key", {"J&F-Mean": 0.5})
        return 0

    failing = set()
    monkeypatch.setattr(tool, "_run", run)
    return calls, failing


def test_run_runs_what_has_no_result_and_names_what_failed(folder, called):
    calls, failing = called
    failing.add(("evaluate", "base"))
    (folder / "study.yaml").write_text(STUDY.replace("[0, 1]", "[0]"))
    words = ["study", "study.yaml", "--output", "out", "--run"]
    refused(ValueError, "1 of 2 lines failed: vidcorr evaluate out/base/seed-0-", run_command, words)
    assert calls == [("fit", ""), ("evaluate", "base"), ("evaluate", "raw")]
    failing.clear()
    calls.clear()
    run_command(words)  # the training resumes
    assert calls == [("fit", ""), ("evaluate", "base"), ("evaluate", "soft")]
    calls.clear()
    run_command(words)
    assert calls == []


def test_a_command_is_a_process_that_a_stop_ends(monkeypatch, capsys):
    process = Mock()
    process.wait.side_effect = [3, Stopped(15), 0]
    started = Mock(return_value=process)
    monkeypatch.setattr(tool.subprocess, "Popen", started)
    assert tool._run(["fit", "a b"]) == 3
    assert capsys.readouterr().out == "vidcorr fit 'a b'\n"
    assert started.call_args.args[0] == [sys.executable, "-m", "vidcorr", "fit", "a b"]
    process.terminate.assert_not_called()
    with pytest.raises(Stopped):
        tool._run(["fit"])
    process.terminate.assert_called_once()
    assert process.wait.call_count == 3  # its state is saved before ours ends


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
    """A training of two steps on generated videos, scored once; a second call runs nothing.

    Its commands run in this process.
    """
    monkeypatch.setattr(tool, "_run", lambda words: main(list(words)) or 0)
    content = {
        "title": "one row",
        "train": [*TINY, *clips(video_folder), "--trainer.max_steps=2"],
        "seeds": [0],
        "evaluate": {"davis": f"--on davis={davis_root} --allow {NETWORK} --change radius=4 --limit 1"},
        "scores": {"davis": "J&F-Mean"},
        "rows": [{"name": "two frames"}],
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(json.dumps(content))
    main(["study", "study.yaml", "--output", "out", "--run"])
    capfd.readouterr()
    main(["table", "out", "--study", "study.yaml"])
    (result,) = results_below(tmp_path / "out/two-frames").values()
    assert f"{100 * result.scores['J&F-Mean']:.1f}" in capfd.readouterr().out
    main(["study", "study.yaml", "--output", "out", "--run"])
    assert capfd.readouterr().out == ""
