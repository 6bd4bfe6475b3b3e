"""`vidcorr study`: it runs what is missing, continues after failures and interruptions, and prints plain commands."""

import json
import re
import shlex
from types import SimpleNamespace

import pytest

from cli import main
from tests.helpers.folders import held
from tests.helpers.parsed import Parsed
from tests.helpers.refusal import refused
from tests.helpers.runs import write_results
from tests.helpers.words import RAW_COLOUR, clips, flags
from vidcorr.commands import study as tool
from vidcorr.experiments import study, training
from vidcorr.experiments.runner import Runner
from vidcorr.experiments.study_plan import read_study
from vidcorr.results.result import Evaluated, Network, Result

STUDIES = sorted((training.CLI.parent / "configs/studies").glob("*.yaml"))
STUDY = """
title: a trial
train: --config demo.yaml
seeds: [0, 1]
score: J&F-Mean
evaluate: {davis: --config benchmarks/davis.yaml --trainer.callbacks.root DAVIS}
rows: [{name: base}, {name: other, flags: --data.frames 2}]
"""
COMMAND_LINE = """
import pathlib, sys
words = sys.argv[1:]
folder = pathlib.Path(words[words.index("--trainer.default_root_dir") + 1])
with open(folder.parents[1] / "calls.txt", "a") as file:
    print(words[0], folder.parent.name, folder.name[: len("seed-0")], file=file)
if (folder.parents[1] / f"fail-{folder.parent.name}").exists():
    sys.exit("vidcorr: no such data")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A study whose trainings and evaluations are stand-ins that note their call; an evaluation leaves a result."""
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "cli.py").write_text(COMMAND_LINE)
    (tmp_path / "out").mkdir()
    (tmp_path / "DAVIS").mkdir()

    def evaluate(runner, jobs, writes):
        (job,) = jobs
        _, seed, name = job.folder.split("/")
        with (runner.store.folder / "calls.txt").open("a") as file:
            print("evaluate", name.partition("-davis-")[0], seed[: len("seed-0")], file=file)
        write_results(runner.store.folder_of(job), {"J&F-Mean": 0.5})
        (runner.store.folder_of(job) / "report.html").write_text("a page")

    monkeypatch.setattr(training, "CLI", tmp_path / "cli.py")
    monkeypatch.setattr(study, "last_checkpoints", lambda folder: [SimpleNamespace(path="raw_colour")])
    monkeypatch.setattr(Runner, "_evaluate", evaluate)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder, *flags):
    """Run the study; return what was called since."""
    file = folder / "out/calls.txt"
    before = len(file.read_text().splitlines()) if file.exists() else 0
    tool.command([str(folder / "study.yaml"), "--output", str(folder / "out"), *flags])
    return file.read_text().splitlines()[before:]


def calls(row, *seeds):
    return [f"{command} {row} seed-{seed}" for seed in seeds or (0, 1) for command in ("fit", "evaluate")]


def test_only_what_is_missing_runs(folder):
    assert run(folder, "--only", "base") == calls("base")
    (results,) = (folder / "out/base").glob("seed-1-*/base-davis-*/results.json")
    results.unlink()
    assert run(folder) == ["evaluate base seed-1", *calls("other")]
    assert run(folder, "--table") == []
    assert "| other | 50.0 (50.0 / 50.0; range 0.0) |" in (folder / "out/table.md").read_text()


def test_a_row_that_fails_is_named_and_the_others_run(folder):
    (folder / "out/fail-base").touch()
    said = "2 of 8 jobs failed: training of base, seed 0, training of base, seed 1: vidcorr: no such data (fit.log in "
    refused(ValueError, re.escape(said), run, folder)  # one cause is said once
    (folder / "out/fail-base").unlink()
    assert run(folder) == calls("base")


SOFT = STUDY.replace("rows: [", "rows: [{name: soft, of: base, evaluate: {davis: --trainer.callbacks.stride 8}}, ")


def test_a_row_of_another_waits_for_its_training(folder):
    (folder / "study.yaml").write_text(SOFT)
    (folder / "out/fail-base").touch()
    words = ["--seeds", "0", "--only", "soft", "base"]
    refused(ValueError, r"training of base, seed 0: .*no such data", run, folder, *words)
    assert (folder / "out/calls.txt").read_text() == "fit base seed-0\n"  # once for both rows
    (folder / "out/fail-base").unlink()
    assert run(folder, *words[:-1]) == ["fit base seed-0", "evaluate soft seed-0"]


def test_other_arguments_are_another_run_beside_the_first(folder):
    """A training that broke off is continued by the same arguments alone; a result counts for its own alone."""
    (folder / "out/fail-base").touch()
    words = ["--only", "base", "--seeds", "0"]
    refused(ValueError, "no such data", run, folder, *words)
    (folder / "out/fail-base").unlink()
    assert run(folder, *words, "--train-flags", "--data.frames 4") == calls("base", 0)
    assert len(list((folder / "out/base").glob("seed-0-*"))) == 2
    assert run(folder, *words) == calls("base", 0)
    assert run(folder, *words) == []
    assert run(folder, *words, "--evaluate-flags", "--trainer.callbacks.stride 4") == ["evaluate base seed-0"]
    assert run(folder, *words, "--evaluate-flags", "--trainer.callbacks.stride 4") == []


def test_what_rows_need_is_looked_for_before_the_first_training(folder):
    rows = "rows: [{name: raw, model: raw_colour, evaluate: {davis: --trainer.callbacks.strid 4}}, "
    text = STUDY.replace("rows: [", rows).replace("--data.frames 2", "--config nowhere.yaml")
    (folder / "study.yaml").write_text(text)
    (folder / "DAVIS").rmdir()
    said = refused(ValueError, "DAVIS: no such folder", run, folder, "--evaluate-flags", "--trainer.devices 2")
    assert said.count("no such folder") == 1  # for five evaluations
    assert "--config: there is no file nowhere.yaml" in said
    assert "DavisBenchmark has no argument 'strid'; did you mean stride?" in said
    assert (
        "evaluation 'davis': takes --config benchmarks/… and flags --trainer.callbacks.…, not --trainer.devices" in said
    )
    assert not (folder / "out/calls.txt").exists()


def test_the_page_has_the_table_and_a_link_to_each_report(folder):
    run(folder)
    page = (folder / "out/study.html").read_text()
    assert "<h1>a trial</h1>" in page
    links = re.findall(r'<a href="([^"]+)">(\d)</a>', page)
    assert [seed for _, seed in links] == ["0", "1", "0", "1"]
    assert all((folder / "out" / link).read_text() == "a page" for link, _ in links)
    assert "50.0 (50.0 / 50.0; range 0.0)" in page


def test_the_page_has_curves_of_trainings_that_ran_davis(folder):
    run(folder, "--only", "base")
    plan = read_study(folder / "study.yaml")
    trained = folder / "out" / plan.jobs(plan.rows[0], 0)[0].folder
    for benchmark in ("vip", "davis"):
        assert not (folder / "out/curves.png").exists()
        measured = Result(benchmark=benchmark, network=Network(name="A"), scores={"J&F-Mean": 0.5})
        history = [Evaluated(epoch=1, step=4, scores=measured.scores)]
        measured = measured.model_copy(update={"history": history})
        measured.save(trained / f"version_0/benchmarks/{benchmark}/epoch=000-step=000004")
        assert run(folder, "--table") == []
    assert (folder / "out/curves.png").exists()


def test_a_row_with_its_own_seeds_has_no_others(folder, capsys):
    rows = "rows: [{name: raw, model: raw_colour, seeds: [0]}, {name: short, seeds: [1]}, "
    (folder / "study.yaml").write_text(STUDY.replace("rows: [", rows + "{name: soft, of: short}, "))
    only = ["--only", "raw", "soft", "base", "--seeds"]
    assert run(folder, *only, "0", "5", "0") == ["evaluate raw seed-0", *calls("base", 0, 5)]
    assert capsys.readouterr().err == "soft: left out, it has the seeds 1 only\n"


@pytest.mark.slow
def test_a_row_that_another_process_runs_is_left_to_it(folder, capsys):
    plan = read_study(folder / "study.yaml")
    with held(folder / "out" / plan.jobs(plan.rows[0], 0)[0].folder):
        assert run(folder, "--only", "base") == calls("base", 1)
        assert "training of base, seed 0: running elsewhere" in capsys.readouterr().out
    assert run(folder, "--only", "base") == calls("base", 0)


def test_a_plain_command_runs_a_training_and_all_its_evaluations(folder, capsys):
    rows = SOFT.replace("{name: other,", "{name: raw, model: raw_colour, seeds: [0]}, {name: other,")
    (folder / "study.yaml").write_text(rows)
    tool.command([str(folder / "study.yaml"), "--output", "out", "--print"])
    base, again, raw, *others = capsys.readouterr().out.splitlines()
    assert len(others) == 2
    command, comment = base.split("  # ")
    assert comment.startswith("vidcorr fit --config demo.yaml --seed_everything 0 ")
    assert "--seeds 1  # " in again
    assert run(folder, *shlex.split(raw)[3:]) == ["evaluate raw seed-0"]
    assert run(folder, *shlex.split(command)[3:]) == ["fit base seed-0", "evaluate soft seed-0", "evaluate base seed-0"]


def test_the_small_scale_has_a_folder_of_its_own_and_code_of_the_users_is_allowed_in_every_command(folder, capsys):
    with (folder / "study.yaml").open("a") as file:
        file.write("small: {train: --config small.yaml, seeds: [2]}\n")
    tool.command([str(folder / "study.yaml"), "--only", "base", "--small", "--print", "--allow", "my.Method"])
    study, training_line = capsys.readouterr().out.split("  # ")
    assert study.count("--allow my.Method") == training_line.count("--allow my.Method") == 1
    assert training_line.startswith("vidcorr fit --config small.yaml --seed_everything 2 ")
    assert re.search(r" --trainer.default_root_dir studies/study-small/base/seed-2-\w{8} ", training_line)


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in STUDIES])
def test_every_command_of_a_shipped_study_is_understood(name, monkeypatch):
    file = training.CLI.parent / "configs/studies" / f"{name}.yaml"
    monkeypatch.chdir(training.CLI.parent)
    commands = set()
    for plan in [read_study(file), *([read_study(file, small=True)] if read_study(file).small else [])]:
        for job in (job for row in plan.rows for job in plan.jobs(row, 0)):
            commands.add(("fit" if isinstance(job, training.Training) else "validate", *job.arguments))
    assert commands
    for command, *words in commands:
        Parsed([command, *(RAW_COLOUR if command == "validate" else []), *words])


@pytest.mark.slow
def test_a_real_study_of_two_rows(davis_root, video_folder, tmp_path, capsys):
    """A training of two steps on generated videos, scored by two protocols, gathered; a second call runs nothing."""
    model = flags("model", "VFSSimSiam", backbone="torchvision:resnet18")
    small = ["--trainer.max_steps=2", "--trainer.accelerator=cpu"]
    radius = {"davis": "--trainer.callbacks.changes.radius 4"}
    content = {
        "title": "two rows",
        "train": [*model, *clips(video_folder), *small],
        "seeds": [0],
        "score": "J&F-Mean",
        "evaluate": {"davis": f"--config benchmarks/davis.yaml --trainer.callbacks.root {davis_root}"},
        "rows": [
            {"name": "two frames"},
            {"name": "two frames, radius 4", "of": "two frames", "evaluate": radius},
        ],
    }
    (tmp_path / "study.yaml").write_text(json.dumps(content))
    words = ["study", str(tmp_path / "study.yaml"), "--output", str(tmp_path / "out")]
    main(words)
    text = capsys.readouterr().out
    assert sum(line.startswith("| two frames") for line in text.splitlines()) == 2
    assert "vfs+radius=4" in text
    assert next((tmp_path / "out/two-frames").glob("seed-0-*/trained")).read_text().startswith("vidcorr fit ")
    assert all(Result.load(file.parent).network.loaded for file in (tmp_path / "out").rglob("results.json"))
    main(words)
    assert "[1/" not in capsys.readouterr().out
