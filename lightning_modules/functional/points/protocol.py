"""The protocol of point tracking by features: every number that affects a score, as one frozen record."""

import dataclasses
from typing import ClassVar, Literal

from ..evaluation_protocol import Cosine, PositiveFloat, PositiveInt
from ..propagation.network_input import NetworkInput
from ..propagation.protocol import PropagationProtocol


@dataclasses.dataclass(frozen=True)
class PointProtocol(NetworkInput):
    """Every number and rule that moves a point-tracking score.

    Named ones (`fomo`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`) are data: see protocols.yaml. Coordinates
    are raster coordinates throughout: the centre of the first pixel is at 0.5, that of the first cell at half a cell,
    and sizes are converted by multiplication alone.

    Attributes:
        tracking: "direct": each frame is matched with the query's frame; "chained": from frame to frame, forward and
            backward from the query; "propagation": a heat-map is propagated by label propagation.
        decoding: of a similarity map to a position: "argmax": centre of the best cell; "soft_argmax": mean of the cells
            around it, weighted by the softmax; "expectation": the same over all cells; "topk": over the best `topk`.
            For "propagation", "topk" is the mean of the best pixels of the up-sampled heat-map.
        temperature: divides the similarities before the softmax; None: the square root of the number of channels.
        feature_normalisation: "l2": similarities are cosines; "raw": dot products.
        decoding_radius: radius of "soft_argmax", cells; the distance is strictly below it.
        topk: cells of "topk", or pixels for "propagation".
        occlusion: "none": every point is predicted to be visible, so AJ and OA mean little; "similarity": hidden where
            the cosine with the query is below `similarity_threshold`; "cycle": hidden where tracking back misses by
            `cycle_threshold` or more; "anchors": hidden where tracking again to the frames that resemble the query
            misses by more than from those frames (DINO-Tracker, see `compare_with_anchors`); with "+": where either
            rule holds. Except for "none", a point outside the image is hidden.
        similarity_threshold: cosine.
        cycle_threshold: pixels of the scored size. "chained": the error of the step to a frame and of the step from
            it; otherwise the distance between the query and the match in its frame of the position that was found.
        anchor_similarity: cosine with the query from which on a frame is an anchor, for "anchors".
        query_mode: "first" or "strided", see `sample_queries`.
        query_stride: frames from one set of queries to the next, for "strided".
        scored_size: height and width in which distances are measured, pixels.
        feature_stride: pixels per feature cell.
        context: preceding frames in addition to the query's, for "propagation".
        matches: matches kept of a cell over all reference frames, for "propagation".
        radius: radius of the neighbourhood in which matches are sought, cells, for "propagation"; None: everywhere.
        sigma: standard deviation of a point's heat-map, pixels of the scored size, for "propagation".

    Raises:
        ValueError: for a value out of range.
    """

    tracking: Literal["direct", "chained", "propagation"]
    decoding: Literal["argmax", "soft_argmax", "expectation", "topk"]
    temperature: PositiveFloat | None = 0.05
    feature_normalisation: Literal["l2", "raw"] = "l2"
    decoding_radius: PositiveFloat = 5.0
    topk: PositiveInt = 5
    occlusion: Literal["none", "similarity", "cycle", "similarity+cycle", "anchors", "similarity+anchors"] = "none"
    similarity_threshold: Cosine = 0.5
    cycle_threshold: PositiveFloat = 3.0
    anchor_similarity: Cosine = 0.7
    query_mode: Literal["first", "strided"] = "first"
    query_stride: PositiveInt = 5
    scored_size: PositiveInt = 256
    feature_stride: PositiveInt = 8
    context: PositiveInt = 5
    matches: PositiveInt = 10
    radius: PositiveFloat | None = 15.0
    sigma: PositiveFloat = 6.0

    kind: ClassVar[str] = "points"
    default_benchmark: ClassVar[str] = "tap_vid"

    def propagation(self) -> PropagationProtocol:
        """Return the protocol that propagates the heat-maps, for "propagation"."""
        return PropagationProtocol(
            name="points",
            context=self.context,
            topk=self.matches,
            temperature=self.temperature,  # type: ignore[arg-type]  # a number for propagation, see `_conditions`
            radius=self.radius,
            feature_normalisation=self.feature_normalisation,
        )

    def _conditions(self) -> dict[str, tuple[bool, str]]:
        propagated = self.tracking == "propagation"
        return {
            "temperature": (self.temperature is not None or not propagated, "a number for propagation"),
            "decoding": (self.decoding == "topk" or not propagated, "'topk' for propagation"),
        }
