"""Parts of the plan that is printed before training."""

from torch import nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def millions(module: nn.Module) -> str:
    """Return the number of parameters of a module, in millions."""
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.3g}"


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
