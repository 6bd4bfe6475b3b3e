"""Points followed through pictures: features are kept as far as they fit, and maps are kept separate."""

import numpy as np
import pytest
import torch
from torch import nn

from callbacks.tracking.point_tracker import PointTracker
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional.points import PointProtocol

RULES = PointProtocol.named("fomo", "tap_vid").with_changes(scored_size=64, input_size=None)
QUERIES = np.array([[0.0, 20, 28], [2.0, 44, 12]])


def video(t: int) -> torch.Tensor:
    return torch.randint(256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(t))


def test_a_still_point_stays_and_features_that_do_not_fit_are_made_again() -> None:
    asked: list[int] = []

    def still(t: int) -> torch.Tensor:
        asked.append(t)
        return video(0)

    extractor = build_feature_extractor("raw_colour", stride=8)
    found = {}
    for kept in (0, 10**9):
        asked.clear()
        (tracks,) = PointTracker(extractor, RULES, kept=kept).track(still, 4, QUERIES)
        found[kept] = tracks.points
        assert sorted(set(asked)) == [0, 1, 2, 3]
        assert (len(asked) == 4) == (kept > 0)
    assert torch.equal(found[0], found[10**9])
    cells = torch.tensor([[28.0, 20], [12, 44]], dtype=torch.float64)  # centres of the queries' cells
    torch.testing.assert_close(found[0], cells[:, None].expand(-1, 4, -1))


def test_each_map_has_its_protocol_and_grid() -> None:
    extractor = build_feature_extractor("torchvision:resnet18", stage=["res2", "res3"], stride=8)
    tracker = PointTracker(extractor, RULES)
    assert [protocol.feature_stride for protocol in tracker.protocols] == [4, 8]
    assert len(tracker.track(video, 3, QUERIES)) == 2
    assert tracker.grids == [(16, 16), (8, 8)]
    assert {"decode", "backbone", "track"} <= tracker.watch.seconds.keys()


def test_an_extractor_without_a_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the stride of each feature map"):
        PointTracker(nn.Identity(), RULES)


@pytest.mark.parametrize("kept", [0, 4000, 10**9])
@pytest.mark.parametrize("at_once", [2, 4, 10])
def test_frames_in_chunks_give_the_same_tracks_and_no_more_passes(kept: int, at_once: int) -> None:
    extractor = build_feature_extractor("raw_colour", stride=8)
    asked: dict[int, list[int]] = {}
    found = {}
    for number in (1, at_once):
        counted = asked.setdefault(number, [])

        def frame(t: int, counted: list[int] = counted) -> torch.Tensor:
            counted.append(t)
            return video(t)

        tracker = PointTracker(extractor, RULES.with_changes(tracking="chained"), kept=kept, at_once=number)
        (found[number],) = tracker.track(frame, 6, QUERIES)
    assert torch.equal(found[1].points, found[at_once].points)
    assert torch.equal(found[1].occluded, found[at_once].occluded)
    assert len(asked[at_once]) <= len(asked[1])
