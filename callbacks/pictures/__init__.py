"""Pictures for people: arrays and figures that a notebook, a logger or a report can show."""

from .overlays import (
    LIMBS,
    Picture,
    contact_sheet,
    evenly_spaced,
    overlay_joints,
    overlay_masks,
    write_picture,
)

__all__ = [
    "LIMBS",
    "Picture",
    "contact_sheet",
    "evenly_spaced",
    "overlay_joints",
    "overlay_masks",
    "write_picture",
]
