"""Point protocols: their sources' values, names of changes, and what is refused."""

import pytest

from lightning_modules.functional.points import PointProtocol


def test_propagation_takes_its_numbers_from_the_protocol():
    carried = PointProtocol.named("fgvc", "tap_vid").propagation()
    assert (carried.context, carried.topk, carried.temperature, carried.radius) == (5, 10, 0.07, 15)
    assert (carried.repeat_first, carried.first_frame_masked, carried.neighbourhood) == ("in_window", True, "circle")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature must be greater than 0 or None, got 0"),
        ({"similarity_threshold": 2.0}, "similarity_threshold must be less than or equal to 1, got 2"),
        ({"occlusion": "guess"}, "occlusion must be 'none', "),
        ({"tracking": "propagation"}, "decoding must be 'topk' for propagation"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PointProtocol.named("fomo", "tap_vid").with_changes(**change)
