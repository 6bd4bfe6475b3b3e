"""The numbers of the named point protocols."""

import pytest

from lightning_modules.functional.points import PointProtocol
from lightning_modules.functional.points.protocol import POINT_SOURCES


@pytest.mark.parametrize(
    ("name", "tracking", "decoding", "occlusion", "mode"),
    [
        ("fomo", "direct", "argmax", "none", "first"),
        ("tapir-matching", "direct", "soft_argmax", "none", "first"),
        ("gmrw-chained", "chained", "expectation", "cycle", "strided"),
        ("fgvc", "propagation", "topk", "none", "first"),
        ("vidcorr", "direct", "soft_argmax", "similarity+cycle", "first"),
    ],
)
def test_named_protocols(name, tracking, decoding, occlusion, mode):
    rules = PointProtocol.named(name, "tap_vid")
    assert (rules.tracking, rules.decoding, rules.occlusion, rules.query_mode) == (tracking, decoding, occlusion, mode)
    assert (rules.input_size, rules.input_filter, rules.scored_size) == ((256, 256), "pillow-lanczos", 256)
    assert POINT_SOURCES[name].code
