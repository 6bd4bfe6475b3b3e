"""Evaluation of frozen networks: jobs, the runner of those without a result, and the table of the results."""

from __future__ import annotations

import errno
import functools
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, fields, replace
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ..benchmarks.base import Benchmark
from ..benchmarks.identity import identity_of
from ..benchmarks.network import NetworkLike, NetworkSpec, with_unique_rows
from ..benchmarks.ranks import LostRank, Ranks
from ..errors import ROOM
from ..functional.device import fastest_precision, gpu_or_cpu, on_device, out_of_memory_advice
from ..results.result import Network, Result, has_result, require_writable
from ..results.tables import Table
from ..videos.digests import text_digest
from ..videos.files import FolderInUse, FolderLock, slug
from .summary import show, table_of, write_pages

LONGEST = 60
"""Most characters of a network's name in a folder's name."""
MOST_LINES = 20
"""Most reused results that are named one by one."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a full or read-only disk, at which all later jobs would fail too."""


@dataclass(frozen=True, eq=False)
class Job:
    """A network and a benchmark with its protocol.

    Attributes:
        network: the network and the choice of its features.
        benchmark: the benchmark with its data.
    """

    network: NetworkSpec
    benchmark: Benchmark

    @property
    def title(self) -> str:
        """Network, benchmark and protocol in words."""
        words = [self.network.name]
        if self.network.stage and self.network.stage not in self.network.name:
            words.append(self.network.stage)
        if self.network.stride and str(self.network.stride) not in self.network.name:
            words.append(f"stride {self.network.stride}")
        protocol = self.benchmark.protocol
        by_protocol = f" by {protocol.name}" if protocol else ""
        return f"{', '.join(words)} on {self.benchmark.name}{by_protocol}"

    @functools.cached_property
    def key(self) -> str:
        """Digest of network, view, benchmark, data and protocol, with a precision that the device decides."""
        protocol = self.benchmark.protocol
        digest = protocol.digest() if protocol else None
        content = {"network": self.network.identity, "protocol": digest, **identity_of(self.benchmark)}
        if getattr(protocol, "backbone_precision", None) == "auto":
            content["precision"], _ = fastest_precision(gpu_or_cpu().type)
        return text_digest(json.dumps(content, sort_keys=True))

    @functools.cached_property
    def is_reusable(self) -> bool:
        """True if the key settles the scores: neither network, benchmark nor protocol is code of the user."""
        kinds = (type(self.benchmark), type(self.benchmark.protocol))
        ours = all(kind.__module__.startswith("vidcorr.") for kind in kinds if kind is not type(None))
        return ours and self.network.is_reusable

    @property
    def folder(self) -> str:
        """Name of the folder of the result."""
        return f"{slug(self.network.name)[-LONGEST:]}-{slug(self.benchmark.name)}-{self.key}"


def evaluate(
    networks: Sequence[NetworkLike],
    benchmarks: Sequence[Benchmark],
    output: str | Path = "evaluation",
    base: str = "",
) -> Table:
    """Score networks on benchmarks; results in the output folder are reused.

    Args:
        networks: modules, feature extractors, paths of checkpoints, or names as `vidcorr evaluate` takes them.
        benchmarks: benchmarks for all networks, with their protocols.
        output: folder of the results; table.md and table.csv show all results in it.
        base: network to compare the others with, or empty.

    Returns:
        The table, with a row per network.

    Raises:
        DataError: for wrong data; before any work.
        ValueError: for benchmarks of one name on several data, before any work; or after all other jobs, if a job
            failed.
        OSError: if the folder cannot be written.
    """
    specs = with_unique_rows(map(NetworkSpec.of, networks))
    read_now = [replace(benchmark) for benchmark in benchmarks]  # data in memory may be older than the files
    return run_jobs([Job(spec, benchmark) for spec, benchmark in product(specs, read_now)], output, base)


def run_jobs(jobs: Sequence[Job], output: str | Path, base: str = "") -> Table:
    """Run jobs, print the table of their results, and write it with all earlier results of the folder.

    Args:
        jobs: the jobs.
        output: folder of the results.
        base: name of the network to compare the others with, or empty.

    Returns:
        The table of the jobs.

    Raises:
        DataError: for wrong data; before any work.
        ValueError: for benchmarks of one name on several data, before any work; or after all other jobs, if a job
            failed.
        OSError: if the folder cannot be written.
    """
    with process_group() as rank:
        runner = Runner(output)
        results = runner.run(jobs)
        table = table_of(results, base)
        if rank == 0:
            show(table, results, set(map(runner.place, jobs)), runner.output, base, runner.elsewhere)
            write_pages(results, runner.place, base)
    runner.raise_failures()
    return table


class Runner:
    """Runs jobs whose results a folder lacks; the folder has a folder per job.

    A failed job is reported and the other jobs run. Ranks of torchrun share the sequences of a job. Other processes may
    use the same folder.

    Args:
        output: the folder; the first job makes it.

    Attributes:
        failures: job → error message without line breaks.
        elsewhere: jobs without a result, because another process runs them.
    """

    def __init__(self, output: str | Path) -> None:
        self.output = Path(output)
        self.failures: dict[Job, str] = {}
        self.elsewhere: list[Job] = []
        self._made: set[str] = set()  # folders of the results that this runner has made
        self._encoder: Any = None
        self._built: tuple[object, ...] = ()

    def place(self, job: Job) -> Path:
        """Return the folder of a job's result."""
        return self.output / job.folder

    def run(self, jobs: Sequence[Job]) -> dict[Job, Result]:
        """Run the jobs without a result; return the results of all jobs but failed ones and jobs run elsewhere.

        Args:
            jobs: jobs with equal folders run once.

        Raises:
            DataError: for wrong data; before any work.
            OSError: if the folder cannot be written, or the disk is full.
            ValueError: for benchmarks of one name on several data, or networks that differ between the ranks; before
                any work.
        """
        with Ranks() as ranks:
            with ranks.together():
                different = {job.folder: job for job in jobs}
                _refuse_equal_columns(different.values())
            if len(set(ranks.gather(tuple(different)))) > 1:
                raise ValueError("the ranks hold different networks or benchmarks: seed every rank alike")
            held = [folder for folder, job in different.items() if self._reuses(job)]
            done = ranks.gather(held)[0]
            _say_reused({different[folder]: self.output / folder for folder in done})
            missing = [job for folder, job in different.items() if folder not in done]
            with ranks.together():
                self._check(missing, ranks)
                if missing:
                    require_writable(self.output)
            for number, job in enumerate(missing, start=1):
                if job not in self.failures:
                    self._run(job, ranks, f"[{number}/{len(missing)}]")
        for job in different.values():
            if job not in self.failures and not self._is_done(job):
                self.elsewhere.append(job)
        return {job: Result.load(self.place(job)) for job in jobs if self._is_done(job)}

    def _reuses(self, job: Job) -> bool:
        """Return whether the folder holds the result of a job, whoever has made it."""
        return has_result(self.place(job)) and job.is_reusable

    def _is_done(self, job: Job) -> bool:
        """Return whether a job has a result: an earlier one of code of the user is not its result."""
        return job.folder in self._made or self._reuses(job)

    def raise_failures(self) -> None:
        """Raise an error that names the failed jobs, if there are any.

        Raises:
            ValueError: with the message of each job.
        """
        if self.failures:
            lines = "; ".join(f"{job.title}: {error}" for job, error in self.failures.items())
            raise ValueError(f"{len(self.failures)} failed: {lines}")

    def _check(self, jobs: Sequence[Job], ranks: Ranks) -> None:
        """Build all networks and features once, to tell mistakes before any work.

        Raises:
            ValueError: if no job is left.
        """
        refused: dict[str, str] = {}
        for job in jobs:
            try:
                job.network.extractor(self._encoder_of(job.network), job.benchmark)
            except Exception as error:  # libraries raise any type
                refused[job.folder] = _line(error)
        for of_rank in ranks.gather(refused):
            refused |= of_rank
        for job in jobs:
            if job.folder in refused:
                self._fail(job, refused[job.folder])
        if jobs and len(self.failures) == len(jobs):
            self.raise_failures()

    def _fail(self, job: Job, message: str) -> None:
        self.failures[job] = message
        print(f"{job.title} failed: {message}", flush=True)

    def _encoder_of(self, network: NetworkSpec) -> Any:
        """Return the encoder of a network; the last encoder is kept."""
        if self._built != network.weights:
            self._encoder = None  # frees its memory first
            self._encoder = network.build()
            self._built = network.weights
        return self._encoder

    def _run(self, job: Job, ranks: Ranks, heading: str) -> None:
        """Run a job, unless another process has locked or just done it."""
        with ExitStack() as locks:
            is_mine = ranks.rank == 0 and self._lock(job, locks)
            if not ranks.gather(is_mine)[0]:
                return
            began = time.perf_counter()
            print(f"{heading} {job.title}", flush=True)
            try:
                with ranks.together():
                    self._evaluate(job)
            except Exception as error:  # any type, because the other jobs still run
                if isinstance(error, LostRank) or (isinstance(error, OSError) and error.errno in DISK):
                    raise
                self._fail(job, _line(error))
            else:
                self._made.add(job.folder)
                print(f"{heading} {time.perf_counter() - began:.0f} s", flush=True)

    def _lock(self, job: Job, locks: ExitStack) -> bool:
        """Lock the folder of a job; return whether the job is to run here."""
        try:
            locks.enter_context(FolderLock(self.place(job)))
        except FolderInUse:
            print(f"{job.title}: running elsewhere", flush=True)
            return False
        return not self._reuses(job)

    def _evaluate(self, job: Job) -> None:
        """Score a job's network, and save the result."""
        with out_of_memory_advice(ROOM):
            encoder = self._encoder_of(job.network)
            extractor = on_device(job.network.extractor(encoder, job.benchmark))
        name = Network.of(encoder, job.network.name)
        job.benchmark.run(extractor, name, self.place(job), shared=True)


def _refuse_equal_columns(jobs: Iterable[Job]) -> None:
    """Refuse benchmarks of one name on several data: their scores would stand in one cell of the table.

    Raises:
        ValueError: naming the benchmark.
    """
    cells: dict[tuple[str, ...], Job] = {}
    for job in jobs:
        network = job.network
        benchmark = job.benchmark
        arguments = {field.name: getattr(benchmark, field.name) for field in fields(benchmark) if field.name != "root"}
        cell = (network.name, repr([network.seed, network.stage, network.stride, arguments]))
        other = cells.setdefault(cell, job)
        if other is not job:
            raise ValueError(
                f"two benchmarks are called {benchmark.name}: their scores would be one row; give one another name"
            )


def _say_reused(places: Mapping[Job, Path]) -> None:
    """Print which results are reused, and when they were made."""
    dates: dict[Job, str] = {}
    for job, place in places.items():
        dates[job] = Result.load(place).provenance.date or "an unknown date"
    if len(dates) <= MOST_LINES:
        for job, date in dates.items():
            print(f"{job.title}: reused, made on {date}", flush=True)
    else:
        print(f"{len(dates)} results reused, made from {min(dates.values())} to {max(dates.values())}", flush=True)


def _line(error: BaseException) -> str:
    """Return an error's message without line breaks; errors of other libraries begin with their type."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"


@contextmanager
def process_group() -> Iterator[int]:
    """Join the process group of torchrun, if any; yield the rank. Ranks other than 0 print nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("gloo")
    try:
        rank = dist.get_rank()
        with redirect_stdout(StringIO()) if rank else nullcontext():
            yield rank
    finally:
        dist.destroy_process_group()
