"""Who a run is: a folder of its own, `run.json`, `vidcorr resume`, `--ckpt_path last`, requeued jobs of SLURM.

Also tests `commands/resume.py`.
"""

import os
import random
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import Namespace
from pytorch_lightning import Trainer

from tests.helpers.parsed import Parsed
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.stops import in_slurm
from tests.helpers.training import fit_in
from tests.helpers.words import NETWORK, TINY, clips, flags, refusal
from vidcorr.backbones.files import trust
from vidcorr.callbacks import LastCheckpoint
from vidcorr.cli import main
from vidcorr.commands import run_command
from vidcorr.commands.resume import from_here
from vidcorr.experiments.runs.flags import named_network
from vidcorr.experiments.runs.runs import (
    FILE,
    ROOT,
    Record,
    Run,
    RunFolder,
    _commit,
    checkpoint_named,
    digest_of_training,
    recipe_of_training,
)
from vidcorr.experiments.runs.words import root_of
from vidcorr.lightning_modules import VFSSimSiam


def written(path, *words, **fields):
    """Write the `run.json` of a run; return its folder."""
    Path(path).mkdir(parents=True, exist_ok=True)
    Record.now(words).changed(**fields).save(Path(path))
    return Path(path)


def find_run(name):
    """Return the folder of the run that a name finds."""
    return RunFolder.named(name).path


# A folder a run


def test_runs_that_start_together_have_folders_of_their_own(tmp_path):
    runs = [Run(["fit"]) for _ in range(20)]
    with ThreadPoolExecutor(8) as threads:
        folders = list(threads.map(lambda run: run.make_folder(tmp_path / "below"), runs))
    assert sorted(folders) == sorted((tmp_path / "below" / f"version_{number}").resolve() for number in range(20))
    assert len({run.record.id for run in runs}) == 20
    for run, folder in zip(runs, folders, strict=True):
        assert Record.read(folder) == run.record


def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


REFUSED = {
    "logs": (lambda run, folder: touched(folder / "events.out.1"), False),
    "its beginning": (lambda run, folder: run.begin(None, 1), True),
    "scores": (lambda run, folder: touched(folder / "benchmarks/davis/step=000000/results.json"), True),
    "a checkpoint": (lambda run, folder: touched(folder / "checkpoints/best.ckpt"), True),
}
"""What a folder holds of a run that is refused → what writes it, and whether the folder stays."""


@pytest.mark.parametrize("content", REFUSED)
def test_a_refused_run_leaves_no_folder_unless_it_holds_something(content, tmp_path):
    write, stays = REFUSED[content]
    run = Run(["fit"])
    folder = run.make_folder(tmp_path)
    write(run, folder)
    run.remove_refused()
    assert folder.exists() == stays


def test_a_refused_run_leaves_the_folder_of_the_run_that_it_goes_on_with(tmp_path):
    folder = Run(["fit"]).make_folder(tmp_path)
    other = Run(["fit"], RunFolder.read(folder), say=[].append)
    assert other.make_folder(tmp_path) == folder
    other.remove_refused()
    assert folder.exists()


def test_last_of_a_run_that_goes_on_is_its_own_else_where_it_resumed(tmp_path):
    first, own = tmp_path / "first.ckpt", tmp_path / "run/checkpoints/last-v1.ckpt"
    folder = written(tmp_path / "run", "fit", resumed=str(first))
    found = []
    for saved in ((), (first,), (first, own)):
        for path in saved:
            touched(path)
        found.append(RunFolder.read(folder).last)
    assert found == [None, first, own]


def test_a_run_begins_goes_on_and_ends(tmp_path):
    said = []
    first = Run(["fit"])
    folder = first.make_folder(tmp_path)
    first.end()  # not yet begun
    assert Record.read(folder).end is None
    first.begin(folder / "mine", 2)
    of_begin = {"checkpoints": "mine", "threads": 2, "end": None}
    assert Record.read(folder) == first.record == first.record.changed(**of_begin)
    second = Run(["fit", "--b"], RunFolder.read(folder), said.append)
    assert said == [f"{folder} goes on: vidcorr fit --b"]
    assert second.make_folder(tmp_path) == folder
    second.begin(tmp_path / "elsewhere", 1)
    second.begin(None, 1)
    assert said[1:] == ["torch has 1 thread(s): OMP_NUM_THREADS=2, as before, repeats the run bit by bit"]
    second.end()
    record = Record.read(folder)
    assert (record.words, record.checkpoints) == (("fit", "--b"), f"{tmp_path}/elsewhere")
    assert (record.id, record.training) == (first.record.id, first.record.training)
    assert record.end
    written(folder, "fit", begin="2026-01-02")
    second.end()  # another start since
    assert Record.read(folder).end is None


def test_a_training_that_has_ended_can_be_longer(tmp_path):
    said = []
    earlier = RunFolder.read(written(tmp_path, "fit", end="2026"))
    refused(SystemExit, "^0$", Run, ["fit"], earlier, said.append)
    assert said[0].endswith("has ended, 2026; further words make it longer: --trainer.max_epochs N")
    assert Run(["fit", "--trainer.max_epochs=9"], earlier, said.append).goes_on_in == tmp_path


def test_without_git_the_commit_is_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _commit.__wrapped__() == ""


# `vidcorr resume`


@pytest.mark.slow
def test_a_run_is_resumed_by_its_words_from_anywhere(video_folder, here, monkeypatch, info_log):
    quiet = {"enable_progress_bar": "false", "limit_val_batches": 0, "max_steps": 3, "default_root_dir": "my runs"}
    strike = flags("trainer.callbacks+", "tests.helpers.faults.Strike", name="SIGTERM", step=2, place="end")
    refused(SystemExit, "^143$", main, ["fit", *TINY, *clips(video_folder), *flags("trainer", **quiet), *strike])
    line = info_log.messages[-1]
    (folder,) = (here / "my runs").iterdir()
    assert line.startswith(f"resume: vidcorr resume '{folder}'")
    moved = folder.rename(here / "elsewhere")
    (here / "other").mkdir()
    monkeypatch.chdir(here / "other")
    words = [word.replace(str(folder), f"{moved}/") for word in shlex.split(line)[2:]]
    main(words)
    main([*words, "--trainer.max_steps=4"])
    run = Record.read(moved)
    assert torch.load(RunFolder(moved, run).last, weights_only=True)["global_step"] == 4
    assert (run.folder, run.words[-1]) == (str(here), "--trainer.max_steps=4")
    config = (moved / "config.yaml").read_text()
    assert "ckpt_path: null" in config
    assert "max_steps: 4" in config
    assert not list((here / "my runs").iterdir())
    info_log.clear()
    refused(SystemExit, "^0$", main, [*words, "--trainer.max_steps=4"])
    assert f"{moved} has ended" in info_log.text


def test_resume_and_validate_go_by_the_configuration_of_a_run(tmp_path, monkeypatch):
    called = []

    def command_line(args, earlier=None, more=()):
        called.append((args, earlier and earlier.path, more, os.getcwd()))

    monkeypatch.setattr("vidcorr.cli.VidcorrCLI", command_line)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["bin/vidcorr"])
    home = tmp_path / "home"
    folder = written(home / "runs/a", "fit", "--x", folder=str(home))
    line = "the run has saved no checkpoint: begin it again by its command, vidcorr fit --x"
    refused(ValueError, line, run_command, ["resume", str(folder)])
    touched(folder / "config.yaml")
    touched(folder / "checkpoints/last.ckpt")
    of_run = [f"--config={folder}/config.yaml", f"--ckpt_path={folder}/checkpoints/last.ckpt"]
    monkeypatch.chdir(tmp_path)
    run_command(["resume", str(folder), "--data.source=home"])  # a path from here, not from the run's folder
    assert sys.argv == [f"{tmp_path}/bin/vidcorr", "resume", str(folder), f"--data.source={home}"]
    written(folder, "fit", "--x", folder="nowhere")
    monkeypatch.chdir(home)
    run_command(["resume", "--b"])  # the newest
    more = [[f"--data.source={home}"], ["--b"]]
    assert called == [(["fit", *of_run], folder, each, str(home)) for each in more]
    touched(folder / "checkpoints/best-1.ckpt")
    for name, which in (("a", "best"), ("runs/a", "best"), ("a/last", "last"), (f"{folder}/best", "best")):
        for command in ("validate", "test"):
            run_command([command, name, "--b"])
            assert sys.argv[1:] == [command, f"{folder}/{which}", "--b"]
            file = folder / "checkpoints" / {"best": "best-1.ckpt", "last": "last.ckpt"}[which]
            words = [command, of_run[0], f"--ckpt_path={file}", f"--trainer.default_root_dir={folder.parent}"]
            assert called.pop() == (words, None, ["--b"], str(home))
    refused(SystemExit, "^0$", run_command, ["resume", "--help"])
    refused(ValueError, "^configs: no run, and no folder of a training", find_run, Path("configs").mkdir() or "configs")


def test_a_run_has_a_name(here):
    refused(ValueError, "^runs: no run, ", find_run, None)
    older = written("runs/version_1", "fit", begin="2026-01-01").resolve()
    newer = written("runs/other/version_2", "fit", begin="2026-01-02").resolve()
    written("runs/version_3", "validate", begin="2026-01-03")
    refused(ValueError, "^runs: no run, and no folder of a training with a checkpoint", find_run, None)
    for folder in (older, newer):
        touched(folder / "checkpoints/last.ckpt")
    written("runs/version_4", "fit", begin="2026-01-04")  # it never began
    assert find_run(None) == find_run("runs") == newer
    for name in ("version_1", "version_1", "version_1/", "runs/version_1/", str(older)):
        assert find_run(name) == older
    assert find_run("other/version_2") == newer
    refused(
        ValueError, "last.ckpt: no run, .* a file is --ckpt_path FILE", find_run, str(newer / "checkpoints/last.ckpt")
    )


def test_a_damaged_run_is_named_and_left_out(here, caplog):
    """A run that is named itself is refused."""
    good = written("runs/version_1", "fit", begin="2026-01-01").resolve()
    touched(good / "checkpoints/last.ckpt")
    damaged = Path("runs/version_2")
    damaged.mkdir()
    written(good / "benchmarks/in_a_run", "fit", begin="2026-01-03")
    for content in ("", '{"words": 3}', '{"words": ["fi'):
        (damaged / FILE).write_text(content)
        caplog.clear()
        assert find_run(None) == find_run("version_1") == good
        named = [message.startswith(f"vidcorr: left out: {damaged.resolve() / FILE}: ") for message in caplog.messages]
        assert named == [True]
        assert f"{FILE}: " in refusal("resume", damaged)


def test_a_file_of_another_version_is_answered_in_one_line(tmp_path):
    """A run, and a checkpoint that a training is to go on from."""
    for content, age in (("{}", "an older"), ('{"format": 99}', "a newer")):
        (tmp_path / FILE).write_text(content)
        refused(ValueError, f"{FILE}: written by {age} version of vidcorr: its format is", Record.read, tmp_path)
    checkpoint = tmp_path / "last.ckpt"
    fit_in(tmp_path, LastCheckpoint(dirpath=tmp_path))
    content = torch.load(checkpoint, weights_only=True)
    del content["vidcorr"]["format"]
    del content["epoch"]
    torch.save(content, checkpoint)
    line = r"last\.ckpt: of another version of vidcorr, format 0 for 2: begin anew from its weights, --model.backbone"
    refused(ValueError, line, fit_in, tmp_path, LastCheckpoint(dirpath=tmp_path), ckpt_path=checkpoint)


# `fit … --ckpt_path last`, and a requeued job of SLURM


def config(path, root="runs", batch=4, trainer=(), **model):
    trainer = Namespace(logger=None, default_root_dir=root, max_epochs=1, **dict(trainer))
    data = Namespace(init_args=Namespace(batch_size=batch, num_workers=random.random()))  # workers have no effect
    return Namespace(ckpt_path=path, trainer=trainer, model=Namespace(**model), data=data, seed_everything=0)


def test_last_and_a_requeued_job_find_their_run(tmp_path, monkeypatch):
    def found(words=("fit",), path="last", **model):
        run = Run(words, say=said.append)
        checkpoint = run.choose_checkpoint(config(path, **model))
        return run, checkpoint and str(Path(checkpoint).relative_to(tmp_path.resolve()))

    def requeued(*words):
        run = Run(words or ("fit",), say=said.append).go_on_if_requeued(Path("runs"))
        return run and run.path.name

    monkeypatch.chdir(tmp_path)
    said = []
    other, training = (found(lr=rate)[0].record.training for rate in (2, 1))
    assert training != other
    assert said.pop().endswith("below runs: starting a new run")
    written("runs/waiting", "fit", training=training)  # it has saved nothing
    assert found(lr=1)[0].goes_on_in is None
    for number, (digest, moment) in enumerate(((training, 2), (training, 1), ("another", 3))):
        folder = written(f"runs/version_{number}", "fit", training=digest, slurm={"job": str(number)})
        path = folder / "checkpoints/last.ckpt"
        path.parent.mkdir()
        path.touch()
        os.utime(path, (moment, moment))
    run, checkpoint = found(lr=1)
    assert run.goes_on_in == folder.resolve().with_name("version_0")
    assert checkpoint == "runs/version_0/checkpoints/last.ckpt"
    assert said[-1] == f"--ckpt_path last: {tmp_path.resolve()}/{checkpoint}"
    assert run.record.resumed == str(tmp_path.resolve() / checkpoint)
    for file in (path, path.with_name("best.ckpt")):  # a run of its own
        run = Run(["fit"], say=said.append)
        assert run.choose_checkpoint(config(str(file), lr=1)) == str(file)
        assert (run.goes_on_in, run.record.branched, run.record.training == training) == (None, str(file), False)
        assert said.pop() == f"a run of its own, which begins from {file}"
    ended = Record.read(Path("runs/version_0")).changed(end="2026-01-03", length=Run(["fit"]).record.length)
    for length, goes_on in (("max_epochs=1, max_steps=None, max_time=None", False), ("max_epochs=2", True)):
        ended.changed(length=length).save(Path("runs/version_0"))
        if goes_on:
            assert found(lr=1)[0].goes_on_in is not None
        else:
            refused(SystemExit, "^0$", found, lr=1)
            assert "has ended at this length" in said[-1]
    ended.changed(end=None).save(Path("runs/version_0"))
    assert found(("validate",), None)[0].goes_on_in is None
    assert find_run("runs") == path.resolve().parents[1]
    for variables in ({"JOB_ID": "0", "RESTART_COUNT": "0"}, {"JOB_ID": "9", "RESTART_COUNT": "1"}):
        in_slurm(monkeypatch, **variables)
        assert requeued() is None
    in_slurm(monkeypatch, JOB_ID="8", RESTART_COUNT="1")
    written("runs/begun", "fit", slurm={"job": "8"})  # a job that has saved nothing begins a new version
    assert requeued() is None
    in_slurm(monkeypatch, JOB_ID="0", RESTART_COUNT="1")
    assert requeued() == "version_0"
    assert requeued("fit", "--other") is None  # another command of the same job
    written("runs/version_0", "fit", end="2026-01-02", slurm={"job": "0"})
    refused(SystemExit, "^0$", requeued)


def test_the_root_of_runs_is_read_from_words_and_from_configs_that_can_be_read(tmp_path):
    for name, text in (("a", "trainer: {default_root_dir: ~/a}"), ("b", "trainer: {default_root_dir: b}"), ("c", "[")):
        (tmp_path / f"{name}.yaml").write_text(text)
    a, b, damaged, absent = (f"--config={tmp_path}/{name}.yaml" for name in "abcd")
    flag, in_json = "--trainer.default_root_dir=flag", '--config={"trainer": {"default_root_dir": "d"}}'
    roots = {
        (): ROOT,
        (a, b): "b",
        (b, a, damaged, absent): Path("~/a").expanduser(),
        (flag, a): "flag",
        (in_json,): "d",
    }
    for words, root in roots.items():
        assert root_of(["fit", *words, "--model=VFSSimSiam", "--on", "davis=x"]) == Path(root), words


@pytest.mark.parametrize("content", ["model: {class_path: Edited}", "trainer: ["])
def test_a_requeued_job_goes_on_by_the_configuration_of_its_run(content, here, monkeypatch):
    """Whatever became of the config that its command names."""
    words = [*TINY, "--config=mine.yaml", "--data.source=videos"]
    Path("mine.yaml").write_text(yaml.safe_dump({"model": {"init_args": {"base_lr": 0.5}}}))
    config = Parsed(["fit", *words]).config["fit"].as_dict()
    del config["config"]
    slurm = {"job": "8"}
    folder = written("runs/version_0", "fit", *words, slurm=slurm).resolve()
    Path(folder, "config.yaml").write_text(yaml.safe_dump(config))
    write_checkpoint(VFSSimSiam(NETWORK, 16, 8), touched(folder / "checkpoints/last.ckpt"))
    Path("mine.yaml").write_text(content)
    in_slurm(monkeypatch, JOB_ID="8", RESTART_COUNT="1")
    again = Parsed(["fit", *words]).config["fit"]
    assert again.model.init_args.base_lr == 0.5
    assert again.ckpt_path == str(folder / "checkpoints/last.ckpt")


def test_what_a_training_depends_on_makes_another_one():
    def digest(**changes):
        return digest_of_training(config("last", lr=1, **changes))

    same = digest()
    ours = {"class_path": "vidcorr.BenchmarkCallback", "init_args": {"every_n_epochs": 2}}
    averaging = {"class_path": "pytorch_lightning.callbacks.EMAWeightAveraging"}
    own, other = ({"class_path": "mine.Freeze", "init_args": {"epochs": epochs}} for epochs in (1, 2))
    length = {"max_steps": 5, "strategy": "other", "accelerator": "other", "limit_val_batches": 1, "callbacks": ours}
    assert digest(root="other") == digest(trainer=length) == same
    assert digest(trainer={"callbacks": own}) == digest(trainer={"callbacks": [ours, own]})
    assert len({same, *(digest(trainer={"callbacks": [callback]}) for callback in (own, other, averaging))}) == 4
    decisive = ("plugins", "precision", "gradient_clip_val", "deterministic", "accumulate_grad_batches")
    for name in (*decisive, "limit_train_batches"):
        assert digest(trainer={name: 1}) != same, name
    assert len(signature(Trainer).parameters) <= 41  # does a step depend on a new argument of Lightning's?
    assert digest(trainer={"devices": 2}, batch=2) == same != digest(trainer={"devices": 2})
    assert digest_of_training(config("a.ckpt", lr=1)) != same


def test_seeds_of_one_training_have_one_recipe():
    """Whatever their workers, their devices at an equal global batch, and what only watches them."""

    def recipe(seed, **changes):
        given = config(None, lr=1, **changes)
        given.seed_everything = seed
        given.data.init_args.seed = seed
        return recipe_of_training(given)

    same = recipe(0)
    assert recipe(1) == recipe(2, root="other", trainer={"log_every_n_steps": 9}) == same
    assert recipe(1, trainer={"devices": 2}, batch=2) == same
    assert same not in (recipe(0, batch=8), recipe(0, trainer={"max_steps": 2}), recipe(0, trainer={"precision": 16}))


def test_a_run_is_a_network_by_its_folder(tmp_path, monkeypatch):
    """The best checkpoint, by the record of an ended run, else the last; its words and its config name trusted code."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(trust, "KNOWN", set())
    folder = written(tmp_path / "a", "fit", "--model=mine.Method", folder="/mine")
    refused(ValueError, "the run has saved no checkpoint", checkpoint_named, str(folder))
    (folder / "config.yaml").write_text("model:\n  class_path: mine.Method\n  init_args: {backbone: mine:net}\n")
    last, best, better = (folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "best-1", "best-2"))
    touched(last)
    assert checkpoint_named(str(folder)) == checkpoint_named(f"{folder}/best") == str(last)
    assert {"mine.Method", "mine.net"} <= trust.KNOWN
    assert sys.path[-1] == "/mine"
    for moment, file in enumerate((best, better)):
        torch.save({"callbacks": {"BestCheckpoint": {"best_model_path": f"/elsewhere/{better.name}"}}}, file)
        os.utime(file, (moment, moment))
    assert checkpoint_named(f"{folder}@res4/8") == f"{better}@res4/8"
    network = named_network(f"{folder}@res4/8", Namespace(mean=None, std=None, input=None, pretrained=False))
    assert (network.name, network.spec, network.stage) == (f"{folder}@res4/8", str(better), "res4")  # its row
    Record.read(folder).changed(best="checkpoints/best-1.ckpt").save(folder)
    assert [checkpoint_named(f"{folder}{end}") for end in ("", "/best", "/last")] == [str(best), str(best), str(last)]
    for other in (str(last), "timm:resnet18@res4", str(tmp_path), "a/last"):
        assert checkpoint_named(other) == other
    monkeypatch.setattr("vidcorr.experiments.runs.runs.ROOT", str(tmp_path))  # names below the folder of runs
    assert [checkpoint_named(name) for name in ("a", "a/last", "b/last")] == [str(best), str(last), "b/last"]


def test_further_words_of_resume_are_read_here(here):
    """The run's folder may have the same relative path, with other data."""
    for folder in ("mine", "2"):
        (here / folder).mkdir()
    mine = str(here / "mine")
    words = {"mine": mine, "davis=./mine": f"davis={mine}", "--data.source=mine": f"--data.source={mine}"}
    others = ["--data.source", "--trainer.max_epochs=2", "2", "--x", "none"]
    assert {word: from_here(word) for word in (*words, *others)} == words | dict(zip(others, others, strict=True))
    root = "--trainer.default_root_dir=new"
    assert from_here(root) == f"--trainer.default_root_dir={here}/new"
