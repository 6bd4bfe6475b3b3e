"""Who a run is: a folder of its own, `run.json`, `vidcorr resume`, `--ckpt_path last`, requeued jobs of SLURM.

Also tests `commands/resume.py`, `experiments/words.py`.
"""

import json
import os
import random
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.loggers.logger import DummyLogger

from tests.helpers.refusal import refused
from tests.helpers.stops import in_slurm
from tests.helpers.words import TINY, clips, flags, refusal
from vidcorr.backbones import trust
from vidcorr.callbacks.run_folder import run_folder
from vidcorr.cli import claim_folder, main
from vidcorr.commands.resume import command, find_run
from vidcorr.experiments.config_files import texts_of
from vidcorr.experiments.runs import FILE, Record, Run, _commit, newest_checkpoint


def written(path, *words, **fields):
    """Write the `run.json` of a run; return its folder."""
    Path(path).mkdir(parents=True, exist_ok=True)
    Record.now(words).changed(**fields).save(Path(path))
    return Path(path)


# A folder a run


def test_a_folder_is_claimed_once(tmp_path):
    run = Run(["fit"])
    folders = [tmp_path / "below" / str(number) for number in range(50)] * 4
    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(run.claim, folders))
    assert sum(claims) == 50
    assert Record.read(tmp_path / "below/7") == run.record
    run.record.save(tmp_path)
    text = json.dumps(run.record.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    assert (tmp_path / FILE).read_text() == (tmp_path / "below/7" / FILE).read_text() == text
    assert re.fullmatch(r"[-\d]{10}T[:\d]{8}\.\d{3}\+00:00", run.record.begin)


def test_runs_that_start_together_without_a_logger_have_folders_of_their_own(tmp_path):
    trainers = [pl.Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path) for _ in range(2)]
    runs = [Run(["fit"]) for _ in trainers]
    for trainer, run in zip(trainers, runs, strict=True):
        claim_folder(trainer, run)
    folders = [run.folder for run in runs]
    assert folders == [run_folder(trainer) for trainer in trainers] == [tmp_path, tmp_path / "run-1"]


def test_loggers_write_to_folders_of_the_run(tmp_path):
    """Named ones too; a run that goes on stays in its folder if the logger would write beside it."""

    def claimed(earlier=None, version=None):
        run, loggers = Run(["fit"]), []
        run.earlier = earlier
        for kind, number in ((TensorBoardLogger, version), (CSVLogger, 3)):
            run.loggers.append({"save_dir": tmp_path, "version": number})
            loggers.append(kind(**run.loggers[-1]))
        run.loggers.append({})
        trainer = pl.Trainer(accelerator="cpu", logger=[*loggers, DummyLogger()], enable_checkpointing=False)
        claim_folder(trainer, run)
        places = [Path(logger.log_dir) for logger in trainer.loggers[:2]]
        places[1].mkdir(parents=True)
        (places[1] / "metrics.csv").touch()
        assert (run.folder, len(trainer.loggers)) == (places[0], 3)
        return [place.name for place in places]

    logs = tmp_path / "lightning_logs"
    assert claimed(version="a") == ["a", "version_3"]
    assert claimed(version="a") == ["a-1", "version_3-1"]
    earlier = written(logs / "old", "fit").resolve()
    trainer = pl.Trainer(accelerator="cpu", logger=CSVLogger(logs, "", "old"), enable_checkpointing=False)
    run = Run(["fit"])
    run.earlier, run.loggers = earlier, [{"save_dir": logs, "name": ""}]
    claim_folder(trainer, run)  # its table would be deleted
    assert run.folder.name == "old-1"
    for before, version, name in ((earlier, None, "old"), (earlier, "b", "b"), (tmp_path / "old", None, "version_4")):
        assert claimed(before, version)[0] == name


def test_a_refused_run_gives_its_folder_back(tmp_path):
    """But for files of a user, of a run that has trained or measured, or of another run."""
    ours = ["run.json", "events.out.1", "hparams.yaml", "metrics.csv", "checkpoints/.in-use"]

    def left(*more, own=True, claims=True):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        run = Run(["fit"])
        if claims:
            run.claim(folder)
        for name in [*ours[1:], *more]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        if not own:
            written(folder, "fit", begin="2026-01-01")
        run.give_back()
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}

    assert left() == set()
    assert not (tmp_path / "0").exists()
    assert left("checkpoints/mine", "notes") == {"checkpoints/mine", "notes"}
    assert left("config.yaml") == {*ours, "config.yaml"}
    assert left("benchmarks/a") == {*ours, "benchmarks/a"}
    assert left(own=False) == {*ours}
    assert left(claims=False) == {*ours[1:]}


def test_a_run_begins_goes_on_and_ends(tmp_path):
    folder, said = tmp_path / "run", []
    first = Run(["fit"])
    first.begin(folder, folder / "mine")
    first.end()  # not yet begun
    assert Record.read(folder) == first.record == first.record.changed(checkpoints="mine", end=None)
    written(folder, "fit", "--a", begin="2026-01-01", checkpoints="mine")
    assert Run(["fit"], folder, ["--b"], said.append).words == ["fit", "--b"]
    (folder / "mine").mkdir()
    (folder / "mine/last.ckpt").touch()
    second = Run(["fit"], folder, ["--b"], said.append)
    assert second.words == ["fit", f"--ckpt_path={folder}/mine/last.ckpt", "--b"]
    assert said == [f"{folder} {state}: vidcorr fit --b" for state in ("has no last.ckpt and begins again", "goes on")]
    second.earlier = folder.resolve()
    assert second.claim(folder)
    before = Record.read(folder).model_dump(mode="json", exclude={"earlier"})
    second.begin(folder, tmp_path / "elsewhere")
    second.begin(folder, None)
    (folder / "config.yaml").touch()
    second.end()
    record = Record.read(folder)
    assert (record.words, record.checkpoints, record.earlier) == (("fit", "--b"), f"{tmp_path}/elsewhere", (before,))
    assert record.end
    first.folder = folder
    written(folder, "fit", begin="2026-01-02")
    first.end()  # another has begun since
    assert Record.read(folder).end is None
    refused(ValueError, f"^{folder}: another run has begun there", Run(["fit"]).begin, folder, None)


def test_the_commit_is_that_of_a_checkout_where_git_is(tmp_path, monkeypatch):
    git = Mock(return_value=Mock(stdout="abc\n"))
    monkeypatch.setattr("vidcorr.experiments.runs.subprocess.run", git)
    monkeypatch.setattr("vidcorr.experiments.runs.PACKAGE", tmp_path / "vidcorr")
    assert _commit.__wrapped__() == ""  # of an installed package
    (tmp_path / ".git").mkdir()
    assert _commit.__wrapped__() == "abc"
    words = ["git", "-C", tmp_path, "rev-parse", "HEAD"]
    git.assert_called_once_with(words, capture_output=True, text=True, check=False)
    git.side_effect = OSError
    assert _commit.__wrapped__() == ""


# `vidcorr resume`


@pytest.mark.slow
def test_a_run_is_resumed_by_its_words_from_anywhere(video_folder, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    quiet = {"enable_progress_bar": "false", "limit_val_batches": 0, "max_steps": 3, "default_root_dir": "my runs"}
    strike = flags("trainer.callbacks+", "tests.helpers.faults.Strike", name="SIGTERM", step=2, place="end")
    refused(SystemExit, "^143$", main, ["fit", *TINY, *clips(video_folder), *flags("trainer", **quiet), *strike])
    line = caplog.messages[-1]
    (folder,) = (tmp_path / "my runs/lightning_logs").iterdir()
    assert line.startswith(f"resume: vidcorr resume '{folder}'")
    moved = folder.rename(tmp_path / "elsewhere")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    words = [word.replace(str(folder), f"{moved}/") for word in shlex.split(line)[2:]]
    main(words)
    main([*words, "--trainer.max_steps=4"])
    run = Record.read(moved)
    assert torch.load(run.last_checkpoint(moved), weights_only=True)["global_step"] == 4
    assert (run.folder, run.words[-1], len(run.earlier)) == (str(tmp_path), "--trainer.max_steps=4", 2)
    config = (moved / "config.yaml").read_text()
    assert "ckpt_path: null" in config
    assert "max_steps: 4" in config
    assert not list((tmp_path / "my runs/lightning_logs").iterdir())
    caplog.clear()
    refused(SystemExit, "^0$", main, [*words, "--trainer.max_steps=4"])
    assert f"{moved} has ended" in caplog.text


def test_a_run_that_has_saved_nothing_yet_knows_where_it_resumed(tmp_path):
    first, own = tmp_path / "first.ckpt", tmp_path / "run/checkpoints/last-v1.ckpt"
    folder = written(tmp_path / "run", "fit", resumed=str(first))
    own.parent.mkdir()
    found = [Record.read(folder).last_checkpoint(folder)]
    for path in (first, own):
        path.touch()
        found.append(Record.read(folder).last_checkpoint(folder))
    assert found == [None, first, own]


def test_resume_gives_the_words_of_a_run_and_further_ones_once(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr("vidcorr.cli.VidcorrCLI", lambda *given: called.append((*given, os.getcwd())))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["bin/vidcorr"])
    monkeypatch.setattr(trust, "_allowed", set())
    home = tmp_path / "home"
    folder = written(home / "runs/a", "fit", "--x", "--model=my.Model", folder=str(home))
    monkeypatch.chdir(tmp_path)
    begun = ("fit", "--x", "--model=my.Model")
    command([str(folder), "--model=my.Model"])  # given again
    assert sys.argv == [f"{tmp_path}/bin/vidcorr", "resume", str(folder), "--model=my.Model"]
    assert str(home) in sys.path
    command([str(folder), "--b"])
    written(folder, *begun, folder="nowhere")
    monkeypatch.chdir(home)
    command(["--b"])  # the newest
    assert called == [(begun, folder, [], str(home)), *[(begun, folder, ["--b"], str(home))] * 2]
    refused(SystemExit, "^0$", command, ["--help"])
    refused(ValueError, "^configs: holds no training", find_run, Path("configs").mkdir() or "configs")


def test_a_run_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(ValueError, "^runs: is neither", find_run, None)
    older = written("runs/lightning_logs/version_1", "fit", begin="2026-01-01").resolve()
    newer = written("runs/other/version_2", "fit", begin="2026-01-02").resolve()
    written("runs/lightning_logs/version_3", "validate", begin="2026-01-03")
    assert find_run(None) == find_run("runs") == newer
    for name in ("version_1", "lightning_logs/version_1", "version_1/", "runs/lightning_logs/version_1/", str(older)):
        assert find_run(name) == older
    written("runs/third/version_1", "fit")
    refused(ValueError, "^version_1: .*; there are .*/version_1, .*/version_1$", find_run, "version_1")


def test_a_damaged_run_is_named_and_left_out(tmp_path, monkeypatch, caplog):
    """A run that is named itself is refused."""
    monkeypatch.chdir(tmp_path)
    good = written("runs/lightning_logs/version_1", "fit", begin="2026-01-01").resolve()
    damaged = Path("runs/lightning_logs/version_2")
    damaged.mkdir()
    written(good / "benchmarks/in_a_run", "fit", begin="2026-01-03")
    (damaged / FILE).touch()  # another process is writing it
    assert (find_run(None), caplog.messages) == (good, [])
    for content in ('{"words": 3}', '{"words": ["fi'):
        (damaged / FILE).write_text(content)
        caplog.clear()
        assert find_run(None) == find_run("version_1") == good
        named = [message.startswith(f"vidcorr: left out: {damaged.resolve() / FILE}: ") for message in caplog.messages]
        assert named == [True, True]
        assert f"{FILE}: " in refusal("resume", damaged)


HOSTILE = [
    ["--model=antigravity.Model"],
    ["--trainer.callbacks+=LambdaCallback", "--trainer.callbacks.on_fit_start", "getpass.getuser"],
    ['--model={"class_path": "antigr\\u0061vity.Model"}'],
    ["--model", "getpass:getuser@res4/8"],
    ["--on", "antigravity.Benchmark=/data"],
    ["--model=antigravity.Model", "--allow", "antigravity.Model"],
    ["-cown.yaml"],
    ["--model=own.yaml"],
    ["--model=own_of_a_run.Model"],
]


@pytest.mark.parametrize("words", HOSTILE)
def test_the_words_of_a_file_run_only_what_a_checkpoint_may(words, tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "_allowed", set())
    monkeypatch.setattr(sys, "path", list(sys.path))
    home = tmp_path / "home"
    home.mkdir()
    (home / "own.yaml").write_text('class_path: "antigravity.\\x4dodel"\n')
    (home / "own_of_a_run.py").write_text("raise SystemExit(9)\n")
    folder = written(tmp_path / "run", "fit", *words, folder=str(home))
    assert f"{folder}/{FILE}: names code from outside" in refusal("resume", folder)
    assert "antigravity" not in sys.modules


def test_what_words_name_besides_code_is_no_code():
    words = shlex.split("--data.source=/data/email.v2/list.txt --on davis=data/json.old/x --change radius=3,6 1.5e-3")
    words += ["--data.source", "videos.txt", "--trainer.callbacks+=pytorch_lightning.callbacks.Timer", "timm:vit.dino"]
    assert trust.names_outside(texts_of(words)) == []


# `fit … --ckpt_path last`, and a requeued job of SLURM


def config(path, root="runs", **model):
    trainer = Namespace(logger=None, default_root_dir=root)
    data = Namespace(init_args=Namespace(num_workers=random.random()))  # of no importance
    return Namespace(ckpt_path=path, trainer=trainer, model=Namespace(**model), data=data, seed_everything=0)


def test_last_and_a_requeued_job_find_their_run(tmp_path, monkeypatch):
    def found(words=("fit",), path="last", **model):
        run = Run(words, say=said.append)
        checkpoint = run.find(config(path, **model))
        return run, checkpoint and str(Path(checkpoint).relative_to(tmp_path.resolve()))

    monkeypatch.chdir(tmp_path)
    said = []
    other, training = (found(lr=rate)[0].record.training for rate in (2, 1))
    assert training != other
    assert said.pop().endswith("below runs: starting a new run")
    waiting = written("runs/waiting", "fit").resolve()  # the same words, nothing saved
    run, checkpoint = found(lr=1)
    assert (run.earlier, checkpoint) == (waiting, None)
    written("runs/waiting", "fit", end="2026-01-01")
    assert found(lr=1)[0].earlier is None
    for number, (digest, moment) in enumerate(((training, 2), (training, 1), ("another", 3))):
        folder = written(f"runs/version_{number}", "fit", training=digest, slurm={"job": str(number)})
        path = folder / "checkpoints/last.ckpt"
        path.parent.mkdir()
        path.touch()
        os.utime(path, (moment, moment))
    run, checkpoint = found(lr=1)
    assert run.earlier == folder.resolve().with_name("version_0")
    assert checkpoint == "runs/version_0/checkpoints/last.ckpt"
    assert said[-1] == f"--ckpt_path last: {tmp_path.resolve()}/{checkpoint}"
    assert run.record.resumed == str(tmp_path.resolve() / checkpoint)
    assert run.loggers == [{"save_dir": str(run.earlier.parent), "name": "", "version": "version_0"}]
    best, moved = path.with_name("best.ckpt"), Path("runs/moved/checkpoints/last.ckpt")
    cases = [(path, "runs", folder.resolve()), (path, "elsewhere", None), (best, "runs", None), (moved, "runs", None)]
    for file, root, earlier in cases:
        run = Run(["fit"])
        assert run.find(config(str(file), root, lr=1)) == str(file)
        assert run.earlier == earlier
    assert found(("validate",), None)[0].earlier is None
    assert newest_checkpoint("runs") == str(path.resolve())
    refused(ValueError, "^--ckpt_path last: no last.ckpt below elsewhere", newest_checkpoint, "elsewhere")
    for variables in ({"JOB_ID": "0", "RESTART_COUNT": "0"}, {"JOB_ID": "9", "RESTART_COUNT": "1"}):
        in_slurm(monkeypatch, **variables)
        assert found(path=None)[0].earlier is None
    in_slurm(monkeypatch, JOB_ID="0", RESTART_COUNT="1")
    assert found(path="any.ckpt", lr=2)[1] == "runs/version_0/checkpoints/last.ckpt"
    assert found(("fit", "--other"), None)[0].earlier is None
    written("runs/version_0", "fit", end="2026-01-02", slurm={"job": "0"})
    refused(SystemExit, "^0$", found)


def test_runs_are_looked_for_in_the_folders_of_the_loggers(tmp_path, monkeypatch):
    """Of a logger in the working directory only in its own folder: all of it may hold data."""
    monkeypatch.chdir(tmp_path)
    places = [written(f"{name}/version_0", "fit").resolve() for name in ("runs", "mine", "project", "other", "far")]
    run = Run(["fit"])
    far = {"save_dir": str(tmp_path / "far")}
    run.loggers = [{"save_dir": ".", "name": "mine"}, {"project": "project", "name": "x"}, {"save_dir": "."}, far]
    assert {*run._runs(Path("runs"))} == {*places} - {places[3]}
