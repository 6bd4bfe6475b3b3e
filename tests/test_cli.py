"""`fit` and `validate` by command line alone: what wins, how a run continues, what `--on` adds, what is refused."""

import json
import os
import re
import shlex
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from pytorch_lightning.callbacks import LearningRateMonitor, TQDMProgressBar
from pytorch_lightning.cli import LightningCLI

from callbacks import BenchmarkCallback, BestCheckpoint, LastCheckpoint, Throughput
from cli import SaveConfig, ShortLogInterval, VidcorrCLI, main, make_trainer
from lightning_modules import VFSSimSiam
from tests.helpers.parsed import Built, Parsed
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from tests.helpers.words import NETWORK, TINY, clips, davis, flags, refusal
from vidcorr.backbones import trust
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.errors import UsageError
from vidcorr.experiments.words import words_for_parser
from vidcorr.functional.device import fastest_precision
from vidcorr.videos.files import DataError

CONFIG = """
class_path: DavisBenchmark
init_args: {stage: res4, changes: {radius: 3, context: 2}}
before_training: true
"""


def arguments(videos, root, run):
    (run / "small.yaml").write_text(CONFIG)
    data, trainer = clips(videos, validation_fraction=0.3), flags("trainer", max_epochs=1, default_root_dir=run)
    return ["fit", *TINY, *data, *trainer, "--on", f"{run}/small.yaml={root}"]


@pytest.mark.slow
def test_fit_then_validate_gives_the_score_of_the_callback(video_folder, davis_root, tmp_path, capsys, monkeypatch):
    main(arguments(video_folder, davis_root, tmp_path))
    *_, report, next_command = capsys.readouterr().out.splitlines()
    run = tmp_path / "lightning_logs" / "version_0"
    before, results = sorted((run / "benchmarks" / "davis").glob("*/results.json"))
    (checkpoint,) = (run / "checkpoints").glob("best-*.ckpt")
    first, last = (json.loads(path.read_text()) for path in (before, results))
    assert last["history"][0]["scores"] == first["scores"]
    assert report == f"report: {results.with_name('report.html')}"
    assert results.with_name("report.html").is_file()
    command = next_command.removeprefix("next: vidcorr ")
    assert str(checkpoint) in shlex.split(command)
    monkeypatch.chdir(tmp_path)
    main([*shlex.split(command), *flags("trainer", accelerator="cpu", default_root_dir="pasted")])
    assert capsys.readouterr().out.count("J&F-Mean") == 1  # the checkpoint has the scores of its training too
    (pasted,) = (tmp_path / "pasted").rglob("results.json")
    pasted = json.loads(pasted.read_text())
    assert (pasted["scores"], pasted["stage"]) == (last["scores"], last["stage"])
    plain = torch.load(checkpoint, weights_only=True)
    assert plain["vidcorr"]["class_path"] == "lightning_modules.vfs_simsiam.VFSSimSiam"


# The words


def config_file(path, text):
    path.write_text(text)
    return f"--config={path}"


def parsed(command, *words):
    return Parsed([command, *words]).config[command]


MOCO = ["--config=vfs_moco_r18.yaml", "--config=data/clips.yaml"]


def test_configs_by_name_and_words_from_left_to_right(tmp_path, monkeypatch):
    file = config_file(tmp_path / "a.yaml", "{trainer: {max_steps: 3, max_epochs: 4}}")
    assert "optimizer" not in parsed("fit", *MOCO)
    trainer = parsed("fit", *MOCO, "--trainer.max_steps=9", *file.split("="), "--trainer.max_epochs", "5").trainer
    assert (trainer.max_steps, trainer.max_epochs) == (3, 5)
    single = config_file(tmp_path / "b.yaml", "trainer: {callbacks: {class_path: CollapseMonitor}}")
    assert parsed("fit", *MOCO, single).trainer.callbacks.class_path == "callbacks.CollapseMonitor"
    (tmp_path / "data").mkdir()
    config_file(tmp_path / "data/clips.yaml", "data: {class_path: VideoDataModule, init_args: {source: mine}}")
    monkeypatch.chdir(tmp_path)
    assert parsed("fit", *MOCO).data.init_args.source == "mine"  # a file here wins
    for name in ("configs/data/kinetics.yaml", "./data/kinetics.yaml"):
        assert parsed("fit", MOCO[0], "-c", name).data.class_path == "datamodules.VideoDataModule"


def test_a_flag_belongs_to_the_last_callback_before_it_in_files_and_words_alike(tmp_path):
    text = "trainer: {callbacks+: [{class_path: LastCheckpoint, init_args: {every_n_steps: 3}}, CollapseMonitor]}"
    file = config_file(tmp_path / "a.yaml", text)
    append, of_the_last = flags("trainer.callbacks+", "LastCheckpoint", every_n_steps=5)
    for words, steps in (([append, of_the_last, file], [5, 3, 50]), ([append, file, of_the_last], [500, 3, 5])):
        callbacks = parsed("fit", *MOCO, *words).trainer.callbacks
        assert [callback.init_args.every_n_steps for callback in callbacks] == steps
    message = "Option 'every_n_steps' is not accepted"
    refused(UsageError, message, parsed, "fit", *MOCO, append, "--trainer.callbacks+=Throughput", of_the_last)


def test_a_model_is_any_network_that_evaluate_takes():
    words = words_for_parser(["validate", "--model", "dino-b8@block9", "--model=my_module:my_network@res3/8"])
    named = ["--model.spec=timm:vit_base_patch8_224.dino", "--model.pretrained=True", "--model.stage=block9"]
    own = ["--model.spec=my_module:my_network", "--model.stage=res3", "--model.stride=8"]
    assert {*named, *own, "--model=FrozenEncoder"} <= {*words}


def test_several_sources_are_a_list():
    words = words_for_parser(["fit", "--data.source", "a b", "c", "--data.size=3", "--data.source=d"])
    assert words == ["fit", '--data.source=["a b", "c"]', "--data.size=3", "--data.source=d"]
    assert words_for_parser(["fit", "--data.source", "a"]) == ["fit", "--data.source", "a"]


def test_names_on_a_command_line_and_in_its_configs_are_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "_allowed", set())
    file = config_file(tmp_path / "a.yaml", "model: {class_path: mine.Method, init_args: {names: [a:b, {deep: c:d}]}}")
    words = ["--model=VFSSimSiam", "--model.backbone=e:f", "--allow", "g:h"]
    words_for_parser(["fit", *words, "--data.annotations", file.partition("=")[2]])
    assert trust._allowed >= {"e:f", "g:h"}
    assert "mine.Method" not in trust._allowed  # a file of data names nothing
    with pytest.raises(UsageError, match="No module named 'mine'"):
        Parsed(["fit", *words, *file.split("=")])
    assert trust._allowed >= {"mine.Method", "a:b", "c:d"}


@pytest.mark.slow
def test_one_seed_for_all_unless_one_is_set_by_hand():
    run = Built(
        ["fit", "--model=VFSMoCo", f"--model.backbone={NETWORK}", MOCO[1], "--data.seed=0", "--seed_everything=7"]
    )
    assert (run.model.hparams["seed"], run.datamodule.seed) == (7, 0)


# Refusals

MISUNDERSTOOD = {
    "fit --model nowhere.Model": "'nowhere.Model': No module named 'nowhere'",
    "fit --model=VFSSimSiam --trainer.max_epoch 3": "unrecognized arguments: --trainer.max_epoch 3",
    "fit --model=VFSSimSiam --config=kinetics.yaml": "there is no file kinetics.yaml",
    "fit --model=VFSSimSiam --config=mine.yaml": "callbacks.*: .*'callbacks.LastCheckpoint': .*every",
    "validate --model=raw_colour --on davis=. --limit 0": "--limit: expected an integer of at least 1, got '0'",
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("words", MISUNDERSTOOD)
def test_words_that_cannot_be_understood(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    last = "{class_path: LastCheckpoint, init_args: {every: 1}}"
    config_file(tmp_path / "mine.yaml", f"trainer: {{callbacks+: [{last}]}}")
    refused(SystemExit, "^2$", main, shlex.split(words))
    assert re.fullmatch(f"vidcorr: .*{MISUNDERSTOOD[words]}.*\n", capsys.readouterr().err)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fit --model=VFSSimSiam --trainer.strategy=ddp_notebook", "with threads stands still; use ddp"),
        ("validate --ckpt_path nowhere.ckpt", "ckpt_path: there is no file nowhere.ckpt"),
        ("validate --ckpt_path last", "--ckpt_path last: no last.ckpt below runs"),
    ],
)
def test_what_cannot_be_done(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert message in refusal(*shlex.split(words))


@pytest.mark.parametrize(("seconds", "ended"), [(None, True), (5.0, True), (0.0, False)])
def test_a_run_that_is_out_of_time_has_not_ended(seconds, ended):
    """`vidcorr resume` goes on with it."""
    timer = Mock(spec=pl.callbacks.Timer, time_remaining=lambda: seconds)
    run = Mock(folder=None)
    trainer = SimpleNamespace(is_global_zero=False, callbacks=[timer])
    VidcorrCLI._run_in_folder(SimpleNamespace(trainer=trainer, run=run), lambda: None)
    assert run.end.called == ended


def test_a_run_that_is_stopped_prints_how_to_resume_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(trust, "_allowed", set())
    caplog.set_level("INFO")
    saver = LastCheckpoint()
    for path, line in (("", False), ("last.ckpt", True)):
        saver.best_model_path = path
        run = Mock(folder=tmp_path / "a b", record=SimpleNamespace(words=["fit", "--model=antigravity.Model"]))
        trainer = SimpleNamespace(is_global_zero=False, callbacks=[], checkpoint_callbacks=[saver])
        stopped = Mock(side_effect=SystemExit(143))
        refused(SystemExit, "^143$", VidcorrCLI._run_in_folder, SimpleNamespace(trainer=trainer, run=run), stopped)
        run.give_back.assert_called_once()
        run.end.assert_not_called()
        assert (f"resume: vidcorr resume '{tmp_path}/a b' --allow antigravity.Model" in caplog.text) == line


def test_the_end_of_a_run_names_its_report_and_the_next_command(tmp_path, monkeypatch, capsys):
    def end(words, folder=tmp_path, saved="best.ckpt", benchmarks=1):
        found = [Mock(spec=BenchmarkCallback, folder=folder)] * benchmarks
        savers = [SimpleNamespace(), SimpleNamespace(best_model_path=saved)]
        trainer = SimpleNamespace(callbacks=found, checkpoint_callbacks=savers)
        run = SimpleNamespace(record=SimpleNamespace(words=words))
        VidcorrCLI._print_end(SimpleNamespace(trainer=trainer, run=run), Path("run"))
        return capsys.readouterr().out.splitlines()

    monkeypatch.chdir(tmp_path)
    report = f"report: {tmp_path}/report.html"
    line = f"vidcorr validate --config {tmp_path}/run/config.yaml --ckpt_path best.ckpt"
    assert end(["fit", f"--data.source={tmp_path}"]) == [report, f"next: {line}"]
    (tmp_path / "videos").mkdir()
    assert end(["fit", "--data.source=videos"], folder=None) == [f"next: cd {tmp_path} && {line}"]
    assert end(["fit"], saved="") == [report]
    assert end(["fit"], benchmarks=0) == []


def test_callbacks_are_added_unless_there_are_ones_of_their_kind(monkeypatch):
    monkeypatch.setattr(LightningCLI, "instantiate_trainer", lambda self, **options: options)
    cli = Parsed(["fit", *TINY, "--on", "davis=."])

    def added(command="fit", **changes):
        cli.command = command
        cli.config_init = {command: Namespace(trainer=cli.config["fit"].trainer.clone())}
        cli.config = {command: cli.config["fit"], "fit": cli.config["fit"]}
        cli.config_init[command].trainer.update(Namespace(**changes))
        return [type(callback) for callback in cli.instantiate_trainer()["callbacks"]]

    savers = [BestCheckpoint, LastCheckpoint]
    default = [BestCheckpoint, Throughput, ShortLogInterval, LearningRateMonitor, LastCheckpoint, TQDMProgressBar]
    cli.config["fit"].trainer.callbacks = None
    assert added() == [BenchmarkCallback, *default]
    last = LastCheckpoint()
    assert added(callbacks=last) == [LastCheckpoint, BenchmarkCallback, *default[:4], TQDMProgressBar]
    assert added(barebones=True) == [BenchmarkCallback]
    for changes, kind in (
        ({"logger": False}, LearningRateMonitor),
        ({"log_every_n_steps": 5}, ShortLogInterval),
        ({"enable_progress_bar": False}, TQDMProgressBar),
    ):
        assert added(**changes) == [BenchmarkCallback, *(each for each in default if each is not kind)]
    assert added(enable_checkpointing=False) == [BenchmarkCallback, *(each for each in default if each not in savers)]
    assert added("validate") == [BenchmarkCallback, TQDMProgressBar]
    cli.config["fit"].on = []
    assert added() == default[1:]


def test_the_files_of_a_run_are_written_once_and_the_config_resumes_nothing(tmp_path):
    run, parser = Mock(), Mock()
    saving = SaveConfig(parser, Namespace(ckpt_path="a.ckpt"), run)
    trainer = quiet_trainer(default_root_dir=tmp_path)
    trainer.state.fn = "fit"
    saving.on_validation_start(trainer, None)  # a validation of the fit
    run.begin.assert_not_called()
    for _ in range(2):
        saving.on_train_batch_start(trainer, None)
    run.begin.assert_called_once_with(tmp_path, None)
    ((config, path), options) = parser.save.call_args
    assert (config.ckpt_path, path) == (None, tmp_path / "config.yaml")
    assert options == {"skip_unset": False, "overwrite": True, "multifile": False}


def test_a_short_run_is_logged_ten_times():
    logged = []
    for steps in (40, 3, 5000, float("inf")):
        trainer = SimpleNamespace(estimated_stepping_batches=steps, log_every_n_steps=50)
        ShortLogInterval().on_train_start(trainer, None)
        logged.append(trainer.log_every_n_steps)
    assert logged == [4, 1, 50, 50]


@pytest.mark.slow
def test_no_readable_video_is_one_line(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.mp4").write_bytes(b"no video")
    line = refusal("fit", *TINY, *clips(tmp_path, num_workers=1), f"--trainer.default_root_dir={tmp_path}")
    assert line.startswith("vidcorr: 10 items in a row could not be used: ")
    assert "Original" not in line


# The checkpoint


def checkpoint(path, step=1):
    """Write a `last.ckpt` of a run of VFSSimSiam."""
    write_checkpoint(VFSSimSiam(NETWORK, 4, 5), Path(path))
    os.utime(path, (step, step))
    return str(path)


def test_flags_win_over_the_model_of_a_checkpoint(tmp_path):
    path = checkpoint(tmp_path / "a.ckpt")
    words = ["--model.projector_dim=8", f"--allow={NETWORK}", f"--ckpt_path={path}"]
    _, first, *others = words_for_parser(["validate", *words])
    model = json.loads(first.removeprefix("--config="))["model"]
    assert model["class_path"].endswith("VFSSimSiam")
    assert (model["init_args"]["projector_dim"], model["init_args"]["predictor_dim"]) == (4, 5)
    assert others == [*words, words[-1]]


@pytest.mark.slow
def test_a_methods_file_names_no_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Built(["validate", "--config=vfs_simsiam_r18.yaml", f"--on=davis={tmp_path}"]).datamodule is None
    data = Built(["fit", "--config=vfs_simsiam_r18.yaml"]).datamodule
    refused(DataError, "data.source: give a folder of videos", data.setup, "fit")


# `--on`


def test_on_is_a_key_of_a_file(tmp_path):
    file = config_file(tmp_path / "a.yaml", "on: [davis=., jhmdb=.]\nevery: 3\nbefore: yes")
    config = parsed("fit", *MOCO, file, "--on", "vip=.")
    assert (config.on, config.every, config.before) == (["davis=.", "jhmdb=.", "vip=."], 3, True)


def test_flags_set_when_benchmarks_run_and_a_later_folder_of_a_name_counts():
    def callbacks(*more):
        found = Parsed(["fit", *TINY, "--on", "davis=a", "jhmdb=b", "davis=c", *more])._chosen_benchmarks()
        return [(each.name, each.benchmark.root, each.every_n_epochs, each.before_training) for each in found]

    assert callbacks() == [("davis", "c", 10, False), ("jhmdb", "b", 10, False)]
    assert callbacks("--every=3", "--before") == [("davis", "c", 3, True), ("jhmdb", "b", 3, True)]


def test_the_printed_config_holds_the_benchmarks(capsys):
    refused(SystemExit, "^0$", Parsed, ["fit", *TINY, "--on", "davis=.", "--stage", "res3", "--print_config"])
    assert "'on':\n- davis=.\n" in capsys.readouterr().out


def test_precision_auto_is_what_the_cpu_says_it_has(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for has, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        fastest_precision.cache_clear()
        trainer = make_trainer(precision="auto", accelerator="cpu", logger=False, enable_checkpointing=False)
        assert trainer.precision == precision
    fastest_precision.cache_clear()


class Witness(pl.Callback):
    """Tells of its rank where it stood, which videos it was trained on, and with what weights it ended."""

    told: ClassVar[dict[str, Any]] = {"videos": []}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.told["videos"] += batch["video_index"].tolist()

    def on_train_end(self, trainer, pl_module):
        weights = {name: [float(x).hex() for x in p.flatten()[:50]] for name, p in pl_module.named_parameters()}
        self.told.update(node=trainer.node_rank, ranks=trainer.world_size, steps=trainer.global_step, weights=weights)


def _fit_on_node(rank, said, words):
    """Fit as the only rank of a node, as torchrun tells it; what is printed goes to a file."""
    os.environ.update(LOCAL_RANK="0", LOCAL_WORLD_SIZE="1", GROUP_RANK=str(rank))
    os.dup2(os.open(f"{said}{rank}", os.O_WRONLY | os.O_CREAT), 2)
    main(words)
    return Witness.told


@pytest.mark.slow
def test_fit_on_two_nodes(video_folder, davis_root, tmp_path):
    words = ["fit", *TINY, *clips(video_folder, repeat=2, validation_fraction=0.3)]
    words += flags("trainer", strategy="ddp", num_nodes=2, devices=1, max_epochs=2, accumulate_grad_batches=2)
    words += [f"--trainer.callbacks+={__name__}.Witness", f"--trainer.default_root_dir={tmp_path}"]
    words += davis(davis_root, stage="res4", every_n_epochs=2)
    first, second = on_ranks(2, tmp_path, _fit_on_node, str(tmp_path / "said"), words)
    assert [(told["node"], told["ranks"]) for told in (first, second)] == [(0, 2), (1, 2)]
    assert first["weights"] == second["weights"]
    assert first["steps"] == second["steps"] == 2
    assert "8 videos = 2 per device × 2 device(s) × 2 accumulated" in (tmp_path / "said0").read_text()
    assert "global batch" not in (tmp_path / "said1").read_text()
    for epoch in (slice(0, 4), slice(4, 8)):  # four videos, each of them twice
        seen = Counter(first["videos"][epoch] + second["videos"][epoch])
        assert sorted(seen.values()) == [2, 2, 2, 2]
    (results,) = tmp_path.glob("lightning_logs/version_0/benchmarks/davis/*/results.json")
    assert json.loads(results.read_text())["ranks"] == 2
    rows = (results.parent / "per_sequence.csv").read_text().splitlines()
    assert sum(row.startswith("synthetic-") for row in rows) >= 3
    assert len(list((results.parent / "predictions").iterdir())) == 3
