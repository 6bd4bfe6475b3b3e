"""Fields of protocols that say how a network sees an image.

Without torch, so that protocols are listed at once.
"""

from typing import Annotated, Literal

from .base import READ_BY_NETWORK, SET_BY_NETWORK, EvaluationProtocol, OnlyIf
from .ranges import PositiveFloat, PositiveInt

ONE_SIDE = OnlyIf(lambda p: isinstance(p.input_size, int), "input_size is one number")
NO_PAIR = OnlyIf(lambda p: not isinstance(p.input_size, tuple), "input_size is not a pair")
ROUNDED = OnlyIf(
    lambda p: isinstance(p.input_size, int) or (p.input_size is None and p.input_multiple != 1),
    "input_size is one number, or none with an input_multiple",
)
RESIZED = OnlyIf(lambda p: p.input_size is not None or p.input_multiple != 1, "frames are resized")
WHITENED = OnlyIf(lambda p: p.feature_normalisation == "whitened", "feature_normalisation is whitened")


class NetworkInput(EvaluationProtocol):
    """Fields that turn a frame into the network's input, and say which of its features are taken.

    Attributes:
        input_size: (height, width) in pixels; a single number: length of the side `input_side`, aspect kept; None: the
            size of the frame.
        input_side: the side of length `input_size`.
        input_multiple: round the other side to a multiple of this number of pixels; without `input_size`, both sides.
            "network": the multiple that the network needs, for example a transformer's patch.
        input_rounding: round to the nearest multiple, down ("floor") or up ("ceil").
        input_padding: after resizing, pad at the right and below with grey to a multiple of this.
        input_filter: "bilinear": torch, on floats, without smoothing; "bilinear-antialias": torch, on floats,
            smoothed before shrinking; "opencv-linear": OpenCV's INTER_LINEAR on 8 bits, without smoothing;
            "opencv-linear-float": on floats (2.5e-5 from "bilinear");
            "pillow-bicubic", "pillow-lanczos": Pillow on 8 bits, smoothed before shrinking.
        features: `STAGE/STRIDE` of a ResNet's features, if neither the name of the network nor the benchmark states
            them; None: the network's default.
        position_embedding: resize a transformer's absolute position embedding as the "network" does (timm: bicubic,
            smoothed before shrinking), or as "dino" does: plain bicubic, by the scale factor (cells + 0.1) / cells.
        final_norm: apply the final norm of a transformer to its features; False: the features before it, as Probe3D
            and OmniProbe take them. It acts on transformers of timm; other networks give what they give.
        rgb_mean: mean of the RGB normalisation; None: the network's.
        rgb_std: standard deviation of the RGB normalisation; None: the network's.
        backbone_precision: precision of the network's products. "bfloat16" (by autocast) is twice as fast on a CPU that
            supports it; it moves features by a few thousandths, and scores a little. "tf32" lets a GPU round the
            factors to 10 bits; "float32" does not. A run replaces "auto" by the faster of float32 and bfloat16 on its
            device, also in the name and the digest of the result's protocol.
    """

    features: Annotated[str | None, READ_BY_NETWORK] = None
    position_embedding: Annotated[Literal["network", "dino"], READ_BY_NETWORK] = "network"
    final_norm: Annotated[bool, READ_BY_NETWORK] = True
    rgb_mean: Annotated[tuple[float, float, float] | None, SET_BY_NETWORK] = None
    rgb_std: Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None, SET_BY_NETWORK] = None
    backbone_precision: Literal["float32", "tf32", "bfloat16", "auto"] = "float32"
    input_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None
    input_side: Annotated[Literal["short", "long"], ONE_SIDE] = "short"
    input_multiple: Annotated[PositiveInt | Literal["network"], NO_PAIR] = 1
    input_rounding: Annotated[Literal["nearest", "floor", "ceil"], ROUNDED] = "nearest"
    input_padding: PositiveInt = 1
    input_filter: Annotated[
        Literal[
            "bilinear", "bilinear-antialias", "opencv-linear", "opencv-linear-float", "pillow-bicubic", "pillow-lanczos"
        ],
        RESIZED,
    ] = "bilinear"


class VideoFeatures(NetworkInput):
    """Fields that say how the features of a video's frames are compared.

    Attributes:
        feature_normalisation: "l2" over the channels (eps 1e-12), so that similarities are cosines; "raw": dot
            products; or "whitened": l2, then components of frame 0 (`vidcorr.functional.propagation.comparison`),
            then l2.
        whitened_channels: components that are compared, those of largest variance; None: all.
        feature_stride: input pixels per feature cell.
    """

    feature_normalisation: Literal["l2", "raw", "whitened"] = "l2"
    whitened_channels: Annotated[PositiveInt | None, WHITENED] = None
    feature_stride: Annotated[PositiveInt, SET_BY_NETWORK] = 8
