"""The protocols of point tracking: every number and rule that affects a score.

Without torch, so that protocols are listed at once.
"""

from typing import Annotated, ClassVar, Literal

from .base import OnlyIf
from .network_input import VideoFeatures
from .ranges import Cosine, PositiveFloat, PositiveInt

SOFT = OnlyIf(lambda p: p.decoding != "argmax", "decoding is not argmax")
BY_SIMILARITY = OnlyIf(lambda p: "similarity" in p.occlusion, "occlusion is by similarity")
BY_CYCLE = OnlyIf(lambda p: "cycle" in p.occlusion, "occlusion is by cycle")
STRIDED = OnlyIf(lambda p: p.query_mode == "strided", "query_mode is strided")


class PointProtocol(VideoFeatures):
    """Every number and rule that affects a point-tracking score.

    Named protocols are data, in protocols.yaml. All coordinates are raster coordinates: the first pixel's centre is at
    0.5, the first cell's centre at half a cell, and sizes are converted by multiplication alone.

    Attributes:
        tracking: "direct": match every frame with the query's frame; "chained": match from frame to frame, forward and
            backward from the query.
        decoding: similarity map to position: "argmax": centre of the best cell; "soft_argmax": mean of the cells less
            than 5 cells from it, weighted by the softmax; "expectation": the same over all cells.
        temperature: divides the similarities before the softmax; None: the square root of the number of channels.
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
        first_size: (height, width) to which frames are resized before `input_size`: by torch's bilinear filter on
            floats, without smoothing, and truncated to 8 bits (OmniProbe). None: no first resize.
    """

    tracking: Literal["direct", "chained"]
    decoding: Literal["argmax", "soft_argmax", "expectation"]
    temperature: Annotated[PositiveFloat | None, SOFT] = 0.05
    occlusion: Literal["none", "similarity", "cycle", "similarity+cycle"] = "none"
    similarity_threshold: Annotated[Cosine, BY_SIMILARITY] = 0.5
    cycle_threshold: Annotated[PositiveFloat, BY_CYCLE] = 3.0
    query_mode: Literal["first", "strided"] = "first"
    query_stride: Annotated[PositiveInt, STRIDED] = 5
    scored_size: PositiveInt = 256
    first_size: tuple[PositiveInt, PositiveInt] | None = None

    kind: ClassVar[str] = "points"
    default_benchmark: ClassVar[str] = "tap_vid"
