"""Conversion of other projects' checkpoints to our modules. One family per file; `FAMILIES` lists them."""

from ..backbones.liir_encoder import LiirEncoder
from .families.crw import CRW
from .families.dino import DINO
from .families.dinov2 import DINOV2
from .families.library import TIMM, TORCHVISION
from .families.liir import LIIR, MAST
from .families.moco import MOCO
from .families.vfs import VFS
from .foreign_file import ForeignFile, read_foreign
from .mapping import Family

FAMILIES = {family.name: family for family in (VFS, CRW, LIIR, MAST, MOCO, DINO, DINOV2, TORCHVISION, TIMM)}


def family_of(file: ForeignFile, kind: str = "auto", architecture: str | None = None) -> Family:
    """Return the family that a file belongs to.

    Args:
        file: result of `read_foreign`.
        kind: its name in `FAMILIES`, or "auto" to go by the keys.
        architecture: what the user says the network is; its library decides where the keys leave it open.

    Raises:
        ValueError: if there is no such family, the keys leave it open, or the file is one of ours.
    """
    if "vidcorr" in file.beside:
        raise ValueError(f"{file.path}: already a checkpoint of vidcorr, no conversion is needed")
    if kind in FAMILIES:
        return FAMILIES[kind]
    if kind != "auto":
        raise ValueError(f"kind {kind!r}: there are auto, {', '.join(FAMILIES)}")
    if file.architecture == LiirEncoder.architecture:
        raise ValueError(f"{file.path}: Liir's encoder without what it was made with; use the checkpoint it came from")
    if file.architecture is not None:
        return TIMM if file.architecture.startswith("timm:") else TORCHVISION
    for family in FAMILIES.values():
        if family.recognises(file.state):
            return family
    for prefix, family in (("timm:", TIMM), ("torchvision:", TORCHVISION)):
        if (architecture or "").startswith(prefix):
            return family
    if "patch_embed.proj.weight" in file.state:
        raise ValueError(
            f"{file.path}: a vision transformer whose keys do not show how images were normalised; give --kind dino, "
            "or --kind timm --architecture timm:NAME"
        )
    raise ValueError(
        f"{file.path}: of no known family ({', '.join(FAMILIES)}); it has {', '.join(list(file.state)[:4])}, …"
    )


__all__ = ["FAMILIES", "ForeignFile", "family_of", "read_foreign"]
