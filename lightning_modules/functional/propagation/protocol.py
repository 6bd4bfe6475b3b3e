"""The protocol of label propagation: every number and rule that affects a score, as one frozen record."""

import dataclasses
import math
from typing import Annotated, ClassVar, Literal

from ..evaluation_protocol import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    UnitInterval,
)
from .network_input import Filter, Nearest, NetworkInput


@dataclasses.dataclass(frozen=True)
class PropagationProtocol(NetworkInput):
    """Every number and rule that affects a label-propagation score.

    Named protocols (`vfs`, `crw`, `dino`, …) are data: see protocols.yaml. Where a source defines no values for a
    benchmark, `named` raises; `vidcorr` holds this project's own choices, for every benchmark.

    Attributes:
        resized_data: (height, width) to which frames and annotations are brought first, by Pillow's nearest pixel, the
            frames then saved as JPEG (quality 75) and read again; masks are decoded and scored at this size. None: the
            data are taken as they are.
        context: number of preceding frames that are references in addition to the first one; 0 or more.
        topk: matches kept per query over all reference frames together; the softmax is over these. None: all.
        temperature: divides the dot products before the softmax; above 0.
        radius: radius of the neighbourhood, in feature cells; None: everywhere.
        neighbourhood: "circle" keeps Euclidean distance < radius, "disc" distance <= radius, "square" |dy| and |dx| <=
            radius.
        first_frame_masked: the neighbourhood also restricts the lasting copy of frame 0.
        repeat_first: "in_window": frame 0 counts once more while it is among the preceding frames (VFS); "padding":
            also once more for every preceding frame before the start of the video (CRW); "never": once (DINO).
        references: frame numbers that replace first + context: >= 0 absolute, < 0 relative to the current frame; those
            before frame 0 or not yet seen are left out, and each frame counts once.
        mixture_components: number of Gaussians that replace each reference's window (Liir, Eq. 7); None: off.
        mixture_threshold: only windows whose largest weight is above it are replaced.
        mixture_width: "fixed": full width at half maximum of 1 cell; "moments": second moment of the affinity.
        mixture_weights: "softmax" of the peaks, or the "mass" around each, see `compact_affinity`.
        topk_ties: "cut": exactly topk matches, of equal ones any; "kept": all that equal the last of them too (DINO).
        normalise_labels: divide propagated labels at each cell by what `normalise_by` names.
        normalise_by: "labels": their sum over the channels (masks, whose labels sum to 1); "weights": the sum of the
            references' weights (joints, whose labels sum to anything), which is 1 with a topk.
        foreground_gain: factor on the propagated channels 1…; 1 is off.
        border: treatment of the window outside the map: "exclude" leaves it out, "zero" gives it logit 0 and no label.
        feature_normalisation: "l2" over the channels (eps 1e-12) or "raw".
        feature_stride: input pixels per feature cell.
        precision: data type of features and labels while they propagate.
        entering: labels of objects that start later "overwrite" what was propagated; or, with "own-context", each start
            frame has its own references, from itself on, and their labels are added up (HVC).
        label_encoding: annotation to feature grid: "nearest" (Pillow's pixel), "nearest-exact" (under the cell's
            centre), "bilinear" and "bilinear-aligned" (of the one-hot map, between pixel centres or corners), or
            "strided" (every feature_stride-th pixel from the corner).
        label_size: the annotation is coded at its own size ("annotation"), or first brought to the "input" size by
            OpenCV's nearest pixel.
        label_feedback: "soft" labels, or "hard": the argmax at input size, sampled as by "strided".
        label_rescaling: min-max of each up-sampled channel over the image before the argmax.
        label_rescaling_floor: only channels with a maximum above this are rescaled, so that the trace that an object
            leaves behind is not; 0 rescales all that are not empty. See `decode_masks`.
        decoding_size: the argmax is taken at the "annotation" size, or at the "input" size (feature map times stride),
            whose result is then resized by nearest pixel.
        decoding_filter: how soft labels are up-sampled to that size: "bilinear" (align_corners False),
            "bilinear-aligned" (align_corners True) or "nearest".
        decoding_nearest: whose nearest pixel the argmax at the input size is resized by, see `Nearest`.
        first_frame: the mask of frame 0 that comes out: the one "given", or the "decoded" labels.
        keypoint_sigma: standard deviation of a joint's Gaussian.
        keypoint_unit: unit of keypoint_sigma: "pixel" of the input or "cell" of the feature map.
        keypoint_topk: number of best positions whose weighted mean is the joint.
        keypoint_grid: where these positions are searched: the "input" size (up-sampled bilinearly) or the "feature"
            map.
        keypoint_counting: which joints count: "prediction-visible" (VFS: predicted x > 0, frame 0 included), "crw"
            (predicted x >= 0, frame 0 excluded), "ground-truth" (annotated inside the image, frame 0 excluded).

    Raises:
        ValueError: for a value out of range.
    """

    context: NonNegativeInt
    topk: PositiveInt | None
    temperature: PositiveFloat
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
    normalise_labels: bool = False
    normalise_by: Literal["labels", "weights"] = "labels"
    foreground_gain: PositiveFloat = 1.0
    border: Literal["exclude", "zero"] = "exclude"
    feature_normalisation: Literal["l2", "raw"] = "l2"
    feature_stride: PositiveInt = 8
    precision: Literal["float32", "float64", "float16", "bfloat16"] = "float32"
    entering: Literal["overwrite", "own-context"] = "overwrite"
    label_encoding: Literal["nearest", "nearest-exact", "bilinear", "bilinear-aligned", "strided"] = "nearest"
    label_size: Literal["annotation", "input"] = "annotation"
    label_feedback: Literal["soft", "hard"] = "soft"
    label_rescaling: bool = True
    label_rescaling_floor: Annotated[float, Range(ge=0, lt=1)] = 0.0
    decoding_size: Literal["annotation", "input"] = "annotation"
    decoding_filter: Filter = "bilinear"
    decoding_nearest: Nearest = "pillow"
    first_frame: Literal["given", "decoded"] = "given"
    keypoint_sigma: PositiveFloat = 4.0
    keypoint_unit: Literal["pixel", "cell"] = "pixel"
    keypoint_topk: PositiveInt = 5
    keypoint_grid: Literal["input", "feature"] = "input"
    keypoint_counting: Literal["prediction-visible", "crw", "ground-truth"] = "prediction-visible"
    resized_data: tuple[PositiveInt, PositiveInt] | None = None

    kind: ClassVar[str] = "propagation"

    def _conditions(self) -> dict[str, tuple[bool, str]]:
        padded = self.repeat_first == "padding" and self.references is None
        everything_in_square = self.topk is None and self.radius is not None and self.neighbourhood == "square"
        window = (2 * math.floor(self.radius or 0) + 1) ** 2
        return {
            "context": (self.context >= padded, "1 or more frames with repeat_first='padding'"),
            "radius": (self.radius != 0 or self.neighbourhood != "circle", "above 0 feature cells for a circle"),
            "references": (
                self.references is None or bool({0, -1} & set(self.references)),
                "frame numbers with 0 or -1 among them, or None",
            ),
            "first_frame_masked": (
                self.first_frame_masked or self.topk is not None or self.radius is None,
                "True without a topk",
            ),
            "mixture_components": (
                self.mixture_components is None or (everything_in_square and self.mixture_components <= window),
                "None unless the neighbourhood is a square with topk=None, and at most its number of cells",
            ),
            "border": (
                self.border == "exclude" or everything_in_square,
                "'exclude' unless the neighbourhood is a square with topk=None",
            ),
            "entering": (
                self.entering == "overwrite" or (padded and not self.first_frame_masked and self.topk is not None),
                "'overwrite' unless repeat_first is 'padding', the first frame is not masked and topk is a number",
            ),
            "topk_ties": (self.topk_ties == "cut" or self.topk is not None, "'cut' without a topk"),
        }
