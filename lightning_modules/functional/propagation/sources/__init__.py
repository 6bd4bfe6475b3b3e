"""The protocols that publications define, as data: one file a family, one entry a name."""

from ...evaluation_protocol import Source
from .crw import CRW
from .dino import DIFT_ADM, DIFT_SD, DINO, RSP
from .dinov3 import DINOV3
from .hvc import HVC
from .liir import LIIR, LIIR_REFERENCE
from .mae import CATMAE_8, CATMAE_16, CROPMAE
from .rvm import RVM
from .spa_then_temp import SPA_THEN_TEMP
from .vfs import VFS, VFS_R50
from .vidcorr import VIDCORR

SOURCES: dict[str, Source] = {
    "vfs": VFS,
    "vfs-r50": VFS_R50,
    "crw": CRW,
    "dino": DINO,
    "liir": LIIR,
    "liir-reference": LIIR_REFERENCE,
    "cropmae": CROPMAE,
    "rvm": RVM,
    "catmae-16": CATMAE_16,
    "catmae-8": CATMAE_8,
    "rsp": RSP,
    "dift-sd": DIFT_SD,
    "dift-adm": DIFT_ADM,
    "dinov3": DINOV3,
    "hvc": HVC,
    "spa-then-temp": SPA_THEN_TEMP,
    "vidcorr": VIDCORR,
}
"""Name → source. A new protocol is an entry here; it needs code only for a rule that no other has."""
