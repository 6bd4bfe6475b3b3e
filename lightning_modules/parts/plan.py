"""The plan that is printed before a training."""

from typing import Any

from pytorch_lightning.utilities import rank_zero_info
from torch import nn


def print_plan(module: Any) -> None:
    """Print the plan of a `CorrespondenceModule` at the start of its training.

    Rows of the module's `plan_rows` replace rows of the same name; texts of callbacks' `plan_row` are added to them.
    """
    trainer = module.trainer
    settings = module.hparams
    plan = {"method": type(module).__name__}
    backbone = settings.get("backbone") or type(module.backbone).__name__
    plan["backbone"] = f"{backbone}, {millions(module.backbone)} of {millions(module)} M parameters"
    devices = f"{module.samples_per_device()} per device × {trainer.world_size} device(s)"
    accumulated = f"{trainer.accumulate_grad_batches} accumulated"
    plan["global batch"] = f"{module.global_batch()} {module.samples} = {devices} × {accumulated}"
    rates = ", ".join(f"{group['lr']:.6g}" for group in trainer.optimizers[0].param_groups)
    when = f"step {trainer.global_step}" if trainer.global_step else "the start"
    plan["learning rate"] = f"{rates} at {when}"
    if settings.get("base_lr"):  # how it is scaled: a rate that Lightning's `lr_find` finds is no base_lr
        plan["learning rate"] += f", base_lr {settings['base_lr']:.6g} × {module.global_batch()} / 256"
    limits = {"epochs": trainer.max_epochs, "steps": trainer.max_steps}
    known = [f"{limit} {unit}" for unit, limit in limits.items() if limit not in (None, -1)]
    plan["length"] = ", at most ".join(known) or "until trainer.max_time"
    plan["precision"] = str(trainer.precision)
    plan |= module.plan_rows()
    for callback in trainer.callbacks:
        if hasattr(callback, "plan_row"):
            name, text = callback.plan_row()
            plan[name] = f"{plan[name]}; {text}" if name in plan else text
    width = max(map(len, plan))
    rank_zero_info("\n".join(f"  {name:<{width}}  {text}" for name, text in plan.items()))


def millions(module: nn.Module) -> str:
    """Return the number of parameters of a module, in millions."""
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.3g}"
