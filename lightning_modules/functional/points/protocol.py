"""The protocol of point tracking by features, as one frozen record, and those that publications define, as data."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from ..evaluation_protocol import Cosine, PositiveFloat, PositiveInt, Source
from ..propagation.protocol import PropagationProtocol
from ..propagation.sizing import NetworkInput

_LANCZOS = {"input_size": (256, 256), "input_filter": "pillow-lanczos"}
"""The official resizing: mediapy's, which is Pillow's LANCZOS on 8 bits, aspect not kept."""

POINT_SOURCES: dict[str, Source] = {
    "fomo": Source(
        code="gorkaydemir/fomo_point_tracking: zero_shot.py, models/vits.py",
        values={"tap_vid": {"tracking": "direct", "decoding": "argmax", "temperature": 1.0, **_LANCZOS}},
        note="The original enlarges or shrinks the 256 x 256 input so that any backbone has 32 x 32 cells; here the "
        "grid is that of the stride at 256 x 256, which is 32 x 32 at stride 8.",
    ),
    "tapir-matching": Source(
        code="google-deepmind/tapnet: utils/model_utils.py (soft_argmax_heatmap); Chrono's evaluation of frozen "
        "DINOv2, cvlab-kaist/Chrono: models/locotrack_model.py",
        values={"tap_vid": {"tracking": "direct", "decoding": "soft_argmax", "temperature": 0.05, **_LANCZOS}},
        note="The matching that TAPIR starts from, without its learnt refinement and occlusion.",
    ),
    "gmrw-chained": Source(
        code="ayshrv/gmrw @ 4133fe5: test_on_tapvid.py, utils/tracking_utils.py, models/gmrw.py",
        values={
            "tap_vid": {
                "tracking": "chained",
                "decoding": "expectation",
                "temperature": None,
                "feature_normalisation": "raw",
                "occlusion": "cycle",
                "cycle_threshold": 3.0,
                "query_mode": "strided",
                "feature_stride": 4,
                **_LANCZOS,
            }
        },
        note="The original's network sees two frames at a time through a transformer and is fed frames enlarged four "
        "times for its best numbers; features here are those of single frames of 256 x 256. Flow is looked up between "
        "cells rather than between pixels of an up-sampled flow.",
    ),
    "fgvc": Source(
        code="qianduoduolr/FGVC @ 93c6ce3: configs/eval, mmpt/models/trackers/vanilla_tracker.py",
        values={
            "tap_vid": {
                "tracking": "propagation",
                "decoding": "topk",
                "temperature": 0.07,
                "topk": 5,
                "context": 5,
                "matches": 10,
                "radius": 15.0,
                "sigma": 6.0,
                "feature_stride": 2,
                **_LANCZOS,
            }
        },
        note="The original takes a cell's value at its first pixel and reads it at its centre, which shifts points by "
        "half a cell less half a pixel; here both are at the centre. It reports every point as hidden; here all are "
        "visible and only delta is reported.",
    ),
    "vidcorr": Source(
        code="this project",
        note="The two thresholds were chosen by AJ on generated videos and on nothing else: write_tap_vid, 6 videos, "
        "seed 1, camouflage 0.5, features of 21 x 21 pixels at stride 8 and 4, out of 13 cosines and 9 distances. "
        "Looked for again with VFS with negatives trained on real clips: AJ 8.7 with "
        "these, 8.9 with the best pair, so they stayed.",
        values={
            "tap_vid": {
                "tracking": "direct",
                "decoding": "soft_argmax",
                "temperature": 0.05,
                "occlusion": "similarity+cycle",
                "similarity_threshold": 0.3,
                "cycle_threshold": 32.0,
                **_LANCZOS,
            }
        },
    ),
}
"""Name → source. A new protocol is an entry here; it needs code only for a rule that no other has."""


@dataclasses.dataclass(frozen=True)
class PointProtocol(NetworkInput):
    """Every number and rule that moves a point-tracking score.

    Named ones (`fomo`, `tapir-matching`, `gmrw-chained`, `fgvc`, `vidcorr`) are data: see `sources`. Coordinates are
    raster coordinates throughout: the centre of the first pixel is at 0.5, that of the first cell at half a cell, and
    sizes are converted by multiplication alone.

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
            rule holds. Except for "none", a point outside the picture is hidden.
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

    default_benchmark: ClassVar[str] = "tap_vid"

    @classmethod
    def sources(cls) -> Mapping[str, Source]:
        """Return the named protocols: name → source."""
        return POINT_SOURCES

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
