"""The command line of `fit` and `validate`: what wins, what a checkpoint brings, what `--on` adds."""

import logging
import os
import re
import shlex
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback

from callbacks import BenchmarkCallback, BestCheckpoint, LastCheckpoint
from callbacks.benchmark import recipe_of
from callbacks.class_words import config_words, resumed
from callbacks.closing_lines import next_command
from callbacks.lightning_cli import SaveConfig, _is_of_interest, make_trainer
from lightning_modules import VFSSimSiam
from tests.helpers.parsed import Built, Parsed
from tests.helpers.refusal import refused
from tests.helpers.words import RAW_COLOUR, SMALL, TINY, davis
from vidcorr import DavisBenchmark
from vidcorr.backbones import trust
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.errors import UsageError
from vidcorr.experiments.command_line import read_command_line
from vidcorr.experiments.config_files import CONFIGS
from vidcorr.functional.device import fastest_precision

NETWORK = "tests.helpers.encoders:TinyResNet"
MOCO = ["--config=vfs_moco_r18.yaml", "--config=data/clips.yaml"]


def config_file(path, text):
    path.write_text(text)
    return f"--config={path}"


def parsed(command, *words):
    return Parsed([command, *words]).config[command]


def test_configs_come_first_and_flags_keep_their_order(tmp_path):
    file = config_file(tmp_path / "a.yaml", "{model: {class_path: Liir, init_args: {lr: 1}}, trainer: {max_steps: 3}}")
    words = f"fit --x 1 -c {file.removeprefix('--config=')} --on a=1 b=2 --data.box -1 --config data/clips.yaml --y"
    line = read_command_line(shlex.split(words))
    assert config_words(line.configs) == [file, f"--config={CONFIGS / 'data/clips.yaml'}"]
    assert line.flags == ["--x", "1", "--data.box", "-1", "--y"]
    assert line.given.on == ["a=1", "b=2"]
    assert {("model.lr", 1), ("trainer.max_steps", 3), ("data.box", "-1"), ("y", "")} <= set(line.options)
    assert (line.value("model.lr"), line.value("data.source"), line.value("z")) == (1, "data/jhmdb_clips", None)


@pytest.mark.slow
def test_a_flag_wins_over_a_file_wherever_it_stands(tmp_path):
    file = config_file(tmp_path / "a.yaml", "trainer: {max_steps: 3, max_epochs: 4}")
    other = config_file(tmp_path / "b.yaml", "trainer: {max_epochs: 5, callbacks+: [{class_path: LastCheckpoint}]}")
    first = config_file(tmp_path / "c.yaml", "trainer: {callbacks+: [{class_path: CollapseMonitor}]}")
    words = [*MOCO, "--trainer.max_steps=9", first, file, other, "--trainer.callbacks.every_n_steps", "7"]
    trainer = parsed("fit", *words).trainer
    assert (trainer.max_steps, trainer.max_epochs) == (9, 5)
    assert [entry.class_path.rpartition(".")[2] for entry in trainer.callbacks] == ["CollapseMonitor", "LastCheckpoint"]
    assert trainer.callbacks[1].init_args.every_n_steps == 7


@pytest.mark.slow
def test_a_file_of_the_working_directory_wins_over_the_projects(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    config_file(tmp_path / "data/clips.yaml", "data: {class_path: VideoDataModule, init_args: {source: mine}}")
    monkeypatch.chdir(tmp_path)
    assert parsed("fit", *MOCO).data.init_args.source == "mine"
    assert parsed("fit", MOCO[0], "--config=configs/data/clips.yaml").data.init_args.source == "data/jhmdb_clips"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("dino-b8", ("timm:vit_base_patch8_224.dino", True, "block12", None)),
        ("dino-b8 --model.stage block9", ("timm:vit_base_patch8_224.dino", True, "block9", None)),
        ("torchvision:resnet18@res3/8", ("torchvision:resnet18", False, "res3", 8)),
        ("raw_colour", ("raw_colour", False, None, None)),
        ("last.ckpt", ("last.ckpt", False, None, None)),
    ],
)
def test_a_model_is_any_network_that_evaluate_takes(words, expected):
    model = parsed("validate", "--model", *words.split()).model
    given = model.init_args
    assert model.class_path.endswith("FrozenEncoder")
    assert (given.spec, given.pretrained, given.stage, given.stride) == expected


class Mine(VFSSimSiam):
    """A user's own method."""


def network():
    """Return a user's own network."""
    return torch.nn.Conv2d(3, 4, 8, 8)


@pytest.mark.parametrize("spelling", [f"{__name__}:Mine", f"{__name__}.Mine"])
def test_a_method_of_the_users_own_by_its_module(spelling):
    model = parsed("fit", "--model", spelling, f"--model.backbone={NETWORK}").model
    assert model.class_path == f"{__name__}.Mine"
    assert model.init_args.backbone == NETWORK


class Mark(Callback):
    """A user's own callback."""

    def __init__(self, limit: float = 1.0, label: str = "") -> None:
        self.limit = limit
        self.label = label


OWN = f"""
model: {{class_path: '{__name__}:Mine', init_args: {{backbone: '{NETWORK}', base_lr: 1e-3}}}}
data: {{class_path: 'tests.helpers.training:InMemory', init_args: {{videos: 3, batch_size: 2}}}}
trainer:
  callbacks+: [{{class_path: '{__name__}:Mark', init_args: {{limit: .inf, label: '1e-3'}}}}]
"""


FLAGS = f"""
--model '{{class_path: {__name__}:Mine}}' --model.backbone={NETWORK} --model.base_lr=1e-3
--data.class_path tests.helpers.training:InMemory --data.videos=3 --data.batch_size=2
--trainer.callbacks+={__name__}:Mark --trainer.callbacks.limit=.inf --trainer.callbacks.label=1e-3
"""


@pytest.mark.parametrize("words", [["FILE"], shlex.split(FLAGS)], ids=["config", "flags"])
def test_a_config_and_a_flag_name_classes_of_the_users_own_by_their_module(tmp_path, words):
    file = config_file(tmp_path / "own.yaml", OWN)
    config = parsed("fit", *(file if word == "FILE" else word for word in words))
    assert config.model.class_path == f"{__name__}.Mine"
    assert (config.model.init_args.backbone, config.model.init_args.base_lr) == (NETWORK, 1e-3)
    assert config.data.class_path == "tests.helpers.training.InMemory"
    assert config.data.init_args.videos == 3
    [mark] = config.trainer.callbacks
    assert mark.class_path == f"{__name__}.Mark"
    assert mark.init_args.limit == float("inf")
    assert mark.init_args.label == "1e-3"


def test_a_class_of_a_config_that_cannot_be_imported_names_file_key_and_form(tmp_path):
    file = config_file(tmp_path / "own.yaml", "trainer: {callbacks+: [{class_path: 'nowhere:Mark'}]}")
    key = re.escape("own.yaml: trainer.callbacks+.class_path nowhere:Mark: cannot import it")
    form = "a class of your own is module:Class: class_path: my_module:MyClass$"
    refused(UsageError, f"{key} .*; {form}", Parsed, ["fit", *MOCO, file])


def test_a_network_in_the_place_of_a_method_in_a_config_names_both_forms(tmp_path):
    file = config_file(tmp_path / "own.yaml", f"model: '{__name__}:network'")
    message = "own.yaml: model: .*; a network is --model NAME, or in a config class_path: FrozenEncoder"
    refused(UsageError, message, Parsed, ["fit", MOCO[1], file])


def test_a_network_and_data_of_the_users_own_by_their_module():
    data = ["--data=tests.helpers.training:InMemory", "--data.videos=3", "--data.batch_size=2"]
    config = parsed("fit", f"--model={__name__}:network", *data)
    assert config.model.init_args.spec == f"{__name__}:network"
    assert config.data.class_path == "tests.helpers.training.InMemory"


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--config={}", "--config {}", "-c {}"])
def test_names_on_a_command_line_and_in_its_configs_are_allowed(tmp_path, monkeypatch, flag):
    monkeypatch.setattr(trust, "_allowed", set())
    config = tmp_path / "a.yaml"
    config.write_text("model:\n  class_path: mine.Method\n  init_args:\n    names: [a:b, {deep: c:d}]\n    n: 3\n")
    words = ["fit", f"--model={__name__}:Mine", "--model.backbone=e:f", "--allow", "g:h"]
    with suppress(Exception):
        Parsed([*words, "--data.annotations", str(config)])
    assert "mine.Method" not in trust._allowed  # a file of data names nothing
    with suppress(Exception):
        Parsed([*words, *flag.format(config).split(" ")])
    assert {f"{__name__}:Mine", "e:f", "g:h", "mine.Method", "a:b", "c:d"} <= trust._allowed


@pytest.mark.slow
def test_trainings_that_differ_in_seeds_and_folders_have_one_recipe(tmp_path):
    def recipe(*more):
        config = parsed("fit", *MOCO, "--data.source=clips", *more)
        return recipe_of(SimpleNamespace(callbacks=[SaveConfig(None, config)]))

    first = recipe("--seed_everything=0")
    assert first
    assert first == recipe("--seed_everything=1", f"--trainer.default_root_dir={tmp_path}", "--data.seed=-5")
    assert first != recipe("--model.base_lr=0.5")
    assert recipe_of(SimpleNamespace(callbacks=[])) == ""  # a Trainer of the user's own


def test_one_seed_for_all_unless_one_is_set_by_hand():
    config = parsed("fit", *MOCO, "--data.seed=1", "--seed_everything=7")
    assert (config.seed_everything, config.model.init_args.seed, config.data.init_args.seed) == (7, 7, 1)


# The checkpoint


def last_checkpoint(path, step, projector_dim):
    """Write a `last.ckpt` of a run."""
    write_checkpoint(VFSSimSiam(NETWORK, projector_dim, 5), path)
    torch.save(torch.load(path, weights_only=True) | {"global_step": step}, path)
    os.utime(path, (step, step))
    return str(path)


@pytest.mark.slow
def test_a_flag_wins_over_a_file_and_a_file_over_a_checkpoint(tmp_path):
    words = [f"--ckpt_path={last_checkpoint(tmp_path / 'a.ckpt', 1, 4)}", f"--allow={NETWORK}"]
    config = parsed("validate", *words)
    assert config.model.class_path.endswith("VFSSimSiam")
    assert (config.model.init_args.projector_dim, config.model.init_args.predictor_dim) == (4, 5)
    file = config_file(tmp_path / "a.yaml", "model: {class_path: VFSSimSiam, init_args: {projector_dim: 6}}")
    assert parsed("validate", *words, file).model.init_args.projector_dim == 6
    assert parsed("validate", "--model.projector_dim=8", *words, file).model.init_args.projector_dim == 8
    assert parsed("validate", "--model=VFSMoCo", *words).model.init_args.backbone == "torchvision:resnet18"


STEPS = {"runs": 8, "demo": 6, "kept": 7}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A newer run in `runs`, older ones in `kept` and `demo`, of other hyper-parameters."""
    monkeypatch.chdir(tmp_path)
    trust.allow(NETWORK)
    return {name: last_checkpoint(Path(name, "checkpoints/last.ckpt"), step, step) for name, step in STEPS.items()}


def last(command, *words):
    return resumed(read_command_line([command, *words, "--ckpt_path=last"]))


def test_last_is_searched_for_where_flags_and_files_say(runs, tmp_path):
    root = config_file(tmp_path / "root.yaml", "trainer: {default_root_dir: demo}")
    entries = "{class_path: LastCheckpoint, init_args: {dirpath: kept/checkpoints}}, {init_args: {dirpath: null}}"
    kept = config_file(tmp_path / "kept.yaml", f"trainer: {{callbacks+: [{entries}]}}")
    expected = {
        (): "runs",
        (root,): "demo",
        ("--trainer.default_root_dir=runs", root): "runs",
        (root, kept): "kept",
        (root, "--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks.dirpath=kept/checkpoints"): "kept",
    }
    for words, run in expected.items():
        (model,), after = last("validate", *words)
        assert after[0] == f"--ckpt_path={runs[run]}", words
        assert f'"projector_dim": {STEPS[run]}, ' in model  # arguments and weights come from one run


def test_without_a_last_one_a_training_begins_and_nothing_else_does(runs):
    elsewhere = "--trainer.default_root_dir=elsewhere"
    assert last("fit", elsewhere) == ([], ["--ckpt_path=null", elsewhere])
    refused(ValueError, r"^--ckpt_path last: no last\.ckpt in elsewhere$", last, "validate", elsewhere)


@pytest.mark.slow
def test_last_alone_is_the_run_by_its_own_config(runs):
    text = (
        "{model: {class_path: VFSSimSiam, init_args: {projector_dim: 8, predictor_dim: 9}}, trainer: {max_epochs: 4}}"
    )
    config_file(Path("runs/config.yaml"), text)
    config = parsed("fit", "--ckpt_path=last", "--trainer.max_steps=9")
    assert (config.model.init_args.projector_dim, config.model.init_args.predictor_dim) == (8, 9)
    assert (config.trainer.max_epochs, config.trainer.max_steps, config.trainer.default_root_dir) == (4, 9, "runs")
    assert parsed("fit", "--ckpt_path=last", "--model=VFSSimSiam").trainer.max_epochs is None
    named = parsed("fit", f"--ckpt_path={runs['runs']}", "--trainer.max_steps=9")
    assert (named.trainer.max_epochs, named.model.init_args.predictor_dim) == (4, 9)
    Path("config.yaml").write_text("not of a run: null")
    assert resumed(read_command_line(["fit", "--ckpt_path=null"])) == ([], [])


# `--on`


def benchmarks_of(built):
    return [callback for callback in built.trainer.callbacks if isinstance(callback, BenchmarkCallback)]


def test_on_adds_benchmarks_as_their_configs_describe_them(davis_root, tmp_path):
    words = [*TINY, f"--trainer.default_root_dir={tmp_path}", "--on", f"davis={davis_root}", f"davis_liir={davis_root}"]
    built = Built(["fit", *words, "--change", "radius=5", "--limit=2"])
    davis, liir = benchmarks_of(built)
    assert (davis.every_n_epochs, liir.every_n_epochs) == (10, 5)
    assert davis.benchmark.protocol.name == "vfs+radius=5"
    assert liir.benchmark.protocol.name == "liir+radius=5"
    assert (davis.benchmark.root, davis.benchmark.limit_sequences, liir.benchmark.stage) == (
        str(davis_root),
        2,
        "affinity",
    )
    assert [type(callback) for callback in built.trainer.callbacks].count(BestCheckpoint) == 1
    assert "on" not in built.config["fit"]


@pytest.mark.slow
def test_a_run_that_continues_by_its_config_has_its_benchmarks_once(davis_root, runs):
    """Its config.yaml holds the benchmarks of `--on` as plain callbacks."""
    on = ["--on", f"davis={davis_root}", "--protocol", "vfs", "crw", "--change", "radius=5", "--every=3", "--before"]
    first = Built(["fit", *TINY, *on])
    (saving,) = [callback for callback in first.trainer.callbacks if isinstance(callback, SaveConfig)]
    Path("runs/config.yaml").write_text(saving.parser.dump(saving.config, skip_unset=False))
    again = Built(["fit", "--ckpt_path=last"])
    kinds = [type(callback) for callback in again.trainer.callbacks]
    assert kinds == [type(callback) for callback in first.trainer.callbacks]
    found = [benchmarks_of(built) for built in (first, again)]
    for one, other in zip(*found, strict=True):
        assert one.benchmark == other.benchmark
        assert (one.every_n_epochs, one.before_training) == (other.every_n_epochs, other.before_training) == (3, True)
    assert [each.name for each in found[1]] == ["davis_vfs", "davis_crw"]
    replaced = Built(["fit", "--ckpt_path=last", "--on", f"davis={davis_root}"])
    assert [each.name for each in benchmarks_of(replaced)] == ["davis"]
    assert [type(callback) for callback in replaced.trainer.callbacks].count(BestCheckpoint) == 1


@pytest.mark.slow
def test_one_callback_without_a_list_as_lightnings_own_command_line_takes_it(davis_root):
    words = ["fit", *TINY, "--trainer.callbacks", "LastCheckpoint", "--trainer.callbacks.every_n_steps", "7"]
    built = Built(words)
    (last,) = [callback for callback in built.trainer.callbacks if isinstance(callback, LastCheckpoint)]
    assert last.every_n_steps == 7
    assert len(benchmarks_of(Built([*words, "--on", f"davis={davis_root}"]))) == 1


@pytest.mark.slow
def test_several_protocols_have_names_of_their_own(davis_root):
    words = ["validate", *RAW_COLOUR, "--on", f"davis={davis_root}", "--protocol", "vfs", "crw", "--stage", "a", "b"]
    found = [callback.benchmark for callback in benchmarks_of(Built([*words, "--stride", "4"]))]
    assert [(each.name, each.protocol.name) for each in found] == [("davis_vfs", "vfs"), ("davis_crw", "crw")]
    assert all((each.stage, each.stride) == (["a", "b"], 4) for each in found)


@pytest.mark.slow
def test_the_best_checkpoint_follows_the_first_benchmark(davis_root, tmp_path):
    on = ["--on", f"davis_2016={davis_root}", f"davis={davis_root}"]
    built = Built(["fit", *TINY, f"--trainer.default_root_dir={tmp_path}", *on])
    (best,) = [callback for callback in built.trainer.callbacks if isinstance(callback, BestCheckpoint)]
    best.setup(built.trainer, built.model, "fit")
    assert best.monitor == "davis_2016/J&F-Mean"
    nothing = BestCheckpoint()
    built.trainer.callbacks = [nothing]
    refused(ValueError, "declares a score; set monitor", nothing.setup, built.trainer, built.model, "fit")


class TimeOrder(DavisBenchmark):
    default_name = "time_order"


def test_lost_ranks_are_told_of_lightnings_messages():
    path = "lightning_fabric/strategies/launchers/subprocess_script.py"
    told = ["[rank: 1] Child process with PID 7 terminated with code -9. Forcefully", "GPU available: False"]
    records = [logging.LogRecord("name", logging.INFO, path, 1, text, None, None) for text in told]
    assert [_is_of_interest(record) for record in records] == [True, False]


@pytest.mark.slow
def test_the_next_command_evaluates_as_the_run_did(davis_root, tmp_path):
    def command(*words):
        built = Built(["fit", *TINY, *words, f"--trainer.default_root_dir={tmp_path}"])
        built.trainer.strategy.connect(built.model)
        return next_command(built.trainer, built.line, "a b/best.ckpt")

    begins = "vidcorr validate --ckpt_path 'a b/best.ckpt' --on"
    given = ["--on", f"davis={davis_root}", "--protocol", "crw", "--stage", "res3", "--limit", "2"]
    assert command(*given) == f"{begins} davis={davis_root} --protocol crw --stage res3 --limit 2"
    assert command() == f"{begins} davis=FOLDER"
    again = Built(["validate", *TINY, *shlex.split(command(*davis(davis_root, stage="res4", every_n_epochs=3)))[4:]])
    (benchmark,) = [each.benchmark for each in again.trainer.callbacks if isinstance(each, BenchmarkCallback)]
    assert (benchmark.root, benchmark.stage, benchmark.protocol.radius) == (str(davis_root), "res4", SMALL["radius"])
    assert command(*davis(davis_root, f"{__name__}.TimeOrder")) is None  # no config names it


# Precision

QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}


@pytest.mark.parametrize("has", [True, False])
def test_precision_auto_is_what_the_cpu_says_it_has(has, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    fastest_precision.cache_clear()
    assert make_trainer(precision="auto", **QUIET).precision == ("bf16-mixed" if has else "32-true")
    fastest_precision.cache_clear()


@pytest.mark.slow
def test_validate_measures_a_module_on_data_without_a_benchmark(tmp_path):
    words = ["--model=LinearProbe", f"--model.backbone={NETWORK}", "--model.num_classes=3", "--data=LabelledDataModule"]
    folders = [f"--data.source={tmp_path}", f"--trainer.default_root_dir={tmp_path}"]
    assert Built(["validate", *words, *folders]).datamodule is not None
