"""A function in several processes of one machine, joined over gloo."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.distributed as dist
from torch.multiprocessing import start_processes


def on_ranks(size: int, folder: Path, work: Callable[..., Any], *arguments: Any, limit: int = 120) -> list[Any]:
    """Return what `work(rank, *arguments)` gives on each rank, by way of JSON files in a folder; `limit`: seconds."""
    # fork: the processes would otherwise spend ten seconds each on imports
    start_processes(_enter, (size, str(folder), limit, work, arguments), nprocs=size, start_method="fork")
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(size)]


def _enter(rank: int, size: int, folder: str, limit: int, work: Callable[..., Any], arguments: Any) -> None:
    torch.set_num_threads(1)  # a forked process has none of its parent's threads
    cv2.setNumThreads(0)
    store, timeout = f"file://{folder}/store", timedelta(seconds=limit)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size, timeout=timeout)
    dist.barrier()  # a rank that ends its work at once would otherwise close the other's half-made connection
    Path(folder, f"rank{rank}.json").write_text(json.dumps(work(rank, *arguments)))
    dist.destroy_process_group()
