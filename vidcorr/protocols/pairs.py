"""The protocols of keypoint matching between two pictures: every number and rule that affects a score.

Without torch, so that protocols are listed at once.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from .base import SET_BY_NETWORK, Condition, OnlyIf
from .network_input import NetworkView
from .ranges import NonNegativeInt, PositiveFloat, PositiveInt

SOFT = OnlyIf(lambda p: p.decoding == "expectation", "decoding is expectation")
PADDED = OnlyIf(lambda p: p.input_fit != "stretched", "pictures are not stretched")
OF_CELLS = OnlyIf(lambda p: p.upsampling == "cells", "upsampling is cells")
DRAWN = OnlyIf(lambda p: p.pairs != "all", "pairs are drawn")


class MatchingProtocol(NetworkView):
    """Every number and rule that affects a score of keypoint matching.

    Named protocols (`dift`, `sd-dino`, `geoaware`, `insid3`, `probe3d`) are data, in protocols.yaml. Points are x, y
    in pixels, as the data sets' files have them; no code adds half a pixel. The frame is the picture itself if
    pictures are stretched, and otherwise the padded square of side `input_size`.

    Attributes:
        input_size: side of the network's input, pixels; (height, width) if pictures are stretched.
        input_fit: "stretched"; "centred": longer side resized, shorter side padded equally; "corner": padded at the
            right and below, then resized.
        padding: "black" or "white".
        input_filter: Pillow's, on 8 bits, smoothed before shrinking.
        feature_stride: pixels of the input per cell; the network sets it.
        upsampling: match "cells", or the pixels of the "frame" after bilinear upsampling of the features.
        integer_points: points are truncated to whole pixels of the frame (Probe3D).
        sampling: the source descriptor is the cell at x · cells / side rounded down ("floor"), or to the nearest even
            ("round"); or "aligned": bilinear at x · (cells - 1) / side.
        decoding: "argmax": the most similar cell, the first among equals; "expectation": the mean of all cells,
            weighted by the softmax.
        temperature: divides the similarities before the softmax.
        window: for "expectation", number of cells from the argmax in x or y; None: no window.
        window_outside: similarities beyond the window become "zero", and keep a weight, which counts if the largest
            similarity is low; or they are "excluded" (OmniProbe).
        kernel: for "expectation", multiply similarities by a Gaussian around the argmax; standard deviation, cells.
        answer: point of a cell that is the answer: its "centre", its "corner", or its "pixel-centre", half a pixel
            before the centre.
        reference: length that thresholds multiply: longer side of the target's annotated "box", or of the target
            "image".
        thresholds: fractions of the reference length.
        inclusive: a distance equal to the threshold is correct.
        compared: compare the distance with threshold · length ("product"), or distance / length with the threshold.
        compared_in: precision of the comparison; "float32-thresholds": float64, with thresholds rounded to float32.
        average: average that is reported first. "image": over pairs, of a pair's fraction of correct points; "point":
            over all points; "class": over classes, of a class's fraction of correct points; "weighted": the same, with
            classes weighted by their numbers of pairs.
        pairs: "all"; "subset": the sorted list, shuffled per class and viewpoint difference by Python from seed 20.
        pairs_per_class: number of pairs in a draw.

    Raises:
        ValueError: for a value out of range.
    """

    input_size: PositiveInt | tuple[PositiveInt, PositiveInt]
    input_fit: Literal["stretched", "centred", "corner"] = "stretched"
    padding: Annotated[Literal["black", "white"], PADDED] = "black"
    input_filter: Literal["pillow-bilinear", "pillow-bicubic", "pillow-lanczos"] = "pillow-bicubic"
    feature_stride: Annotated[PositiveInt, SET_BY_NETWORK] = 16
    upsampling: Literal["cells", "frame"] = "cells"
    integer_points: bool = False
    sampling: Literal["floor", "round", "aligned"]
    decoding: Literal["argmax", "expectation"] = "argmax"
    temperature: Annotated[PositiveFloat, SOFT] = 0.02
    window: NonNegativeInt | None = None
    window_outside: Literal["zero", "excluded"] = "zero"
    kernel: PositiveFloat | None = None
    answer: Annotated[Literal["centre", "pixel-centre", "corner"], OF_CELLS]
    reference: Literal["box", "image"] = "box"
    thresholds: tuple[PositiveFloat, ...] = (0.1,)
    inclusive: bool
    compared: Literal["product", "fraction"] = "product"
    compared_in: Literal["float64", "float32", "float32-thresholds"] = "float64"
    average: Literal["image", "point", "class", "weighted"]
    pairs: Literal["all", "subset"] = "all"
    pairs_per_class: Annotated[PositiveInt, DRAWN] = 20

    kind: ClassVar[str] = "matching"
    default_benchmark: ClassVar[str] = "spair"

    @property
    def input_sides(self) -> tuple[int, int]:
        """Height and width of the network's input.

        Example:
            >>> dift = MatchingProtocol.named("dift")
            >>> dift.input_sides, dift.with_changes(input_size=[480, 640]).input_sides
            ((768, 768), (480, 640))
        """
        if isinstance(self.input_size, tuple):
            return self.input_size
        return (self.input_size, self.input_size)

    def _conditions(self) -> Iterator[Condition]:
        """Yield the rules between fields: field, whether the rule holds, and what is expected of the field.

        `__init__` refuses values that break a rule.
        """
        is_stretched = self.input_fit == "stretched"
        fits_padding = is_stretched or isinstance(self.input_size, int)
        yield Condition("input_size", fits_padding, "the side of a square for padded pictures")
        fits_upsampling = self.upsampling == "cells" or self.sampling != "aligned"
        yield Condition("sampling", fits_upsampling, "'floor' or 'round' if upsampled")
        # whole pixels are those of a padded square
        yield Condition("integer_points", not (self.integer_points and is_stretched), "False for stretched pictures")
        # "expectation" is a mean over cells; a window or a kernel, not both, weights those near the argmax
        is_mean = self.decoding == "expectation"
        takes_window = is_mean and self.kernel is None
        yield Condition("window", takes_window or self.window is None, "None but for an 'expectation' without a kernel")
        fits_window = self.window is not None or self.window_outside == "zero"
        yield Condition("window_outside", fits_window, "'zero' without a window")
        yield Condition("kernel", is_mean or self.kernel is None, "None except for an 'expectation'")
        yield Condition("thresholds", bool(self.thresholds), "not empty")
