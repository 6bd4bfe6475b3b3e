"""The run summary that is printed before training, as rows of a table."""

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
    rows = {
        "method": type(module).__name__,
        "backbone": f"{backbone}, {_millions(module.backbone)} of {_millions(module)} M parameters",
        "global batch": f"{batch} videos = {module.videos_per_device()} per device × {devices} device(s) × "
        f"{accumulated} accumulated",
        "learning rate": f"{', '.join(rates)} at the start",
        "steps": f"{steps} in {trainer.max_epochs} epochs" if (trainer.max_epochs or 0) > 0 else str(steps),
        "BatchNorm": _batch_norm(module, devices),
        "precision": f"{trainer.precision}{', backbone compiled' * bool(module.hparams.get('compile'))}",
    }
    for queue in (part for part in module.modules() if isinstance(part, KeyQueue)):
        megabytes = sum(tensor.nbytes for tensor in queue.buffers()) / 1e6
        rows["negatives"] = f"{len(queue)} keys of {queue.keys.shape[1]} numbers, {megabytes:.1f} MB on each device"
    if hasattr(module, "warming_up"):
        rows |= _phases(module)
    if isinstance(getattr(module, "target_encoder", None), MomentumEncoder):
        rows["momentum encoder"] = _momentum_encoder(module, steps)
    return rows


def _phases(module: Any) -> dict[str, str]:
    """Return the rows of Liir that differ between its phases: within videos first, then all terms."""
    settings, trainer, pairs = module.hparams, module.trainer, module.global_batch()
    first = settings["warmup_epochs"]
    later = f", from epoch {first} on" if first else ""
    bank = len(module.bank) if module.bank is not None else 0
    return {
        "backbone": f"ResNet-18, stride 4, position {settings['position']}, {_millions(module.backbone)} M parameters",
        "global batch": f"{pairs * settings['warmup_accumulation']} clips, then " * bool(first) + f"{pairs} clips",
        "learning rate": f"{settings['warmup_lr']:.6g}, then " * bool(first) + f"{settings['lr']:.6g}",
        "phases": f"{first} epochs within videos, then all; {trainer.num_training_batches} batches an epoch",
        "steps": f"in {trainer.max_epochs} epochs" if trainer.max_epochs != -1 else str(trainer.max_steps),
        "negatives": f"{bank} points of {settings['bank_frames']} frames{later}" if bank else "none",
        "compactness": f"{module.prior}{later}" if module.prior else "none",
    }


def _momentum_encoder(module: Any, steps: int) -> str:
    """Return the momentum, with a warning where the negatives would come from an average that is still its start."""
    momentum, settings, trainer = module.hparams["encoder_momentum"], module.hparams, module.trainer
    when = f"after {steps} steps"
    if first := settings.get("warmup_epochs", 0):
        steps = min(steps, first * int(trainer.num_training_batches) // settings["warmup_accumulation"])
        when = f"when negatives join after {steps} steps"
    kept = momentum**steps
    advice = f"; {kept:.0%} of it is still its start {when}: lower encoder_momentum" if kept > 0.05 else ""
    return f"average with m = {momentum:g}{advice}"


def _millions(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.1f}"


def _batch_norm(module: Any, devices: int) -> str:
    if "groups" in module.hparams:
        videos = module.videos_per_device()
        groups = groups_on_this_rank(module.hparams["groups"], videos)
        return f"Shuffle BN: {groups * devices} group(s) of {videos // groups} videos"
    layers = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    kinds = {type(layer).__name__ for layer in layers}
    if not kinds:
        return "none"
    if not any(parameter.requires_grad for parameter in module.backbone.parameters()):
        return "frozen"
    if "SyncBatchNorm" in kinds:
        return f"SyncBatchNorm: one group over {devices} device(s)"
    return f"{', '.join(sorted(kinds))}: each device normalises its own frames"
