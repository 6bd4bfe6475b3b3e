"""The checkpoints with the best scores of a benchmark."""

import math
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from .benchmark import EPOCH_FOLDER, BenchmarkCallback
from .run_folder import checkpoint_folder


class BestCheckpoint(Checkpoint):
    """Keep the checkpoints with the best scores of a benchmark, compared right after its runs.

    Lightning's `ModelCheckpoint` compares the last logged score, however old, and needs a score from the first epoch
    on.

    Args:
        monitor: a logged score, `<benchmark>/<key>`; None is the first score of the first benchmark that declares any.
        mode: `max` or `min`.
        save_top_k: number of checkpoints to keep; −1: all.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: for a bad mode or number; at the start of `fit`, if no callback is the benchmark that `monitor`
            names, that benchmark does not log this score, or another `BestCheckpoint` has the same folder; without a
            monitor, if no benchmark declares a score.
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: Literal["max", "min"] = "max",
        save_top_k: int = 1,
        dirpath: str | Path | None = None,
    ) -> None:
        if mode not in ("max", "min") or save_top_k < -1:
            raise ValueError(f"BestCheckpoint: mode must be max or min and save_top_k ≥ −1, got {mode}, {save_top_k}")
        self.monitor = monitor
        self.mode = mode
        self.save_top_k = save_top_k
        self.dirpath = dirpath
        self._benchmark: BenchmarkCallback | None = None
        self.best_model_path = ""
        """Path of the best checkpoint, by Lightning's name for it; empty until a checkpoint is kept."""
        self._scores: dict[str, float] = {}  # file name of a kept checkpoint → its score, the best first
        self._seen = -1  # optimiser step of the last score

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the folder and the benchmark."""
        if stage != "fit":
            return
        self.dirpath = checkpoint_folder(trainer, self.dirpath)
        self._scores = {}
        self.best_model_path = ""
        self._seen = -1
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        benchmarks: dict[str, BenchmarkCallback] = {}
        declared: list[str] = []
        for callback in callbacks:
            if isinstance(callback, BenchmarkCallback):
                benchmarks[callback.name] = callback
                declared += callback.benchmark.score_keys
        if self.monitor is None:
            if not declared:
                raise ValueError("BestCheckpoint: no benchmark among the callbacks declares a score; set monitor")
            self.monitor = declared[0]
        name, _, _ = self.monitor.partition("/")
        wrong = f"BestCheckpoint(monitor={self.monitor!r})"
        if name not in benchmarks:
            there = ", ".join(benchmarks) or "there is none"
            raise ValueError(f"{wrong}: no benchmark {name!r} among the callbacks ({there})")
        known = benchmarks[name].benchmark.score_keys  # empty: a user's benchmark that declares none
        if known and self.monitor not in known:
            raise ValueError(f"{wrong}: {name} logs no such score; it logs {', '.join(known)}")
        for other in callbacks:
            is_another = isinstance(other, BestCheckpoint) and other is not self
            if is_another and checkpoint_folder(trainer, other.dirpath) == self.dirpath:
                raise ValueError(f"{wrong} and another BestCheckpoint would replace each other's files: set a dirpath")
        self._benchmark = benchmarks[name]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the kept checkpoints."""
        kept = {"monitor": self.monitor, "scores": self._scores}
        checkpoint.setdefault("best", {})[str(self.dirpath)] = kept

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the scores of existing files; files in the folder of another run do not count."""
        kept = checkpoint.get("best", {}).get(str(self.dirpath), {})
        if kept.get("monitor") == self.monitor:
            files = {path.name for path in Path(str(self.dirpath)).glob("*.ckpt")}  # a name may hold a path elsewhere
            self._keep({name: score for name, score in kept["scores"].items() if name in files})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the benchmark has just run and its score is among the best.

        Raises:
            ValueError: if the benchmark did not give the score that `monitor` names.
        """
        step = trainer.global_step
        if self._benchmark is None or step == self._seen or step not in self._benchmark.history:
            return
        scores = self._benchmark.history[step]
        self._seen = step
        if self.monitor not in scores:
            raise ValueError(f"BestCheckpoint(monitor={self.monitor!r}): the scores are {', '.join(scores)}")
        name = f"best-{EPOCH_FOLDER.format(trainer.current_epoch, step)}.ckpt"
        before = set(self._scores)
        self._keep(self._scores | {name: scores[self.monitor]})
        if name in self._scores:
            trainer.save_checkpoint(f"{self.dirpath}/{name}", weights_only=False)
            for worse in before - self._scores.keys():
                trainer.strategy.remove_checkpoint(f"{self.dirpath}/{worse}")

    on_train_epoch_end = on_validation_end  # for a fit without validation
    on_train_end = on_validation_end  # the benchmark may run after the last step

    def _keep(self, scores: dict[str, float]) -> None:
        ranked = sorted(scores.items(), key=self._rank)
        if self.save_top_k >= 0:
            ranked = ranked[: self.save_top_k]
        self._scores = dict(ranked)
        self.best_model_path = ""
        if ranked:
            best, _ = ranked[0]
            self.best_model_path = f"{self.dirpath}/{best}"

    def _rank(self, item: tuple[str, float]) -> tuple[bool, float]:
        """Return the key that sorts the best score first and NaN last."""
        _, score = item
        cost = -score if self.mode == "max" else score
        return math.isnan(score), cost
