"""The score of DAVIS by docs/reference/davis.py, which shares no code with `DavisBenchmark`."""

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

REFERENCE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "docs/reference/davis.py")))


def plain_davis(root: Path, trunk: Callable[[Tensor], Tensor], radius: int, context: int, sequences: int) -> float:
    """Return J&F of the first sequences, a fraction, for a network that takes images (N, 3, H, W) in [0, 1]."""
    changes = {"context": context, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    protocol = REFERENCE.VFS | changes | {"neighbourhood": lambda dy, dx: dy**2 + dx**2 < radius**2}
    names = sorted(path.name for path in (root / "Annotations/480p").iterdir())[:sequences]
    with torch.no_grad():  # the reference's inference mode would keep a network from differentiating
        scores = REFERENCE.evaluate.__wrapped__(root, trunk, protocol, names)
    return float(np.mean([means for objects in scores.values() for means in objects.values()]))
