"""The plan that is printed before training, as rows of a table: those of every method, and those of single methods."""

from typing import Any

from torch import nn

from .key_queue import KeyQueue
from .momentum_encoder import MomentumEncoder
from .shuffle_bn import groups_on_this_rank


def run_plan(module: Any) -> dict[str, str]:
    """Return the rows of a `CorrespondenceModule` that is attached to a trainer: name → text."""
    trainer, steps = module.trainer, module.total_steps()
    devices, accumulated, batch = trainer.world_size, trainer.accumulate_grad_batches, module.global_batch()
    rates = [f"{group.get('initial_lr', group['lr']):.6g}" for group in trainer.optimizers[0].param_groups]
    backbone = module.hparams.get("backbone") or type(module.backbone).__name__
    return {
        "method": type(module).__name__,
        "backbone": f"{backbone}, {_millions(module.backbone)} of {_millions(module)} M parameters",
        "global batch": f"{batch} {module.samples} = {module.samples_per_device()} per device × {devices} device(s) × "
        f"{accumulated} accumulated",
        "learning rate": f"{', '.join(rates)} at the start",
        "length": f"{steps} steps" + ("" if steps == trainer.max_steps else f" in {trainer.max_epochs} epochs"),
        "BatchNorm": _batch_norm(module, devices),
        "precision": f"{trainer.precision}{getattr(trainer, 'precision_reason', '')}"
        + ", backbone compiled" * bool(module.hparams.get("compile")),
    }


def momentum_rows(module: Any) -> dict[str, str]:
    """Return the rows of a `MomentumMethod`: the size of its queue, and the momentum of its average."""
    rows = {}
    for queue in (part for part in module.children() if isinstance(part, KeyQueue)):
        megabytes = sum(tensor.nbytes for tensor in queue.buffers()) / 1e6
        rows["negatives"] = f"{len(queue)} keys of {queue.keys.shape[1]} numbers, {megabytes:.1f} MB on each device"
    if isinstance(module.target_encoder, MomentumEncoder):
        rows["momentum encoder"] = _average(module.hparams["encoder_momentum"], module.total_steps())
    return rows


def moco_rows(module: Any) -> dict[str, str]:
    """Return the rows of `VFSMoCo`: those of its queue and average, and the groups of Shuffle BN."""
    videos = module.samples_per_device()
    groups = groups_on_this_rank(module.hparams["groups"], videos)
    over_all = groups * module.trainer.world_size
    return momentum_rows(module) | {"BatchNorm": f"Shuffle BN: {over_all} group(s) of {videos // groups} videos"}


def liir_rows(module: Any) -> dict[str, str]:
    """Return the rows of `Liir` that differ between its phases: first within videos, then all terms."""
    rows, settings, trainer, pairs = momentum_rows(module), module.hparams, module.trainer, module.global_batch()
    epochs, batches = settings["warmup_epochs"], int(trainer.num_training_batches)
    later = f", from epoch {epochs} on" if epochs else ""
    if epochs and module.target_encoder is not None:
        steps = min(module.total_steps(), epochs * -(-batches // settings["warmup_accumulation"]))
        rows["momentum encoder"] = _average(settings["encoder_momentum"], steps, joining=True)
    bank = f"{len(module.bank)} points of {settings['bank_frames']} frames{later}" if module.bank is not None else ""
    return rows | {
        "backbone": f"ResNet-18, stride 4, position {settings['position']}, {_millions(module.backbone)} M parameters",
        "global batch": f"{pairs * settings['warmup_accumulation']} clips, then " * bool(epochs) + f"{pairs} clips",
        "learning rate": f"{settings['warmup_lr']:.6g}, then " * bool(epochs) + f"{settings['lr']:.6g}",
        "length": ", at most ".join(
            f"{limit} {unit}"
            for limit, unit in ((trainer.max_epochs, "epochs"), (trainer.max_steps, "steps"))
            if limit != -1
        ),
        "phases": f"{epochs} epochs within videos, then all; {batches} batches an epoch",
        "negatives": bank or "none",
        "compactness": f"{module.prior}{later}" if module.prior else "none",
    }


def _average(momentum: float, steps: int, joining: bool = False) -> str:
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


def _millions(module: nn.Module) -> str:
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
