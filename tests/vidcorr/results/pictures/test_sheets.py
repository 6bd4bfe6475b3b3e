"""Sheets of clips, features and matches: dots, lines and colours in pixels that are known."""

import numpy as np
import torch
from torch import nn

from tests.helpers.refusal import refused
from vidcorr.functional.propagation.matches import affinity_of_cells
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.pictures import clip_sheet, heat_map_sheet, principal_colours
from vidcorr.results.pictures.overlays import FOUND
from vidcorr.results.pictures.sheets import HALVES

EVERYWHERE = PropagationProtocol("everywhere", context=1, topk=1, temperature=0.01, radius=None, feature_stride=4)


def has(picture, colour, tolerance=12):
    return (np.abs(picture.astype(int) - colour) <= tolerance).all(-1)


def test_each_row_is_a_clip_whose_halves_are_marked():
    clip = torch.linspace(0, 1, 12).view(3, 4, 1, 1, 1).expand(-1, -1, 3, 8, 8)
    sheet = clip_sheet(clip, rows=2, width=20)
    assert sheet.shape == (18 + 2 * (18 + 20) + 4, 4 * 24 - 4, 3)
    for place in range(4):
        assert has(sheet, HALVES[place // 2])[18 + 17, place * 24 + 18]
        assert has(sheet, (round(255 * (4 + place) / 11),) * 3, 1)[18 + 42 + 18 + 5, place * 24 + 5]


def test_colours_are_the_projections_on_the_components():
    features = torch.randn(3, 6, 5, 7) * torch.tensor([9.0, 5, 3, 1, 1, 1]).view(-1, 1, 1)
    colours = principal_colours(features)
    points = nn.functional.normalize(features, dim=1).movedim(1, -1).reshape(-1, 6)
    _, _, axes = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    for number, axis in enumerate(axes[:3]):
        values = (points @ axis) * axis[axis.abs().argmax()].sign()
        ordered = values.sort().values
        expected = ((values - ordered[1]) / (ordered[-2] - ordered[1])).clamp(0, 1)  # 105 places: one at each end
        torch.testing.assert_close(colours[:, number].flatten(), expected, atol=1e-4, rtol=0)
    assert (principal_colours(torch.ones(1, 4, 2, 2)) == 0.5).all()
    assert principal_colours(torch.randn(1, 2, 3, 3))[:, 2].eq(0.5).all()  # two channels have two components


LIIR = PropagationProtocol.named("liir").with_changes(radius=8, references=(0, -1), temperature=0.05)


def brightest(panel):
    """Return y and x of the middle of a panel's brightest pixels."""
    brightness = panel.astype(int).sum(-1)
    y, x = np.nonzero(brightness == brightness.max())
    return y.mean(), x.mean()


def test_the_brightest_place_of_a_heat_map_is_the_matched_cell():
    """With and without Liir's prior, whose maps differ."""
    frames = torch.full((3, 3, 64, 96), 100, dtype=torch.uint8)
    first = nn.functional.normalize(torch.randn(1, 64, 16, 24), dim=1)
    features = torch.cat([first, first.roll((2, 3), (2, 3)), first.roll((4, 6), (2, 3))])
    sheet = heat_map_sheet(features, (10, 16), frames, LIIR, width=96)
    assert sheet.shape == (2 * (18 + 64 + 4) - 4, 3 * 100 - 4, 3)
    for top in range(18, len(sheet), 86):
        row = sheet[top : top + 64]
        assert has(row, FOUND)[42, 66]  # the query; cells are 4 pixels
        assert has(row[:, :96], (100, 100, 100))[:30].all()
        for left, cell in ((100, (6, 10)), (200, (8, 13))):
            expected = 4 * cell[0] + 1.5, 4 * cell[1] + 1.5
            np.testing.assert_allclose(brightest(row[:, left : left + 96]), expected, atol=1)
    assert not np.array_equal(sheet[18:82, 100:], sheet[-64:, 100:])


def test_a_heat_map_spans_what_the_map_covers_and_its_references_stand_in_time_order():
    frames = torch.full((4, 3, 24, 40), 100, dtype=torch.uint8)
    features = nn.functional.normalize(torch.randn(4, 64, 8, 12), dim=1)
    features[1] = features[3]  # all weight lies in frame 1
    protocol = EVERYWHERE.with_changes(context=3)
    assert affinity_of_cells(features, torch.tensor([[2, 3]]), protocol).frames == [0, 1, 2]
    sheet = heat_map_sheet(features, (2, 3), frames, protocol, covered=(32, 48), width=40)
    assert sheet.shape == (18 + 24, 4 * 44 - 4, 3)
    np.testing.assert_allclose(brightest(sheet[18:, 88:128]), (4 * 2 + 1.5, 4 * 3 + 1.5), atol=1)
    refused(ValueError, "points on the map", heat_map_sheet, features, (8, 0), frames, protocol)
