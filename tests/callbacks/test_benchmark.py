"""The callback of a benchmark; with data and files it is tested in tests/vidcorr/benchmarks.

Also tests `callbacks/best_checkpoint.py`.
"""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import torch.distributed as dist
from jsonargparse import Namespace
from pytorch_lightning import callbacks as of_lightning
from pytorch_lightning.cli import SaveConfigCallback

from tests.helpers.benchmark_data import data_for
from tests.helpers.logged import Logged
from tests.helpers.refusal import refused
from tests.helpers.stops import Counted
from tests.helpers.training import EMPTY, TINY, InMemory, fit_in, loader, quiet_trainer, trainer_in
from tests.helpers.words import TINY as FLAGS_OF_TINY, chosen, clips
from vidcorr import DavisBenchmark
from vidcorr.backbones import load
from vidcorr.backbones.files.saved_models import without_prefix
from vidcorr.benchmarks.network import view_for
from vidcorr.benchmarks.ranks import BenchmarkError, LostRank, first_ranks_buffers
from vidcorr.callbacks import BenchmarkCallback, BestCheckpoint
from vidcorr.callbacks.benchmark import network_of, training_digest
from vidcorr.cli import main
from vidcorr.experiments.runs.config_files import CONFIGS
from vidcorr.experiments.runs.runs import Record, RunFolder
from vidcorr.lightning_modules import FrozenEncoder, VFSSimSiam
from vidcorr.metrics import Score

# When it runs, and what it reads


def watched(
    folder, *callbacks, every=1, before=False, epochs=4, validation=EMPTY, method=VFSSimSiam, benchmark=None, **options
):
    """Fit two steps an epoch with a benchmark; return its callback and the logger."""
    benchmark, logger = BenchmarkCallback(benchmark or Counted([]), every, before), Logged()
    trainer = quiet_trainer(
        default_root_dir=folder,
        callbacks=[benchmark, *callbacks],
        max_epochs=epochs,
        log_every_n_steps=1,
        logger=logger,
        enable_checkpointing=any(isinstance(callback, of_lightning.Checkpoint) for callback in callbacks),
        **{"num_sanity_val_steps": 0} | options,
    )
    trainer.fit(method(**TINY, base_lr=3), loader(8, 4, frames=2, size=32), validation)
    return benchmark, logger


class WithoutValidation(VFSSimSiam):
    """A method without a pass of validation."""

    validation_step = None
    val_dataloader = None


WHEN = [
    ({"method": WithoutValidation, "validation": None}, [2, 4, 6, 8]),
    ({"every": 2, "limit_val_batches": 0}, [4, 8]),
    ({"every": 3, "check_val_every_n_epoch": 2}, [8]),
    ({"every": 2, "num_sanity_val_steps": -1, "val_check_interval": 0.5}, [3, 4, 7, 8]),
]


@pytest.mark.parametrize(("options", "steps"), WHEN)
def test_it_runs_in_validations_alone_else_at_the_end_of_an_epoch_and_the_best_are_kept(options, steps, tmp_path):
    best = BestCheckpoint("counted/score", save_top_k=-1, dirpath=tmp_path / "best")
    benchmark, logger = watched(tmp_path, best, **options)
    scores = {step: scores["counted/score"] for step, scores in benchmark.history.items()}
    assert list(scores) == logger.pictures == steps
    assert logger.scores["counted/score"] == scores
    files = [torch.load(path, weights_only=True) for path in sorted(tmp_path.glob("best/*.ckpt"))]
    sums = {}
    for saved in files:
        backbone = without_prefix(saved["state_dict"], "backbone.")
        sums[saved["global_step"]] = float(sum(value.double().sum() for value in backbone.values()))
    assert sums == scores


def test_it_runs_before_the_first_step_and_after_a_last_step_within_an_epoch(tmp_path):
    best = BestCheckpoint("counted/score", save_top_k=-1, dirpath=tmp_path / "best")
    benchmark, logger = watched(tmp_path, best, every=3, before=True, max_steps=3, limit_val_batches=0)
    epochs_and_steps = [(0, 0), (1, 3)]
    assert [event[1] for event in benchmark.benchmark.events] == epochs_and_steps
    assert [(run.epoch, run.step) for run in benchmark._runs] == epochs_and_steps
    assert list(benchmark.history) == logger.pictures == list(logger.scores["counted/score"])
    assert len([*tmp_path.glob("best/*-step=000003.ckpt")]) == 1
    assert benchmark.plan_row() == ("benchmarks", "counted before the first step, every 3 epoch(s), then at the end")
    saved, resumed = {"epoch": 1, "global_step": 3}, BenchmarkCallback(benchmark.benchmark)
    benchmark.on_save_checkpoint(None, None, saved)
    resumed.on_load_checkpoint(quiet_trainer(), None, saved)
    assert (resumed.history, resumed._loaded_step) == (benchmark.history, 3)  # of a run that is resumed
    benchmark._loaded_step = 2
    for stage, kept in (("validate", 2), ("fit", 0)):  # of another Trainer, in a notebook
        benchmark.setup(quiet_trainer(callbacks=[benchmark]), None, stage)
        assert (benchmark._loaded_step, len(benchmark.history)) == (None, kept)


def test_what_a_benchmark_holds_out_is_not_trained_on(monkeypatch):
    monkeypatch.setattr(Counted, "held_out", lambda _: ["c", "b"])
    monkeypatch.setattr(InMemory, "trained_videos", lambda _: {*"abc"}, raising=False)
    line = "^counted: 2 sequences that it scores are trained on, such as b: take them out of data.source"
    fit = quiet_trainer(callbacks=[BenchmarkCallback(Counted([]))]).fit
    refused(ValueError, line, fit, VFSSimSiam(**TINY), InMemory(8, 4))


@pytest.mark.parametrize(("trial", "limit", "sequences"), [(False, 5, 5), (3, None, 3), (3, 2, 2), (True, 2, 1)])
def test_a_trial_has_as_many_sequences_as_batches(trial, limit, sequences):
    callback = BenchmarkCallback(DavisBenchmark("x", limit_sequences=limit))
    assert callback._benchmark_of_run(quiet_trainer(fast_dev_run=trial)).limit_sequences == sequences


def test_a_training_has_its_seed_and_a_validation_the_file_of_its_weights(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    method, raw, trainer = VFSSimSiam(**TINY), FrozenEncoder("raw_colour"), quiet_trainer()
    name, weights = "VFSSimSiam, TinyResNet", "random weights"  # those that the training began with
    for module, trainer.state.fn, trainer.ckpt_path, expected in (
        (method, "fit", "a.ckpt", (name, 3, "", weights, False)),
        (method, "validate", "a.ckpt", (name, None, "", f"{weights}, a.ckpt", True)),
        (method, "validate", None, (name, torch.initial_seed(), "", weights, False)),
        (raw, "validate", "a.ckpt", ("FrozenEncoder, raw colour", None, "", "a.ckpt", True)),
    ):
        network = network_of(trainer, module)
        assert (network.name, network.seed, network.recipe, network.weights, network.loaded) == expected
    monkeypatch.delenv("PL_GLOBAL_SEED")
    trainer.state.fn = "fit"
    assert network_of(trainer, raw).seed is None


def test_trainings_that_differ_in_seeds_folders_and_callbacks_have_one_recipe():
    def recipe(seed, rate, folder, **more):
        trainer = more | {"max_steps": 3, "default_root_dir": folder, "logger": folder}
        trainer["callbacks"] = [{"class_path": "vidcorr.BestCheckpoint", "init_args": {"dirpath": folder}}]
        data = {"source": Path("clips"), "init_args": {"size": 32, "seed": seed}}
        trainer = dict(sorted(trainer.items(), reverse=seed < 0))
        config = Namespace(trainer=trainer, model={"rate": rate}, data=data)
        return training_digest(quiet_trainer(callbacks=[SaveConfigCallback(None, config)]))

    first = recipe(0, 0.1, "a", devices=1)
    assert first == recipe(-5, 0.1, "b", enable_progress_bar=False, devices=1)
    others = [recipe(0, 0.2, "a", devices=1), recipe(0, 0.1, "a", devices=2), recipe(0, 0.1, "a")]
    assert len({first, *others}) == 4
    assert training_digest(quiet_trainer()) == ""  # a Trainer of the user's own


class OnPlateau(VFSSimSiam):
    """Follows the benchmark's score."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max")
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "counted/score"}}


MONITORS = {
    "EarlyStopping": lambda: of_lightning.EarlyStopping("counted/score", mode="max", patience=9),
    "ModelCheckpoint": lambda: of_lightning.ModelCheckpoint(monitor="counted/score", mode="max", filename="any"),
    "ReduceLROnPlateau": of_lightning.Callback,  # the schedule is the module's
}
"""What monitors a score → a callback."""


@pytest.mark.parametrize("kind", MONITORS)
def test_a_monitor_of_a_score_is_taken_only_if_every_epoch_has_one(kind, tmp_path):
    method = OnPlateau if kind == "ReduceLROnPlateau" else VFSSimSiam
    for options in ({"every": 2}, {"check_val_every_n_epoch": 2}):
        line = f"^{kind} of counted/score: counted does not run in every epoch: set --every 1"
        refused(ValueError, line, watched, tmp_path, MONITORS[kind](), method=method, **options)
    watched(tmp_path, MONITORS[kind](), method=method, limit_val_batches=0, epochs=1)
    watched(tmp_path, of_lightning.EarlyStopping("val/loss", strict=False), every=2, epochs=1, max_steps=1)


def test_a_score_that_no_benchmark_logs_is_refused(tmp_path):
    line = "no benchmark logs counted/other; they log counted/score"
    refused(ValueError, line, watched, tmp_path, BestCheckpoint("counted/other"))
    refused(ValueError, "no benchmark runs: name one, as --on davis=", fit_in, tmp_path, BestCheckpoint())


@pytest.mark.parametrize("choose", [max, min])
def test_the_best_checkpoint_is_the_benchmarks_best_also_in_a_second_fit(choose, tmp_path, monkeypatch):
    """A notebook uses the same callback with another Trainer."""
    monkeypatch.setattr(Counted, "declared", (Score("score", "less" if choose is min else "more"),))
    best = BestCheckpoint(save_top_k=2)
    for number in range(2):
        folder = tmp_path / str(number)
        scored, _ = watched(folder, best, epochs=3 - number)
        scores = {step: scores["counted/score"] for step, scores in scored.history.items()}
        chosen = choose(scores, key=scores.get)
        assert best.best_model_path.endswith(f"-step={chosen:06d}.ckpt")
        assert best.best_model_score == torch.tensor(scores[chosen])
        assert {str(path) for path in folder.rglob("best-*.ckpt")} == best.best_k_models.keys()
        assert len(best.best_k_models) == 2
        record = Record.now(["fit"]).changed(checkpoints=best.dirpath)  # of a killed run
        assert RunFolder(folder, record).best == Path(best.best_model_path)


def test_the_best_score_outlives_its_folder(tmp_path):
    """Files are found by name in the new folder, else where they were; of a file that is gone the score remains."""
    old, new = tmp_path / "old", tmp_path / "new"
    first, second = f"{old}/best-1.ckpt", f"{old}/best-2.ckpt"
    state = {
        "monitor": "davis/J&F-Mean",
        "dirpath": str(old),
        "best_k_models": {first: torch.tensor(0.9), second: torch.tensor(0.8)},
        "best_model_path": first,
        "best_model_score": torch.tensor(0.9),
        "kth_best_model_path": second,
        "kth_value": torch.tensor(0.8),
        "last_model_path": "",
    }
    trainer, places = quiet_trainer(), []
    for folder in (None, old, new):
        if folder:
            folder.mkdir()
            (folder / "best-1.ckpt").touch()
        best = BestCheckpoint("davis/J&F-Mean", save_top_k=2, dirpath=new)
        best.load_state_dict(state)
        places.append(best.best_model_path)
        assert (best.best_model_score, best.kth_value) == (0.9, 0.8)
        assert [best.check_monitor_top_k(trainer, torch.tensor(score)) for score in (0.7, 0.85)] == [False, True]
    assert places == ["", first, f"{new}/best-1.ckpt"]
    assert list(best.best_k_models) == [f"{new}/best-1.ckpt", f"{new}/best-2.ckpt"]


@pytest.mark.slow
def test_a_branch_has_scores_and_checkpoints_of_its_own(video_folder, davis_root, tmp_path):
    """Also where both are told to save in one folder."""
    words = ["fit", *FLAGS_OF_TINY, *clips(video_folder), f"--trainer.default_root_dir={tmp_path}"]
    words += ["--trainer.callbacks+=LastCheckpoint", f"--trainer.callbacks.dirpath={tmp_path}/saved"]
    words += ["--on", f"davis={davis_root}", "--change", "radius=3", "context=2"]
    main([*words, "--trainer.max_epochs=1"])
    last = tmp_path / "saved/last.ckpt"
    saved = last.read_bytes()
    main([*words, "--trainer.max_epochs=2", f"--ckpt_path={last}"])
    assert last.read_bytes() == saved
    assert list(tmp_path.glob("version_1/checkpoints/best-*.ckpt"))
    (results,) = tmp_path.glob("version_1/benchmarks/davis/*/results.json")
    (scored,) = json.loads(results.read_text())["history"]
    assert scored["epoch"] == 2


def test_a_score_that_is_missing_is_taken_from_no_earlier_epoch(tmp_path, caplog):
    """The fit continues only if nobody but `BestCheckpoint` waits for the score."""
    best = BestCheckpoint("counted/score", save_top_k=-1, dirpath=tmp_path / "best")
    benchmark, _ = watched(tmp_path, best, benchmark=Counted([], failing=(2, 3)))
    assert list(benchmark.history) == [2, 8]
    assert len([*tmp_path.glob("best/*.ckpt")]) == 2
    logged = [(each.message, each.exc_info) for each in caplog.records if each.levelname == "ERROR"]
    assert logged == [("counted failed; the training continues: no room", False)] * 2
    refused(BenchmarkError, "no room", watched, tmp_path, method=OnPlateau, benchmark=Counted([], failing=(1,)))


def test_an_error_that_nobody_foresaw_has_its_traceback_in_a_fit_and_ends_a_validation(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(Counted, "run", Mock(side_effect=ValueError("broken")))
    benchmark, _ = watched(tmp_path, epochs=1)
    logged = {(each.message, bool(each.exc_info)) for each in caplog.records if each.levelname == "ERROR"}
    assert logged == {("counted failed; the training continues: broken", True)}
    assert not benchmark.history
    refused(ValueError, "broken", trainer_in(tmp_path, benchmark).validate, VFSSimSiam(**TINY), EMPTY, verbose=False)
    monkeypatch.setattr(Counted, "run", Mock(side_effect=LostRank("another rank has ended")))
    refused(LostRank, "another rank has ended", watched, tmp_path, epochs=1)


@pytest.mark.parametrize("method", ["validate", "test"])
@pytest.mark.parametrize("from_checkpoint", [False, True])
def test_a_validation_or_test_of_the_trainer_of_a_fit_keeps_the_results_of_the_fit(method, from_checkpoint, tmp_path):
    benchmark = BenchmarkCallback(Counted([]))
    best = BestCheckpoint("counted/score", save_top_k=-1, dirpath=tmp_path / "best")
    trainer = fit_in(tmp_path, benchmark, best, max_epochs=2)
    trained, history = benchmark.folder, benchmark.history
    path = max((tmp_path / "best").glob("*.ckpt")) if from_checkpoint else None
    trained.mkdir(parents=True)  # `Counted` writes nothing
    (trained / "results.json").touch()
    (scores,) = getattr(trainer, method)(VFSSimSiam(**TINY), EMPTY, ckpt_path=path, verbose=False, weights_only=True)
    assert "counted/score" in scores
    assert benchmark.history.keys() == history.keys()
    assert benchmark.folder == trained.parent.with_name("counted-1") / trained.name


def test_buffers_of_the_first_rank_are_read_and_each_ranks_own_restored(monkeypatch):
    """With `broadcast_buffers=False` the statistics differ by rank on purpose."""
    module = VFSSimSiam(**TINY)
    features = view_for(DavisBenchmark("x", stage="res4"), module, load(module))
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    monkeypatch.setattr(dist, "broadcast", lambda buffer, source: buffer.fill_(7 + source))
    for ranks in (2, 1):
        with first_ranks_buffers(features, ranks):
            assert all((buffer == 7).all() == (ranks == 2) for buffer in features.buffers())
            assert (module.backbone.bn1.running_mean == 7).all() == (ranks == 2)
            assert not any((buffer == 7).any() for buffer in module.projector.buffers())  # no feature uses them
        assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())


CONFIGURED = sorted(path.stem for path in (CONFIGS / "benchmarks").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGURED)
def test_every_config_reads_its_data_by_on(config, tmp_path_factory):
    """Each class is run in tests/vidcorr/benchmarks/test_numbers.py."""
    for choice in chosen("--on", f"{config}={data_for(config, tmp_path_factory.getbasetemp())}"):
        for sequence in choice.build().sequences:
            assert sequence.num_frames > 0
