"""Labels drawn over frames, matches, sheets, animations of sequences: where things stand, and texts.

Also tests `pictures/animations.py`, `pictures/sheets.py`.
"""

import json
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from tests.helpers.refusal import refused
from vidcorr.datasets.jhmdb_files import JOINTS
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.pictures import clip_sheet, feature_sheet, heat_map_sheet, overlay_masks, overlays
from vidcorr.results.pictures.animations import overlay_masks_small, write_animation

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
STRIPES = torch.tensor([0, 255, 0], dtype=torch.uint8).repeat(3, 30, 320)
CLIP = torch.linspace(0, 1, 45).view(9, 5, 1, 1, 1).expand(-1, -1, 3, 8, 8)
FRAMES = torch.tensor([60, 90, 210], dtype=torch.uint8).view(1, 3, 1, 1).repeat(8, 1, 15, 24)
FEATURES = torch.randn(8, 6, 6, 10, generator=torch.Generator().manual_seed(0))
FEATURES *= torch.tensor([9.0, 5, 3, 1, 1, 1]).view(-1, 1, 1)
UNIT = FEATURES / FEATURES.norm(dim=1, keepdim=True)
UNIT[2] = 0.8 * UNIT[1].roll((2, 3), (1, 2)) + 0.6 * UNIT[0]
UNIT[7] = UNIT[1].roll((1, -2), (1, 2))
LIIR = PropagationProtocol.named("liir").with_changes(radius=8, references=(0, -1), temperature=0.05)
SHARP = PropagationProtocol(name="sharp", context=7, topk=1, temperature=0.01, radius=None, feature_stride=4)


def grey(height=20, value=0, width=40):
    return np.full((height, width, 3), value, np.uint8)


PANELS = [grey(2, 20, 2), grey(1, 10, 2), grey(1, 30, 2)]


def tracks(places, hidden, frame, *truth, **names):
    return overlays.overlay_tracks(FRAME, places, hidden, frame, [RED, GREEN, BLUE], *truth, **names)


def five_references():
    return heat_map_sheet(UNIT, (2, 3), FRAMES, SHARP, covered_size=(18, 30), names="abcdefgh", width=48)


DRAWN = {
    "masks": lambda: overlay_masks(FRAME, MASK),
    "boxes": lambda: overlays.draw_boxes(FRAME, BOXES, [RED, GREEN, BLUE, GREEN], ["a", "far", "lost", "b"]),
    "a box": lambda: overlays.overlay_boxes(FRAME, BOXES[0]),
    "a box over its truth": lambda: overlays.overlay_boxes(FRAME, BOXES[0], BOXES[0] + 30),
    "points": lambda: tracks(POINTS[:, None, :2].numpy() + 0.5, HIDDEN[:, :1], 0, names=["nose", "", "tail"]),
    "tracks": lambda: tracks(TRACKS, HIDDEN, 14),
    "tracks later": lambda: tracks(TRACKS, HIDDEN, 15),
    "tracks and truth": lambda: tracks(TRACKS, HIDDEN, 9, TRACKS + 19, HIDDEN),
    "a first frame": lambda: tracks(TRACKS, HIDDEN, 0),
    "small masks without labels": lambda: overlay_masks(FRAME[:, :159], MASK[:159], labelled=True),
    "masks that are just large enough": lambda: overlay_masks(FRAME[:, :160], MASK[:160], labelled=True),
    "a sheet": lambda: overlays.contact_sheet(PANELS, columns=2, width=2, gap=1),
    "a wide sheet": lambda: overlays.contact_sheet(PANELS, columns=2),
    "a caption on a dark colour": lambda: overlays.captioned(grey(), "dark", (255, 100, 40), height=20),
    "a caption on a light colour": lambda: overlays.captioned(grey(), "light", (141, 141, 141)),
    "a caption on white": lambda: overlays.captioned(grey(), "white"),
    "a smaller picture": lambda: overlays.resized(overlays.as_picture(RAMP), 31),
    "a frame at an animation's width": lambda: overlay_masks_small(RAMP, MASK[40:60, 50:122]),
    "a large frame at an animation's width": lambda: overlay_masks_small(STRIPES, MASK[:30].repeat(1, 2)[:, :960]),
    "clips whose halves are marked": lambda: clip_sheet(CLIP, torch.arange(45).view(9, 5) + 100, rows=2, width=20),
    "clips": lambda: clip_sheet(CLIP[:, :1])[::3, ::3],
    "features over grey frames": lambda: feature_sheet(FRAMES, FEATURES, covered_size=(18, 30), width=24),
    "features of three frames": lambda: feature_sheet(FRAMES[:3] / 255, FEATURES[:3], names="abc")[::6, ::6],
    "two channels": lambda: feature_sheet(FRAMES[:1], FEATURES[:1, :2], width=24),
    "equal features": lambda: feature_sheet(FRAMES[:1], torch.ones(1, 4, 2, 2), width=24),
    "weights with and without Liir's prior": lambda: heat_map_sheet(UNIT[:3], (4, 6), FRAMES[:3], LIIR)[::4, ::4],
    "five references in the order of time": five_references,
}


@pytest.fixture(scope="module")
def known(request):
    """Drawings by their names, without letters."""
    with np.load(request.path.with_suffix(".npz")) as archive:
        return dict(archive)


@pytest.fixture
def texts(monkeypatch):
    """Note texts, not draw them: words, x, y, colour, size, anchor and outline; letters differ between releases."""
    found = []

    def note(draw, place, text, fill=None, font=None, anchor=None, **outline):
        x, y = (round(float(each), 1) for each in place)
        found.append(json.loads(json.dumps([text, x, y, fill, round(font.size, 1), anchor, outline])))

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    monkeypatch.setattr(ImageFont.FreeTypeFont, "getlength", lambda font, text: len(text) * font.size / 2)
    return found


def is_same(found, known):
    """Say whether two pictures are equal but for a few pixels, which another processor rounds differently."""
    difference = np.abs(found.astype(int) - known)
    return difference.max() <= 2 and (difference > 0).mean() < 0.001


def test_what_is_drawn_stays_where_it_is(texts, recorded, known):
    assert [name for name, draw in DRAWN.items() if not is_same(draw(), known[name])] == []
    assert texts == recorded["labels"]
    refused(ValueError, "1 maps do not fit 8 frames", feature_sheet, FRAMES, FEATURES[:1])
    refused(ValueError, "got 8 maps and 2 frames", heat_map_sheet, UNIT, (2, 3), FRAMES[:2], SHARP)


def test_joints_are_drawn_where_they_were_found_and_connected_as_those_of_a_person(monkeypatch, recorded):
    draw = Mock(side_effect=lambda frame, *_, **__: frame)
    monkeypatch.setitem(sys.modules, "torchvision.utils", Mock(draw_keypoints=draw))  # it takes a second to import
    joints = torch.arange(30.0).view(15, 2) + 0.4
    joints[6] = -1
    joints[0, 0] = 0
    assert (overlays.overlay_joints(FRAME, joints) == overlays.as_picture(FRAME)).all()
    (_, places, limbs, colour), how = draw.call_args
    assert places.equal(joints.round()[None])
    assert [f"{JOINTS[one]} - {JOINTS[other]}" for one, other in limbs] == recorded["limbs"]
    assert how.pop("visibility").tolist() == [[k != 6 for k in range(15)]]
    assert (colour, how) == (overlays.FOUND, {"radius": 4, "width": 2})


def test_an_animation_is_a_sheet_of_chosen_frames_with_its_curves(tmp_path, monkeypatch, recorded):
    saved = []

    def save(image, path, **how):
        saved.append([str(path.relative_to(tmp_path)), np.asarray(image)[::160, ::320, 0].tolist(), how])

    monkeypatch.setattr(Image.Image, "save", save)
    black, truth = grey(160, width=320), grey(160, 200, 320)
    long, short = (
        dict.fromkeys(overlays.evenly_spaced(100, 32), (black, None)),
        dict.fromkeys(range(3), (black + 90, None)),
    )
    curves = {"mIoU": (range(2), [0.123456, float("nan")])}
    folder = tmp_path / "animations"
    facts = {"sequence": "walk", "kind": "semantic", "caption": "parts"}
    write_animation(folder / "semantic/walk.webp", long, curves, **facts)
    facts = {"sequence": "run", "kind": "", "caption": ""}
    write_animation(folder / "run.webp", short | {0: (black, truth)}, **facts)
    pairs = dict.fromkeys(overlays.evenly_spaced(40, 32), (black, None))
    write_animation(folder / "cat.webp", pairs, **facts | {"sequence": "cat", "caption": "the best matches"})
    files = sorted(path for path in tmp_path.rglob("*.*"))
    assert {"saved": saved, "files": [json.loads(path.read_text()) for path in files]} == recorded["animations"]
