"""Benchmarks in several processes over gloo: scores with every bit in sight, failures, a short time limit."""

import os
import signal
import time
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist

from tests.helpers.encoders import clips_over
from vidcorr import (
    BenchmarkError,
    DavisBenchmark,
    JhmdbBenchmark,
    OtbBenchmark,
    TapVidBenchmark,
    VipBenchmark,
    YoutubeVosBenchmark,
)
from vidcorr.backbones import build_feature_extractor
from vidcorr.benchmarks import ranks
from vidcorr.benchmarks.base import Benchmark
from vidcorr.datasets.generated import write_davis, write_jhmdb, write_otb, write_tap_vid, write_vip, write_youtube_vos

SMALL = {"radius": 3, "context": 2}


class FailsOnLast(DavisBenchmark):
    """A benchmark of which one rank cannot read one of its sequences."""

    def score(self, sequence, tracker, output):
        if dist.get_rank() == dist.get_world_size() - 1:
            self.act(sequence)
        return super().score(sequence, tracker, output)

    def act(self, sequence):
        """Act before a sequence, on the last rank."""
        raise ValueError(f"{sequence.name}: broken")


class KilledOnLast(FailsOnLast):
    """A benchmark of which one rank is killed while it follows a sequence."""

    def act(self, sequence):
        os.kill(os.getpid(), signal.SIGKILL)


class HangsOnLast(FailsOnLast):
    """A benchmark of which one rank stops for good while it follows a sequence; the others wait for seconds."""

    def tracker(self, extractor, protocol):
        ranks.SHORTEST_LIMIT = timedelta(seconds=3)
        ranks.PATIENCE = 0
        return super().tracker(extractor, protocol)

    def act(self, sequence):
        os.kill(os.getpid(), signal.SIGSTOP)


class Late(FailsOnLast):
    """A benchmark of which one rank takes longer than the process group waits."""

    def act(self, sequence):
        time.sleep(4)


class OfClips(DavisBenchmark):
    """A benchmark whose extractor encodes clips."""

    def tracker(self, extractor, protocol):
        return super().tracker(clips_over(extractor), protocol)


KINDS = {
    "clips": (write_davis, OfClips),
    "davis": (write_davis, DavisBenchmark),
    "youtube_vos": (write_youtube_vos, partial(YoutubeVosBenchmark, split="holdout", holdout=0.7, unseen=1)),
    "jhmdb": (write_jhmdb, JhmdbBenchmark),
    "vip": (write_vip, VipBenchmark),
    "tap_vid": (write_tap_vid, TapVidBenchmark),
    "otb": (write_otb, lambda root, changes=None: OtbBenchmark(root, version=None)),
    "fails": (write_davis, FailsOnLast),
    "late": (write_davis, Late),
}
"""Name → writer of its data, and the benchmark of a root and changes."""


def bits(scores: dict[str, float]) -> dict[str, str]:
    return {key: value.hex() for key, value in scores.items()}


def evaluate(root: str, kind: str = "davis", folder: str | None = None) -> dict[str, str]:
    """Scores as hexadecimal digits, or the error that ended the benchmark."""
    benchmark: Benchmark = KINDS[kind][1](root, changes=SMALL)
    try:
        return bits(benchmark.evaluate(build_feature_extractor("raw_colour"), folder, shared=True).scores)
    except BenchmarkError as error:
        return {"error": str(error)}


def evaluate_on(rank: int, root: str, folder: str, kind: str) -> dict[str, str]:
    """Evaluate as one of several processes, whose own group works on afterwards."""
    results = evaluate(root, kind, folder)
    alive = torch.tensor(1.0)
    dist.all_reduce(alive)
    assert alive.item() == dist.get_world_size()
    return results


def first_alone_on(rank: int, root: str) -> dict[str, str]:
    """Evaluate on the first rank alone, while the others wait in another message."""
    scores = bits(DavisBenchmark(root, changes=SMALL).evaluate("raw_colour").scores) if rank == 0 else {}
    dist.barrier()
    return scores
