"""A user's subclass of every method: it adds an argument, and stores its hyper-parameters itself."""

from typing import Any

import pytorch_lightning as pl

from vidcorr import (
    ContrastiveRandomWalk,
    CoSettle,
    Liir,
    LinearProbe,
    SiameseMAE,
    SiamFC,
    VFSMoCo,
    VFSSimSiam,
)


class Alpha(pl.LightningModule):
    """An argument of a user's, which each subclass adds to a method."""

    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


class OwnCoSettle(Alpha, CoSettle):
    pass


class OwnContrastiveRandomWalk(Alpha, ContrastiveRandomWalk):
    pass


class OwnLiir(Alpha, Liir):
    pass


class OwnLinearProbe(Alpha, LinearProbe):
    pass


class OwnSiamFC(Alpha, SiamFC):
    pass


class OwnSiameseMAE(Alpha, SiameseMAE):
    pass


class OwnVFSMoCo(Alpha, VFSMoCo):
    pass


class OwnVFSSimSiam(Alpha, VFSSimSiam):
    pass
