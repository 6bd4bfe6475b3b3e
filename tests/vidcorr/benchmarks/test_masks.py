"""Masks in which objects start: an object that is not in its mask, and an id that no mask introduces."""

from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import torch

from tests.helpers.refusal import refused
from tests.helpers.words import SMALL
from vidcorr import DavisBenchmark
from vidcorr.benchmarks import masks
from vidcorr.benchmarks.masks import frames_with_starts
from vidcorr.datasets import Davis
from vidcorr.metrics.scoring import MaskScorer
from vidcorr.videos.files import DataError
from vidcorr.videos.images import write_behind


def test_a_mask_without_the_object_that_it_introduces_is_refused(davis_root):
    sequence = Davis(davis_root)[0]
    entering = [mask is not None for _, mask in frames_with_starts(sequence, sequence.read())]
    assert entering == [True] + [False] * (sequence.num_frames - 1)
    message = r"00000\.png: lacks object 9, which starts here by the data set"
    refused(DataError, message, list, frames_with_starts(replace(sequence, starts={9: 0}), sequence.read()))


def test_a_frame_that_cannot_be_written_ends_the_run_while_later_frames_are_followed(davis_root, monkeypatch):
    followed = Mock(return_value=Mock(decoded=torch.zeros(64, 64, dtype=torch.uint8)))
    monkeypatch.setattr(masks, "write_behind", partial(write_behind, at_most=0))
    monkeypatch.setattr(MaskScorer, "add", Mock(side_effect=OSError("disk full")))
    monkeypatch.setattr(masks, "follow_masks", lambda *_: map(followed, range(8)))
    refused(OSError, "disk full", DavisBenchmark(davis_root, changes=SMALL).evaluate, "raw_colour")
    assert followed.call_count == 1
