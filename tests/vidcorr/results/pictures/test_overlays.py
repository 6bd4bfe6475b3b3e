"""Labels drawn over frames, matches, sheets, animations of sequences and waterfalls: where things stand, and texts.

Also tests `pictures/animations.py`, `pictures/pairs.py`, `pictures/waterfall.py`.
"""

import json
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from vidcorr.datasets.jhmdb import JOINTS
from vidcorr.results.cells import Cell
from vidcorr.results.pictures import overlay_masks, overlays
from vidcorr.results.pictures.animations import SequenceAnimation, overlay_masks_small
from vidcorr.results.pictures.pairs import RIGHT, WRONG, PairPictures, draw_matches
from vidcorr.results.pictures.waterfall import _tick, draw_waterfall
from vidcorr.results.records import Column
from vidcorr.results.statistics import Difference
from vidcorr.results.tables import table_of_cells

FRAME = torch.tensor([60, 120, 180], dtype=torch.uint8).view(3, 1, 1).expand(3, 600, 720)
"""Large enough that a line is five pixels wide."""
RAMP = (torch.arange(72) + 10 * torch.arange(20)[:, None]).to(torch.uint8).expand(3, 20, 72)
MASK = torch.zeros(600, 720, dtype=torch.uint8)
MASK[50:190, 60:300], MASK[100:150, 100:200], MASK[400:590, 600:720] = 7, 2, 7
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
BOXES = np.array([[20.5, 30, 40, 50], [1e12, 0, 10, 10], [np.nan, 1, 2, 3], [-30, 500, 800, 300]])
POINTS = torch.tensor([[50.0, 440.0, 1.0], [torch.nan, 1.0, 1.0], [300.0, 2.0, 1.0]])
TRACKS = np.array([[[30.0, 9.0]], [[-20.0, 14.0]], [[10.0, 0.0]]]) * np.arange(16)[:, None]
TRACKS += 9, 40
TRACKS[1, :, 0] += 500
TRACKS[2, 8:, 0] += 98  # a step of 0.15 of the longer side, which is near
TRACKS[2, 11:, 1] += 110  # a longer one
TRACKS[2, 15] = np.nan
HIDDEN = np.zeros((3, 16), bool)
HIDDEN[0, 9], HIDDEN[1, 14] = True, True
PLACES = np.column_stack([np.arange(0, 1900, 37), np.arange(0, 1900, 37) % 900])
"""52 points of a large picture."""
PLACES[3] = -9999
COLOURS = [RIGHT, WRONG, *overlays.distinct_colours(50)]


def grey(height=20, value=0, width=40):
    return np.full((height, width, 3), value, np.uint8)


PANELS = [grey(2, 20, 2), grey(1, 10, 2), grey(1, 30, 2)]


def matches(**options):
    large = torch.tensor([0, 255, 0], dtype=torch.uint8).repeat(3, 1080, 640)
    others = PLACES[:, ::-1] / (20, 25.0)
    others[5] = np.nan
    second = torch.full((3, 80, 60), 90, dtype=torch.uint8)
    return draw_matches(large, second, PLACES, others, COLOURS, **options)[::8]  # all slanted lines cross these rows


DRAWN = {
    "masks": lambda: overlay_masks(FRAME, MASK),
    "masks in another colour": lambda: overlay_masks(FRAME, MASK, np.full((256, 3), 90, np.uint8), labelled=True),
    "boxes": lambda: overlays.draw_boxes(FRAME, BOXES, [RED, GREEN, BLUE, GREEN], ["a", "far", "lost", "b"]),
    "a box": lambda: overlays.overlay_boxes(FRAME, BOXES[0]),
    "a box over its truth": lambda: overlays.overlay_boxes(FRAME, BOXES[0], BOXES[0] + 30),
    "points": lambda: overlays.draw_points(FRAME, POINTS, ["nose", "", "tail"], [RED, GREEN, BLUE]),
    "tracks": lambda: overlays.overlay_tracks(FRAME, TRACKS, HIDDEN, 14, [RED, GREEN, BLUE]),
    "tracks later": lambda: overlays.overlay_tracks(FRAME, TRACKS, HIDDEN, 15, [RED, GREEN, BLUE]),
    "tracks and truth": lambda: overlays.overlay_tracks(
        FRAME, TRACKS, HIDDEN, 9, [RED, GREEN, BLUE], TRACKS + 19, HIDDEN
    ),
    "a first frame": lambda: overlays.overlay_tracks(FRAME, TRACKS, HIDDEN, 0, [RED, GREEN, BLUE]),
    "small masks without labels": lambda: overlay_masks(FRAME[:, :159], MASK[:159], labelled=True),
    "masks that are just large enough": lambda: overlay_masks(FRAME[:, :160], MASK[:160], labelled=True),
    "a sheet": lambda: overlays.contact_sheet(PANELS, columns=2, width=2, gap=1),
    "a wide sheet": lambda: overlays.contact_sheet(PANELS, columns=2),
    "a caption on a dark colour": lambda: overlays.captioned(grey(), "dark", (255, 100, 40), height=20),
    "a caption on a light colour": lambda: overlays.captioned(grey(), "light", (141, 141, 141)),
    "a caption on white": lambda: overlays.captioned(grey(), "white"),
    "a smaller picture": lambda: overlays.resized(overlays.as_picture(RAMP), 31),
    "matches": lambda: matches(side=640),
    "small matches": matches,
    "tight matches": lambda: matches(is_tight=True),
}
KNOWN = json.loads(Path(__file__).with_name("drawn.json").read_text())
"""Texts of the drawings, and the numbers and labels of a waterfall."""


@pytest.fixture(scope="module")
def known():
    """Drawings by their names, without letters."""
    with np.load(Path(__file__).with_name("drawn.npz")) as archive:
        return dict(archive)


def is_same(found, known):
    """Say whether two pictures are equal but for a few pixels, which another processor rounds differently."""
    difference = np.abs(found.astype(int) - known)
    return difference.max() <= 2 and (difference > 0).mean() < 0.001


def test_what_is_drawn_stays_where_it_is(texts, known):
    assert [name for name, draw in DRAWN.items() if not is_same(draw(), known[name])] == []
    assert texts == KNOWN["labels"]
    assert [overlays.thickness_of(grey(height, width=2000)) for height in (99, 300, 420, 480, 1080)] == [2, 2, 4, 4, 9]


def test_joints_are_drawn_where_they_were_found_and_connected_as_those_of_a_person(monkeypatch):
    draw = Mock(side_effect=lambda frame, *_, **__: frame)
    monkeypatch.setitem(sys.modules, "torchvision.utils", Mock(draw_keypoints=draw))  # it takes a second to import
    joints = torch.arange(30.0).view(15, 2) + 0.4
    joints[6] = -1
    joints[0, 0] = 0
    assert (overlays.overlay_joints(FRAME, joints) == overlays.as_picture(FRAME)).all()
    (_, places, limbs, colour), how = draw.call_args
    assert places.equal(joints.round()[None])
    assert [f"{JOINTS[one]} - {JOINTS[other]}" for one, other in limbs] == KNOWN["limbs"]
    assert how.pop("visibility").tolist() == [[k != 6 for k in range(15)]]
    assert (colour, how) == (overlays.FOUND, {"radius": 4, "width": 2})


def test_what_is_lost_or_far_away_is_not_drawn(tmp_path):
    for place in ((np.nan, np.nan), (1e9, -1e9)):
        drawn = overlays.overlay_tracks(FRAME, np.array([[place]]), np.zeros((1, 1), bool), 0, [RED])
        assert (drawn == overlays.as_picture(FRAME)).all()
    overlays.write_picture(str(tmp_path / "new/folder/drawn.png"), drawn)
    assert (np.asarray(Image.open(tmp_path / "new/folder/drawn.png")) == drawn).all()


def test_floats_are_colours_in_0_to_1_hues_lie_at_equal_distances_and_frames_are_chosen_evenly():
    assert overlays.as_picture(torch.tensor([-0.5, 0.5, 1.5]).view(3, 1, 1)).tolist() == [[[0, 128, 255]]]
    assert overlays.distinct_colours(3) == [(255, 38, 38), (38, 255, 38), (38, 38, 255)]
    cases = ((10, 4), (9, 2), (5, 1), (3, 8), (100, 3), (1, 5))
    chosen = [overlays.evenly_spaced(*case) for case in cases]
    assert chosen == [[0, 3, 6, 9], [0, 8], [0], [0, 1, 2], [0, 50, 99], [0]]


def test_an_animation_is_a_sheet_of_chosen_frames_with_its_curves(tmp_path, monkeypatch):
    long = SequenceAnimation(tmp_path, "walk", 100, "semantic", "parts")
    assert (len(long.chosen), long.chosen[:3], long.chosen[-1]) == (32, [0, 3, 6], 99)
    for _ in long.chosen:
        long.add(grey())
    long.close({"mIoU": (range(2), [0.123456, float("nan")])})
    folder = tmp_path / "animations/semantic"
    assert sorted(file.name for file in folder.iterdir()) == ["walk.json", "walk.webp"]
    assert Image.open(folder / "walk.webp").size == (8 * 320, 4 * 160)
    assert json.loads((folder / "walk.json").read_text()) == {
        "sequence": "walk",
        "kind": "semantic",
        "caption": "parts",
        "columns": 8,
        "frames": long.chosen,
        "size": [320, 160],
        "curves": {"mIoU": [[0, 1], [0.1235, None]]},
    }
    short = SequenceAnimation(tmp_path, "run", 3)
    short.add(grey(), grey(value=200))
    for _ in range(2):
        short.add(grey(value=90))
    save = Mock()
    monkeypatch.setattr(
        Image.Image, "save", lambda image, path, **how: save(path.name, np.asarray(image)[0, ::320].tolist(), **how)
    )
    short.close()
    assert [call.args for call in save.call_args_list] == [
        ("run.webp", [[0] * 3, [90] * 3, [90] * 3]),
        ("run.truth.webp", [[200] * 3, [128] * 3, [128] * 3]),
    ]
    assert save.call_args.kwargs == {"quality": 70, "method": 0}
    assert json.loads((tmp_path / "animations/run.json").read_text())["columns"] == 3


def test_a_small_overlay_is_that_of_the_frame_at_an_animations_width():
    mask = torch.zeros(20, 160, dtype=torch.uint8)
    mask[5:15, 30:90] = 3
    found = overlay_masks_small(torch.full((3, 20, 160), 80, dtype=torch.uint8), mask)
    enlarged = mask.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert (found == overlay_masks(torch.full((3, 40, 320), 80, dtype=torch.uint8), enlarged)).all()
    stripes = torch.tensor([0, 255, 0], dtype=torch.uint8).repeat(3, 30, 320)
    assert overlay_masks_small(stripes, torch.zeros(30, 960, dtype=torch.uint8)).mean() == pytest.approx(85, abs=9)


def test_the_pictures_of_a_category_are_drawn_for_the_pairs_that_are_shown(tmp_path):
    draw = Mock(return_value=grey())
    pictures = PairPictures(tmp_path, "cat", 40, "the best matches")
    for folder, count in ((None, 40), (tmp_path / "none", 0)):
        PairPictures(folder, "dog", count, "").add(Mock(side_effect=AssertionError("nothing is shown")))
    for _ in range(40):
        pictures.add(draw)
    pictures.close()
    assert draw.call_count == 32
    content = json.loads((tmp_path / "animations/cat.json").read_text())
    assert (content["caption"], content["frames"]) == ("the best matches", overlays.evenly_spaced(40, 32))
    assert [path.name for path in tmp_path.iterdir()] == ["animations"]


def test_a_waterfall_has_a_bar_a_number_and_an_interval_for_each_step(tmp_path, texts, known):
    column = Column("davis", "J-Mean")
    steps = {
        "crw": (0.3, None),
        "topk: 10 → 5": (0.5, Difference(0.2, 0.15, 0.26, 0.01)),
        "context and all references of the last frames: 20, None → 3, [0, …] " + "and more " * 30: (
            0.4126,
            Difference(-0.0874, -0.1, -0.05, 0.02),
        ),
        "few seeds": (0.42, Difference(0.0074)),
        "alone": (0.43, None),
        "mine": (0.43, Difference(0.13, 0.1, 0.9, 0.5)),
    }
    cells = ((name, column, Cell(published=score, difference=change)) for name, (score, change) in steps.items())
    draw_waterfall(table_of_cells(cells), tmp_path / "new/bridge.png")
    assert is_same(np.asarray(Image.open(tmp_path / "new/bridge.png")), known["waterfall"])
    assert texts == KNOWN["numbers"]


def test_a_waterfall_of_one_score_has_a_scale_and_a_page_fifteen_centimetres_wide(tmp_path):
    column = Column("davis", "J-Mean")
    draw_waterfall(table_of_cells([("crw", column, Cell(published=0.3))]), tmp_path / "bridge.pdf")
    assert b"/MediaBox [ 0 0 432.0 " in (tmp_path / "bridge.pdf").read_bytes()  # points: 300 pixels an inch
    assert [_tick(span) for span in (7, 14, 35, 50)] == [1, 2, 5, 10]
