"""The plan that is printed before a training."""

import math
from typing import Any, Protocol, runtime_checkable

from pytorch_lightning import Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch import nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@runtime_checkable
class Planned(Protocol):
    """A callback that adds to the plan."""

    def plan_row(self) -> tuple[str, str]:
        """Return name and text of a row; callbacks with the same name share a row."""


def print_plan(module: Any, first: dict[str, str]) -> None:
    """Print the plan of a training, with rows of the method and of the Trainer's callbacks.

    Args:
        module: a `CorrespondenceModule` at the start of its training.
        first: rows before all others.
    """
    plan = first | plan_of(module) | module.plan_rows()
    for callback in module.trainer.callbacks:
        if isinstance(callback, Planned):
            name, text = callback.plan_row()
            plan[name] = f"{plan[name]}; {text}" if name in plan else text
    width = max(map(len, plan))
    rank_zero_info("\n".join(f"  {name:<{width}}  {text}" for name, text in plan.items()))


def plan_of(module: Any) -> dict[str, str]:
    """Return the rows that every method has: name → text."""
    trainer = module.trainer
    settings = module.hparams
    plan = {"method": type(module).__name__}
    backbone = settings.get("backbone") or type(module.backbone).__name__
    plan["backbone"] = f"{backbone}, {millions(module.backbone)} of {millions(module)} M parameters"
    devices = f"{module.samples_per_device()} per device × {trainer.world_size} device(s)"
    accumulated = f"{trainer.accumulate_grad_batches} accumulated"
    plan["global batch"] = f"{module.global_batch()} {module.samples} = {devices} × {accumulated}"
    rates = ", ".join(f"{group['lr']:.6g}" for group in trainer.optimizers[0].param_groups)
    place = f"step {trainer.global_step}" if trainer.global_step else "the start"
    plan["learning rate"] = f"{rates} at {place}"
    base_lr = settings.get("base_lr")  # `lr_find` suggests a rate, which must not be taken for this
    if base_lr:
        plan["learning rate"] += f", base_lr {base_lr:.6g} × {module.global_batch()} / 256"
    plan["length"] = length_text(trainer)
    plan["BatchNorm"] = batch_norm_text(module, module.backbone, trainer.world_size)
    plan["precision"] = str(trainer.precision)
    if settings.get("compile"):
        plan["precision"] += ", backbone compiled"
    return plan


def length_text(trainer: Trainer) -> str:
    """Return the length of the run in steps and epochs, as far as it is known."""
    steps = trainer.estimated_stepping_batches
    if not 0 <= steps < math.inf:
        return "until trainer.max_time" if trainer.max_epochs == -1 else f"{trainer.max_epochs} epochs"
    epochs = "" if steps == trainer.max_steps else f" in {trainer.max_epochs} epochs"
    return f"{steps} steps{epochs}"


def batch_norm_text(module: nn.Module, backbone: nn.Module, devices: int) -> str:
    """Describe which frames share BatchNorm statistics.

    Args:
        module: the method.
        backbone: its backbone, which is frozen where no parameter takes a gradient.
        devices: number of devices that train.
    """
    kinds = {type(layer).__name__ for layer in module.modules() if isinstance(layer, BATCH_NORMS)}
    if not kinds:
        return "none"
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        return "frozen"
    if "SyncBatchNorm" in kinds:
        return f"SyncBatchNorm: one group over {devices} device(s)"
    return f"{', '.join(sorted(kinds))}: statistics per device"


def average_text(momentum: float, steps: float) -> str:
    """Describe a moving average, with a warning if it hardly moves from its start.

    Args:
        momentum: m of the moving average.
        steps: optimiser steps within which the average should leave its start; below 0 if their number is unknown.
    """
    kept = momentum**steps if steps >= 0 else 0.0
    advice = ""
    if kept > 0.05:
        advice = f"; {kept:.0%} of it is still its start after {steps} steps: lower encoder_momentum"
    return f"average with m = {momentum:g}{advice}"


def millions(module: nn.Module) -> str:
    """Return the number of parameters of a module, in millions."""
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.3g}"
