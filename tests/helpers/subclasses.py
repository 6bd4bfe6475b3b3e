"""A user's subclass of every method: it adds an argument, and stores its hyper-parameters itself."""

from typing import Any

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


class OwnCoSettle(CoSettle):
    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


class OwnContrastiveRandomWalk(ContrastiveRandomWalk):
    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


class OwnLiir(Liir):
    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


class OwnLinearProbe(LinearProbe):
    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


class OwnSiamFC(SiamFC):
    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


class OwnSiameseMAE(SiameseMAE):
    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


class OwnVFSMoCo(VFSMoCo):
    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


class OwnVFSSimSiam(VFSSimSiam):
    def __init__(self, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()
