"""The callback of a benchmark in `fit` and `validate`."""

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.cli import SaveConfigCallback

from vidcorr.backbones import load, weights_digest
from vidcorr.backbones.copies import module_copy
from vidcorr.benchmarks.base import Benchmark
from vidcorr.benchmarks.network import view_for
from vidcorr.benchmarks.output import Output
from vidcorr.benchmarks.ranks import BenchmarkError, LostRank, Ranks, first_ranks_buffers
from vidcorr.experiments.runs.runs import recipe_of_training
from vidcorr.loops import epochs_completed
from vidcorr.results.result import Evaluated, Network, Result
from vidcorr.videos.files import require_at_least

from .averages import averages_among, averages_first, weights_as_saved
from .first_statistics import take_first_statistics
from .run_folder import begins_branch, log_now, log_picture, run_folder, run_of

log = logging.getLogger(__name__)

STEP_FOLDER = "step={:06d}"
"""Name of the folder of a benchmark's results after a number of steps."""


class BenchmarkCallback(Callback):
    """Run a benchmark in validation: every few epochs of `fit`, after its last step, and in `validate`.

    In an epoch that is due it runs in each pass of validation; an epoch without a pass is left out, so with
    `check_val_every_n_epoch=3` and `every_n_epochs=2` it runs every 6 epochs. In a `fit` without any validation it runs
    at the end of the training epochs that are due.

    Its files go to `benchmarks/<name>/step=…/` in the folder of the run, in `validate` by the step of the
    checkpoint; its scores are logged at this number of steps. An error ends `validate` with its message, and a `fit` in
    which a callback or a schedule other than `BestCheckpoint` monitors a score of the benchmark; another `fit` logs it
    and continues, and `BestCheckpoint` skips the epoch. In Lightning's `fast_dev_run` it takes as many sequences as
    batches and writes nothing.

    Args:
        benchmark: the benchmark.
        every_n_epochs: epochs of `fit` between runs; it also runs after the last step.
        before_training: also run before the first step of `fit`. BatchNorms without statistics then have those of the
            first ten batches of a loader of ours, or their initial ones, and the row says which; weights and training
            stay as they are.

    Attributes:
        result: result of the last run; None before the first.
        folder: folder of that result; None in `fast_dev_run`.

    Raises:
        ValueError: for a number out of range; at the start of a run that could not give the right scores, whose
            network gives no features, or in which a score is monitored that not every epoch has.
    """

    def __init__(self, benchmark: Benchmark, every_n_epochs: int = 1, before_training: bool = False) -> None:
        require_at_least(1, "BenchmarkCallback", every_n_epochs=every_n_epochs)
        self.benchmark = benchmark
        self.every_n_epochs = every_n_epochs
        self.before_training = before_training
        self.result: Result | None = None
        self.folder: Path | None = None
        self._runs: list[Evaluated] = []
        # step of the checkpoint that was loaded
        self._loaded_step: int | None = None
        # folder of the results of this fit or validation, and its name in the run that is resumed
        self._home: Path | None = None
        self._resumed_name: str | None = None

    @property
    def name(self) -> str:
        """Name of the benchmark."""
        return self.benchmark.name

    @property
    def score_keys(self) -> list[str]:
        """Keys of all scores that may be logged; empty if the benchmark declares none."""
        return [f"{self.name}/{score}" for score in self.benchmark.score_names]

    @property
    def history(self) -> dict[int, dict[str, float]]:
        """Optimiser step → logged scores, of the successful runs in `fit` or `validate`."""
        return {run.step: {f"{self.name}/{key}": score for key, score in run.scores.items()} for run in self._runs}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget an earlier run, and open the data set, so that its faults end the run before any training."""
        if any(other is not self and other.name == self.name for other in benchmarks_among(trainer)):
            raise ValueError(f"two benchmarks are called {self.name}: give one another name")
        # a new list: Lightning goes through the old one
        trainer.callbacks = averages_first(trainer.callbacks)  # type: ignore[attr-defined]
        # every rank logs the scores of all ranks, so the `sync_dist` that Lightning recommends is not needed
        warnings.filterwarnings("ignore", f"It is recommended to use `self.log.'{re.escape(self.name)}/")
        self._loaded_step = None
        self._home = None
        self._resumed_name = None
        if stage == "fit":
            self._runs = []
        with Ranks() as ranks, ranks.together():
            _ = self.benchmark.sequences

    def plan_row(self) -> tuple[str, str]:
        """Return title and text of a line in the plan that is printed before a training: when the benchmark runs."""
        start = "before the first step, " if self.before_training else ""
        return "benchmarks", f"{self.name} {start}every {self.every_n_epochs} epoch(s), then at the end"

    def _old_score_readers(self, trainer: Trainer) -> list[str]:
        """Describe what would read an old score in an epoch without the benchmark: EarlyStopping, ReduceLROnPlateau."""
        takers: list[str] = []
        for taker in (*trainer.callbacks, *trainer.lr_scheduler_configs):  # type: ignore[attr-defined]
            key = getattr(taker, "monitor", None)
            waits = getattr(taker, "waits_for_score", False)
            if isinstance(key, str) and key.startswith(f"{self.name}/") and not waits:
                # Lightning's entry of a schedule holds the schedule as `scheduler`
                takers.append(f"{type(getattr(taker, 'scheduler', taker)).__name__} of {key}")
        return takers

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Record the scores so far and the name of the folder of results."""
        # not by `state_dict`: Lightning refuses two equal state keys before `setup` can name the remedy
        runs = [run.model_dump() for run in self._runs]
        # a stop may come before the next result
        folder = self._home.name if self._home else self._resumed_name
        checkpoint.setdefault("benchmarks", {})[self.name] = {"runs": runs, "folder": folder}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the step of the checkpoint, and restore the scores of a resumed run, unless this run is a branch."""
        self._loaded_step = checkpoint["global_step"]
        if begins_branch(trainer, checkpoint):
            return
        state = checkpoint.get("benchmarks", {}).get(self.name, {})
        self._runs = [Evaluated(**run) for run in state.get("runs", [])]
        # a Trainer of the user's script: results go on in the earlier folder
        if run_of(trainer) is None:
            self._resumed_name = state.get("folder")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a module without features, a monitor that would read old scores, and a training on scored videos."""
        # these callbacks read the score after every epoch: in an epoch without the benchmark, the score is an old one
        monitors = self._old_score_readers(trainer)
        if monitors and (self.every_n_epochs > 1 or (trainer.check_val_every_n_epoch or 1) > 1):
            remedy = "set --every 1 (every_n_epochs and check_val_every_n_epoch), or take BestCheckpoint"
            raise ValueError(f"{monitors[0]}: {self.name} does not run in every epoch: {remedy}")
        view_for(self.benchmark, pl_module, load(pl_module))
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        scored = self.benchmark.scored_among(data.trained_videos()) if hasattr(data, "trained_videos") else []
        if scored:
            raise ValueError(
                f"{self.name}: {len(scored)} sequences that it scores are trained on, such as {scored[0]}: take them"
                " out of data.source, or set --data.include_holdout true to train on them"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run before training if `before_training` is set; not when a run is resumed."""
        if self.before_training and trainer.global_step == 0:
            self._run(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run every `every_n_epochs` epochs and after the last epoch of a fit; in `validate` and `test` always."""
        if trainer.state.fn != "fit":
            scores = self._run(trainer, pl_module)
            # Lightning takes this value for the step of all others
            scores["step"] = float(self._runs[-1].step)
            pl_module.log_dict(scores)
        elif not trainer.sanity_checking and self._is_due(trainer):
            self._run(trainer, pl_module)

    on_test_epoch_end = on_validation_epoch_end

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run in the epochs that are due, if the fit has no validation and so no `on_validation_epoch_end`."""
        batches = trainer.num_val_batches
        # before the first validation Lightning's list is empty; then a validation is expected
        validates = trainer.enable_validation and (not batches or sum(batches) > 0)
        if not validates and self._is_due(trainer):
            self._run(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run after the last step, if the final weights have no score.

        That is so if the last epoch was not complete or not due, if the benchmark failed at this step, or if an average
        of weights (EMA, SWA) has moved since the last score.
        """
        if trainer.global_step not in self.history or self._average_has_moved(trainer, pl_module):
            self._run(trainer, pl_module)

    def _average_has_moved(self, trainer: Trainer, pl_module: LightningModule) -> bool:
        if self.result is None or not averages_among(trainer):
            return False
        with self._scored_network(trainer, pl_module) as (features, _):
            return weights_digest(features) != self.result.network.digest

    @contextmanager
    def _scored_network(self, trainer: Trainer, pl_module: LightningModule) -> Iterator[tuple[Any, Network]]:
        """Yield the view of the network that the benchmark scores, and the description of the network.

        During the block the module has the weights that a checkpoint would hold (an average, if weights are averaged)
        and the buffers of the first rank. Before the first step of a fit, BatchNorms may have no statistics yet: a copy
        of the view then gets the statistics of the first batches.
        """
        network = network_of(trainer, pl_module)
        with weights_as_saved(trainer, pl_module):
            features = view_for(self.benchmark, pl_module, load(pl_module))
            if trainer.state.fn == "fit" and not trainer.global_step:
                # a user's extractor may hold the trained module itself, whose modes and statistics must stay
                features = module_copy(features, shares_tensors=True)
                statistics = take_first_statistics(features, trainer)
                if statistics:
                    network = network.model_copy(update={"weights": f"{network.weights}, {statistics}"})
            with first_ranks_buffers(features, trainer.world_size):
                yield features, network

    def _is_due(self, trainer: Trainer) -> bool:
        # Lightning counts this epoch only after the hooks
        completed = trainer.current_epoch + 1
        return completed % self.every_n_epochs == 0 or completed == trainer.max_epochs

    def _run(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        fits = trainer.state.fn == "fit"
        step = trainer.global_step
        if self._loaded_step is not None and not fits:
            step = self._loaded_step
        epoch = 0
        # evaluations at other steps, also of the fit that was resumed; one of this step is replaced
        others = [run for run in self._runs if run.step != step]
        fit_options: dict[str, Any] = {}
        if fits:
            epoch = epochs_completed(trainer) if step else 0
            fit_options = {"past": others, "at": (epoch, step)}
        output = Output(self._folder_at(trainer, step))
        result = self._result_or_none(trainer, pl_module, output, fit_options)
        if result is None:
            return {}
        self.result = result
        self.folder = output.folder
        self._runs = [*others, Evaluated(epoch=epoch, step=step, scores=result.scores)]
        scores = self.history[step]
        if trainer.is_global_zero:
            for name, picture in output.pictures.items():
                log_picture(trainer, f"{self.name}/{name}", picture, step)
        if fits:
            log_now(trainer, scores)
        return scores

    def _result_or_none(
        self, trainer: Trainer, pl_module: LightningModule, output: Output, fit_options: Mapping[str, Any]
    ) -> Result | None:
        """Return the result of the benchmark; None after an error that is logged and does not end the fit."""
        try:
            with self._scored_network(trainer, pl_module) as (features, network), Ranks() as ranks:
                return self._benchmark_of_run(trainer).run(features, network, output, ranks=ranks, **fit_options)
        except Exception as error:
            # no fit continues without a rank, or with a monitor that would read an old score
            if trainer.state.fn != "fit" or isinstance(error, LostRank) or self._old_score_readers(trainer):
                raise
            unforeseen = not isinstance(error, BenchmarkError)
            log.error("%s failed; the training continues: %s", self.name, error, exc_info=unforeseen)
        return None

    def _folder_at(self, trainer: Trainer, step: int) -> Path | None:
        """Return the folder of the results at a step; None in Lightning's `fast_dev_run`. All ranks must call it.

        Its parent `_home` is chosen once, at the first results of a fit or validation, on the first rank. Usually it is
        `benchmarks/NAME` in the run's folder. There are two exceptions:
        - A fit from a checkpoint goes on in the folder that the checkpoint names, if it names one.
        - In a script, which begins no run by command, an earlier fit may have filled `benchmarks/NAME`. A fit then
          takes the first of `NAME-1`, `NAME-2`, … without any results, a validation the first without results of this
          step.
        """
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return None
        name = STEP_FOLDER.format(step)
        if self._home is None:
            fits = trainer.state.fn == "fit"
            home = run_folder(trainer) / "benchmarks" / self.name
            if fits and self._loaded_step is not None:
                home = home.with_name(self._resumed_name or self.name)
            elif run_of(trainer) is None:
                step_folders = "*" if fits else name
                home = _folder_without(f"{step_folders}/results.json", home)
            self._home = Path(trainer.strategy.broadcast(str(home)))
        return self._home / name

    def _benchmark_of_run(self, trainer: Trainer) -> Benchmark:
        batches = int(trainer.fast_dev_run)  # type: ignore[attr-defined]
        if not batches:
            return self.benchmark
        return replace(self.benchmark, limit_sequences=min(batches, self.benchmark.limit_sequences or batches))


def _folder_without(pattern: str, folder: Path) -> Path:
    """Return a folder `NAME`, or the first of `NAME-1`, `NAME-2`, … in which no file matches a pattern."""
    free = folder
    numbers = count(1)
    while any(free.glob(pattern)):
        free = folder.with_name(f"{folder.name}-{next(numbers)}")
    return free


def benchmarks_among(trainer: Trainer) -> list[BenchmarkCallback]:
    """Return the benchmarks of a run, in order."""
    return [callback for callback in trainer.callbacks if isinstance(callback, BenchmarkCallback)]  # type: ignore[attr-defined]


def network_of(trainer: Trainer, pl_module: LightningModule) -> Network:
    """Return the description of a module in training or validation.

    In a training, the description has the seed and recipe of the training. In a validation of a checkpoint, it has the
    seed and recipe that the checkpoint states; `loaded` is True, because the weights are not random; and `weights`
    names the file from which the module was built, and the path of the checkpoint: many runs have a `last.ckpt`.
    """
    network = Network.of(pl_module)
    kind = type(pl_module).__name__
    # such as "VFSMoCo, ResNet-18": the module, and its backbone; a module without a description goes by its class alone
    facts: dict[str, Any] = {"name": kind if network.name == kind else f"{kind}, {network.name}"}
    if trainer.state.fn == "fit":
        facts |= seed_and_recipe(trainer)
    elif trainer.ckpt_path:
        weights = ", ".join(filter(None, (network.weights, str(trainer.ckpt_path))))
        # the checkpoint replaces random weights, so the seed that drew them no longer counts
        facts |= {"weights": weights, "loaded": True, "seed": network.seed if network.loaded else None}
    return network.model_copy(update=facts)


def seed_and_recipe(trainer: Trainer) -> dict[str, Any]:
    """Return the fields `seed`, Lightning's, and `recipe` of `Network` for a training."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    return {"seed": seed and int(seed), "recipe": training_digest(trainer)}


def training_digest(trainer: Trainer) -> str:
    """Return the `recipe_of_training` of a Trainer; "" for a Trainer without a command's configuration."""
    configs = [each.config for each in trainer.callbacks if isinstance(each, SaveConfigCallback)]  # type: ignore[attr-defined]
    return recipe_of_training(configs[-1]) if configs else ""
