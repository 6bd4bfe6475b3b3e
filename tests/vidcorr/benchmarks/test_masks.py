"""Masks in which objects start: an object that is not in its mask, and an id that no mask introduces."""

from dataclasses import replace

from tests.helpers.refusal import refused
from vidcorr.benchmarks.mask_benchmark import frames_with_starts, predicted_frames
from vidcorr.datasets import Davis
from vidcorr.videos.files import DataError


def test_a_mask_without_the_object_that_it_introduces_is_refused(davis_root):
    sequence = Davis(davis_root)[0]
    entering = [mask is not None for _, mask in frames_with_starts(sequence, sequence.read())]
    assert entering == [True] + [False] * (sequence.num_frames - 1)
    assert predicted_frames(replace(sequence, starts={1: 2})) == set(range(sequence.num_frames))  # all are annotated
    message = r"00000\.png: lacks object 9, which starts here by the data set"
    refused(DataError, message, list, frames_with_starts(replace(sequence, starts={9: 0}), sequence.read()))
