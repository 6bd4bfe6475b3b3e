"""DINOv3: Siméoni et al. (2025), by its notebook on segmentation tracking."""

from ...evaluation_protocol import Source

_NOTEBOOK = {
    "context": 7,
    "topk": 5,
    "temperature": 0.2,
    "radius": 12,
    "neighbourhood": "disc",
    "topk_ties": "kept",
    "repeat_first": "never",
    "feature_stride": 16,
    "label_encoding": "nearest-exact",
    "decoding_filter": "nearest",
    "input_size": 960,
    "input_multiple": 16,
    "input_rounding": "ceil",
    "input_filter": "pillow-bicubic",
}
_INFERRED = "all numbers: those of the notebook, which follows one clip and scores nothing; the paper names three sizes"

DINOV3 = Source(
    code="facebookresearch/dinov3 @ 6876159: notebooks/segmentation_tracking.ipynb",
    values={"davis": _NOTEBOOK, "youtube_vos": _NOTEBOOK, "mose": _NOTEBOOK},
    inferred=dict.fromkeys(("davis", "youtube_vos", "mose"), _INFERRED),
)
