"""The point-tracking protocols that publications define, as data: one entry per name."""

from ..evaluation_protocol import Source

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
        "Looked for again with VFS with negatives trained on real clips (tests/speed/point_thresholds.py): AJ 8.7 with "
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
