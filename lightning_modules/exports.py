"""Public names of `lightning_modules`, imported when one of them is asked for."""

from .contrastive_random_walk import ContrastiveRandomWalk
from .frozen_encoder import FrozenEncoder
from .liir import Liir
from .linear_probe import LinearProbe
from .siamfc import SiamFC
from .vfs_moco import VFSMoCo
from .vfs_simsiam import VFSSimSiam

__all__ = ["ContrastiveRandomWalk", "FrozenEncoder", "Liir", "LinearProbe", "SiamFC", "VFSMoCo", "VFSSimSiam"]
