"""The protocols of label propagation, of masks and joints: every number and rule that affects a score.

Without torch, so that protocols are listed at once.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from .base import Condition, OnlyIf
from .network_input import VideoFeatures
from .ranges import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Range, UnitInterval

Filter = Literal["bilinear", "bilinear-aligned", "nearest"]
"""Filters for maps: between pixel centres, between corners (align_corners), or the nearest cell."""

Nearest = Literal["pillow", "opencv", "opencv-exact", "torch-exact"]
"""Rules for the nearest pixel: Pillow's NEAREST, OpenCV's INTER_NEAREST (the pixel at or before the corner) and
INTER_NEAREST_EXACT, torch's "nearest-exact". The last two take the pixel under the centre; they differ if the centre
lies between two pixels."""

WITHOUT_LIST = OnlyIf(lambda p: p.references is None, "references is none")
SEVERAL_MATCHES = OnlyIf(lambda p: p.topk != 1, "topk is above 1")
RADIUS = OnlyIf(lambda p: p.radius is not None, "radius is a number")
NEAR = OnlyIf(lambda p: p.radius is not None and p.references is None, "radius is a number, and references is none")
CONTEXT = OnlyIf(lambda p: p.references is None and p.context > 0, "references is none, and context above 0")
MIXED = OnlyIf(lambda p: p.mixture_components is not None, "mixture_components is a number")
NORMALISED = OnlyIf(lambda p: p.normalise_labels, "normalise_labels is true")
FEEDBACK = OnlyIf(
    lambda p: p.context > 0 if p.references is None else set(p.references) != {0},
    "frames after the first are references",
)
RESCALED = OnlyIf(lambda p: p.label_rescaling, "label_rescaling is true")
DECODED_AT_INPUT = OnlyIf(lambda p: p.decoding_size == "input", "decoding_size is input")


class LabelProtocol(VideoFeatures):
    """Base of the protocols of masks and joints: the numbers and rules by which labels propagate from frame to frame.

    Named protocols (`vfs`, `crw`, `dino`, …) are data, in protocols.yaml. If a source defines no values for a
    benchmark, `named` raises; `vidcorr` holds this project's choices, for every benchmark.

    Attributes:
        context: number of preceding frames that are references in addition to the first frame; 0 or more.
        topk: matches kept per query over all reference frames together; the softmax is over these. None: all.
        temperature: divides the dot products before the softmax; above 0.
        radius: radius of the neighbourhood, in the unit of `radius_unit`; None: everywhere.
        radius_unit: "cell" of the features; "pixel" of the input, so that features of any stride search equal areas; or
            "side", the shorter side of the frame, so that frames of any size do.
        neighbourhood: "circle" keeps Euclidean distance < radius, "disc" distance <= radius, "square" |dy| and |dx| <=
            radius.
        first_frame_masked: the neighbourhood also restricts the lasting copy of frame 0.
        repeat_first: "in_window": frame 0 counts once more while it is among the preceding frames (VFS); "padding":
            also once more for every preceding frame before the start of the video (CRW); "never": once (DINO).
        references: frame indices that replace first + context: >= 0 absolute, < 0 relative to the current frame.
            Frames before frame 0 or not yet seen are left out; a frame counts once.
        mixture_components: number of Gaussians that replace each reference's window (Liir, Eq. 7); None: off.
        mixture_above: only windows with a largest weight above it are replaced.
        mixture_width: "fixed": full width at half maximum of 1 cell; "moments": the second moment of the weights around
            a peak, at least the fixed width.
        mixture_weights: weights of the Gaussians: "softmax" of the peaks' weights, or "mass", in proportion to the
            weights of the cells nearest to a peak.
        topk_ties: "cut": exactly topk matches, chosen arbitrarily among equals; "kept": also all matches equal to the
            last of them (DINO).
        normalise_labels: divide the propagated labels of a cell by the sum that `normalise_by` names.
        normalise_by: "labels": their sum over the channels (masks: labels sum to 1); "weights": the sum of the
            references' weights (joints: labels sum to anything), which is 1 with a topk.
        foreground_gain: factor on the propagated channels 1…; 1 is off.
        border: treatment of the window outside the map: "exclude" leaves it out, "zero" gives it logit 0 and no label.
        precision: data type of the compared features and of the labels.
        rule: name of a user's `LabelPropagator`, which the benchmark sets; None is this project's.
        label_feedback: labels with which a tracked frame becomes a reference: its "soft" labels, or "hard": their
            argmax at input size, of which every feature_stride-th pixel is taken.
    """

    context: Annotated[NonNegativeInt, WITHOUT_LIST]
    topk: PositiveInt | None
    temperature: Annotated[PositiveFloat, SEVERAL_MATCHES]
    radius: NonNegativeFloat | None
    neighbourhood: Annotated[Literal["circle", "disc", "square"], RADIUS] = "circle"
    first_frame_masked: Annotated[bool, NEAR] = True
    repeat_first: Annotated[Literal["in_window", "padding", "never"], CONTEXT] = "in_window"
    references: tuple[int, ...] | None = None
    mixture_components: PositiveInt | None = None
    topk_ties: Literal["cut", "kept"] = "cut"
    normalise_labels: bool = False
    normalise_by: Annotated[Literal["labels", "weights"], NORMALISED] = "labels"
    foreground_gain: PositiveFloat = 1.0
    border: Literal["exclude", "zero"] = "exclude"
    precision: Literal["float32", "float64"] = "float32"
    label_feedback: Annotated[Literal["soft", "hard"], FEEDBACK] = "soft"
    radius_unit: Annotated[Literal["cell", "pixel", "side"], RADIUS] = "cell"
    rule: str | None = None
    mixture_above: Annotated[UnitInterval, MIXED] = 0.1
    mixture_width: Annotated[Literal["fixed", "moments"], MIXED] = "fixed"
    mixture_weights: Annotated[Literal["softmax", "mass"], MIXED] = "softmax"

    kind: ClassVar[str] = "propagation"
    own_context: ClassVar[Any] = False
    """True if each object has references of its own, from its start frame on; in protocols of masks a property."""

    def radius_in_cells(self, grid: tuple[int, int]) -> float | None:
        """Return the radius of the neighbourhood in cells of a feature map (h, w); None: everywhere.

        Example:
            >>> vfs = PropagationProtocol.named("vfs", changes={"radius": 48, "radius_unit": "pixel"})
            >>> vfs.radius_in_cells((60, 107))
            6.0
            >>> share = vfs.with_changes(radius=0.2, radius_unit="side")
            >>> [share.radius_in_cells(grid) for grid in ((60, 107), (107, 60), (120, 214), (35, 40))]
            [12.0, 12.0, 24.0, 7.0]
            >>> share.with_changes(radius=0.7).radius_in_cells((90, 160)), 0.7 * 90
            (63.0, 62.99999999999999)
        """
        if self.radius is None or self.radius_unit == "cell":
            return self.radius
        if self.radius_unit == "pixel":
            return self.radius / self.feature_stride
        # rounding keeps 12 cells at 12: distances are compared with <
        return round(self.radius * min(grid), 6)

    def reference_frames(self, frame: int, start: int = 0) -> list[int]:
        """Return the indices of the reference frames of a frame, ascending; a repeated index counts twice.

        They are `references`, or without these the start and the `context` frames before the frame, by `repeat_first`.
        `start` takes the place of frame 0 for an object with `own_context` that starts later. A subclass with another
        memory overrides this method and `kept_frames`.

        Example:
            >>> vfs, liir = (PropagationProtocol.named(name) for name in ("vfs", "liir"))
            >>> vfs.with_changes(context=3).reference_frames(9), vfs.reference_frames(2), liir.reference_frames(9)
            ([0, 6, 7, 8], [0, 0, 1], [0, 4, 5, 6, 8])
        """
        if self.references is not None:
            chosen: set[int] = set()
            for reference in self.references:
                index = reference or start
                if reference < 0:
                    index = frame + reference
                if start <= index < frame:
                    chosen.add(index)
            return sorted(chosen)
        oldest = max(frame - self.context, start)
        if self.repeat_first == "never":
            # leaves the start out of the recent frames
            oldest = max(oldest, start + 1)
        recent = range(oldest, frame)
        padding = [start] * (self.context - len(recent)) if self.repeat_first == "padding" else []
        return [start, *padding, *recent]

    def kept_frames(self) -> tuple[tuple[int, ...], int]:
        """Return what memory has to hold: indices of frames kept to the end, and the number of latest frames.

        Example:
            >>> PropagationProtocol.named("vfs").kept_frames(), PropagationProtocol.named("liir").kept_frames()
            (((0,), 20), ((0, 5), 5))
        """
        if self.references is None:
            return (0,), self.context
        kept = tuple(frame for frame in self.references if frame >= 0)
        # the smallest reference reaches farthest back; `_conditions` wants 0 or -1, so `latest` is never below 0
        latest = -min(self.references)
        return kept, latest

    @property
    def pads_start(self) -> bool:
        """True if the first frame stands in for the context frames before the start of the video."""
        return self.repeat_first == "padding" and self.references is None

    def _conditions(self) -> Iterator[Condition]:
        # padding repeats frame 0 up to `context`
        has_context = self.context > 0 or not self.pads_start
        yield Condition("context", has_context, "1 or more frames with repeat_first='padding'")
        if self.radius_unit == "side" and self.radius is not None:
            in_sides = "above 0 and at most 1 side (in another unit: radius_unit=pixel or cell)"
            yield Condition("radius", 0 < self.radius <= 1, in_sides)
        else:
            # a circle's distances are below the radius
            has_area = self.radius != 0 or self.neighbourhood != "circle"
            yield Condition("radius", has_area, "above 0 feature cells for a circle")
        # else frame 1, whose only earlier frame is 0, has no reference
        has_first_or_last = self.references is None or not {0, -1}.isdisjoint(self.references)
        yield Condition("references", has_first_or_last, "frame indices with 0 or -1 among them, or None")
        # without a topk all cells are averaged, and frame 0 then needs the same neighbourhood as the other references
        fits_first = self.first_frame_masked or self.topk is not None or self.radius is None
        yield Condition("first_frame_masked", fits_first, "True without a topk")
        # a window of P x P cells, as the mixture and the cells beyond the border need it
        takes_whole_square = self.topk is None and self.radius is not None and self.neighbourhood == "square"
        unless = "unless the neighbourhood is a square with topk=None"
        if self.mixture_components is not None:
            yield Condition("radius_unit", self.radius_unit != "side", "'cell' or 'pixel' with a mixture")
            # any grid will do: only a radius in sides depends on it, and that was just refused
            cells_of_square = (2 * math.floor(self.radius_in_cells(grid=(0, 0)) or 0) + 1) ** 2
            fits_square = takes_whole_square and self.mixture_components <= cells_of_square
            yield Condition("mixture_components", fits_square, f"None {unless}, and at most its number of cells")
        yield Condition("border", self.border == "exclude" or takes_whole_square, f"'exclude' {unless}")
        yield Condition("topk_ties", self.topk_ties == "cut" or self.topk is not None, "'cut' without a topk")


class JointProtocol(LabelProtocol):
    """Every number and rule that affects a score of propagated joints, or of other points as heat-maps.

    Attributes:
        keypoint_sigma: standard deviation of a joint's Gaussian.
        keypoint_unit: unit of keypoint_sigma: "pixel" of the input or "cell" of the feature map.
        keypoint_topk: the joint is the weighted mean of this number of best positions.
        keypoint_grid: search the best positions in heat-maps of "input" size (up-sampled bilinearly) or "feature" size.
        keypoint_counting: which joints count: "prediction-visible" (VFS: predicted x > 0, frame 0 included), "crw"
            (predicted x >= 0, frame 0 excluded), "ground-truth" (annotated inside the image, frame 0 excluded).
    """

    keypoint_sigma: PositiveFloat = 4.0
    keypoint_unit: Literal["pixel", "cell"] = "pixel"
    keypoint_topk: PositiveInt = 5
    keypoint_grid: Literal["input", "feature"] = "input"
    keypoint_counting: Literal["prediction-visible", "crw", "ground-truth"] = "prediction-visible"

    default_benchmark: ClassVar[str] = "jhmdb"


class PropagationProtocol(LabelProtocol):
    """Every number and rule that affects a score of propagated masks.

    Attributes:
        resized_data: (height, width): resize frames and annotations first, by Pillow's nearest pixel; save the frames
            as JPEG (quality 75) and read them again; decode and score masks at this size. None: the original data.
        entering: labels of objects that start later "overwrite" propagated labels; "own-context": references of an
            object begin at its start frame, and the labels of all start frames are added up (HVC).
        label_encoding: annotation to feature grid: "nearest" (Pillow's pixel), "nearest-exact" (under the cell's
            centre), "bilinear" and "bilinear-aligned" (of the one-hot map, between pixel centres or corners), or
            "strided" (every feature_stride-th pixel of the mask from its corner; if frames are resized, cell i of a
            side with n cells takes the mask's pixel floor(i · side / n)).
        label_size: encode the annotation at the size of the "annotation", or resize it to the "input" size first, by
            OpenCV's nearest pixel.
        label_rescaling: min-max of the up-sampled channels over the image before the argmax.
        label_rescaling_floor: rescale only channels with a maximum above this, so that the trace of an object that
            has left is not amplified; 0 rescales all channels that are not empty.
        decoding_size: take the argmax at the "annotation" size, or at the "input" size (feature map times stride),
            then resize it by nearest pixel.
        decoding_filter: up-sampling of soft labels to that size: "bilinear" (align_corners False),
            "bilinear-aligned" (align_corners True) or "nearest".
        decoding_nearest: whose nearest pixel resizes the argmax from the input size.
        decoding_guidance: radius of a guided filter (He et al. 2010), as a share of the shorter side; 0 is off. Before
            the argmax, the filter moves the outlines of the up-sampled labels to edges of their frame.
        first_frame: predicted mask of frame 0: the mask "given", or the "decoded" labels.
    """

    resized_data: tuple[PositiveInt, PositiveInt] | None = None
    entering: Literal["overwrite", "own-context"] = "overwrite"
    label_encoding: Literal["nearest", "nearest-exact", "bilinear", "bilinear-aligned", "strided"] = "nearest"
    label_size: Literal["annotation", "input"] = "annotation"
    label_rescaling: bool = True
    label_rescaling_floor: Annotated[float, Range(ge=0, lt=1), RESCALED] = 0.0
    decoding_size: Literal["annotation", "input"] = "annotation"
    decoding_filter: Filter = "bilinear"
    decoding_nearest: Annotated[Nearest, DECODED_AT_INPUT] = "pillow"
    decoding_guidance: UnitInterval = 0.0
    first_frame: Literal["given", "decoded"] = "given"

    class_for: ClassVar[Mapping[str, Any]] = {JointProtocol.default_benchmark: JointProtocol}

    @property
    def own_context(self) -> bool:
        """True if the references of an object that starts later begin at its start frame."""
        return self.entering == "own-context"

    def _conditions(self) -> Iterator[Condition]:
        yield from super()._conditions()
        if self.own_context:
            # as HVC's code has it: a start frame is searched everywhere, and repeated as padding
            fits_references = self.pads_start and not self.first_frame_masked and self.topk is not None
            unless = "unless repeat_first is 'padding', the first frame is not masked and topk is a number"
            yield Condition("entering", fits_references, f"'overwrite' {unless}")
        # the filter's guide is the frame, at the size of the annotation
        if self.decoding_guidance > 0:
            yield Condition("decoding_guidance", self.decoding_size == "annotation", "0 with decoding_size='input'")
