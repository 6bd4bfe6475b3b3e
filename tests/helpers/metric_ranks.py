"""Metrics filled by several processes, for the test that the score does not depend on their number."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torchmetrics import Metric

from callbacks.metrics import PCK, InstanceAP, RegionBoundary, SemanticIoU, TrackingSuccess

SEQUENCES = 17


def metrics(**kwargs: Any) -> list[Metric]:
    return [
        RegionBoundary(**kwargs),
        PCK(**kwargs),
        SemanticIoU(**kwargs),
        InstanceAP(**kwargs),
        TrackingSuccess(**kwargs),
    ]


def fill(all_metrics: list[Metric], sequences: range) -> None:
    """Random sequences, the same whoever makes them."""
    region, pck, semantic, instance, tracking = all_metrics
    for k in sequences:
        generator = torch.Generator().manual_seed(k)
        name = f"séquence-{k * 7 % SEQUENCES}"
        target = torch.randint(0, 3, (5, 4, 5), generator=generator).repeat_interleave(5, 1).repeat_interleave(5, 2)
        noise = torch.rand(target.shape, generator=generator) < 0.05 * (k % 7)
        prediction = torch.where(noise, torch.randint(0, 3, target.shape, generator=generator), target)
        region.update(prediction, target, name=name, objects=(1, 2))
        semantic.update(prediction, target, name=name)
        for found, truth in zip(prediction, target, strict=True):
            scores = dict(enumerate(torch.rand(3, generator=generator).tolist()))
            instance.update(found, truth, name=name, classes={1: 4, 2: 9}, scores=scores)
        points = torch.rand(4, 15, 2, generator=generator) * 100
        pck.update(points + 30 * torch.rand(points.shape, generator=generator), points, name=name)
        boxes = 20 + 50 * torch.rand(6, 4, generator=generator)
        tracking.update(boxes + 9 * torch.rand(boxes.shape, generator=generator), boxes, name=name)


def results(all_metrics: list[Metric]) -> list[dict[str, str]]:
    """Scores with every bit in sight."""
    return [{key: float(value).hex() for key, value in metric.compute().items()} for metric in all_metrics]


def work(rank: int, folder: str) -> None:
    """One of 4 processes: scores over all of them, then over an own group of the first two. Rank 3 has no sequence."""
    import cv2

    torch.set_num_threads(1)  # a forked process has none of its parent's threads
    cv2.setNumThreads(0)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=4, timeout=timedelta(seconds=60))
    pair = dist.new_group([0, 1], backend="gloo")
    everywhere = metrics()
    fill(everywhere, range(rank, SEQUENCES, 3) if rank < 3 else range(0))
    written: dict[str, Any] = {"four": results(everywhere)}
    with everywhere[0].sync_context():
        written["rows"] = [row["Sequence"] for row in everywhere[0].rows()]  # type: ignore[operator]
    written["own rows"] = len(everywhere[0].rows())  # type: ignore[operator]
    if rank < 2:
        own = metrics(process_group=pair)
        fill(own, range(SEQUENCES) if rank == 1 else range(0))
        written["two"] = results(own)
    Path(folder, f"rank{rank}.json").write_text(json.dumps(written))
    dist.destroy_process_group()
