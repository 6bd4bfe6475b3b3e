"""DINO: Caron et al., Emerging Properties in Self-Supervised Vision Transformers (ICCV 2021)."""

from ...protocol import Source

DAVIS = {
    "context": 7,
    "topk": 5,
    "temperature": 0.1,
    "radius": 12,
    "neighbourhood": "square",
    "repeat_first": "never",
    "decoding_size": "input",
    "input_size": 480,
    "input_multiple": 64,
    "input_rounding": "floor",
    "input_filter": "opencv-linear",
    "rgb_std": (0.228, 0.224, 0.225),
}

DINO = Source(
    code="facebookresearch/dino @ 7c446df: eval_video_segmentation.py",
    values={"davis": DAVIS},
)
