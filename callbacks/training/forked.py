"""Ranks that Lightning forks or spawns (`ddp_fork`, `ddp_notebook`, `ddp_spawn`), and their parent process."""

import signal
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.trainer.call import _interrupt
from pytorch_lightning.utilities.exceptions import SIGTERMException


def waits_for_ranks(trainer: pl.Trainer) -> bool:
    """Return whether this process trains nothing itself, but has forked or spawned the ranks that do."""
    launcher = trainer.strategy.launcher
    return isinstance(launcher, _MultiProcessingLauncher) and bool(launcher.procs)


def stop_ranks(trainer: pl.Trainer) -> None:
    """Pass SIGTERM on to the ranks; multiprocessing waits for them when this process ends."""
    if trainer.strategy.launcher is not None:
        trainer.strategy.launcher.kill(signal.SIGTERM)


def call_on_exception(trainer: pl.Trainer, together: tuple[type[BaseException], ...]) -> None:
    """Let an exception in a forked or spawned rank reach `on_exception` of the callbacks.

    Lightning 2.6 handles exceptions in the process that has forked, whose callbacks know nothing of the training: in
    the rank itself none is notified, nothing is saved, and a rank that a signal stops would end with status 0, after
    which the waiting process waits for a result for ever.

    Args:
        trainer: trainer of a rank; others stay as they are.
        together: exceptions that all ranks raise at the same step; after them no rank leaves before the others.
    """
    if not isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        return
    run_stage = trainer._run_stage

    def handled() -> Any:
        try:
            return run_stage()
        except BaseException as exception:
            _interrupt(trainer, exception)
            if isinstance(exception, (SIGTERMException, *together)):
                trainer.strategy.barrier("stopped")  # the first rank that ends takes the others with it
            raise

    trainer._run_stage = handled  # type: ignore[method-assign]
