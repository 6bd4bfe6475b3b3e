"""The plan that is printed before training, as rows of a table: those of every method, and texts for a method's own."""

from typing import Any

from torch import nn

from .key_queue import KeyQueue


def run_plan(module: Any) -> dict[str, str]:
    """Return the rows of a `CorrespondenceModule` that is attached to a trainer: name → text."""
    trainer, steps = module.trainer, module.total_steps()
    devices, accumulated, batch = trainer.world_size, trainer.accumulate_grad_batches, module.global_batch()
    rates = [f"{group.get('initial_lr', group['lr']):.6g}" for group in trainer.optimizers[0].param_groups]
    backbone = module.hparams.get("backbone") or type(module.backbone).__name__
    rows = {
        "method": type(module).__name__,
        "backbone": f"{backbone}, {millions(module.backbone)} of {millions(module)} M parameters",
        "global batch": f"{batch} videos = {module.samples_per_device()} per device × {devices} device(s) × "
        f"{accumulated} accumulated",
        "learning rate": f"{', '.join(rates)} at the start",
        "length": f"{steps} steps" + (f" in {trainer.max_epochs} epochs" if (trainer.max_epochs or 0) > 0 else ""),
        "BatchNorm": _batch_norm(module, devices),
        "precision": f"{trainer.precision}{', backbone compiled' * bool(module.hparams.get('compile'))}",
    }
    return rows


def queue_row(queue: KeyQueue) -> str:
    """Return the size of a queue of negatives."""
    megabytes = sum(tensor.nbytes for tensor in queue.buffers()) / 1e6
    return f"{len(queue)} keys of {queue.keys.shape[1]} numbers, {megabytes:.1f} MB on each device"


def average_row(momentum: float, steps: int, joining: bool = False) -> str:
    """Return the momentum of an average, with a warning where it would hardly have moved from its start.

    Args:
        momentum: m of the moving average.
        steps: optimiser steps after which the average has to be far from its start.
        joining: negatives join only after these steps; otherwise they are those of the run.
    """
    kept = momentum**steps
    when = f"when negatives join after {steps} steps" if joining else f"after {steps} steps"
    advice = f"; {kept:.0%} of it is still its start {when}: lower encoder_momentum" if kept > 0.05 else ""
    return f"average with m = {momentum:g}{advice}"


def millions(module: nn.Module) -> str:
    """Return the number of parameters in millions."""
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.1f}"


def _batch_norm(module: Any, devices: int) -> str:
    layers = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    kinds = {type(layer).__name__ for layer in layers}
    if not kinds:
        return "none"
    if not any(parameter.requires_grad for parameter in module.backbone.parameters()):
        return "frozen"
    if "SyncBatchNorm" in kinds:
        return f"SyncBatchNorm: one group over {devices} device(s)"
    return f"{', '.join(sorted(kinds))}: each device normalises its own frames"
