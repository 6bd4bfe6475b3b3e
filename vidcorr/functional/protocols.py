"""The protocols of label propagation and point tracking: every number and rule that affects a score.

Without torch, so that protocols are listed at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from .evaluation_protocol import (
    SET_BY_FEATURES,
    SET_BY_NETWORK,
    Cosine,
    EvaluationProtocol,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    UnitInterval,
)

Filter = Literal["bilinear", "bilinear-aligned", "nearest"]
"""Filters for maps: between pixel centres, between corners (align_corners), or the nearest cell."""

Nearest = Literal["pillow", "opencv", "opencv-exact", "torch-exact"]
"""Rules for the nearest pixel: Pillow's NEAREST, OpenCV's INTER_NEAREST (the pixel at or before the corner) and
INTER_NEAREST_EXACT, torch's "nearest-exact". The last two take the pixel under the centre; they differ if the centre
lies between two pixels."""

IN_A_PASS: Mapping[str, str] = {"part": "pass"}
"""Metadata of a field that protocols must share to share a pass over the frames: network's input, data, scoring."""
AFTER_MATCHING: Mapping[str, str] = {"part": "after matching"}
"""Metadata of a field that is used after features are matched: weights of matches, coding of labels."""


@dataclass(frozen=True, kw_only=True)
class NetworkView(EvaluationProtocol):
    """Fields that say how a network sees an image of the right size, and which of its features are taken.

    Attributes:
        position_embedding: resize a transformer's absolute position embedding as the "network" does (timm: bicubic,
            smoothed before shrinking), or as "dino" does: plain bicubic, by the scale factor (cells + 0.1) / cells.
        final_norm: apply the final norm of a transformer to its features; False: the features before it, as Probe3D
            and OmniProbe take them. It acts on transformers of timm; other networks give what they give.
        rgb_mean: mean of the RGB normalisation; None: the network's.
        rgb_std: standard deviation of the RGB normalisation; None: the network's.
        backbone_precision: precision of the network's products. "bfloat16" (by autocast) is twice as fast on a CPU that
            supports it; it moves features by a few thousandths, and scores a little. "tf32" lets a GPU round the
            factors to 10 bits; "float32" does not. "auto" is replaced by the faster of float32 and bfloat16 on this
            machine, also in the name and the digest.
    """

    position_embedding: Literal["network", "dino"] = field(default="network", metadata=IN_A_PASS)
    final_norm: bool = field(default=True, metadata=IN_A_PASS)
    rgb_mean: tuple[float, float, float] | None = field(default=None, metadata={**IN_A_PASS, **SET_BY_NETWORK})
    rgb_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = field(
        default=None, metadata={**IN_A_PASS, **SET_BY_NETWORK}
    )
    backbone_precision: Literal["float32", "tf32", "bfloat16", "auto"] = field(default="float32", metadata=IN_A_PASS)

    def __post_init__(self) -> None:
        if self.backbone_precision == "auto":
            import torch

            from .device import fastest_precision

            fastest, _ = fastest_precision("cuda" if torch.cuda.is_available() else "cpu")
            object.__setattr__(self, "backbone_precision", "bfloat16" if fastest == "bfloat16" else "float32")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class NetworkInput(NetworkView):
    """Fields that turn a frame into the network's input.

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
    """

    input_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = field(default=None, metadata=IN_A_PASS)
    input_side: Literal["short", "long"] = field(default="short", metadata=IN_A_PASS)
    input_multiple: PositiveInt | Literal["network"] = field(default=1, metadata=IN_A_PASS)
    input_rounding: Literal["nearest", "floor", "ceil"] = field(default="nearest", metadata=IN_A_PASS)
    input_padding: PositiveInt = field(default=1, metadata=IN_A_PASS)
    input_filter: Literal[
        "bilinear", "bilinear-antialias", "opencv-linear", "opencv-linear-float", "pillow-bicubic", "pillow-lanczos"
    ] = field(default="bilinear", metadata=IN_A_PASS)


@dataclass(frozen=True)
class PropagationProtocol(NetworkInput):
    """Every number and rule that affects a label-propagation score.

    Named protocols (`vfs`, `crw`, `dino`, …) are data, in protocols.yaml. If a source defines no values for a
    benchmark, `named` raises; `vidcorr` holds this project's choices, for every benchmark.

    Attributes:
        resized_data: (height, width): resize frames and annotations first, by Pillow's nearest pixel; save the frames
            as JPEG (quality 75) and read them again; decode and score masks at this size. None: the original data.
        context: number of preceding frames that are references in addition to the first frame; 0 or more.
        topk: matches kept per query over all reference frames together; the softmax is over these. None: all.
        temperature: divides the dot products before the softmax; above 0.
        radius: radius of the neighbourhood, in the unit of `radius_unit`; None: everywhere.
        radius_unit: "cell" of the features, or "pixel" of the input: features of any stride then search equal areas.
        neighbourhood: "circle" keeps Euclidean distance < radius, "disc" distance <= radius, "square" |dy| and |dx| <=
            radius.
        first_frame_masked: the neighbourhood also restricts the lasting copy of frame 0.
        repeat_first: "in_window": frame 0 counts once more while it is among the preceding frames (VFS); "padding":
            also once more for every preceding frame before the start of the video (CRW); "never": once (DINO).
        references: frame indices that replace first + context: >= 0 absolute, < 0 relative to the current frame.
            Frames before frame 0 or not yet seen are left out; a frame counts once.
        mixture_components: number of Gaussians that replace each reference's window (Liir, Eq. 7); None: off.
        mixture_threshold: only windows with a largest weight above it are replaced.
        mixture_width: "fixed": full width at half maximum of 1 cell; "moments": second moment of the affinity.
        mixture_weights: "softmax" of the peaks, or the "mass" of the cells nearest to each.
        topk_ties: "cut": exactly topk matches, chosen arbitrarily among equals; "kept": also all matches equal to the
            last of them (DINO).
        normalise_labels: divide the propagated labels of a cell by the sum that `normalise_by` names.
        normalise_by: "labels": their sum over the channels (masks: labels sum to 1); "weights": the sum of the
            references' weights (joints: labels sum to anything), which is 1 with a topk.
        foreground_gain: factor on the propagated channels 1…; 1 is off.
        border: treatment of the window outside the map: "exclude" leaves it out, "zero" gives it logit 0 and no label.
        feature_normalisation: "l2" over the channels (eps 1e-12) or "raw".
        feature_stride: input pixels per feature cell.
        precision: data type of features and labels while they propagate.
        entering: labels of objects that start later "overwrite" propagated labels; "own-context": references of an
            object begin at its start frame, and the labels of all start frames are added up (HVC).
        label_encoding: annotation to feature grid: "nearest" (Pillow's pixel), "nearest-exact" (under the cell's
            centre), "bilinear" and "bilinear-aligned" (of the one-hot map, between pixel centres or corners), or
            "strided" (every feature_stride-th pixel of the network's input from the corner; if frames are resized, of
            the mask resized by its pixel at or before the corner).
        label_size: encode the annotation at the size of the "annotation", or resize it to the "input" size first, by
            OpenCV's nearest pixel.
        label_feedback: "soft" labels, or "hard": the argmax at input size, sampled as by "strided".
        label_rescaling: min-max of the up-sampled channels over the image before the argmax.
        label_rescaling_floor: rescale only channels with a maximum above this, so that the trace of an object that
            has left is not amplified; 0 rescales all channels that are not empty.
        decoding_size: take the argmax at the "annotation" size, or at the "input" size (feature map times stride),
            then resize it by nearest pixel.
        decoding_filter: up-sampling of soft labels to that size: "bilinear" (align_corners False),
            "bilinear-aligned" (align_corners True) or "nearest".
        decoding_nearest: whose nearest pixel resizes the argmax from the input size.
        first_frame: predicted mask of frame 0: the mask "given", or the "decoded" labels.
        scoring: scoring rules of the "benchmark", or of "naf": NAF's own scorer, with another boundary measure.
        keypoint_sigma: standard deviation of a joint's Gaussian.
        keypoint_unit: unit of keypoint_sigma: "pixel" of the input or "cell" of the feature map.
        keypoint_topk: the joint is the weighted mean of this number of best positions.
        keypoint_grid: search the best positions in heat-maps of "input" size (up-sampled bilinearly) or "feature" size.
        keypoint_counting: which joints count: "prediction-visible" (VFS: predicted x > 0, frame 0 included), "crw"
            (predicted x >= 0, frame 0 excluded), "ground-truth" (annotated inside the image, frame 0 excluded).

    Raises:
        ValueError: for a value out of range.
    """

    context: NonNegativeInt
    topk: PositiveInt | None = field(metadata=AFTER_MATCHING)
    temperature: PositiveFloat = field(metadata=AFTER_MATCHING)
    radius: NonNegativeFloat | None
    neighbourhood: Literal["circle", "disc", "square"] = "circle"
    first_frame_masked: bool = True
    repeat_first: Literal["in_window", "padding", "never"] = "in_window"
    references: tuple[int, ...] | None = None
    mixture_components: PositiveInt | None = None
    mixture_threshold: UnitInterval = 0.1
    mixture_width: Literal["fixed", "moments"] = "fixed"
    mixture_weights: Literal["softmax", "mass"] = "softmax"
    topk_ties: Literal["cut", "kept"] = "cut"
    normalise_labels: bool = field(default=False, metadata=AFTER_MATCHING)
    normalise_by: Literal["labels", "weights"] = field(default="labels", metadata=AFTER_MATCHING)
    foreground_gain: PositiveFloat = field(default=1.0, metadata=AFTER_MATCHING)
    border: Literal["exclude", "zero"] = "exclude"
    feature_normalisation: Literal["l2", "raw"] = "l2"
    feature_stride: PositiveInt = field(default=8, metadata=SET_BY_FEATURES)
    precision: Literal["float32", "float64", "float16", "bfloat16"] = "float32"
    entering: Literal["overwrite", "own-context"] = "overwrite"
    label_encoding: Literal["nearest", "nearest-exact", "bilinear", "bilinear-aligned", "strided"] = field(
        default="nearest", metadata=AFTER_MATCHING
    )
    label_size: Literal["annotation", "input"] = field(default="annotation", metadata=AFTER_MATCHING)
    label_feedback: Literal["soft", "hard"] = field(default="soft", metadata=AFTER_MATCHING)
    label_rescaling: bool = field(default=True, metadata=AFTER_MATCHING)
    label_rescaling_floor: Annotated[float, Range(ge=0, lt=1)] = field(default=0.0, metadata=AFTER_MATCHING)
    decoding_size: Literal["annotation", "input"] = field(default="annotation", metadata=AFTER_MATCHING)
    decoding_filter: Filter = field(default="bilinear", metadata=AFTER_MATCHING)
    decoding_nearest: Nearest = field(default="pillow", metadata=AFTER_MATCHING)
    first_frame: Literal["given", "decoded"] = field(default="given", metadata=AFTER_MATCHING)
    scoring: Literal["benchmark", "naf"] = field(default="benchmark", metadata=IN_A_PASS)
    keypoint_sigma: PositiveFloat = field(default=4.0, metadata=AFTER_MATCHING)
    keypoint_unit: Literal["pixel", "cell"] = field(default="pixel", metadata=AFTER_MATCHING)
    keypoint_topk: PositiveInt = field(default=5, metadata=AFTER_MATCHING)
    keypoint_grid: Literal["input", "feature"] = field(default="input", metadata=AFTER_MATCHING)
    keypoint_counting: Literal["prediction-visible", "crw", "ground-truth"] = field(
        default="prediction-visible", metadata=AFTER_MATCHING
    )
    radius_unit: Literal["cell", "pixel"] = "cell"
    resized_data: tuple[PositiveInt, PositiveInt] | None = field(default=None, metadata=IN_A_PASS)

    kind: ClassVar[str] = "propagation"

    @property
    def radius_in_cells(self) -> float | None:
        """Radius of the neighbourhood in feature cells; None: everywhere."""
        if self.radius is None or self.radius_unit == "cell":
            return self.radius
        return self.radius / self.feature_stride

    def _conditions(self) -> dict[str, tuple[bool, str]]:
        padded = self.repeat_first == "padding" and self.references is None
        everything_in_square = self.topk is None and self.radius is not None and self.neighbourhood == "square"
        window = (2 * math.floor(self.radius_in_cells or 0) + 1) ** 2
        conditions: dict[str, tuple[bool, str]] = {}
        conditions["context"] = self.context >= padded, "1 or more frames with repeat_first='padding'"
        has_area = self.radius != 0 or self.neighbourhood != "circle"
        conditions["radius"] = has_area, "above 0 feature cells for a circle"
        has_near = self.references is None or bool({0, -1} & set(self.references))
        conditions["references"] = has_near, "frame indices with 0 or -1 among them, or None"
        masked = self.first_frame_masked or self.topk is not None or self.radius is None
        conditions["first_frame_masked"] = masked, "True without a topk"
        mixable = everything_in_square and (self.mixture_components or 0) <= window
        conditions["mixture_components"] = (
            self.mixture_components is None or mixable,
            "None unless the neighbourhood is a square with topk=None, and at most its number of cells",
        )
        conditions["border"] = (
            self.border == "exclude" or everything_in_square,
            "'exclude' unless the neighbourhood is a square with topk=None",
        )
        own_context = padded and not self.first_frame_masked and self.topk is not None
        conditions["entering"] = (
            self.entering == "overwrite" or own_context,
            "'overwrite' unless repeat_first is 'padding', the first frame is not masked and topk is a number",
        )
        conditions["topk_ties"] = self.topk_ties == "cut" or self.topk is not None, "'cut' without a topk"
        return conditions


@dataclass(frozen=True)
class PointProtocol(NetworkInput):
    """Every number and rule that affects a point-tracking score.

    Named protocols (`fomo`, `omniprobe`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`) are data, in
    protocols.yaml. All coordinates are raster coordinates: the first pixel's centre is at 0.5, the first cell's centre
    at half a cell, and sizes are converted by multiplication alone.

    Attributes:
        tracking: "direct": match every frame with the query's frame; "chained": match from frame to frame, forward and
            backward from the query; "propagation": propagate a heat-map by label propagation.
        decoding: similarity map to position: "argmax": centre of the best cell; "soft_argmax": mean of the cells
            around it, weighted by the softmax; "expectation": the same over all cells; "topk": over the best `topk`.
            After propagation, "topk" takes the mean of the best pixels of the up-sampled heat-map.
        temperature: divides the similarities before the softmax; None: the square root of the number of channels.
        feature_normalisation: "l2": similarities are cosines; "raw": dot products.
        decoding_radius: radius of "soft_argmax", cells; the distance is strictly below it.
        topk: cells of "topk", or pixels for "propagation".
        occlusion: "none": all points are predicted visible, so OA is the fraction of visible points, whatever the
            network, and AJ counts every hidden point as a false prediction; "similarity": hidden if the
            cosine with the query is below `similarity_threshold`; "cycle": hidden if tracking back misses by
            `cycle_threshold` or more; with "+": hidden if either rule holds. Except for "none", a point outside the
            image is hidden.
        similarity_threshold: cosine.
        cycle_threshold: pixels of the scored size. "chained": the error of the steps to and from a frame; otherwise
            the distance between the query and the match of the found position in the query's frame.
        query_mode: "first": a query in the first visible frame of a track; "strided": in every `query_stride`-th frame
            in which it is visible.
        query_stride: frames from one set of queries to the next, for "strided".
        scored_size: height and width of the frame in which distances are measured, pixels.
        feature_stride: pixels per feature cell.
        context: preceding frames in addition to the query's, for "propagation".
        matches: matches kept per cell over all reference frames, for "propagation".
        radius: radius of the searched neighbourhood, cells, for "propagation"; None: everywhere.
        sigma: standard deviation of a point's heat-map, pixels of the scored size, for "propagation".
        first_size: (height, width) to which frames are resized before `input_size`: by torch's bilinear filter on
            floats, without smoothing, and truncated to 8 bits (OmniProbe). None: no first resize.

    Raises:
        ValueError: for a value out of range.
    """

    tracking: Literal["direct", "chained", "propagation"]
    decoding: Literal["argmax", "soft_argmax", "expectation", "topk"]
    temperature: PositiveFloat | None = 0.05
    feature_normalisation: Literal["l2", "raw"] = "l2"
    decoding_radius: PositiveFloat = 5.0
    topk: PositiveInt = 5
    occlusion: Literal["none", "similarity", "cycle", "similarity+cycle"] = "none"
    similarity_threshold: Cosine = 0.5
    cycle_threshold: PositiveFloat = 3.0
    query_mode: Literal["first", "strided"] = "first"
    query_stride: PositiveInt = 5
    scored_size: PositiveInt = 256
    feature_stride: PositiveInt = field(default=8, metadata=SET_BY_FEATURES)
    context: PositiveInt = 5
    matches: PositiveInt = 10
    radius: PositiveFloat | None = 15.0
    sigma: PositiveFloat = 6.0
    first_size: tuple[PositiveInt, PositiveInt] | None = field(default=None, metadata=IN_A_PASS)

    kind: ClassVar[str] = "points"
    default_benchmark: ClassVar[str] = "tap_vid"

    def propagation(self) -> PropagationProtocol:
        """Return the protocol that propagates the heat-maps, for "propagation"."""
        return PropagationProtocol(
            name="points",
            context=self.context,
            topk=self.matches,
            temperature=self.temperature,  # type: ignore[arg-type]  # propagation has a number
            radius=self.radius,
            feature_normalisation=self.feature_normalisation,
        )

    def _conditions(self) -> dict[str, tuple[bool, str]]:
        propagated = self.tracking == "propagation"
        return {
            "temperature": (self.temperature is not None or not propagated, "a number for propagation"),
            "decoding": (self.decoding == "topk" or not propagated, "'topk' for propagation"),
        }
