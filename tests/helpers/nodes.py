"""Runs of the command line on several "nodes" of one machine, and what each of them tells."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.distributed.elastic.utils.distributed import get_free_port

ROOT = Path(__file__).resolve().parents[2]


class Witness(pl.Callback):
    """Each rank writes at the end: where it stood, its weights in hexadecimal, and which videos it was trained on."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.videos: list[int] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.videos += batch["video_index"].tolist()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        told = {
            "rank": trainer.global_rank,
            "ranks": trainer.world_size,
            "node": trainer.node_rank,
            "steps": trainer.global_step,
            "videos": self.videos,
            "weights": {n: [float(x).hex() for x in p.flatten()[:50]] for n, p in pl_module.named_parameters()},
        }
        (self.folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(told))


def run_on_nodes(nodes: int, words: list[str], timeout: float = 300) -> list[str]:
    """Start one process a node, as torchrun does, over the loopback; what each of them printed, if all succeed."""
    places = {"WORLD_SIZE": nodes, "LOCAL_WORLD_SIZE": 1, "LOCAL_RANK": 0, "TORCHELASTIC_RUN_ID": "test"}
    places |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": get_free_port(), "GLOO_SOCKET_IFNAME": "lo"}
    environment = os.environ | {name: str(place) for name, place in places.items()} | {"OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "cli.py", *words],
            cwd=ROOT,
            env=environment | {"RANK": str(node), "GROUP_RANK": str(node)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for node in range(nodes)
    ]
    try:
        printed = [process.communicate(timeout=timeout)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    ends = "\n=== next node\n".join(text[-4000:] for text in printed)
    assert all(process.returncode == 0 for process in started), ends
    return printed
