"""Colours of objects differ from each other and from the picture."""

import numpy as np
import pytest

from callbacks.pictures.colours import candidate_colours, distinct_colours, lab_of, rainbow

GREEN = np.full((40, 60, 3), (40, 160, 50), np.uint8)


def distance(a, b):
    return float(np.linalg.norm(lab_of(np.array([a], np.uint8)) - lab_of(np.array([b], np.uint8))))


@pytest.mark.parametrize("picture", [None, GREEN, "noise"], ids=["none", "green", "noise"])
def test_each_is_the_farthest_from_those_before_it_and_from_the_picture(picture):
    """Brute force over all candidates, for pictures whose pixels are known."""
    if isinstance(picture, str):
        picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    candidates = [tuple(colour) for colour in candidate_colours().tolist()]
    found = distinct_colours(5, picture)
    pixels = [] if picture is None else lab_of(picture[:32, :32].reshape(-1, 3))
    away = {
        candidate: np.percentile([np.linalg.norm(lab_of(np.array([candidate], np.uint8))[0] - p) for p in pixels], 5)
        for candidate in candidates
        if len(pixels)
    }

    def room(candidate, before):
        others = (distance(candidate, other) for other in before)
        return min([*([away[candidate]] if away else []), *others], default=np.inf)

    for number, colour in enumerate(found):
        best = max(room(candidate, found[:number]) for candidate in candidates)
        assert room(colour, found[:number]) == pytest.approx(best)


def test_neighbours_have_like_colours():
    colours = np.array(rainbow(np.array([[0, 1.0], [0, 90.0], [0, 2.0]])), float)
    assert np.linalg.norm(colours[0] - colours[2]) < np.linalg.norm(colours[0] - colours[1])
    assert len(set(rainbow(np.random.default_rng(0).random((20, 2))))) == 20
