"""Work grows as its input grows: the calls for four times the input are at most twice those for twice the input.

Calls are counted, so no clock is needed. Their number is a + b · n for a loop without another loop of the same length
inside: from n to 2n it rises by b · n, and from 2n to 4n by twice as much; by a square it rises four times as much.
"""

import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.propagation import protocol
from tests.helpers.runs import write_results
from vidcorr import DavisBenchmark, build_feature_extractor
from vidcorr.datasets import generated
from vidcorr.experiments.reports.table import table
from vidcorr.functional import propagate_labels, track_points
from vidcorr.protocols import PointProtocol
from vidcorr.tracking.follow import follow
from vidcorr.videos.check import check_data
from vidcorr.videos.prompts import MaskPrompt
from vidcorr.videos.source import list_videos, open_video

LARGEST_RISE = 2.4
"""Of calls from 2n to 4n, in rises from n to 2n; rarer calls, as of a workspace that is full, are in it."""


def calls_of(function):
    """Return the number of calls of Python's and C's functions while a function runs, in threads that it starts too."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    threading.setprofile(counted)
    sys.setprofile(counted)
    try:
        function()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return count


def propagated(frames=4, objects=2):
    features = torch.randn(frames, 8, 9, 13)
    labels = torch.rand(objects + 1, 9, 13)
    return lambda: list(propagate_labels(features, labels, protocol()))


def points(frames=4, queries=4, every_frame=False):
    features = torch.randn(frames, 8, 9, 13)
    times = torch.arange(queries) % (frames if every_frame else 1)
    given = torch.stack([times, times % 7 + 30, times % 5 + 40], 1).double()
    rules = PointProtocol.named("vidcorr", "tap_vid")
    assert "cycle" in rules.occlusion
    return lambda: track_points(features.__getitem__, frames, given, rules)


def evaluated(folder, sequences=2, frames=3):
    generated.write_davis(folder, sequences, frames=frames, size=(32, 32))
    return lambda: DavisBenchmark(folder).evaluate("raw_colour")


def frame_folder(folder, frames):
    folder.mkdir(parents=True)
    for t in range(frames):
        noise = np.random.default_rng(t).integers(256, size=(32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{t:05}.png")
    return folder


def followed(folder, frames=4, prompts=1):
    frame_folder(folder, frames)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    given = {t * frames // prompts: MaskPrompt.of(mask) for t in range(prompts)}
    network = build_feature_extractor("raw_colour")
    return lambda: list(follow(network, folder, given, short_side=32))


def distant_frames(folder, frames):
    """Four frames of a longer folder, whose names are listed once."""
    frame_folder(folder, frames)

    def read():
        with open_video(folder) as video:
            video.read([0, frames // 3, frames // 2, frames - 1])

    return read


def tabulated(folder, results):
    for number in range(results):
        videos = {"J": {f"video {n}": [0.5] for n in range(4)}}
        write_results(folder / f"{number:03}", {"J-Mean": 0.5}, f"network {number}", "d", 4, videos)
    return lambda: table([folder])


def with_videos(work, folder, videos):
    for number in range(videos):
        frame_folder(folder / f"{number:05}", 2)
    return lambda: work(folder)


def checked(folder):
    check_data([folder], folder, workers=1, min_frames=1)


LOOPS = {
    "propagation, frames": lambda n, _: propagated(frames=8 * n),
    "propagation, objects": lambda n, _: propagated(objects=4 * n),
    "points, frames": lambda n, _: points(frames=8 * n),
    "points, queries": lambda n, _: points(queries=8 * n),
    "points, frames with queries": lambda n, _: points(frames=8 * n, queries=8 * n, every_frame=True),
    "evaluate, sequences": lambda n, folder: evaluated(folder, sequences=2 * n),
    "evaluate, frames": lambda n, folder: evaluated(folder, frames=4 * n),
    "follow, frames": lambda n, folder: followed(folder, frames=6 * n),
    "follow, prompts": lambda n, folder: followed(folder, frames=6 * n, prompts=n),
    "frames of a folder": lambda n, folder: distant_frames(folder, 8 * n),
    "check-data, videos": lambda n, folder: with_videos(checked, folder, 2 * n),
    "table, results": lambda n, folder: tabulated(folder, 4 * n),
    "list, videos": lambda n, folder: with_videos(list_videos, folder, 4 * n),
}
"""Loop → function of its size and a folder, which prepares the work and returns it."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "check-data, videos")) for name in LOOPS]
)
def test_twice_the_input_takes_at_most_twice_the_calls(name, tmp_path):
    prepare = LOOPS[name]
    prepare(1, tmp_path / "first")()  # what is imported or cached once
    calls = [calls_of(prepare(n, tmp_path / str(n))) for n in (1, 2, 4)]
    first_rise = calls[1] - calls[0]
    second_rise = calls[2] - calls[1]
    assert second_rise <= LARGEST_RISE * max(first_rise, 1), calls
