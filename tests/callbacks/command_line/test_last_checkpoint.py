"""`--ckpt_path last`: one checkpoint, found where flags and files let runs write."""

import re
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from callbacks.command_line.arguments import option_of, read_arguments
from callbacks.command_line.last_checkpoint import require_last_checkpoint, with_last_checkpoint
from cli import main
from lightning_modules import VFSSimSiam


def last_checkpoint(path, step, projector_dim=4):
    """Write a `last.ckpt` of a run."""
    model = VFSSimSiam("tests.helpers.encoders:TinyResNet", projector_dim, 5)
    content = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(content)
    content |= {"global_step": step, "epoch": 0, "resume": {"run": step}}
    path.parent.mkdir(parents=True)
    torch.save(content, path)
    return str(path)


def config(path, text):
    path.write_text(text)
    return f"--config={path}"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A newer run in `runs`, an older one in `demo`, of other hyper-parameters."""
    monkeypatch.chdir(tmp_path)
    names = {"runs": 8, "demo": 6, "kept": 7}
    return {
        name: last_checkpoint(Path(name, "checkpoints/last.ckpt"), step, projector_dim=step)
        for name, step in names.items()
    }


def test_class_arguments_and_weights_come_from_one_run(runs, tmp_path, capsys):
    demo = config(tmp_path / "demo.yaml", "trainer: {default_root_dir: demo}")
    with pytest.raises(SystemExit):
        main(["validate", "--ckpt_path", "last", demo, "--allow=tests.helpers.encoders:TinyResNet", "--print_config"])
    shown = capsys.readouterr().out
    assert re.search(r"projector_dim: (\d+)", shown)[1] == "6"
    assert re.search(r"\nckpt_path: (\S+)", shown)[1] == runs["demo"]


def test_it_is_searched_for_where_flags_and_files_say(runs, tmp_path):
    root = config(tmp_path / "root.yaml", "trainer: {default_root_dir: demo}")
    kept = config(
        tmp_path / "kept.yaml",
        "trainer: {callbacks+: [{class_path: LastCheckpoint, init_args: {dirpath: kept/checkpoints}}]}",
    )
    (trainer := tmp_path / "trainer.yaml").write_text("default_root_dir: demo")
    last = "--ckpt_path=last"
    expected = {
        (last,): "runs",
        (last, root): "demo",
        (last, "--config=trainer: {default_root_dir: demo}"): "demo",
        (root, last, "--trainer.default_root_dir=runs"): "runs",
        (last, "--trainer.default_root_dir=runs", root): "demo",
        (last, root, kept): "kept",
        (last, root, "--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks.dirpath=kept/checkpoints"): "kept",
        (
            last,
            root,
            '--trainer.callbacks+={"class_path": "LastCheckpoint", "init_args": {"dirpath": "kept/checkpoints"}}',
        ): "kept",
        (last, '--trainer={"default_root_dir": "demo"}'): "demo",
        (last, f"--trainer={trainer}"): "demo",
        (config(tmp_path / "last.yaml", "ckpt_path: last"), root): "demo",
    }
    for words, run in expected.items():
        found = with_last_checkpoint(read_arguments(["validate", *words]))
        assert [str(argument) for argument in found[1:-1]] == list(words)
        assert option_of(found, "ckpt_path") == runs[run], words


def test_without_one_a_training_begins_and_nothing_else_does(runs):
    words = ["--ckpt_path=last", "--trainer.default_root_dir=elsewhere"]
    assert option_of(with_last_checkpoint(read_arguments(["fit", *words])), "ckpt_path") is None
    for word in ("validate", "predict"):
        with pytest.raises(ValueError, match=r"^--ckpt_path last: no last\.ckpt in elsewhere$"):
            with_last_checkpoint(read_arguments([word, *words]))


def test_a_run_that_writes_elsewhere_is_refused(runs, tmp_path):
    """However the command line was misread, no checkpoint is written over."""
    elsewhere = Trainer(default_root_dir=tmp_path / "elsewhere", logger=False, accelerator="cpu")
    require_last_checkpoint(elsewhere, None)
    with pytest.raises(
        ValueError, match=r"would resume .*last\.ckpt, but the newest run where this one writes is none"
    ):
        require_last_checkpoint(elsewhere, runs["demo"])
    there = Trainer(default_root_dir=tmp_path / "demo", logger=False, accelerator="cpu")
    require_last_checkpoint(there, runs["demo"])
    with pytest.raises(
        ValueError, match=r"would resume nothing, but the newest run .* is .*demo/checkpoints/last\.ckpt;"
    ):
        require_last_checkpoint(there, None)


def test_another_checkpoint_stays(runs):
    arguments = read_arguments(["validate", "--ckpt_path=last", f"--ckpt_path={runs['demo']}"])
    assert with_last_checkpoint(arguments) == arguments
