"""A job: a frozen network, a benchmark and a protocol, with a key for its result; and the store of results by job."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..benchmarks.base import Benchmark
from ..benchmarks.network import UNTRAINED, NetworkSpec
from ..functional import PropagationProtocol
from ..results.result import RESULTS_FILE, Result
from ..tracking.label_tracker import seen_by
from ..videos.files import FolderInUse, FolderLock, slug

BASELINES = ("raw_colour", UNTRAINED)
LONGEST = 60
"""Most characters of a network's name in a folder's name."""


@dataclass(frozen=True, eq=False)
class Job:
    """A network, a benchmark and a protocol.

    Attributes:
        network: see `NetworkSpec`.
        benchmark: the benchmark with its data; its `protocol` is not used.
        protocol: protocol of the evaluation; None for a benchmark without protocols.
    """

    network: NetworkSpec
    benchmark: Benchmark
    protocol: Any

    @property
    def title(self) -> str:
        """Network, benchmark and protocol in words."""
        features = [self.network.stage, self.network.stride and f"stride {self.network.stride}"]
        shown = [text for text in features if text and str(text) not in self.network.name]
        by = f" by {self.protocol.name}" if self.protocol else ""
        return f"{', '.join([self.network.row, *shown])} on {self.benchmark.name}{by}"

    @functools.cached_property
    def key(self) -> str:
        """Digest of network, view, benchmark, data and protocol; see `NetworkSpec.identity`, `Benchmark.identity`."""
        protocol = self.protocol.digest() if self.protocol else None
        content = {"network": self.network.identity, "protocol": protocol, **self.benchmark.identity()}
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """Folder of the result in a store."""
        return f"{slug(self.network.row)[-LONGEST:]}-{self.benchmark.name}-{self.key}"

    @property
    def sight(self) -> tuple[object, ...]:
        """Jobs with equal values see the same frames and can share a pass of the network."""
        features = (self.network.stage, self.network.stride)
        frames = seen_by(self.protocol) if isinstance(self.protocol, PropagationProtocol) else (self.key,)
        return (*self.network.weights, features, id(self.benchmark), *frames)


class Store:
    """A folder with a folder per job. Several processes may share a store.

    Args:
        folder: the folder; it need not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def folder_of(self, job: Job) -> Path:
        """Return the folder of a job's result."""
        return self.folder / job.folder

    def holds(self, job: Job) -> bool:
        """Return whether a job is done."""
        return (self.folder_of(job) / RESULTS_FILE).is_file()

    def result(self, job: Job) -> Result:
        """Read the result of a job.

        Raises:
            ValueError: if the result is missing or damaged; the message names the file.
        """
        return Result.load(self.folder_of(job))

    def claim(self, job: Job) -> FolderLock | None:
        """Lock the folder of a job; return None if the job is done or another process runs it."""
        try:
            lock = FolderLock(self.folder_of(job))
        except FolderInUse:
            print(f"{job.title}: running elsewhere", flush=True)
            return None
        if self.holds(job):  # another process has just ended it
            lock.release()
            return None
        return lock


def networks_of(
    specs: Iterable[str], pretrained: bool = False, seeds: Iterable[int] = (0,), baselines: bool = False
) -> list[NetworkSpec]:
    """Read the networks of a command line.

    Args:
        specs: see `NetworkSpec.read`; repeated names count once.
        pretrained: see `NetworkSpec.read`.
        seeds: seeds of random weights; a random network is returned once per seed.
        baselines: add the networks of `BASELINES`.

    Raises:
        ValueError: if a stride is not a number.
    """
    networks = []
    for text in dict.fromkeys([*specs, *(BASELINES if baselines else ())]):
        network = NetworkSpec.read(text, pretrained)
        networks += [replace(network, seed=seed) for seed in seeds] if network.is_random else [network]
    return networks
