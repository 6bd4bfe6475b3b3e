"""Rules for masks in memory: the frames that count and are required, curves, and predictions of other objects.

Also tests `metrics/scoring.py`.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.refusal import refused
from vidcorr.metrics import MaskScorer
from vidcorr.metrics.rules import RULES
from vidcorr.metrics.scoring import AnnotatedVideo, Metadata

SHOWN = [{1, 3}, {1}, {1, 2, 9, 255}, {1, 2}, {4}]
VIDEO = AnnotatedVideo("v", range(5), SHOWN.__getitem__)
INNER = [1, 2, 3]
TABLES = json.loads(Path(__file__).with_name("rules.json").read_text())
"""Rules → frames that are scored, by object; frames that are required if not the inner ones."""
REQUIRED = TABLES["required"]


@pytest.mark.parametrize("name", RULES)
def test_frames_and_objects_that_count_and_frames_that_are_required(name):
    rules = RULES[name]
    plan = rules.plan(VIDEO)
    objects = TABLES["plans"][name]
    assert (rules, plan) == (RULES[name], {int(number): frames for number, frames in objects.items()})
    assert list(plan) == sorted(plan)
    assert rules.has_void == (255 not in plan)
    assert rules.required(VIDEO, plan) == REQUIRED.get(name, INNER)
    short = replace(VIDEO, frames=[0, 1], shown=lambda t: {1})
    if name not in REQUIRED:
        assert not any(rules.plan(short).values())
        assert replace(rules, keep_ends=True).plan(short).get(1) == [0, 1]
    assert rules.inner_only == (replace(rules, keep_ends=True).plan(VIDEO) != plan)
    assert RULES[name].plan(replace(VIDEO, shown=lambda t: set())) == {}
    assert rules.objects_enter == (9 in plan)


@pytest.mark.parametrize("name", ["davis-2017", "davis-2016"])
@pytest.mark.parametrize("ids", [{128}, {38, 75, 113}, {1, 3}])
def test_ids_that_occur_in_no_mask_are_no_objects(name, ids):
    """The official code counts each as found; DAVIS-2016 merges all."""
    video = AnnotatedVideo("v", range(3), lambda t: ids)
    if name == "davis-2016":
        assert RULES[name].plan(video) == {1: [1]}
    else:
        message = f"the largest id is {max(ids)}, and .* occur in no mask; .* youtube-vos"
        refused(ValueError, message, RULES[name].plan, video)
    named = Metadata({"v": {"objects": {str(number): {} for number in range(1, max(ids) + 1)}}})
    if name != "davis-2016":
        assert len(replace(RULES[name], read_metadata=lambda: named).plan(video)) == max(ids)


@pytest.mark.parametrize("name", ["davis-2017", "youtube-vos", "vos-benchmark"])
def test_metadata_may_name_no_object_of_a_video(name):
    """By an empty mapping, or null."""
    plans = []
    for objects in ({}, None):
        metadata = Metadata({"v": {"objects": objects}})
        plans.append(replace(RULES[name], read_metadata=lambda metadata=metadata: metadata).plan(VIDEO))
    assert plans[0] == plans[1] != {}


DIGITS = np.array([*range(9), 255], np.uint8)


def scored(truth, mine):
    """Score rows of digits by YouTube-VOS's rules, a frame for each word; each digit is two pixels high, 9 is void."""
    frames = []
    for words in zip(truth.split(), mine.split(), strict=True):
        frames.append([np.tile(DIGITS[list(map(int, word))], (2, 1)) for word in words])
    shown = [set(np.unique(wanted).tolist()) - {0} for wanted, _ in frames]
    scorer = MaskScorer(RULES["youtube-vos"], AnnotatedVideo("v", range(len(frames)), shown.__getitem__))
    for t, pair in enumerate(frames):
        scorer.add(t, *pair)
    return scorer


def test_ids_of_other_objects_in_most_frames_are_a_mistake():
    """Two frames show an object and count."""
    truth = "1120 1120 1000 0000 0000 1120"
    others = scored(truth, "0000 5600 0700 0000 0000 0000")
    refused(ValueError, "hold id 5, 6, 7, the annotation 1, 2: none in common", others.finish)
    for second_and_third in ("5500 0000", "5500 1000", "9900 9900"):
        few = scored(truth, f"0000 {second_and_third} 0000 0000 0000")
        assert 0.4 <= few.finish()[1]["J-Mean"] < 1
