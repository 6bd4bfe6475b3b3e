"""Pictures whose pixels are known: colours of principal components, matched points, sheets and gaps."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from callbacks.pictures import (
    captioned,
    clip_sheet,
    feature_sheet,
    frame_features,
    gap_histogram,
    grid_points,
    match_sheet,
    principal_colours,
    rasterise,
)
from callbacks.pictures.clip_sheets import HALVES, PLAIN
from callbacks.pictures.match_sheets import COLOURS
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import PropagationProtocol

EVERYWHERE = PropagationProtocol("everywhere", context=1, topk=1, temperature=0.01, radius=None, feature_stride=4)


def has(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) <= tolerance).all(-1)


def test_colours_are_the_projections_on_the_components() -> None:
    features = torch.randn(3, 6, 5, 7) * torch.tensor([9.0, 5, 3, 1, 1, 1]).view(-1, 1, 1)
    colours = principal_colours(features, normalise=False)
    points = features.movedim(1, -1).reshape(-1, 6)
    _, _, axes = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    for number, axis in enumerate(axes[:3]):
        sign = axis[axis.abs().argmax()].sign()
        values = (points @ axis) * sign
        ordered = values.sort().values
        expected = ((values - ordered[1]) / (ordered[-2] - ordered[1])).clamp(0, 1)  # 105 places: one at each end
        torch.testing.assert_close(colours[:, number].flatten(), expected, atol=1e-4, rtol=0)


def test_one_analysis_gives_the_same_content_the_same_colour_whatever_its_sign() -> None:
    features = torch.randn(1, 8, 6, 6)
    twice = torch.cat([features, features.flip(-1)])
    colours = principal_colours(twice)
    torch.testing.assert_close(colours[1], colours[0].flip(-1))
    rotation = torch.eye(8)[:, torch.randperm(8)]
    turned = torch.einsum("dc,tchw->tdhw", rotation, twice)
    torch.testing.assert_close(principal_colours(turned), colours, atol=1e-4, rtol=0)
    assert (principal_colours(torch.ones(1, 4, 2, 2)) == 0.5).all()
    assert principal_colours(torch.randn(1, 2, 3, 3))[:, 2].eq(0.5).all()  # two channels have two components
    with pytest.raises(ValueError, match="T, C, h, w"):
        principal_colours(torch.zeros(1, 4, 1, 1))


class HalfMap(nn.Module):
    """A map that covers more than the frame: sides must be a multiple of 16."""

    multiple, stride = 16, 4

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images[:, :1, ::8, ::8], nn.functional.avg_pool2d(images, 4)]


def test_features_are_those_of_the_padded_frame_and_the_sheet_leaves_the_padding_out() -> None:
    frames = torch.randint(256, (2, 3, 24, 40), dtype=torch.uint8)
    features, covered = frame_features(HalfMap(), frames, EVERYWHERE)
    assert features.shape == (2, 3, 8, 12)
    assert covered == (32, 48)
    torch.testing.assert_close(features[..., :6, :10], nn.functional.avg_pool2d(frames.float() / 255, 4))
    same, _ = frame_features(HalfMap(), frames.float() / 255, EVERYWHERE)
    assert torch.equal(same, features)
    sheet = feature_sheet(frames, features, covered, width=40)
    assert sheet.shape == (18 + 24 + 24, 2 * 40 + 4, 3)
    with pytest.raises(ValueError, match="2 frames, but features of 1"):
        feature_sheet(frames, features[:1])


def test_a_match_is_drawn_where_the_place_went() -> None:
    frames = torch.full((2, 3, 64, 64), 100, dtype=torch.uint8)
    features = torch.randn(1, 16, 16, 16)
    features = torch.cat([features, features.roll((4, 4), (2, 3))])
    point = torch.tensor([[8, 10]])  # it was at 4, 6
    sheet = match_sheet(frames, features, EVERYWHERE, point, width=64)
    query, reference = sheet[18:82, :64], sheet[18:82, 68:132]
    (colour,) = COLOURS[:1]
    assert has(query, colour)[34, 42]  # cells are 4 pixels
    assert has(reference, colour)[18, 26]
    assert has(reference, (100, 100, 100))[:9].all()
    assert not has(reference, (100, 100, 100))[26, 34]  # the line between them


def test_frames_without_weight_are_left_out_and_points_lie_inside() -> None:
    frames, features = torch.rand(6, 3, 32, 32), torch.randn(6, 8, 8, 8)
    protocol = EVERYWHERE.with_changes(context=5, topk=3)
    few = match_sheet(frames, features, protocol, torch.tensor([[0, 0]]), most=1, width=50)
    assert few.shape == (68, 104, 3)
    assert grid_points((9, 12)).tolist()[:4] == [[1, 2], [1, 6], [1, 10], [4, 2]]
    assert match_sheet(frames, features, protocol, width=50).shape[1] == 3 * 54 - 4


def test_each_row_is_a_clip_whose_halves_are_marked() -> None:
    clip = torch.linspace(0, 1, 12).view(3, 4, 1, 1, 1).expand(-1, -1, 3, 8, 8)
    sheet = clip_sheet(clip, rows=2, width=20)
    assert sheet.shape == (22 + 2 * (18 + 20) + 4, 4 * 24 - 4, 3)
    for place in range(4):
        assert has(sheet, HALVES[place // 2])[22 + 17, place * 24 + 18]
        assert has(sheet, (round(255 * (4 + place) / 11),) * 3, 1)[22 + 42 + 18 + 5, place * 24 + 5]
    assert has(clip_sheet(clip[:, :3], width=20), PLAIN)[22 + 17, 18]
    with pytest.raises(ValueError, match=r"clips \(B, T, 3, H, W\)"):
        clip_sheet(clip[0])


def test_the_histogram_counts_every_gap_once() -> None:
    (axes,) = gap_histogram(torch.tensor([[0, 3, 6, 10], [5, 8, 100, 101]])).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert len(heights) <= 40
    assert (sum(heights), heights[0], heights[-1]) == (6, 4, 1)  # gaps 3 3 4 | 3 92 1, three frames to a bar
    assert "frames" in axes.get_xlabel()
    (axes,) = gap_histogram(torch.tensor([[0, 2, 4], [7, 9, 12]])).axes
    assert [bar.get_height() for bar in axes.patches] == [3, 1]
    assert "median gap 2" in axes.get_title()
    assert rasterise(gap_histogram(torch.zeros(2, 2, dtype=torch.long))).shape == (420, 720, 3)
    with pytest.raises(ValueError, match="two frames or more"):
        gap_histogram(torch.zeros(3, 1, dtype=torch.long))


def test_captions_can_be_read_on_any_colour() -> None:
    for colour, ink in (((255, 255, 255), 0), ((20, 40, 90), 255)):
        line = captioned(np.zeros((4, 80, 3), np.uint8), "frame", colour)[:18]
        assert has(line, (ink,) * 3, 40).sum() > 20
        assert has(line, colour, 0).mean() > 0.5


def test_a_real_extractor_finds_a_still_frame_in_place(shared_data) -> None:
    from datamodules.datasets import Davis

    frame = Davis(shared_data / "davis")[0].frame(0)[:, ::4, ::4]
    frames = torch.stack([frame, frame])
    extractor = build_feature_extractor("raw_colour")
    features, covered = frame_features(extractor, frames, PropagationProtocol.named("vfs"))
    assert covered == (120, 214)
    protocol = PropagationProtocol.named("vfs").with_changes(topk=1)
    sheet = match_sheet(frames, features, protocol, covered=covered, width=214)
    query, reference = sheet[18:138, :214], sheet[18:138, 218:]
    changed = np.abs(reference.astype(int) - query).sum(-1) > 0
    assert changed.mean() < 0.1  # nothing but dots and rings at the points themselves
