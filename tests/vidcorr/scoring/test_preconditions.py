"""Every scoring rule of the code is given predictions that are perfect but for one thing, and refuses its share."""

import json
import tempfile
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.helpers.layouts import write_got10k
from tests.helpers.tap_vid import write_golden_tracks
from vidcorr.datasets import Otb, TapVid
from vidcorr.datasets.generated import write_otb
from vidcorr.datasets.generated.writers import write_masks
from vidcorr.datasets.got10k import list_sequences, read_annotation
from vidcorr.metrics import sample_queries
from vidcorr.metrics.point_tracking import QueryMode
from vidcorr.metrics.rules import RULES
from vidcorr.scoring.masks import score
from vidcorr.scoring.tracks import BoxRules, score_boxes, score_tracks
from vidcorr.videos.files import DataError

FRAMES = 8
OF_MASKS = {
    "as they are": lambda masks: masks,
    "without the first": lambda masks: dict(list(masks.items())[1:]),
    "without the last": lambda masks: dict(list(masks.items())[:-1]),
    "numbered one later": lambda masks: renamed(masks, 1),
    "numbered one later, with one more": lambda masks: renamed(masks, 1) | renamed(masks, 2),
    "numbered one earlier": lambda masks: renamed(masks, -1),
    "one too many at the start, without the last": lambda masks: {before(masks): black(masks), **cut(masks)},
    "one too many at the end": lambda masks: {**renamed(masks, 1), **masks},
    "of frames before and after": lambda masks: renamed(masks, -FRAMES) | renamed(masks, FRAMES) | masks,
    "every second frame": lambda masks: dict(list(masks.items())[::2]),
    "every second frame, numbered on": lambda masks: dict(zip(masks, list(masks.values())[::2], strict=False)),
    "each frame twice, numbered on": lambda masks: of_double_rate(masks),
    "numbers of fewer digits": lambda masks: {name.lstrip("0"): mask for name, mask in masks.items()},
    "one row of pixels less": lambda masks: {name: mask[1:] for name, mask in masks.items()},
    "an id that is no object": lambda masks: {name: np.where(mask == 2, 9, mask) for name, mask in masks.items()},
    "void (255) for the second object": lambda masks: with_second(masks, 255),
    "0 and 255 for both": lambda masks: {name: 255 * (mask > 0).astype(np.uint8) for name, mask in masks.items()},
    "black": lambda masks: {name: np.zeros_like(mask) for name, mask in masks.items()},
    "truth and masks with ids 1 and 38": lambda masks: with_second(masks, 38),
}
"""Precondition → predicted masks from perfect ones, by name."""
OF_BOXES = {
    "as they are": lambda boxes: boxes,
    "without the first": lambda boxes: boxes[1:],
    "without the last": lambda boxes: boxes[:-1],
    "one too many": lambda boxes: np.concatenate([boxes, boxes[-1:]]),
    "a frame early": lambda boxes: np.concatenate([boxes[1:], boxes[-1:]]),
    "a frame late": lambda boxes: np.concatenate([boxes[:1] + 9, boxes[:-1]]),
    "every second frame": lambda boxes: boxes[::2],
    "each frame twice": lambda boxes: boxes.repeat(2, axis=0),
    "counted from 0": lambda boxes: boxes - [1, 1, 0, 0],
    "x1,y1,x2,y2": lambda boxes: np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
    "fractions": lambda boxes: boxes / 1000,
}
OF_TRACKS = {
    "as they are": lambda tracks: tracks,
    "without the first": lambda tracks: tracks[:, 1:],
    "without the last": lambda tracks: tracks[:, :-1],
    "one too many": lambda tracks: np.concatenate([tracks, tracks[:, -1:]], axis=1),
    "a frame early": lambda tracks: np.concatenate([tracks[:, 1:], tracks[:, -1:]], axis=1),
    "a frame late": lambda tracks: np.concatenate([tracks[:, :1] + 9, tracks[:, :-1]], axis=1),
    "every second frame": lambda tracks: tracks[:, ::2],
    "each frame twice": lambda tracks: tracks.repeat(2, axis=1),
    "without the first query": lambda tracks: tracks[1:],
    "fractions": lambda tracks: (tracks - tracks.min()) / np.ptp(tracks),
}


def renamed(masks, by):
    return {f"{int(name) + by * step(masks):0{len(name)}d}": mask for name, mask in masks.items()}


def step(masks):
    first, second, *_ = map(int, masks)
    return second - first


def before(masks):
    return next(iter(renamed(masks, -1)))


def cut(masks):
    return dict(list(masks.items())[:-1])


def black(masks):
    return np.zeros_like(next(iter(masks.values())))


def of_double_rate(masks):
    numbers = [*masks, *renamed(masks, FRAMES)]
    return dict(zip(numbers, [mask for mask in masks.values() for _ in range(2)], strict=True))


def with_second(masks, value):
    return {name: np.where(mask == 2, value, mask).astype(np.uint8) for name, mask in masks.items()}


def perfect_masks(rules):
    """Two objects that move, named as the rules' data set numbers its frames."""
    masks = {}
    for t in range(FRAMES):
        mask = np.zeros((12, 40), np.uint8)
        mask[2:6, t : t + 12] = 1
        mask[7:11, 2 * t : 2 * t + 10] = 2
        masks[f"{5 * t + 100:08d}" if rules.startswith("lvos") else f"{t + 100:05d}"] = mask
    return masks


def written(folder, masks, of_one):
    """Write masks; with `of_one` a folder per object."""
    numbers = sorted(set().union(*(np.unique(mask) for mask in masks.values())) - {0}) if of_one else []
    for number in numbers:
        of_number = {name: (mask == number).astype(np.uint8) for name, mask in masks.items()}
        write_masks(folder / f"v/{number:03d}", of_number)
    if not numbers:
        write_masks(folder / "v", masks)


def score_of_masks(rules, change, folder):
    """Return the first score of the changed masks, or raise what the rules refuse."""
    masks = perfect_masks(rules)
    mine = change(masks)
    is_of_other_ids = 38 in mine[next(reversed(mine))]
    ends = {"start": 100, "end": 100 + 5 * FRAMES, "frame_nums": FRAMES}
    numbers = (1, 38) if is_of_other_ids else (1, 2)
    objects = {str(number): {"frame_range": ends} for number in numbers}
    (folder / "meta.json").write_text(json.dumps({"videos": {"v": {"objects": objects}}}))
    of_one = RULES[rules].folder_per_object
    written(folder / "truth", mine if is_of_other_ids else masks, of_one)
    written(folder / "mine", mine, of_one)
    meta = folder / "meta.json" if RULES[rules].needs_meta else None
    unseen = [] if meta is None else ["v"]
    scores = score(folder / "truth", folder / "mine", rules, meta=meta, unseen=unseen).rows[-1].values
    return scores["J-Mean"]


def score_of_boxes(rules, change, folder):
    if rules == "otb":
        truth = write_otb(folder / "truth", 1, frames=FRAMES, size=(96, 128))
        named = [(f"{each.name}.txt", each.boxes) for each in Otb(truth, version=None)]
    else:
        truth = write_got10k(folder / "truth", 1, valid=1, frames=FRAMES, size=(96, 128)) / "val"
        sequences = [(path.name, read_annotation(path)[1]) for path in list_sequences(truth.parent, "val")]
        named = [(f"{name}/{name}_001.txt", boxes) for name, boxes in sequences]
    for name, boxes in named:
        path = folder / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, change(boxes), delimiter=",")
    return score_boxes(truth, folder / "mine", rules).rows[0].values["success@0.5" if rules == "otb" else "AO"]


def score_of_tracks(mode, change, folder):
    truth = write_golden_tracks(folder / "truth", "exact.pkl")
    for sequence in TapVid(truth):
        queries = sample_queries(sequence.occluded, sequence.points * 256.0, mode)
        changed = change(queries.tracks)
        occluded = np.zeros(changed.shape[:2], bool)
        np.savez(folder / f"{sequence.name}.npz", tracks=changed, occluded=occluded)
    return score_tracks(truth, folder, mode).scores["average_pts_within_thresh"]


OTHERS = {
    "boxes": (get_args(BoxRules), OF_BOXES, score_of_boxes),
    "tracks": (get_args(QueryMode), OF_TRACKS, score_of_tracks),
}
"""Kind of prediction beside masks → its rules, its preconditions and its scorer."""


def outcome(scorer, rules, change):
    """Return a score in per cent, or "refused"."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return f"{100 * scorer(rules, change, Path(folder)):.1f}"
        except DataError:
            return "refused"


REFUSED = {
    "as they are": (),
    "one too many at the end": (),
    "of frames before and after": (),
    "numbered one later, with one more": tuple(rules for rules in RULES if rules != "lvos"),  # of some frames
    "without the first": ("lvos-2023", "mose-v2"),
    "without the last": ("youtube-vos", "lvos-2023"),
    "each frame twice, numbered on": (),
    "an id that is no object": ("davis-2017", "sa-v", "naf"),
    "void (255) for the second object": ("sa-v",),
    "0 and 255 for both": ("sa-v",),
    "black": ("sa-v",),
    "truth and masks with ids 1 and 38": ("davis-2017", "vost", "naf"),
}
"""Precondition of masks → rules that refuse it; of those not named here all do."""
PERFECT = ("as they are", "one too many at the end", "of frames before and after")
"""Preconditions under which every rule scores 100."""


@pytest.mark.parametrize("rules", RULES)
def test_masks_are_refused_by(rules):
    """Another name or size is refused by all rules; further frames are not, as a clip may be annotated in part."""
    for name, change in OF_MASKS.items():
        found = outcome(score_of_masks, rules, change)
        assert (found == "refused") == (rules in REFUSED.get(name, RULES)), (name, found)
        assert name not in PERFECT or found == "100.0"


@pytest.mark.parametrize("kind", OTHERS)
def test_boxes_and_tracks_have_the_length_and_the_start_of_the_annotation(kind):
    all_rules, changes, scorer = OTHERS[kind]
    for name, rules in product(changes, all_rules):
        expected = "100.0" if name == "as they are" else "refused"
        assert outcome(scorer, rules, changes[name]) == expected, (name, rules)
