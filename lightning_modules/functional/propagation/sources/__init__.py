"""The protocols that publications define, as data: one file a family, one entry a name."""

from ...protocol import Source
from .crw import CRW
from .dino import DINO
from .liir import LIIR, LIIR_REFERENCE
from .vfs import VFS, VFS_R50
from .vidcorr import VIDCORR

SOURCES: dict[str, Source] = {
    "vfs": VFS,
    "vfs-r50": VFS_R50,
    "crw": CRW,
    "dino": DINO,
    "liir": LIIR,
    "liir-reference": LIIR_REFERENCE,
    "vidcorr": VIDCORR,
}
"""Name → source. A new protocol is an entry here; it needs code only for a rule that no other has."""
