"""A resumed training keeps its optimisers' settings, or is refused."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl


class SameOptimisers(pl.Callback):
    """Refuse to resume a training with other settings of its optimisers, which the checkpoint's state would replace."""

    def __init__(self) -> None:
        self._settings: list[dict[str, Any]] = []
        self._before: list[dict[str, Any]] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the settings with which the optimisers of the run began."""
        return {"settings": self._settings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the settings of the checkpoint for `on_fit_start`."""
        self._before = state_dict["settings"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the settings of the new optimisers, before Lightning loads their state.

        Raises:
            ValueError: with the settings that differ.
        """
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self._settings = [_settings_of(group) for group in groups]
        before = self._before
        self._before = None
        if before is None or before == self._settings:
            return
        different = [
            f"{name} {old[name]} (now {new.get(name)})"
            for old, new in zip(before, self._settings, strict=False)
            for name in old
            if old[name] != new.get(name)
        ]
        raise ValueError(
            f"{trainer.ckpt_path} resumes with {', '.join(dict.fromkeys(different))}: a resumed training keeps its "
            f"optimiser; to begin anew from the weights, give --model.backbone {trainer.ckpt_path} without --ckpt_path"
        )


def _settings_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a parameter group, with its rate before a schedule moves it."""
    numbers = {name: value for name, value in group.items() if isinstance(value, int | float | list | tuple)}
    numbers.pop("params", None)
    numbers["lr"] = numbers.pop("initial_lr", numbers.get("lr"))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in numbers.items()}
