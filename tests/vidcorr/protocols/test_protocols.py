"""The protocols of each kind: a number that moves in a named one moves scores, and no other test might see it.

Also tests `protocols/box_protocols.py`, `protocols/label_protocols.py`, `protocols/network_input.py`,
`protocols/points.py`.
"""

import json
from pathlib import Path

import pytest

from tests.helpers.propagation import protocol
from tests.helpers.refusal import refused
from vidcorr import TrackingProtocol
from vidcorr.protocols import PointProtocol, PropagationProtocol

HERE = Path(__file__)
DIGESTS = HERE.with_name("digests.json")
"""Source and benchmark → digest. Stored results compare by them: they change only where a source was misread."""


def digests(*kinds):
    found = {}
    for kind in kinds:
        for name, source in kind.sources().items():
            for benchmark in source.values:
                found[f"{name} {benchmark}"] = kind.named(name, benchmark).digest()
    return found


def test_no_named_protocol_changes():
    kinds = PropagationProtocol, PointProtocol, TrackingProtocol
    assert digests(*kinds) == json.loads(DIGESTS.read_text())


def test_a_window_in_pixels_or_as_a_share_of_the_side_is_one_choice_for_features_of_any_stride():
    for radius, unit, of_strides in ((48, "pixel", [12, 6]), (0.2, "side", [12, 12]), (None, "pixel", [None, None])):
        window = protocol(radius=radius, radius_unit=unit)
        changed = [window.brought_by_features(feature_stride=stride) for stride in (4, 8)]
        assert [each.radius_in_cells((60, 107)) for each in changed] == of_strides
        assert {each.shared() for each in changed} == {window}
    line = "features have feature_stride 8: leave the change out"
    refused(ValueError, line, changed[0].brought_by_features, feature_stride=8)
    line = r"radius must be above 0 and at most 1 side \(in another unit: radius_unit=pixel or cell\), got 144"
    refused(ValueError, line, PropagationProtocol.named, "vidcorr+radius=144")
    liir = PropagationProtocol.named("liir")
    refused(ValueError, "radius_unit must be 'cell' or 'pixel'", liir.with_changes, radius=0.2, radius_unit="side")


BASES = {"propagation": protocol(), "propagation vip": PropagationProtocol.named("vfs", "vip")}
"""Kind in rules.json → the protocol that is changed."""


@pytest.mark.parametrize("kind", BASES)
def test_fields_that_do_not_fit_each_other_are_refused_and_the_nearest_that_do_are_not(kind):
    """Each entry of rules.json: the field that is refused, if any, and the changes."""
    for field, changes in json.loads(HERE.with_name("rules.json").read_text())[kind]:
        if field:
            refused(ValueError, f"': {field} must be", BASES[kind].with_changes, **changes)
        else:
            BASES[kind].with_changes(**changes)
