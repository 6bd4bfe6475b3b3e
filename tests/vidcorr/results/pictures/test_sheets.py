"""Sheets of clips, features and matches: captions, and colours in pixels that are known."""

import numpy as np
import torch
from torch import nn

from tests.helpers.refusal import refused
from vidcorr.functional.propagation.matches import affinity_of_cells
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.pictures import clip_sheet, feature_sheet, heat_map_sheet, principal_colours
from vidcorr.results.pictures.overlays import FOUND
from vidcorr.results.pictures.sheets import _heated

EVERYWHERE = PropagationProtocol("everywhere", context=1, topk=1, temperature=0.01, radius=None, feature_stride=4)


def has(picture, colour, tolerance=12):
    return (np.abs(picture.astype(int) - colour) <= tolerance).all(-1)


def test_each_row_is_a_clip_whose_halves_are_marked(texts):
    clip = torch.linspace(0, 1, 45).view(9, 5, 1, 1, 1).expand(-1, -1, 3, 8, 8)
    sheet = clip_sheet(clip, torch.arange(45).view(9, 5) + 100, rows=2, width=20)
    assert sheet.shape == (18 + 2 * (18 + 20) + 4, 5 * 24 - 4, 3)
    for place, colour in enumerate([(31, 119, 180)] * 3 + [(214, 108, 14)] * 2):
        assert has(sheet, colour, 0)[18 + 17, place * 24 + 18]
        assert has(sheet, (round(255 * (5 + place) / 44),) * 3, 1)[18 + 42 + 18 + 5, place * 24 + 5]
    assert [text for text, *_ in texts] == [*map(str, range(100, 110)), "frame numbers; orange: second half"]
    assert clip_sheet(clip).shape == (18 + 8 * (18 + 112 + 4) - 4, 5 * 116 - 4, 3)
    assert [text for text, *_ in texts[11:17]] == ["0", "1", "2", "3", "4", "0"]


def test_colours_are_the_projections_on_the_components():
    features = torch.randn(3, 6, 5, 14) * torch.tensor([9.0, 5, 3, 1, 1, 1]).view(-1, 1, 1)
    colours = principal_colours(features)
    points = nn.functional.normalize(features, dim=1).movedim(1, -1).reshape(-1, 6)
    _, _, axes = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    for number, axis in enumerate(axes[:3]):
        values = (points @ axis) * axis[axis.abs().argmax()].sign()
        ordered = values.sort().values
        expected = ((values - ordered[2]) / (ordered[-3] - ordered[2])).clamp(0, 1)  # 210 places: two at each end
        torch.testing.assert_close(colours[:, number].flatten(), expected, atol=1e-4, rtol=0)
    assert (principal_colours(torch.ones(1, 4, 2, 2)) == 0.5).all()
    assert principal_colours(torch.randn(1, 2, 3, 3))[:, 2].eq(0.5).all()  # two channels have two components


def test_features_are_tinted_over_the_grey_frame_below_it(texts):
    frames = torch.tensor([60, 90, 210], dtype=torch.uint8).view(1, 3, 1, 1).repeat(2, 1, 15, 24)
    features = torch.randn(2, 5, 6, 10)
    sheet = feature_sheet(frames, features, covered=(18, 30), width=24)
    assert sheet.shape == (18 + 15 + 15, 2 * 28 - 4, 3)
    tints = 255 * (0.85 * principal_colours(features) + 0.15 * 120 / 255)
    for left, tint in zip((0, 28), tints, strict=True):
        assert has(sheet, (60, 90, 210), 0)[18:33, left : left + 24].all()
        middles = sheet[33 + 1 :: 3, left + 1 : left + 24 : 3]
        np.testing.assert_allclose(middles, tint[:, :5, :8].permute(1, 2, 0), atol=1)
    floats = feature_sheet(frames / 255, features, covered=(18, 30), names="ab", width=24)
    np.testing.assert_allclose(floats.astype(int), sheet, atol=1)
    assert feature_sheet(frames, features).shape == (18 + 2 * 150, 2 * 244 - 4, 3)
    assert [text for text, *_ in texts] == ["frame 0", "frame 1", "a", "b", "frame 0", "frame 1"]


def test_a_hot_place_is_bright_over_a_darkened_picture():
    heated = _heated(np.full((1, 3, 3), 100, np.uint8), torch.tensor([[0, 0.25, 1.0]]))
    assert np.abs(heated[0].astype(int) - [(60, 60, 60), (124, 57, 72), (252, 255, 164)]).max() <= 2


LIIR = PropagationProtocol.named("liir").with_changes(radius=8, references=(0, -1), temperature=0.05)


def brightest(panel):
    """Return y and x of the middle of a panel's brightest pixels."""
    brightness = panel.astype(int).sum(-1)
    y, x = np.nonzero(brightness == brightness.max())
    return y.mean(), x.mean()


def test_the_brightest_place_of_a_heat_map_is_the_matched_cell(texts):
    """With and without Liir's prior, whose maps differ."""
    frames = torch.tensor([40, 100, 160], dtype=torch.uint8).view(1, 3, 1, 1).repeat(3, 1, 64, 96)
    first = nn.functional.normalize(torch.randn(1, 64, 16, 24), dim=1)
    features = torch.cat([first, first.roll((2, 3), (2, 3)), first.roll((4, 6), (2, 3))])
    sheet = heat_map_sheet(features, (10, 16), frames, LIIR, width=96)
    assert sheet.shape == (2 * (18 + 64 + 4) - 4, 3 * 100 - 4, 3)
    for top in range(18, len(sheet), 86):
        row = sheet[top : top + 64]
        marked = np.argwhere(has(row[:, :96], FOUND))  # the query; cells are 4 pixels
        assert (marked.min(0).tolist(), marked.max(0).tolist()) == ([37, 61], [47, 71])
        assert has(row[:, :96], (70, 100, 130), 0)[:30].all()
        assert has(row[:, 100:196], (60, 60, 60), 0)[:2].all()
        for left, cell in ((100, (6, 10)), (200, (8, 13))):
            expected = 4 * cell[0] + 1.5, 4 * cell[1] + 1.5
            np.testing.assert_allclose(brightest(row[:, left : left + 96]), expected, atol=1)
    assert not np.array_equal(sheet[18:82, 100:], sheet[-64:, 100:])
    of_frames = "127% of the label, a cell at most 62.2%", "50% of the label, a cell at most 50.0%"
    assert [text for text, *_ in texts] == [
        "frame 2, with the prior",
        f"frame 0: {of_frames[0]}",
        f"frame 1: {of_frames[0]}",
        "frame 2, without",
        f"frame 0: {of_frames[1]}",
        f"frame 1: {of_frames[1]}",
    ]
    refused(ValueError, "got 3 maps and 2 frames", heat_map_sheet, features, (10, 16), frames[:2], LIIR)


def test_a_heat_map_spans_what_the_map_covers_and_its_references_stand_in_time_order(texts):
    frames = torch.full((8, 3, 24, 40), 100, dtype=torch.uint8)
    features = nn.functional.normalize(torch.randn(8, 64, 8, 12), dim=1)
    features[1] = features[7]  # all weight lies in frame 1
    protocol = EVERYWHERE.with_changes(context=7)
    assert affinity_of_cells(features, torch.tensor([[2, 3]]), protocol).frames == list(range(7))
    sheet = heat_map_sheet(features, (2, 3), frames, protocol, covered=(32, 48), names="abcdefgh", width=40)
    assert sheet.shape == (18 + 24, 6 * 44 - 4, 3)
    captions = [text for text, *_ in texts]
    place = 44 * captions.index("b: 100% of the label, a cell at most 100.0%")
    np.testing.assert_allclose(brightest(sheet[18:, place : place + 40]), (4 * 2 + 1.5, 4 * 3 + 1.5), atol=1)
    assert captions == ["h", *sorted(captions[1:])]
    refused(ValueError, "points on the map", heat_map_sheet, features, (8, 0), frames, protocol)
