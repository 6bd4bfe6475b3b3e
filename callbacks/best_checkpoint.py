"""The checkpoints with the best scores of a benchmark."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from .benchmark import BenchmarkCallback, benchmarks_among
from .checkpoint_files import use_atomic_files
from .run_folder import begins_branch, checkpoint_folder


class BestCheckpoint(ModelCheckpoint):
    """Keep the checkpoints with the best scores of a benchmark, saved right after its runs.

    Lightning's `ModelCheckpoint` compares the last logged score, however old. A resumed run keeps the best of the run
    before it, also in another folder: files are looked for by name in this run's folder, then where they were. Of a
    file that is gone the score remains, so that no worse checkpoint takes its place.

    Args:
        monitor: a logged score, `<benchmark>/<key>`; None is the first score of the first benchmark that declares any.
            The benchmark declares whether less of it is better.
        save_top_k: number of checkpoints to keep; −1: all.
        dirpath: folder; None is `checkpoints/` in the folder of the run.

    Raises:
        ValueError: at the start of `fit`, if no benchmark logs the score, or the score has no best value.
    """

    waits_for_score: ClassVar[bool] = True
    """It takes no score of an earlier step, so a benchmark need not run in each epoch."""

    def __init__(self, monitor: str | None = None, save_top_k: int = 1, dirpath: str | Path | None = None) -> None:
        self._arguments = (monitor, save_top_k, dirpath)
        # calls Lightning's constructor, which refuses `save_top_k` > 1 without a name; `setup` replaces name and mode
        self._reset(monitor or "the first score", "max")

    def _reset(self, monitor: str, mode: Literal["max", "min"]) -> None:
        # Lightning's callback has no other way to forget a fit than its constructor
        _, save_top_k, dirpath = self._arguments
        self._is_resumed = False
        self._is_branch = False
        super().__init__(
            dirpath,
            "best-epoch={epoch:03d}-step={step:06d}",
            monitor,
            mode=mode,
            save_top_k=save_top_k,
            auto_insert_metric_name=False,
            # Lightning's `on_validation_end` saves, which our hooks call
            save_on_train_epoch_end=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the score, the benchmark that logs it, whether less of it is better, and the folder."""
        use_atomic_files(trainer)
        if stage != "fit":
            return
        monitor, _, dirpath = self._arguments
        # without a monitor, the first score of the benchmarks is taken
        monitor, self._benchmark = _score_and_benchmark(monitor, benchmarks_among(trainer))
        declared = {f"{self._benchmark.name}/{score.name}": score for score in self._benchmark.benchmark.declared}
        direction = declared[monitor].direction
        if direction == "neither":
            raise ValueError(f"BestCheckpoint: {monitor} has no best value, so it cannot be monitored")
        # calls Lightning's constructor again, now with the score: this forgets an earlier fit too
        self._reset(monitor, "min" if direction == "less" else "max")
        self.dirpath = checkpoint_folder(trainer, dirpath)
        super().setup(trainer, pl_module, stage)

    def file_exists(self, filepath: Any, trainer: Trainer) -> bool:
        """Return True if the file exists; False in a resumed run, which replaces the file of a step it saves again."""
        return not self._is_resumed and super().file_exists(filepath, trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note whether the run is a branch, which has no best checkpoint yet."""
        self._is_branch = begins_branch(trainer, checkpoint)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best scores of the run that resumes, with its files at the places where they are now."""
        if self._is_branch:
            return
        self._is_resumed = True
        place_now = {path: self._present_path(path) for path in state_dict["best_k_models"]}
        scores = {place_now[path]: score for path, score in state_dict["best_k_models"].items()}
        best = place_now.get(state_dict["best_model_path"], "")
        changed = {
            # Lightning drops the scores of a state that names another folder
            "dirpath": self.dirpath,
            "best_k_models": scores,
            "kth_best_model_path": place_now.get(state_dict["kth_best_model_path"], ""),
            "best_model_path": best if Path(best).is_file() else "",
        }
        super().load_state_dict(state_dict | changed)

    def _present_path(self, path: str) -> str:
        here = Path(str(self.dirpath), Path(path).name)
        is_elsewhere = not here.is_file() and Path(path).is_file()
        return path if is_elsewhere else str(here)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if the benchmark has scored the present step, and its score is among the best."""
        if trainer.state.fn == "fit" and self.monitor in self._benchmark.history.get(trainer.global_step, {}):
            super().on_validation_end(trainer, pl_module)

    on_train_epoch_end = on_validation_end
    on_train_end = on_validation_end


def _score_and_benchmark(key: str | None, benchmarks: Iterable[BenchmarkCallback]) -> tuple[str, BenchmarkCallback]:
    """Return the key of a score, and the benchmark that logs the score."""
    benchmark_by_key: dict[str, BenchmarkCallback] = {}
    for benchmark in benchmarks:
        benchmark_by_key |= dict.fromkeys(benchmark.score_keys, benchmark)
    if not benchmark_by_key:
        raise ValueError("BestCheckpoint: no benchmark runs: name one, as --on davis=/data/DAVIS")
    key = key or next(iter(benchmark_by_key))
    if key not in benchmark_by_key:
        raise ValueError(f"BestCheckpoint: no benchmark logs {key}; they log {', '.join(benchmark_by_key)}")
    return key, benchmark_by_key[key]
