from .overlays import (
    Picture as Picture,
    as_picture as as_picture,
    contact_sheet as contact_sheet,
    overlay_boxes as overlay_boxes,
    overlay_joints as overlay_joints,
    overlay_masks as overlay_masks,
    write_picture as write_picture,
)
from .sheets import (
    clip_sheet as clip_sheet,
    feature_sheet as feature_sheet,
    heat_map_sheet as heat_map_sheet,
)
