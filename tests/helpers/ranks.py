"""A function in several processes of one machine, joined over gloo; a Trainer inside it takes them as its ranks."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.distributed as dist

from vidcorr.signals import STOPS

IMPORTED = ("vidcorr.cli", "vidcorr.callbacks.benchmark", "tests.helpers.training")
"""Modules that the server of processes imports once, for all ranks."""


def server() -> ForkServerContext:
    """Return the context of processes that a server forks: it imports what tests use, and has no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


def on_ranks(size: int, folder: Path, work: Callable[..., Any], *arguments: Any, limit: int = 120) -> list[Any]:
    """Return what `work(rank, *arguments)` gives on each rank, by way of JSON files in a folder.

    Args:
        size: number of ranks.
        folder: an empty folder.
        work: a function at the top level of a module; a Trainer in it has `strategy="ddp"` and `devices=size`.
        arguments: further arguments of `work`.
        limit: seconds that a rank waits for another.

    Raises:
        RuntimeError: if a rank failed; its traceback is on stderr.
    """
    processes = []
    for rank in range(size):
        process = server().Process(target=_enter, args=(rank, size, str(folder), limit, work, arguments), daemon=False)
        process.start()
        processes.append(process)
    for process in processes:
        process.join()
    codes = [process.exitcode for process in processes]
    if any(codes):
        raise RuntimeError(f"ranks ended with {codes}")
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(size)]


def _enter(rank: int, size: int, folder: str, limit: int, work: Callable[..., Any], arguments: Any) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # blocked by a server that `server_context` has started
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    places = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    places |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 0, "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({name: str(value) for name, value in places.items()})
    store, timeout = f"file://{folder}/store", timedelta(seconds=limit)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size, timeout=timeout)
    dist.barrier()  # a rank that ends its work at once would otherwise close the other's half-made connection
    Path(folder, f"rank{rank}.json").write_text(json.dumps(work(rank, *arguments)))
    if dist.is_initialized():
        dist.destroy_process_group()
