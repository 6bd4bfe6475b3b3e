"""Public names of `lightning_modules`, imported when one of them is asked for."""

from .frozen_encoder import FrozenEncoder
from .liir import Liir
from .linear_probe import LinearProbe
from .siamfc import SiamFC
from .vfs_moco import VFSMoCo
from .vfs_simsiam import VFSSimSiam

__all__ = ["FrozenEncoder", "Liir", "LinearProbe", "SiamFC", "VFSMoCo", "VFSSimSiam"]
