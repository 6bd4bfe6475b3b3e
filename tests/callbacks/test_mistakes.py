"""The overview, the version, and one line for each kind of mistake on the command line."""

import re
import shlex
import sys
from types import SimpleNamespace

import pytest
from pytorch_lightning.strategies import ModelParallelStrategy

from callbacks import BenchmarkCallback, LastCheckpoint
from cli import RUNS, main, tools
from tests.helpers.refusal import refused
from tests.helpers.stops import Counted
from tests.helpers.words import refusal

FIT = "fit --model=VFSSimSiam"
VALIDATE = "validate --model=raw_colour"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_word(words, capsys):
    main(words)
    shown = capsys.readouterr().out
    for word in (*RUNS, *tools()):
        assert re.search(rf"^  {word} +\S.*\.$", shown, re.MULTILINE), word


def test_version(capsys):
    main(["--version"])
    assert re.match(r"vidcorr \d+\.\d+\.\d+ \(torch \d", capsys.readouterr().out)


MISUNDERSTOOD = {
    "fti": f"unknown command 'fti'; did you mean fit? Commands: {', '.join([*RUNS, *tools()])}",
    "fit": "give --model NAME, a --config with a model, or --ckpt_path FILE (docs/models.md compares models)",
    "fit --model": "argument --model: expected one argument",
    "fit --model dino-b9": "model: no class 'dino-b9'; did you mean dino-b8?",
    "fit --modle x": "unrecognized arguments: --modle x; did you mean --model?",
    "fit --model nowhere.Model": (
        "--model nowhere.Model: cannot import it (No module named 'nowhere'); run from its folder, or set PYTHONPATH; "
        "a class of your own is module:Class: --model my_module:MyClass"
    ),
    f"{FIT} --data nowhere:Data": (
        "--data nowhere:Data: cannot import it (No module named 'nowhere'); run from its folder, or set PYTHONPATH; "
        "a class of your own is module:Class: --data my_module:MyClass"
    ),
    f"{FIT} --model.lr 0.1 --config vfs_simsiam_r18.yaml": (  # the config holds base_lr
        "model: VFSSimSiam has no option 'lr'; did you mean base_lr?"
    ),
    f"{FIT} --mask first.png": "unrecognized arguments: --mask first.png",
    f"{VALIDATE} --every 2": "unrecognized arguments: --every 2",
    f"{VALIDATE} --on davis=. --limit 0": "argument --limit: expected an integer of at least 1, got '0'",
    f"{FIT} extra": "unrecognized arguments: extra",
    f"{FIT} --model.projektor_dim=3": "model: VFSSimSiam has no option 'projektor_dim'; did you mean projector_dim?",
    f"{FIT} --data.source=x": "data: nothing names the class of 'source'; add --data CLASS or a --config",
    f"{FIT} --data=VideoDataModule": "data: the following arguments are required: source",
    f"{FIT} --data=VideoDataModule --data.source=x --data.augmentation.spatial=hole": (
        "data.augmentation.spatial: expected bool or Literal['whole'], got 'hole'"
    ),
    f"{FIT} --trainer.max_epochs=many": "trainer.max_epochs: expected int, got 'many'",
    f"{FIT} --trainer.max_epohcs=3": (
        "unrecognized arguments: --trainer.max_epohcs=3; did you mean --trainer.max_epochs?"
    ),
    f"{FIT} --trainer.max_epoch 3": (  # argparse would take it for max_epochs
        "unrecognized arguments: --trainer.max_epoch 3; did you mean --trainer.max_epochs?"
    ),
    f"{FIT} --config=kinetics.yaml": "--config: there is no file kinetics.yaml; did you mean data/kinetics.yaml?",
    f"{VALIDATE} --trainer.callbacks+=BestCheckpont": (
        "trainer.callbacks: no class 'BestCheckpont'; did you mean BestCheckpoint?"
    ),
    f"{FIT} --trainer.callbacks+=BestCheckpoint --trainer.callbacks.monitr=x": (
        "trainer.callbacks: BestCheckpoint has no option 'monitr'; did you mean monitor?"
    ),
    "predict a.mp4 --model raw_colour": "predict: say what to follow by one of --mask, --box and --points, got none",
    "predict a.mp4 --mask a.png --box 1,2,3,4": (
        "predict: say what to follow by one of --mask, --box and --points, got --mask and --box"
    ),
    f"{FIT} --trainer.max_epochs=": "trainer.max_epochs: expected int, got ''",
    f"{FIT} --data=VFSMoCo": "data: the class VFSMoCo is of another kind than this option takes",
    f"{FIT} --trainer.callbacks+=StochasticWeightAveraging --trainer.callbacks.swa_lrs=x": (
        "trainer.callbacks.swa_lrs: expected float or list, got 'x'"
    ),
    f"{VALIDATE} --protocol crw": "--protocol: name a benchmark, as --on davis=/data/DAVIS",
    f"{VALIDATE} --on davis=. --stride 4 8": "--stride: a single stride here; vidcorr evaluate takes several",
}
IMPOSSIBLE = {
    "validate --ckpt_path nowhere.ckpt": "ckpt_path: there is no file nowhere.ckpt",
    "validate --model=raw_colour@x/none": "raw_colour@x/none: the stride 'none' is not a number; write SPEC@STAGE",
    f"{VALIDATE} --trainer.logger=false": "nothing to measure: add --on davis=FOLDER",
    f"{VALIDATE} --data=VideoDataModule --data.source=. --trainer.limit_val_batches=0": "nothing to measure: add --on",
    f"{VALIDATE} --on davis=nowhere": "--on davis=nowhere: nowhere: no such folder",
    f"{VALIDATE} --on davis=. --protocol fvs": "--protocol fvs: no benchmark here takes it; known are ",
    f"{VALIDATE} --on davis=. --change radus=3": "the protocol of davis has no field 'radus'; did you mean radius",
    f"{VALIDATE} --on otb=. --change radius=3": "the protocol of otb has no field 'radius'; it has exemplar_size",
    f"{VALIDATE} --on nowhere:Benchmark=.": "a benchmark of your own is module:Class=FOLDER: cannot import it",
    f"{VALIDATE} --trainer.devices=-3 --on davis=.": "trainer: ",
    f"{FIT} --trainer.max_steps=0": "trainer.max_steps is 0, with which nothing is trained",
    f"{FIT} --trainer.max_epochs=0": "trainer.max_epochs is 0, with which nothing is trained",
    f"{FIT} --trainer.val_check_interval=0": "trainer.val_check_interval must be above 0, got 0",
    f"{FIT} --trainer.check_val_every_n_epoch=0": "trainer.check_val_every_n_epoch must be at least 1, got 0",
    f"{FIT} --trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches must be at least 1, got 0",
    f"{FIT} --trainer.log_every_n_steps=-1": "trainer.log_every_n_steps must be at least 0, got -1",
    f"{FIT} --trainer.gradient_clip_val=-1": "trainer.gradient_clip_val must be at least 0, got -1",
    f"{FIT} --trainer.num_sanity_val_steps=-2": "trainer.num_sanity_val_steps must be at least -1, got -2",
    f"{FIT} {' '.join(2 * ['--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=x'])}": (
        "trainer: Found more than one stateful callback of type `EarlyStopping`"
    ),
    f"{FIT} --trainer.logger=false": "fit needs data: add a file such as --config data/synthetic.yaml",
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("words", MISUNDERSTOOD)
def test_words_that_cannot_be_understood(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(words))
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"vidcorr: {MISUNDERSTOOD[words]}\n"


@pytest.mark.sampled(3)
@pytest.mark.parametrize("words", IMPOSSIBLE)
def test_what_cannot_be_done(words):
    line = refusal(*shlex.split(words))
    assert IMPOSSIBLE[words] in line
    assert "--debug" not in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {class_path: VFSMoCo, init_args: {que_size: 8}}", "model: VFSMoCo has no option 'que_size'"),
        (
            "trainer: {callbacks+: [{class_path: LastCheckpoint, init_args: {every: 1}}]}",
            "LastCheckpoint has no option",
        ),
        ("trainer: {max_epohcs: 3}", "Subcommand 'fit' does not accept option 'trainer.max_epohcs'; did you mean"),
        ("a: [", "cannot be read"),
        ("- a", "holds no options, such as trainer"),
        ("# nothing", "holds no options, such as trainer"),
        ("1: 2", "1 is no name of an option"),
        ("trainer:\n\tmax_steps: 3", "cannot start any token"),
        ("trainer:\n  max_steps: 3\n  max_steps: 4", "line 3: max_steps is set twice; keep one of them"),
        ("trainer: {max_steps: 3}\ntrainer: {max_epochs: 3}", "line 2: trainer is set twice"),
        ("x: &x {a: 1}\ny: [*x, {a: 1, 'a': 2}]", "line 2: a is set twice"),
        ("trainer: {callbacks: 3}", "trainer.callbacks: expected list or a Callback, got '3'"),
        ("trainer: {max_steps: three}", "trainer.max_steps: expected int, got 'three'"),
        ("trainer: [1]", "trainer: expected options, such as {max_steps: 9}, got [1]"),
        ("trainer: fast", "trainer: expected options, such as {max_steps: 9}, got 'fast'"),
        (
            "data: 3",
            "data: expected options, such as {class_path: VideoDataModule, init_args: ",
        ),
        ("model: {class_path: null}", "model.class_path: expected the name of a class, got None"),
        (
            "model: {class_path: VFSMoCo, init_args: [1]}",
            "model.init_args: expected options, such as {size: 256}",
        ),
        (
            "trainer: {callbacks: [{class_path: 3}]}",
            "callbacks.class_path: expected the name of a class, got 3",
        ),
    ],
)
def test_a_mistake_in_a_file_names_the_file(text, message, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(SystemExit):
        main([*FIT.split(), f"--config={file}"])
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert str(file) in line


def test_the_help_of_a_run_names_what_belongs_to_all_commands(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    shown = capsys.readouterr().out
    assert all(f"--{name} " in shown for name in ("allow", "on", "protocol", "change", "stage", "stride", "ckpt_path"))
    assert "datamodules.VideoDataModule" in shown


@pytest.mark.slow
def test_classes_of_the_package_lightning(tmp_path, monkeypatch, capsys):
    """The package is not installed here; a module of its name stands for it."""
    (tmp_path / "lightning").mkdir()
    (tmp_path / "lightning/pytorch.py").write_text("class LightningModule: pass")
    own = "from lightning.pytorch import LightningModule\nclass Method(LightningModule): pass"
    (tmp_path / "theirs.py").write_text(own)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lightning", "lightning.pytorch", "theirs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SystemExit):
        main(["fit", "--model=theirs.Method"])
    said = capsys.readouterr().err
    for name in ("lightning", "lightning.pytorch", "theirs"):
        sys.modules.pop(name, None)  # monkeypatch would put these modules back after the test
    assert said.count("\n") == 1
    assert "vidcorr works with pytorch_lightning, whose classes are not those of lightning.pytorch" in said


@pytest.mark.parametrize("callback", [LastCheckpoint(), BenchmarkCallback(Counted([]))])
def test_a_trainer_of_the_package_lightning(callback):
    trainer = type("Trainer", (), {"__module__": "lightning.pytorch.trainer.trainer"})()
    refused(ValueError, "lightning.pytorch: import pytorch_lightning", callback.setup, trainer, None, "fit")


@pytest.mark.slow
def test_a_network_that_is_not_there_is_told_without_the_parser(davis_root):
    line = refusal("validate", "--model=timm:resnet1", f"--on=davis={davis_root}")
    assert line.startswith("vidcorr: backbone timm:resnet1: timm has no such model; did you mean")


def test_a_strategy_whose_checkpoints_are_folders():
    trainer = SimpleNamespace(strategy=ModelParallelStrategy())
    refused(ValueError, "^LastCheckpoint: ModelParallelStrategy", LastCheckpoint().setup, trainer, None, "fit")


WHERE = {
    "model": "model: {{class_path: '{0}'}}",
    "data": "data: {{class_path: '{0}'}}",
    "trainer.logger": "trainer: {{logger: [{{class_path: '{0}'}}]}}",
    "trainer.callbacks": "trainer: {{callbacks: [{{class_path: '{0}'}}]}}",
    "trainer.callbacks.init_args.benchmark": (
        "trainer: {{callbacks: [{{class_path: BenchmarkCallback, init_args: {{benchmark: {{class_path: '{0}'}}}}}}]}}"
    ),
}
"""Key of a class in a config → the config."""


@pytest.mark.parametrize("spelling", ["broken:Own", "broken.Own"])
@pytest.mark.parametrize("where", WHERE)
def test_a_config_whose_class_is_in_a_broken_module_names_file_key_and_reason(
    where, spelling, tmp_path, monkeypatch, capsys
):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    (tmp_path / "broken.py").write_text("import not_there")
    file = tmp_path / "mine.yaml"
    file.write_text(WHERE[where].format(spelling))
    with pytest.raises(SystemExit) as ended:
        main(["fit", f"--config={file}"])
    assert ended.value.code == 2
    place = f"{tmp_path}/broken.py:1"
    reason = f"its module fails on import: ModuleNotFoundError: No module named 'not_there' ({place})"
    assert capsys.readouterr().err == f"vidcorr: {file}: {where}.class_path {spelling}: {reason}\n"
