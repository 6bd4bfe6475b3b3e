"""Every scoring rule of the code takes exact predictions in all permitted forms, and names every other reading.

Also tests `scoring/readings.py`.
"""

import re
from functools import cache
from typing import get_args

import numpy as np
import pytest

from tests.helpers.refusal import refused
from tests.helpers.tap_vid import written
from vidcorr.datasets import Otb, TapVid
from vidcorr.datasets.generated import write_otb
from vidcorr.datasets.generated.writers import write_masks
from vidcorr.metrics import sample_queries
from vidcorr.metrics.point_tracking import QueryMode
from vidcorr.metrics.rules import RULES
from vidcorr.scoring.mask_scores import score
from vidcorr.scoring.tracks import score_boxes, score_tracks
from vidcorr.videos.files import DataError

FRAMES = 8
STEP = 5
"""Frames from an annotated mask to the next; the objects move a pixel a frame."""
FIRST = 100
"""Number of the first frame."""


def mask_at(number):
    """Return the mask of a frame by its number, with two objects, or black before they are there."""
    mask = np.zeros((12, 80), np.uint8)
    time = number - FIRST
    if time >= 0:
        mask[2:6, time : time + 12] = 1
        mask[7:11, 2 + time : 14 + time] = 2
    return mask


ANNOTATED = range(FIRST, FIRST + STEP * FRAMES, STEP)
START, END = ANNOTATED[0], ANNOTATED[-1]
EVERY = range(START, END + 1)


def moved(by, names=ANNOTATED, of=None):
    """Return masks under names that are some frames away from their own; `of`: name → frame beyond the range."""
    return {number: mask_at(number + by) for number in names} | (of or {})


def masks_at(*numbers):
    return {number: mask_at(number) for number in numbers}


MASKS = masks_at(*ANNOTATED)
OF_ENDS = ("youtube-vos",)
FORMS_OF_MASKS = {
    "as the annotations": (MASKS, ()),
    "the first empty": (MASKS | {START: 0 * mask_at(START)}, ()),
    "without the first": (masks_at(*ANNOTATED[1:]), ()),
    "without the last": (masks_at(*ANNOTATED[:-1]), ("youtube-vos",)),
    "without both ends": (masks_at(*ANNOTATED[1:-1]), OF_ENDS),
    "of as many frames, others at the ends": (masks_at(START + 3, *ANNOTATED[1:-1], END - 3), OF_ENDS),
    "of every frame": (masks_at(*EVERY), ()),
    "of every frame but the first": (masks_at(*EVERY[1:]), ()),
    "of every frame between the ends": (masks_at(*EVERY[1:-1]), OF_ENDS),
    "with frames before and after": (masks_at(*range(START - 9, END + 9)), ()),
}
"""Form of exact predictions → masks, and the rules that score or require a frame that is not as annotated."""

READINGS_OF_MASKS = {
    "a frame late": moved(-STEP) | {START: mask_at(END)},
    "a frame early": moved(STEP, ANNOTATED[:-1]) | {END: mask_at(START)},
}
NUMBERED_FROM_1 = {number + 1: np.roll(mask_at(number), number > START, axis=0) for number in EVERY}
"""Of a tracker that is a pixel off, whose first file is the given mask under the name of the next frame."""
READINGS_OF_MASKS |= {
    "are a frame late": NUMBERED_FROM_1,
    "a frame late, as their starts": dict(list(NUMBERED_FROM_1.items())[:-1]),
}
NAMES_OF_MASKS = {
    "is no annotated frame": moved(-1, range(START + 1, END + 2, STEP)),
    "a predicted mask is missing": masks_at(*ANNOTATED[::2]),
}


def score_masks(rules, masks, folder, truth=MASKS):
    """Score masks against an annotation; return the result."""
    folder.mkdir(exist_ok=True)
    for name, of_frames in (("truth", truth), ("mine", masks)):
        write_masks(folder / name / "v", {f"{number:05d}": mask for number, mask in sorted(of_frames.items())})
    return score(folder / "truth", folder / "mine", rules)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.sampled(3)
def test_exact_masks_have_the_official_score_in_every_permitted_form(rules, tmp_path):
    """A frame that the rules count and that is missing is named; nothing else is refused."""
    for number, (form, (masks, excluded)) in enumerate(FORMS_OF_MASKS.items()):
        folder = tmp_path / str(number)
        if rules not in excluded:
            found = score_masks(rules, masks, folder)
            assert {row.values["J-Mean"] for row in found.rows} == {1.0}, form
            assert [text for text in found.doubts if "begin" in text] == [], form
        elif form != "the first empty":
            refused(DataError, "a predicted mask is missing", score_masks, rules, masks, folder)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("reading", READINGS_OF_MASKS | NAMES_OF_MASKS)
@pytest.mark.sampled(3)
def test_masks_under_another_reading_are_named(rules, reading, tmp_path):
    refused(DataError, reading, score_masks, rules, (READINGS_OF_MASKS | NAMES_OF_MASKS)[reading], tmp_path)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.sampled(3)
def test_a_tracker_that_stands_still_is_scored(rules, tmp_path):
    """Without the given mask, the next one is that mask too."""
    still = [
        score_masks(rules, dict.fromkeys(names, mask_at(START)), tmp_path / str(len(names)))
        for names in ([*EVERY[1:], END + 1], [*EVERY, END + 1])
    ]
    assert still[0].scores == still[1].scores
    assert 0 < next(iter(still[0].scores.values())) < 1


EXCHANGED = {number: np.array([0, 2, 1], np.uint8)[mask] for number, mask in MASKS.items()}


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.sampled(3)
def test_exchanged_ids_and_predictions_that_hold_nothing_are_a_doubt(rules, tmp_path):
    """Ids that are merged cannot be exchanged."""
    found = score_masks(rules, EXCHANGED, tmp_path)
    if rules == "davis-2016":
        assert found.scores["J-Mean"] == 1
    else:
        assert "predictions do not begin with the given mask" in found.doubts[0]
    nothing = score_masks(rules, {number: 0 * mask for number, mask in MASKS.items()}, tmp_path / "nothing")
    assert any("hold nothing" in text for text in nothing.doubts)


@pytest.mark.parametrize("rules", ["youtube-vos", "vos-benchmark"])
def test_an_object_that_is_written_as_255_is_a_doubt(rules, tmp_path):
    """Beside ids it is void, unless the rules have none."""
    written = {number: np.array([0, 1, 255], np.uint8)[mask] for number, mask in MASKS.items()}
    doubts = score_masks(rules, written, tmp_path).doubts
    assert any("255 beside ids (first v), which is void" in text for text in doubts) == RULES[rules].has_void
    with_void = {number: np.where(np.arange(80) > 75, 255, mask).astype(np.uint8) for number, mask in MASKS.items()}
    if rules == "youtube-vos":  # as the annotation has it
        assert score_masks(rules, with_void, tmp_path / "again", with_void).doubts == ()


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.sampled(3)
def test_a_mean_over_no_scored_frame_is_refused(rules, tmp_path):
    """The annotation is the first mask alone, as that of a test set; or it holds no object."""
    refused(DataError, ".", score_masks, rules, MASKS, tmp_path, {START: mask_at(START)})
    black = {number: 0 * mask for number, mask in MASKS.items()}
    refused(DataError, "score no object|mean over no", score_masks, rules, MASKS, tmp_path / "black", black)


# Boxes and tracks


def score_of_boxes(change, folder):
    """Return the result of exact boxes that are changed."""
    truth = write_otb(folder / "truth", 1, frames=FRAMES, size=(96, 128))
    (folder / "mine").mkdir(exist_ok=True)
    for sequence in Otb(truth, version=None):
        np.savetxt(folder / f"mine/{sequence.name}.txt", change(sequence.boxes.copy()), delimiter=",", fmt="%.6f")
    return score_boxes(Otb(truth, version=None), folder / "mine")


def with_first(value):
    """Return a change: the first box, or what a track has in its query's frame, becomes a value."""

    def change(values):
        values[0] = value
        return values

    return change


FORMS_OF_BOXES = {
    "as annotated": lambda boxes: boxes,
    "the first one pixel off, as a tracker writes it": lambda boxes: boxes + np.eye(FRAMES)[0][:, None] * [1, 0, 0, 0],
    "the first counted from 0": lambda boxes: boxes - np.eye(FRAMES)[0][:, None] * [1, 1, 0, 0],
    "the first 0": with_first(0),
    "the first not a number": with_first(np.nan),
    "the first of the whole frame": with_first([1, 1, 128, 96]),
}
"""Form → exact boxes, whose first is never scored."""
READINGS_OF_BOXES = {
    "counted from 0": lambda x, y, w, h: (x - 1, y - 1, w, h),
    "y,x,height,width": lambda x, y, w, h: (y, x, h, w),
    "a frame late": lambda x, y, w, h: np.roll([x, y, w, h], 1, axis=1),
    "a frame early": lambda x, y, w, h: np.roll([x, y, w, h], -1, axis=1),
}


def test_exact_boxes_have_the_official_score_in_every_permitted_form(tmp_path):
    for number, (form, change) in enumerate(FORMS_OF_BOXES.items()):
        found = score_of_boxes(change, tmp_path / str(number))
        assert found.scores["success@0.5"] == 1, form
        is_told = form in ("as annotated", "the first 0", "the first not a number")
        assert (found.doubts == ()) == is_told, form


def test_every_reading_of_boxes_is_named(tmp_path):
    """Corners are no reading: their distance is said."""
    for number, (reading, form) in enumerate(READINGS_OF_BOXES.items()):
        change = lambda boxes, form=form: np.array(form(*boxes.T)).T  # noqa: E731
        message = f"predictions are {re.escape(reading)}, as"
        refused(DataError, message, score_of_boxes, change, tmp_path / str(number))
    corners = score_of_boxes(lambda boxes: boxes + [0, 0, 1, 1] * boxes[:, [0, 1, 0, 1]], tmp_path / "corners")
    assert "do not begin with the given box" in corners.doubts[0]
    refused(DataError, "fractions of the frame", score_of_boxes, lambda boxes: boxes / 1000, tmp_path / "fractions")
    for cut in (lambda boxes: boxes[1:], lambda boxes: boxes[:-1], lambda boxes: boxes[::2]):
        refused(DataError, "a line for each frame", score_of_boxes, cut, tmp_path / "cut")


TIMES = 12
"""Frames of the video of the tracks."""
SIZE = (128, 228)
"""Height and width of the video of the tracks, pixels."""


@cache
def moving_tracks(speed):
    """Return fractions x, y `(12, TIMES, 2)` and occlusion of points with a speed in px of 256 a frame; some enter."""
    generator = np.random.default_rng(0)
    start = generator.uniform(0.1, 0.4, (12, 1, 2)) * [1.0, 2.0]
    points = start + np.arange(TIMES)[None, :, None] * np.array([speed, 0.7 * speed]) / 256
    hidden = np.zeros((12, TIMES), bool)
    hidden[:4, :2] = True
    hidden[5, 4] = True
    return points, hidden


def score_of_tracks(mode, change, folder, speed=3, is_turned=False):
    """Return the result of exact tracks that are changed, knowing their queries; turned: visible points are hidden."""
    folder.mkdir(exist_ok=True)
    points, hidden = moving_tracks(speed)
    video = np.zeros((TIMES, *SIZE, 3), np.uint8)
    truth = written(folder, {"v": {"video": video, "points": points, "occluded": hidden}})
    for sequence in TapVid(truth):
        queries = sample_queries(sequence.occluded, sequence.points * 256.0, mode)
        tracks = change(queries.tracks.astype(np.float64), queries)
        occluded = queries.occluded[:, : tracks.shape[1]] ^ is_turned
        np.savez(folder / f"{sequence.name}.npz", tracks=tracks, occluded=occluded)
    return score_tracks(TapVid(truth), folder, mode)


def at_query(value):
    """Return a change: what a track has in its query's frame becomes a value."""

    def change(tracks, queries):
        tracks[np.arange(len(tracks)), queries.frames[:, 0].astype(int)] = value
        return tracks

    return change


FORMS_OF_TRACKS = {
    "as annotated": lambda tracks, _: tracks,
    "NaN in the query's frame": at_query(np.nan),
    "0 in the query's frame": at_query(0),
    "outside in the query's frame": at_query(-300),
    "the middle in the query's frame": at_query(128),
    "NaN where hidden": lambda tracks, queries: np.where(queries.occluded[..., None], np.nan, tracks),
    "a bias of .7 px": lambda tracks, _: tracks + np.array([0.69, 0]),
    "float32": lambda tracks, _: tracks.astype(np.float32),
}
READINGS_OF_TRACKS = {
    "a frame late": lambda tracks, _: np.roll(tracks, 1, axis=1),
    "a frame early": lambda tracks, _: np.roll(tracks, -1, axis=1),
    "y before x": lambda tracks, _: tracks[..., ::-1],
    "in pixels of the video": lambda tracks, _: tracks / 256 * SIZE[::-1],
}


@pytest.mark.parametrize("speed", [0.4, 0.8, 3])
@pytest.mark.parametrize("mode", get_args(QueryMode))
@pytest.mark.sampled(2)
def test_exact_tracks_have_the_official_score_in_every_permitted_form(mode, speed, tmp_path):
    for number, (form, change) in enumerate(FORMS_OF_TRACKS.items()):
        found = score_of_tracks(mode, change, tmp_path / str(number), speed)
        assert found.scores["average_jaccard"] == 1, form
        assert bool(found.doubts) == (form in ("outside in the query's frame", "the middle in the query's frame")), form
    found = score_of_tracks(mode, FORMS_OF_TRACKS["as annotated"], tmp_path / "turned", is_turned=True)
    assert "hide all their queries" in found.doubts[-1]  # a query is visible by definition


@pytest.mark.parametrize("mode", get_args(QueryMode))
def test_every_reading_of_tracks_is_named_also_without_predictions_at_the_queries(mode, tmp_path):
    for number, (reading, change) in enumerate(READINGS_OF_TRACKS.items()):
        message = f"predictions are {reading}, as"
        refused(DataError, message, score_of_tracks, mode, change, tmp_path / str(number))

        def without_starts(tracks, queries, change=change):
            return at_query(np.nan)(np.array(change(tracks, queries)), queries)

        refused(DataError, message, score_of_tracks, mode, without_starts, tmp_path / str(number))
    for cut in (np.s_[:, 1:], np.s_[:, :-1], np.s_[1:]):
        refused(DataError, "expected tracks", score_of_tracks, mode, lambda t, _, cut=cut: t[cut], tmp_path / "cut")


def test_a_mean_over_no_visible_point_is_refused(tmp_path):
    hidden = np.ones((2, TIMES), bool)
    video = np.zeros((TIMES, 48, 64, 3), np.uint8)
    truth = written(tmp_path, {"v": {"video": video, "points": np.zeros((2, TIMES, 2)), "occluded": hidden}})
    np.savez(tmp_path / "v.npz", tracks=np.zeros((0, TIMES, 2)), occluded=np.zeros((0, TIMES), bool))
    refused(DataError, "no frame counts for", score_tracks, TapVid(truth), tmp_path)
