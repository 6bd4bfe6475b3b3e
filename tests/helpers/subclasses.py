"""A user's subclass of every method: it adds an argument, and stores its hyper-parameters itself."""

from typing import Any

import pytorch_lightning as pl

from vidcorr import lightning_modules
from vidcorr.lightning_modules.base import CorrespondenceModule


class Alpha(pl.LightningModule):
    """An argument of a user's, which each subclass adds to a method."""

    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


for name in lightning_modules.__all__:
    method = getattr(lightning_modules, name)
    if issubclass(method, CorrespondenceModule):
        globals()[f"Own{name}"] = type(f"Own{name}", (Alpha, method), {"__module__": __name__})
