"""`vidcorr study`: it prints plain commands, all or those without a result.

Also tests `runs/config_files.py`.
"""

import json
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from tests.helpers.parsed import Parsed
from tests.helpers.refusal import refused
from tests.helpers.runs import write_results
from tests.helpers.words import TINY, clips
from vidcorr.cli import main
from vidcorr.commands import run_command
from vidcorr.experiments.reports.study_report import read_study
from vidcorr.experiments.runs.config_files import CONFIGS
from vidcorr.experiments.runs.runs import Record
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


@pytest.fixture
def printed(folder, capsys):
    """Return the lines that `vidcorr study` prints, with `out` as its folder."""

    def lines(*more):
        run_command(["study", "study.yaml", "--output", "out", *more])
        return capsys.readouterr().out.splitlines()

    return lines


def test_what_is_missing_are_evaluations_without_a_result_and_trainings_that_they_need(folder, printed):
    lines = printed()
    assert [line.count(" && ") for line in lines] == [2, 2, 0]
    assert printed("--missing") == lines
    training, first, second = lines[0].split(" && ")
    write_results(first.split()[-1] + "/network-davis-key", {"J&F-Mean": 0.5})
    assert printed("--missing") == [f"{training} && {second}", *lines[1:]]
    end_training(folder, training)
    assert printed("--missing") == [second, *lines[1:]]
    write_results(second.split()[-1] + "/network-davis-key", {"J&F-Mean": 0.5})
    assert printed("--missing") == lines[1:]
    next(folder.glob("out/base/seed-0-*/*/*/results.json")).write_text("{")
    assert printed("--missing") == [first, *lines[1:]]


def end_training(folder, command):
    """Leave what a training that has ended leaves."""
    (place,) = re.findall(r"default_root_dir (\S+)", command)
    version = folder / place / "version_0"
    (version / "checkpoints").mkdir(parents=True)
    Record.now(["fit"]).changed(end="now").save(version)
    (version / "checkpoints/last.ckpt").touch()


def test_a_line_each_holds_the_commands_that_need_no_other_first(folder, printed):
    """So that lines may run at once, as the tasks of an array."""
    first, second, raw = (line.split(" && ") for line in printed())
    assert printed("--each") == [first[0], second[0], *raw]
    end_training(folder, second[0])
    assert printed("--each", "--missing") == [first[0], *second[1:], *raw]


def test_a_pattern_of_checkpoints_is_a_row_of_a_seed_each(folder, printed, capsys):
    study = STUDY.replace("model: raw", "model: 'runs/*/last.ckpt@res4/8 --pretrained'").replace("{name: base}, ", "")
    study = study.replace("of: base", "model: 'my:net=runs/s2/l[a]st.ckpt'")
    (folder / "study.yaml").write_text(study)
    refused(ValueError, r"row 'soft': no file matches runs/s2/l\[a\]st.ckpt", printed)
    for name in ("s10", "s2"):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "last.ckpt").touch()
    lines = printed("--each")
    named = [shlex.split(line)[2:4] for line in lines]
    files = [f"runs/{name}/last.ckpt" for name in ("s2", "s10")]
    assert named == [[f"my:net={files[0]}", "--on"], *([f"{file}@res4/8", "--pretrained"] for file in files)]
    for number, line in enumerate(lines[1:]):
        write_results(shlex.split(line)[-1], {"J&F-Mean": 0.5 + number / 10})
    (folder / "runs/s1").mkdir()
    (folder / "runs/s1/last.ckpt").touch()
    assert len(printed("--missing")) == 2  # the networks that were there keep their places
    main(["table", "out", "--study", "study.yaml"])
    said = capsys.readouterr().out
    assert re.search(r"raw +\| 55.0 ± 7.1", said)
    assert "raw has 2 of 3 seeds on davis" in said


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
def test_a_real_study_by_the_documented_lines_of_submitit(davis_root, video_folder, here, capfd, monkeypatch):
    """A training of two steps on generated videos, scored once; then nothing is missing.

    Threads run the lines in place of submitit's jobs, and the commands run in this process.
    """
    content = {
        "title": "one row",
        "train": [*TINY, *clips(video_folder), "--trainer.max_steps=2"],
        "seeds": [0],
        "evaluate": {"davis": f"--on davis={davis_root} --change radius=4 --limit 1"},
        "scores": {"davis": "J&F-Mean"},
        "rows": [{"name": "two frames"}],
    }
    (here / "study.yaml").write_text(json.dumps(content))
    monkeypatch.setattr("subprocess.check_call", lambda words: main(words[1:]))
    pool = ThreadPoolExecutor(1)
    jobs = {"map_array.side_effect": lambda function, words: [pool.submit(function, each) for each in words]}
    executor = Mock(**jobs)
    monkeypatch.setitem(sys.modules, "submitit", Mock(**{"AutoExecutor.return_value": executor}))
    (of_guide,) = re.findall("```python\n(.*?)```", (CONFIGS.parent / "docs/studies.md").read_text(), re.DOTALL)
    for command in ("fit", "evaluate"):
        capfd.readouterr()
        main(["study", "study.yaml", "--output", "out", "--each", "--missing"])
        lines = capfd.readouterr().out
        assert [line.split()[1] for line in lines.splitlines()] == [command]
        (here / "lines").write_text(lines)
        exec(of_guide, {})
    capfd.readouterr()
    main(["table", "out", "--study", "study.yaml"])
    (result,) = results_below(here / "out/two-frames").values()
    assert f"{100 * result.scores['J&F-Mean']:.1f}" in capfd.readouterr().out
    main(["study", "study.yaml", "--output", "out", "--missing"])
    assert capfd.readouterr().out == ""
