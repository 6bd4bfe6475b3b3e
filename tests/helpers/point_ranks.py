"""TAP-Vid's metric filled by several processes, of which one has no video."""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from callbacks.metrics import TapVidMetrics

VIDEOS = 7


def filled(videos: range, **kwargs: object) -> TapVidMetrics:
    """Random videos with different numbers of queries, the same whoever makes them."""
    metric = TapVidMetrics(**kwargs)
    for number in videos:
        generator = np.random.default_rng(number)
        truth = generator.uniform(0, 256, (number + 1, 6, 2))
        hidden, said = generator.random((2, number + 1, 6)) < 0.4
        found = truth + generator.normal(0, 4, truth.shape)
        metric.update(np.zeros((number + 1, 3)), hidden, truth, said, found, name=f"v{9 - number}", position=number)
    return metric


def results(metric: TapVidMetrics) -> dict[str, object]:
    """Scores with every bit in sight, and those of each track."""
    with metric.sync_context(should_sync=dist.is_initialized()):
        tracks = {name: [x.hex() for x in scores["jaccard_4"].tolist()] for name, scores in metric.per_track().items()}
        undefined = {key: list(names) for key, names in metric.undefined().items()}
    scores = {key: value.hex() for key, value in metric.compute().items()}
    return {"scores": scores, "tracks": tracks, "undefined": undefined}


def work(rank: int, folder: str) -> None:
    """One of 3 processes; the last has no video."""
    torch.set_num_threads(1)  # a forked process has none of its parent's threads
    store, limit = f"file://{folder}/store", timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=3, timeout=limit)
    metric = filled(range(rank, VIDEOS, 2) if rank < 2 else range(0))
    Path(folder, f"rank{rank}.json").write_text(json.dumps(results(metric)))
    dist.destroy_process_group()
