"""`fit` and `validate` by command line alone: what wins, how a run continues, what `--on` adds, what is refused.

Also tests `callbacks/run_start.py` and `runs/words.py`.
"""

import gc
import json
import os
import shlex
import sys
import warnings
from enum import Enum
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock, call

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from jsonargparse import Namespace
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only

import vidcorr
from tests.helpers.parsed import Built, Parsed
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.stops import in_slurm
from tests.helpers.words import NETWORK, TINY, clips, davis, flags
from vidcorr.backbones import load
from vidcorr.backbones.files import trust
from vidcorr.callbacks.benchmark import benchmarks_among
from vidcorr.cli import NOISE, is_first_rank, last_of_each_name, main, precision_for, require_ranks_as_commands
from vidcorr.errors import UsageError
from vidcorr.experiments.runs.runs import Record, RunFolder
from vidcorr.experiments.runs.words import words_for_parser
from vidcorr.lightning_modules import VFSSimSiam
from vidcorr.results.result import Result


@pytest.mark.slow
def test_fit_then_validate_gives_the_score_of_the_callback(video_folder, davis_root, tmp_path, capsys, monkeypatch):
    words = ["fit", *TINY, *clips(video_folder, validation_fraction=0.3), "--on", f"davis={davis_root}", "--before"]
    small = ["--stage", "res4", "--change", "radius=3", "context=2"]
    main([*words, *small, *flags("trainer", max_epochs=1, default_root_dir=tmp_path)])
    *_, report, next_command = capsys.readouterr().out.splitlines()
    before, results = sorted(tmp_path.glob("version_0/benchmarks/davis/*/results.json"))
    first, last = (json.loads(path.read_text()) for path in (before, results))
    assert last["history"][0]["scores"] == first["scores"]
    assert report == f"report: {results.with_name('report.html')}"
    monkeypatch.chdir(tmp_path)
    _, _, command = next_command.partition("next: vidcorr ")
    main([*shlex.split(command), *flags("trainer", accelerator="cpu", default_root_dir="pasted")])
    assert capsys.readouterr().out.count("J&F-Mean") == 1  # the checkpoint has the scores of its training too
    (pasted,) = (tmp_path / "pasted").rglob("results.json")
    pasted = json.loads(pasted.read_text())
    assert (pasted["scores"], pasted["stage"]) == (last["scores"], last["stage"])


# The words


def config_file(path, text):
    path.write_text(text)
    return f"--config={path}"


def parsed(command, *words):
    return Parsed([command, *words]).config[command]


BENCHMARK = "vidcorr.BenchmarkCallback"
MOCO = ["--config=vfs_moco_r18.yaml", "--config=data/clips.yaml"]


def test_configs_by_name_and_words_from_left_to_right(tmp_path, monkeypatch):
    text = "trainer: {max_steps: 3, max_epochs: 4, callbacks: CollapseMonitor}"
    file = config_file(tmp_path / "a.yaml", text).split("=")
    words = ["--trainer.max_steps=9", *file, "--trainer.max_epochs", "5", "-c", "configs/data/kinetics.yaml"]
    config = parsed("fit", MOCO[0], *words, "--on", "vip=.", "--trainer.precision=16-mixed")
    assert (config.trainer.max_steps, config.trainer.max_epochs, config.trainer.precision) == (3, 5, "16-mixed")
    assert [each.class_path for each in config.trainer.callbacks] == ["vidcorr.CollapseMonitor", BENCHMARK]
    assert config.data.class_path == "vidcorr.VideoDataModule"
    (tmp_path / "data").mkdir()
    config_file(tmp_path / "data/clips.yaml", "data: {class_path: VideoDataModule, init_args: {source: mine}}")
    monkeypatch.chdir(tmp_path)
    assert parsed("fit", *MOCO).data.init_args.source == "mine"  # a file here wins


def test_a_flag_belongs_to_the_last_callback_before_it_in_files_and_words_alike(tmp_path):
    text = "trainer: {callbacks+: [{class_path: LastCheckpoint, init_args: {every_n_steps: 3}}, CollapseMonitor]}"
    file = config_file(tmp_path / "a.yaml", text)
    append, of_the_last = flags("trainer.callbacks+", "LastCheckpoint", every_n_steps=5)
    for words, steps in (([append, of_the_last, file], [5, 3, 50]), ([append, file, of_the_last], [500, 3, 5])):
        callbacks = parsed("fit", *MOCO, *words).trainer.callbacks
        assert [callback.init_args.every_n_steps for callback in callbacks] == steps
    line = "nrecognized arguments: --trainer.max_epoch=3"  # no abbreviation
    refused(UsageError, line, parsed, "fit", *MOCO, "--trainer.max_epoch=3")
    message = "Option 'every_n_steps' is not accepted"
    refused(UsageError, message, parsed, "fit", *MOCO, append, "--trainer.callbacks+=Throughput", of_the_last)


class Own(pl.LightningDataModule):
    """A user's data: arguments of our names with other defaults."""

    def __init__(self, source: str = "", batch_size: int = 4, size: int = 32, *, validation_fraction: float = 0.5):
        super().__init__()


class OwnMoCo(vidcorr.VFSMoCo):
    """A subclass of a config's method, which takes its arguments."""


def first_arguments(kind):
    """Return argument → default of a class, as far as these are plain."""
    parameters = signature(kind).parameters.items()
    return {name: each.default for name, each in parameters if isinstance(each.default, str | int | float | None)}


DATA = [Own, *(getattr(vidcorr, name) for name in dir(vidcorr) if name.endswith("DataModule"))]


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.sampled(3)
def test_a_class_of_data_has_the_defaults_of_its_own_signature(kind):
    """Behind a config with data of another class."""
    name = f"{__name__}.Own" if kind is Own else kind.__name__
    before = ["--model=VFSSimSiam"] if issubclass(kind, vidcorr.VideoDataModule) else MOCO
    needed = [name for name, each in signature(kind).parameters.items() if each.default is Parameter.empty]
    values = dict.fromkeys(needed, "x") | {"batch_size": 7}
    values.pop("kwargs", None)
    config = json.dumps({"data": {"class_path": name}})
    of_flags = flags("data", **values)
    for words in ([f"--data={name}", *of_flags], [f"--config={config}", *of_flags]):
        found = parsed("fit", *before, *words).data.init_args.as_dict()
        assert found | first_arguments(kind) | values == found, words


def test_another_method_than_a_configs_takes_none_of_its_arguments_and_a_subclass_all():
    arguments = parsed("fit", *MOCO, "--model=VFSSimSiam", "--model.projector_dim=3").model.init_args.as_dict()
    assert arguments | first_arguments(VFSSimSiam) | {"projector_dim": 3} == arguments
    given = json.dumps({"model": {"class_path": "VFSMoCo", "init_args": {"base_lr": 9, "queue_size": 4}}})
    own = parsed("fit", f"--config={given}", "--model.queue_size=8", f"--model={__name__}.OwnMoCo").model
    assert (own.class_path.rpartition(".")[2], own.init_args.queue_size, own.init_args.base_lr) == ("OwnMoCo", 8, 9)


def test_a_class_of_this_process_is_named_by_its_name_alone(capsys):
    refused(SystemExit, "^0$", main, ["fit", "--model=OwnMoCo", "--data=Own", "--print_config"])
    assert f"class_path: {__name__}.OwnMoCo" in capsys.readouterr().out


def test_videos_without_a_data_module_are_our_clips():
    plain = parsed("fit", "--model=VFSSimSiam", "--data=VideoDataModule", "--data.source=videos").data
    for words in (["--data.source=videos"], ["--data.init_args.source=videos"], ["--data.source", "videos"]):
        assert parsed("fit", "--model=VFSSimSiam", *words).data == plain
    before = parsed("fit", "--data.source=videos", "--config=vfs_simsiam_r18.yaml").data
    assert before.init_args.source == plain.init_args.source == "videos"
    assert parsed("validate", "--model=VFSSimSiam").data is None
    assert parsed("fit", "--model=pytorch_lightning.demos.boring_classes.BoringModel").data is None  # it has its own
    images = parsed("fit", "--config=vfs_simsiam_r18.yaml", "--config=data/images.yaml").data
    assert (images.class_path, images.init_args.validation_fraction) == ("vidcorr.ImageClipDataModule", 0.0)


def test_a_validation_measures_what_the_training_did_not_validate():
    for words, limit in (("--trainer.limit_val_batches=0", None), ("--trainer.limit_val_batches=3", 3)):
        assert parsed("validate", "--model=raw_colour", words).trainer.limit_val_batches == limit
    assert parsed("fit", "--model=VFSSimSiam", "--trainer.limit_val_batches=0").trainer.limit_val_batches == 0


def classes_in(words):
    """Return what the words for the parser say of the model, one after the other, and its other words."""
    configs = [json.loads(word.removeprefix("--config=")) for word in words if word.startswith("--config={")]
    return [config["model"] for config in configs if "model" in config], [word for word in words if "={" not in word]


def test_a_model_is_any_network_that_evaluate_takes():
    given = ["--model", "dino-b8@block9", "--model=mine:net@res3/8", "--model=a.ckpt", "--model=FrozenEncoder"]
    models, words = classes_in(words_for_parser(["fit", *given, "--data.source", "[a b, c]"]).words)
    dino = {"spec": "timm:vit_base_patch8_224.dino", "stage": "block9", "pretrained": True}
    specs = [dino, {"spec": "mine:net", "stage": "res3", "stride": 8}, {"spec": "a.ckpt"}, None]
    assert models == [{"class_path": "FrozenEncoder"} | ({"init_args": spec} if spec else {}) for spec in specs]
    assert words == ["fit", "--data.source=[a b, c]"]
    assert parsed("fit", *MOCO, "--data.source", "[a b, c]").data.init_args.source == ["a b", "c"]
    refused(UsageError, "there is no file , here", words_for_parser, ["fit", "--config="])


def test_names_on_a_command_line_and_in_its_configs_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "KNOWN", set())
    file = config_file(tmp_path / "a.yaml", "model: {class_path: mine.Method, init_args: {names: [a:b, {deep: c:d}]}}")
    monkeypatch.setattr(sys, "path", list(sys.path))
    Record.now(["fit"]).changed(folder="/mine").save(tmp_path)  # the config of a run, with modules of its folder
    words = ["--model=VFSSimSiam", "--model.backbone=e:f"]
    words_for_parser(["fit", *words, "--data.annotations", file.partition("=")[2]])
    assert "e.f" in trust.KNOWN
    assert "mine.Method" not in trust.KNOWN  # a file of data names nothing
    with pytest.raises(UsageError, match="No module named 'mine'"):
        Parsed(["fit", *words, *file.split("=")])
    assert {"mine.Method", "a.b", "c.d"} <= trust.KNOWN
    assert sys.path[-1] == "/mine"


# A run


def fit_one_step(video_folder, root, *more, **trainer):
    """Run `fit` below a root."""
    short = {"max_steps": 1, "enable_progress_bar": "false", "limit_val_batches": 0, "default_root_dir": root}
    main(["fit", *TINY, *clips(video_folder), *flags("trainer", **short | trainer), *more])


class Enough(pl.Callback):
    """Ends a run after its first step."""

    def on_train_batch_end(self, trainer, *args):
        trainer.should_stop = True


ENOUGH = [f"--trainer.callbacks+={__name__}.Enough"]
STOPPING = {"monitor": "train/loss", "stopping_threshold": 1e9, "check_on_train_epoch_end": "true"}
LENGTHS = [
    (ENOUGH, {"max_steps": 1}, True),
    (ENOUGH, {"max_steps": 2}, False),  # `--ckpt_path last` goes on with it
    (flags("trainer.callbacks+", "EarlyStopping", **STOPPING), {"max_steps": 1000}, True),  # no further epoch
    ([], {"max_steps": 2, "max_time": {"hours": 1}}, True),
    ([], {"max_steps": 2, "max_time": {"microseconds": 1}}, False),  # `vidcorr resume` goes on with it
]
"""Words and options of a run, and whether it ends at its length."""


@pytest.mark.parametrize(("words", "options", "ends"), LENGTHS)
@pytest.mark.sampled(4)
def test_a_run_has_ended_by_its_length_or_by_its_score(words, options, ends, video_folder, tmp_path):
    fit_one_step(video_folder, tmp_path, *words, **options)
    record = Record.read(tmp_path / "version_0")
    assert (bool(record.end), RunFolder(tmp_path / "version_0", record).last is None) == (ends, False)


def test_a_run_that_is_stopped_prints_how_to_resume_it(video_folder, tmp_path, monkeypatch, info_log):
    """Unless it has saved nothing."""
    monkeypatch.setattr(trust, "KNOWN", set())
    strike = flags("trainer.callbacks+", "tests.helpers.faults.Strike", name="SIGTERM", step=1, place="end")
    for name, saves in (("a b", True), ("c", False)):
        info_log.clear()
        options = {"max_steps": 3, "enable_checkpointing": str(saves).lower()}
        refused(SystemExit, "^143$", fit_one_step, video_folder, tmp_path / name, *strike, **options)
        lines = [line for line in info_log.messages if line.startswith("resume: ")]
        assert lines == [f"resume: vidcorr resume '{tmp_path}/a b/version_0'"] * saves


def test_a_run_ends_with_its_report_and_the_next_command(video_folder, davis_root, here, capsys):
    on = ["--on", f"davis={davis_root}", "--limit", "1", "--stage", "res4", "--change", "radius=3", "--every", "1"]
    fit_one_step(video_folder, "runs", *on)
    report, line = capsys.readouterr().out.splitlines()[-2:]
    assert report == f"report: {here}/runs/version_0/benchmarks/davis/step=000001/report.html"
    (best,) = set((here / "runs/version_0").rglob("*.ckpt")) - set(here.rglob("last.ckpt"))
    assert line == f"next: vidcorr validate {here}/runs/version_0"
    assert RunFolder.read(here / "runs/version_0").best == best
    trained = Result.load(here / "runs/version_0/benchmarks/davis/step=000001").network
    loaded = load(best).described
    assert (loaded.seed, loaded.recipe) == (trained.seed, trained.recipe) != (None, "")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "validate"])
def test_seeds_that_are_scored_after_their_trainings_are_a_row(command, video_folder, davis_root, here, capsys):
    on = ["--on", f"davis={davis_root}", "--limit", "1", "--stage", "res4", "--change", "radius=3"]
    options = {"evaluate": ["--output=scored"]}
    options["validate"] = flags("trainer", accelerator="cpu", default_root_dir="scored")
    for seed in (0, 1):
        fit_one_step(video_folder, "runs", f"--seed_everything={seed}")
        main([command, f"runs/version_{seed}", *on, *options[command]])
    capsys.readouterr()
    main(["table", "ours=scored"])
    assert "± is the standard deviation over 2 seeds" in capsys.readouterr().out


def test_the_next_command_of_a_probe_is_one_that_measures_it(here, capsys):
    for number in range(8):
        path = here / f"{('train', 'val')[number % 2]}/{number // 4}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((40, 40, 3), 30 * number, np.uint8))
    of_data = ["--data", "ImageFolderDataModule", "--data.root", str(here), "--data.batch_size", "2"]
    of_model = ["--model", "LinearProbe", "--model.backbone", "raw_colour", "--model.num_classes", "2"]
    of_model += ["--model.stage", "colour"]
    main(["fit", *of_model, *of_data, "--data.num_workers", "0", "--data.size", "32", "--trainer.max_steps", "1"])
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    main(words[words.index("vidcorr") + 1 :])
    assert "val/top1" in capsys.readouterr().out


def test_a_task_of_an_interactive_job_of_slurm_writes_all_files_of_a_run(video_folder, tmp_path, monkeypatch):
    in_slurm(monkeypatch, NTASKS="4", PROCID="3", JOB_NAME="bash")
    monkeypatch.setattr(rank_zero_only, "rank", 3)  # as Lightning reads it where it is imported
    fit_one_step(video_folder, tmp_path, devices=1)
    for name in ("run.json", "config.yaml", "events.out.*"):
        assert list((tmp_path / "version_0").glob(name)), name


def built(*words):
    """Return the Trainer that words make, and the names of its callbacks in their order."""
    trainer = Built([*words, *TINY]).trainer
    return trainer, [type(callback).__name__ for callback in trainer.callbacks]


OF_A_RUN = ["RunStart", "BenchmarkCallback", "Throughput", "LearningRateMonitor", "TQDMProgressBar", "Stops"]
OF_A_RUN += ["BestCheckpoint", "LastCheckpoint"]
"""Callbacks of `fit --on`; Lightning puts those that save last."""
SAVERS = {"BestCheckpoint", "LastCheckpoint"}
OF_FIT = SAVERS | {"Throughput", "LearningRateMonitor"}
BUILT = {
    "fit --on davis=.": (set(), True),
    "fit": ({"BenchmarkCallback", "BestCheckpoint"}, True),
    "fit --on davis=. --trainer.callbacks BestCheckpoint": (set(), True),  # it has one of its kind
    "fit --on davis=. --trainer.enable_progress_bar false": ({"TQDMProgressBar"}, True),
    "fit --on davis=. --trainer.logger false --trainer.enable_checkpointing false": (OF_FIT - {"Throughput"}, False),
    "fit --on davis=. --trainer.logger false": ({"LearningRateMonitor"}, False),
    "fit --on davis=. --trainer.barebones true": ({*OF_A_RUN} - {"RunStart", "BenchmarkCallback", "Stops"}, False),
    "validate --on davis=. --trainer.enable_checkpointing false": (OF_FIT, True),
}
"""Words → default callbacks that they leave out, and whether TensorBoard writes to the folder of the run."""


@pytest.mark.parametrize("words", BUILT)
@pytest.mark.sampled(4)
def test_a_run_has_a_folder_and_callbacks_unless_there_are_ones_of_their_kind(words, tmp_path):
    left_out, has_logger = BUILT[words]
    trainer, names = built(*words.split(), f"--trainer.default_root_dir={tmp_path}")
    assert names == [name for name in OF_A_RUN if name not in left_out]
    folder = tmp_path.resolve() / "version_0"
    assert trainer.default_root_dir == str(folder)
    assert [Path(logger.log_dir) for logger in trainer.loggers] == [folder] * has_logger


def with_list(root):
    """Return the configuration of a benchmark with a file below its root."""
    benchmark = Namespace(class_path="Own", init_args=Namespace(name="own", root=root, list=f"{root}/val.txt"))
    return Namespace(class_path=BENCHMARK, init_args=Namespace(benchmark=benchmark))


def test_data_of_a_run_that_have_moved_are_named_again(tmp_path):
    """By a flag that is added to the configuration of the run, which keeps how it evaluates."""
    on = ["--on", "davis=a", "jhmdb=c", "--change", "radius=3"]
    of_run = config_file(tmp_path / "run.yaml", yaml.safe_dump(parsed("validate", "--model=raw_colour", *on).as_dict()))
    more = ["--on", "davis=b", f"--trainer.default_root_dir={tmp_path}"]
    callbacks = benchmarks_among(Built(["validate", of_run], None, more).trainer)
    assert [(each.name, each.benchmark.root) for each in callbacks] == [("davis", "b"), ("jhmdb", "c")]
    assert callbacks[0].benchmark.protocol.radius == 3
    changed, _ = benchmarks_among(Built(["validate", of_run], None, [*more, "--change", "radius=5"]).trainer)
    assert changed.benchmark.protocol.radius == 5
    refused(UsageError, "davis stands twice", Built, ["validate", "--model=raw_colour", *on, *more])
    before, after = (with_list(root) for root in ("/a", "/b"))
    assert last_of_each_name([before, after], moves=True) == [after]  # what lies below the root has moved too


def test_the_collector_that_waits_for_the_modules_is_on_in_every_run(tmp_path, monkeypatch):
    monkeypatch.setattr("atexit.register", lambda function: None)
    gc.disable()
    try:
        built("validate", "--model=raw_colour", f"--trainer.default_root_dir={tmp_path}")
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_a_trial_and_a_further_rank_have_no_folder(tmp_path, monkeypatch):
    root = f"--trainer.default_root_dir={tmp_path}"
    averaged, _ = built("fit", "--on", "davis=.", "--trainer.callbacks=EMAWeightAveraging", root)
    assert averaged.callbacks[0].run.say is rank_zero_info
    assert any(NOISE in getattr(each[1], "pattern", "") for each in warnings.filters)
    for words, is_first in (("--trainer.fast_dev_run=true", True), ("--trainer.logger=false", False)):
        monkeypatch.setattr("vidcorr.cli.is_first_rank", lambda is_first=is_first: is_first)
        trainer, names = built("fit", root, words)
        assert (trainer.default_root_dir, names[0] == "RunStart") == (str(tmp_path), not is_first)


def test_the_first_rank_is_known_before_the_trainer_is_made(monkeypatch):
    """In an interactive job of SLURM each task is a run of its own."""
    monkeypatch.delenv("RANK", raising=False)
    assert is_first_rank()
    in_slurm(monkeypatch, NTASKS="4", PROCID="3")
    assert not is_first_rank()
    for name in ("bash", "interactive"):
        monkeypatch.setenv("SLURM_JOB_NAME", name)
        assert is_first_rank()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first_rank()
    monkeypatch.setenv("RANK", "0")
    assert is_first_rank()


def test_ranks_that_are_forks_of_threads_are_refused(monkeypatch):
    for strategy, threads in (("ddp_fork", 2), ("ddp_notebook", 2), ("ddp_spawn", 1)):
        monkeypatch.setattr(torch, "get_num_threads", lambda number=threads: number)
        refused(ValueError, f"^trainer.strategy {strategy}: .*; use ddp$", require_ranks_as_commands, strategy)
    refused(ValueError, "^trainer.strategy ddp_spawn: ", built, "fit", "--trainer.strategy=ddp_spawn")
    for strategy in ("ddp", "ddp_fork"):
        require_ranks_as_commands(strategy)


def test_the_plan_tells_the_rate_of_the_optimiser_that_trains(video_folder, tmp_path, info_log):
    fit_one_step(video_folder, tmp_path, "--model.base_lr=0.5")
    assert "learning rate  0.00390625 at the start, base_lr 0.5 × 2 / 256" in info_log.text
    fit_one_step(video_folder, tmp_path, "--optimizer=AdamW", "--optimizer.lr=1e-4")
    assert "learning rate  0.0001 at the start, AdamW's own" in info_log.text


# The checkpoint


def test_flags_win_over_the_checkpoint_and_validate_measures_the_last_run(here, monkeypatch):
    for root in ("runs", "named", "configured"):
        Record.now(["fit"]).save(Path(root, "checkpoints").mkdir(parents=True) or Path(root))
        write_checkpoint(VFSSimSiam(NETWORK, 4, 5), Path(root, "checkpoints/last.ckpt"))
    file = config_file(here / "a.yaml", "trainer: {default_root_dir: configured}")
    by_flag = "--trainer.default_root_dir=named"
    for more, root in (([], "runs"), ([by_flag], "named"), ([file], "configured"), ([file, by_flag], "named")):
        given = ["--ckpt_path=last", *more, "--model.projector_dim=8"]
        found = words_for_parser(["validate", *given])
        path = str((here / root / "checkpoints/last.ckpt").resolve())
        assert found.words[-1] == f"--ckpt_path={path}"
        model = Parsed(["validate", *given]).config["validate"].model
        assert (model.init_args.predictor_dim, model.init_args.projector_dim) == (5, 8)  # the user's words win
        assert model.class_path.endswith("VFSSimSiam")
    in_a_config = config_file(here / "b.yaml", "{ckpt_path: last, trainer: {default_root_dir: configured}}")
    path = (here / "configured/checkpoints/last.ckpt").resolve()
    assert words_for_parser(["validate", in_a_config]).words[-1] == f"--ckpt_path={path}"
    branch = config_file(here / "c.yaml", f"ckpt_path: {path}")
    _, _, model, *words = words_for_parser(["fit", branch]).words
    assert "VFSSimSiam" in model
    assert words == [branch, f"--ckpt_path={path}"]
    for name in ("last", "null"):
        assert words_for_parser(["fit", f"--ckpt_path={name}"]).words[2:] == [f"--ckpt_path={name}"]
    words = ["validate", "--ckpt_path=nowhere.ckpt"]
    refused(FileNotFoundError, "there is no file nowhere.ckpt", words_for_parser, words)


# `--on`


def test_a_value_with_a_space_behind_a_flag_of_several_values_is_no_value_of_it():
    timed = ["--change", "radius=2", '--trainer.max_time={"milliseconds": 50}']
    trainer = parsed("fit", *TINY, "--on", "davis=c", *timed).trainer
    assert trainer.max_time == {"milliseconds": 50}
    assert trainer.callbacks[-1].init_args.benchmark.init_args.changes == {"radius": 2}


def test_flags_set_when_benchmarks_run_and_one_name_stands_once():
    def callbacks(*more):
        found = [each.init_args for each in parsed("fit", *TINY, "--on", "davis=c", "jhmdb=b", *more).trainer.callbacks]
        roots = [(each.benchmark.init_args.name, each.benchmark.init_args.root) for each in found]
        return roots, {(each.every_n_epochs, each.before_training) for each in found}

    both = [("davis", "c"), ("jhmdb", "b")]
    assert callbacks() == (both, {(10, False)})
    assert callbacks("--every=3", "--before") == (both, {(3, True)})
    assert callbacks("--on", "davis=c") == callbacks()


class Interval(Enum):
    STEP = "step"


class WithEnums(VFSSimSiam):
    """Members of an Enum by its type, without one, and in a dict."""

    def __init__(self, typed: Interval = Interval.STEP, plain=Interval.STEP, deep: dict = {"a": Interval.STEP}):  # noqa: B006
        super().__init__()


def test_benchmarks_and_members_of_an_enum_are_printed_as_they_are_read(tmp_path, capsys):
    words = ["fit", f"--model={__name__}.WithEnums", "--trainer.callbacks=Timer", "--on", "davis=."]
    refused(SystemExit, "^0$", Parsed, [*words, "--print_config"])
    printed = capsys.readouterr().out
    content = yaml.safe_load(printed)
    assert content["trainer"]["callbacks"][1]["init_args"]["benchmark"]["init_args"]["root"] == "."
    assert content["model"]["init_args"] == {"typed": "STEP", "plain": "STEP", "deep": {"a": "step"}}
    assert content["trainer"]["callbacks"][0]["init_args"]["interval"] == "step"
    assert parsed("fit", config_file(tmp_path / "a.yaml", printed)).model.init_args.typed is Interval.STEP


@pytest.mark.parametrize("length", [{"max_steps": 0}, {"max_epochs": 0, "max_steps": -1}])
def test_a_training_of_no_step_leaves_no_run(length, video_folder, tmp_path, capsys):
    fit_one_step(video_folder, tmp_path, **length)
    assert list(tmp_path.iterdir()) == []
    assert "next:" not in capsys.readouterr().out


def test_precision_auto_is_that_of_the_device(monkeypatch, info_log):
    asked = Mock(return_value=("bfloat16", "as it has it"))
    monkeypatch.setattr("vidcorr.cli.fastest_precision", asked)
    monkeypatch.setattr("vidcorr.cli.gpu_or_cpu", lambda: torch.device("cuda"))
    classes = [Namespace(class_path=f"pytorch_lightning.accelerators.{name}Accelerator") for name in ("CUDA", "CPU")]
    assert [precision_for(each) for each in ("auto", "gpu", "cuda", *classes, "cpu", "mps", "tpu")] == [
        "bf16-mixed"
    ] * 8
    kinds = ["cuda", "cuda", "cuda", "cuda", "cpu", "cpu", "mps", "tpu"]
    assert asked.mock_calls == [call(kind) for kind in kinds]
    assert info_log.messages == ["precision auto: bf16-mixed (as it has it)"] * 8
    words = [*MOCO, "--trainer.precision=auto"]
    assert parsed("fit", *words, "--trainer.accelerator=cpu").trainer.precision == "bf16-mixed"  # config.yaml has it


class Witness(pl.Callback):
    """Tells of its rank where it stood."""

    told: ClassVar[list[Any]] = []

    def on_train_end(self, trainer, pl_module):
        weights = float(sum(weight.double().sum() for weight in pl_module.parameters())).hex()
        self.told[:] = [trainer.node_rank, trainer.world_size, trainer.global_step, weights]


def _fit_on_node(rank, words):
    """Fit as the only rank of a node, as torchrun tells it."""
    os.environ.update(LOCAL_RANK="0", LOCAL_WORLD_SIZE="1", GROUP_RANK=str(rank))
    main(words)
    return Witness.told


@pytest.mark.slow
def test_fit_on_two_nodes(video_folder, davis_root, tmp_path):
    words = ["fit", *TINY, *clips(video_folder, repeat=2, validation_fraction=0.3)]
    words += flags("trainer", strategy="ddp", num_nodes=2, devices=1, max_epochs=2, accumulate_grad_batches=2)
    words += [f"--trainer.callbacks+={__name__}.Witness", f"--trainer.default_root_dir={tmp_path}"]
    words += davis(davis_root, stage="res4", every_n_epochs=2)
    first, second = on_ranks(2, tmp_path, _fit_on_node, words)
    assert first[:3] == [0, 2, 2]
    assert second == [1, *first[1:]]
    (results,) = tmp_path.glob("version_0/benchmarks/davis/*/results.json")
    assert json.loads(results.read_text())["ranks"] == 2
    assert len(list((results.parent / "predictions").iterdir())) == 3
