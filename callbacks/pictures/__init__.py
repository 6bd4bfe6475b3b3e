"""Pictures for people: arrays and figures that a notebook, a logger or a report can show."""

from .box_overlays import overlay_boxes, plot_curves
from .clip_sheets import clip_sheet, gap_histogram, rasterise
from .feature_sheets import feature_sheet, principal_colours
from .match_sheets import grid_points, match_sheet
from .overlay_video import OverlayAnimation, OverlayVideo
from .overlays import (
    LIMBS,
    Picture,
    as_pictures,
    captioned,
    contact_sheet,
    evenly_spaced,
    overlay_joints,
    overlay_masks,
    resized,
    write_picture,
)

__all__ = [
    "LIMBS",
    "OverlayAnimation",
    "OverlayVideo",
    "Picture",
    "as_pictures",
    "captioned",
    "clip_sheet",
    "contact_sheet",
    "evenly_spaced",
    "feature_sheet",
    "gap_histogram",
    "grid_points",
    "match_sheet",
    "overlay_boxes",
    "overlay_joints",
    "overlay_masks",
    "plot_curves",
    "principal_colours",
    "rasterise",
    "resized",
    "write_picture",
]
