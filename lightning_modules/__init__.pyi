from .contrastive_random_walk import ContrastiveRandomWalk as ContrastiveRandomWalk
from .frozen_encoder import FrozenEncoder as FrozenEncoder
from .liir import Liir as Liir
from .linear_probe import LinearProbe as LinearProbe
from .siamese_mae import SiameseMAE as SiameseMAE
from .siamfc import SiamFC as SiamFC
from .vfs_moco import VFSMoCo as VFSMoCo
from .vfs_simsiam import VFSSimSiam as VFSSimSiam
