"""Averages of weights: a benchmark scores the weights that a checkpoint would hold."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import StochasticWeightAveraging, WeightAveraging
from torch import Tensor
from torch.utils._pytree import tree_map_only

AVERAGING = (WeightAveraging, StochasticWeightAveraging)
"""Callbacks of Lightning that average weights."""


def averages_among(trainer: Trainer) -> list[Callback]:
    """Return the callbacks of a trainer that average weights, in order."""
    return [callback for callback in trainer.callbacks if isinstance(callback, AVERAGING)]  # type: ignore[attr-defined]


def averages_first(callbacks: Sequence[Callback]) -> list[Callback]:
    """Return callbacks with those that average weights before all others; else the order stays.

    Lightning calls callbacks in this order. So at the end of a validation or an epoch, the averages have been updated
    and the module holds the learning weights again before any other callback runs.
    """
    return sorted(callbacks, key=lambda callback: not isinstance(callback, AVERAGING))


@contextmanager
def weights_as_saved(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """During a block, give a module the weights that a checkpoint would hold: in a fit an average, if there is any.

    Before the block the module must hold the weights that learn; after it the module holds them again. Do not call it
    within Lightning's pass of validation, where the module holds the average already.
    """
    own = pl_module.state_dict()
    checkpoint: dict[str, Any] = {"state_dict": own}
    # asked as for a checkpoint, which is then thrown away
    for average in averages_among(trainer):
        if trainer.state.fn == "fit":
            average.on_save_checkpoint(trainer, pl_module, checkpoint)
    saved = checkpoint["state_dict"]
    if saved is own:
        yield
        return
    # loading writes into the tensors of `own`
    kept = tree_map_only(Tensor, Tensor.clone, dict(own))
    pl_module.load_state_dict(saved, strict=False)
    try:
        yield
    finally:
        pl_module.load_state_dict(kept, strict=False)
