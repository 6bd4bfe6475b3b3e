"""Fields of a protocol that say what a network sees of a frame; without torch, so that protocols are listed at once."""

import dataclasses
from typing import Literal

from ..evaluation_protocol import EvaluationProtocol, PositiveFloat, PositiveInt

Filter = Literal["bilinear", "bilinear-aligned", "nearest"]
"""Filters for maps: see `resize_maps`."""

Nearest = Literal["pillow", "opencv", "opencv-exact", "torch-exact"]
"""Rules for the nearest pixel: Pillow's NEAREST, OpenCV's INTER_NEAREST (the pixel at or before the corner) and
INTER_NEAREST_EXACT, torch's "nearest-exact". The last two take the pixel under the centre, and differ where the centre
lies between two."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkInput(EvaluationProtocol):
    """The fields of a protocol that say what the network sees of a frame.

    Attributes:
        input_size: (height, width) in pixels; one number: length of the side `input_side`, aspect kept; None: the
            frame's own size.
        input_side: the side whose length `input_size` gives.
        input_multiple: the other side is brought to a multiple of this, pixels.
        input_rounding: to which multiple: the nearest, the next below ("floor") or above ("ceil").
        input_padding: after resizing, pad at the right and below with grey to a multiple of this.
        input_filter: "bilinear": torch's, of floats, without smoothing; "bilinear-antialias": torch's, of floats,
            smoothed before shrinking; "opencv-linear": OpenCV's INTER_LINEAR on 8 bits, without smoothing;
            "opencv-linear-float": on floats (2.5e-5 from "bilinear");
            "pillow-bicubic", "pillow-lanczos": Pillow's on 8 bits, smoothed before shrinking.
        position_embedding: how a transformer's absolute position embedding is brought to the input's grid: as the
            "network" does (timm: bicubic, smoothed before shrinking), or as "dino" does, see `ViTExtractor`.
        rgb_mean: mean of the RGB normalisation where the source departs from the module's own.
        rgb_std: standard deviation of the RGB normalisation where the source departs from the module's own.
        backbone_precision: data type of the network's products. "bfloat16" (by autocast) is twice as fast on a CPU
            that has it; it moves features by a few thousandths, and scores a little. "auto" becomes the faster of the
            two on this machine, and stands in the name and the digest as that.
    """

    input_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None
    input_side: Literal["short", "long"] = "short"
    input_multiple: PositiveInt = 1
    input_rounding: Literal["nearest", "floor", "ceil"] = "nearest"
    input_padding: PositiveInt = 1
    input_filter: Literal[
        "bilinear", "bilinear-antialias", "opencv-linear", "opencv-linear-float", "pillow-bicubic", "pillow-lanczos"
    ] = "bilinear"
    position_embedding: Literal["network", "dino"] = "network"
    rgb_mean: tuple[float, float, float] | None = None
    rgb_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    backbone_precision: Literal["float32", "bfloat16", "auto"] = "float32"

    def __post_init__(self) -> None:
        if self.backbone_precision == "auto":
            import torch

            from ..precision import fastest_precision

            fastest, _ = fastest_precision("cuda" if torch.cuda.is_available() else "cpu")
            object.__setattr__(self, "backbone_precision", "bfloat16" if fastest == "bfloat16" else "float32")
        super().__post_init__()
