"""Evaluation of frozen networks: jobs, the runner of those without a result, and the table of the results."""

from __future__ import annotations

import errno
import functools
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass, replace
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ..benchmarks.base import Benchmark
from ..benchmarks.network import NetworkLike, NetworkSpec, with_unique_rows
from ..benchmarks.ranks import LostRank, Ranks
from ..errors import ROOM
from ..functional import PropagationProtocol
from ..functional.device import on_device, out_of_memory_advice
from ..results.result import Network, Result, has_result, require_writable
from ..results.tables import Table
from ..videos.digests import text_digest
from ..videos.files import FolderInUse, FolderLock, slug
from .summary import show, table_of, write_pages

LONGEST = 60
"""Most characters of a network's name in a folder's name."""
MOST_LINES = 20
"""Most reused results that are named one by one."""


@dataclass(frozen=True, eq=False)
class Job:
    """A network, a benchmark and a protocol.

    Attributes:
        network: the network and the choice of its features.
        benchmark: the benchmark with its data; its `protocol` is not used.
        protocol: protocol of the evaluation; None for a benchmark without protocols.
    """

    network: NetworkSpec
    benchmark: Benchmark
    protocol: Any

    @property
    def title(self) -> str:
        """Network, benchmark and protocol in words."""
        words = [self.network.row]
        if self.network.stage and self.network.stage not in self.network.name:
            words.append(self.network.stage)
        if self.network.stride and str(self.network.stride) not in self.network.name:
            words.append(f"stride {self.network.stride}")
        by_protocol = f" by {self.protocol.name}" if self.protocol else ""
        return f"{', '.join(words)} on {self.benchmark.name}{by_protocol}"

    @functools.cached_property
    def key(self) -> str:
        """Digest of network, view, user's code, benchmark, data and protocol."""
        protocol = self.protocol.digest() if self.protocol else None
        content = {"network": self.network.identity, "protocol": protocol, **self.benchmark.identity()}
        return text_digest(json.dumps(content, sort_keys=True))

    @property
    def folder(self) -> str:
        """Name of the folder of the result."""
        return f"{slug(self.network.row)[-LONGEST:]}-{self.benchmark.name}-{self.key}"

    @property
    def frames_key(self) -> tuple[object, ...]:
        """Jobs with equal values see the same frames and can share a pass of the network."""
        features = (self.network.stage, self.network.stride)
        is_shareable = isinstance(self.protocol, PropagationProtocol)
        frames = self.protocol.values_of("pass") if is_shareable else (self.key,)
        return (*self.network.weights, features, id(self.benchmark), *frames)


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
        ValueError: if a network cannot be built, before any work; or after all other jobs, if a job failed.
        OSError: if the folder cannot be written.
    """
    specs = with_unique_rows(map(NetworkSpec.of, networks))
    read_now = [replace(benchmark) for benchmark in benchmarks]  # data in memory may be older than the files
    jobs = [Job(spec, benchmark, benchmark.protocol) for spec, benchmark in product(specs, read_now)]
    return run_jobs(jobs, output, base)


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
        ValueError: after all other jobs, if a job failed.
        OSError: if the folder cannot be written.
    """
    with process_group() as rank:
        runner = Runner(output)
        try:
            results = runner.run(jobs)
        finally:
            runner.take_back_an_empty_folder()
        table = table_of(results, base)
        if rank == 0:
            places = set(map(runner.place, jobs))
            show(table, results, places, Path(output), base, runner.elsewhere)
            write_pages(results, runner.place, base)
    runner.raise_failures(len(jobs))
    return table


AT_ONCE = 40
"""Most jobs per pass; the labels of a job take a few megabytes at 480p."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a full or read-only disk, at which all later jobs would fail too."""


class Runner:
    """Runs jobs whose results a folder lacks; the folder has a folder per job.

    A failed job is reported and the other jobs run. Ranks of torchrun share the sequences of a job. Other processes may
    use the same folder.

    Args:
        output: the folder; it is made if missing.
        pages: write predictions, pictures and a page too, for a pass with a single job.

    Attributes:
        failures: job → error message without line breaks.
        elsewhere: jobs of the last run without a result, because another process runs them.

    Raises:
        OSError: if the folder cannot be written.
    """

    def __init__(self, output: str | Path, pages: bool = True) -> None:
        self.output = Path(output)
        self.pages = pages
        self._made_here = not self.output.exists()
        require_writable(self.output)
        self.failures: dict[Job, str] = {}
        self.elsewhere: list[Job] = []
        self._encoder: Any = None
        self._built: tuple[object, ...] = ()

    def take_back_an_empty_folder(self) -> None:
        """Remove the folder if it was made here and no job wrote a file."""
        if self._made_here:
            with suppress(OSError):  # the folder holds files, or another rank was first
                self.output.rmdir()

    def place(self, job: Job) -> Path:
        """Return the folder of a job's result."""
        return self.output / job.folder

    def holds(self, job: Job) -> bool:
        """Return whether a job is done."""
        return has_result(self.place(job))

    def run(self, jobs: Sequence[Job]) -> dict[Job, Result]:
        """Run the jobs without a result; return the results of all jobs but failed ones and jobs run elsewhere.

        Args:
            jobs: jobs with equal folders run once.

        Raises:
            DataError: for wrong data; before any work.
            OSError: if the disk is full.
            ValueError: if a network cannot be built or lacks the features, or differs between the ranks; before any
                work.
        """
        with Ranks() as ranks:
            with ranks.together():
                different = {job.folder: job for job in jobs}
            folders_of_ranks = ranks.gather(tuple(different))
            if len(set(folders_of_ranks)) > 1:
                raise ValueError("the ranks hold different networks or benchmarks: seed every rank alike")
            missing = dict(different)
            done: list[Job] = []
            for folder in ranks.gather(self._done(different))[0]:  # the first rank decides
                done.append(missing.pop(folder))
            with ranks.together():
                self._check(missing.values())
            passes = passes_of(list(missing.values()))
            self._say_reused(done)
            if len(different) > 1:
                reused = f", {len(done)} are done" if done else ""
                print(f"{len(different)} jobs{reused}; {len(passes)} passes over the videos", flush=True)
            for number, jobs_of_pass in enumerate(passes, start=1):
                self._run_pass(ranks, jobs_of_pass, f"[{number}/{len(passes)}]")
        done_now = self._done(different)
        self.elsewhere = []
        for folder, job in different.items():
            if folder not in done_now and job not in self.failures:
                self.elsewhere.append(job)
        return {job: Result.load(self.place(job)) for job in jobs if self.holds(job)}

    def _done(self, jobs: Mapping[str, Job]) -> list[str]:
        """Return the folders of the jobs that are done."""
        return [folder for folder, job in jobs.items() if self.holds(job)]

    def _say_reused(self, jobs: Sequence[Job]) -> None:
        """Print which results are reused, and when they were made."""
        dates: dict[Job, str] = {}
        for job in jobs:
            dates[job] = Result.load(self.place(job)).provenance.date or "an unknown date"
        if len(jobs) <= MOST_LINES:
            for job, date in dates.items():
                print(f"{job.title}: reused, made on {date}", flush=True)
        else:
            print(f"{len(jobs)} results reused, made from {min(dates.values())} to {max(dates.values())}", flush=True)

    def raise_failures(self, jobs: int) -> None:
        """Raise an error if a job failed.

        Args:
            jobs: total number of jobs, for the message.

        Raises:
            ValueError: naming the failed jobs.
        """
        if self.failures:
            lines = "; ".join(f"{job.title}: {error}" for job, error in self.failures.items())
            raise ValueError(f"{len(self.failures)} of {jobs} jobs failed: {lines}")

    def _check(self, jobs: Iterable[Job]) -> None:
        """Build all networks and features once, to report mistakes before any work.

        Raises:
            ValueError: naming the network.
        """
        views = {}
        for job in jobs:
            features = (job.network.stage, job.network.stride)
            views[(*job.network.weights, *features, id(job.benchmark))] = job
        for job in views.values():
            try:
                job.network.extractor(self._encoder_of(job.network), job.benchmark)
            except Exception as error:  # libraries raise any type
                raise ValueError(f"{job.network.name} on {job.benchmark.name}: {_line(error)}") from error

    def _encoder_of(self, network: NetworkSpec) -> Any:
        """Return the encoder of a network; the last encoder is cached."""
        if self._built != network.weights:
            self._encoder = None  # frees its memory first
            self._encoder = network.build()
            self._built = network.weights
        return self._encoder

    def _run_pass(self, ranks: Ranks, jobs: list[Job], heading: str) -> None:
        """Run the jobs of a pass, without jobs that another process has locked."""
        with ExitStack() as locks:
            taken = self._lock(jobs, locks) if ranks.rank == 0 else []
            folders = ranks.gather(taken)[0]
            jobs = [job for job in jobs if job.folder in folders]
            if not jobs:
                return
            began = time.perf_counter()
            print(f"{heading} {_title(jobs)}", flush=True)
            try:
                with ranks.together():
                    self._evaluate(jobs, writes=ranks.rank == 0)
            except Exception as error:  # any type, because the other jobs still run
                if isinstance(error, LostRank) or (isinstance(error, OSError) and error.errno in DISK):
                    raise
                self.failures |= dict.fromkeys(jobs, _line(error))
                print(f"{_title(jobs)} failed: {_line(error)}", flush=True)
            else:
                print(f"{heading} {time.perf_counter() - began:.0f} s", flush=True)

    def _lock(self, jobs: Sequence[Job], locks: ExitStack) -> list[str]:
        """Lock the folders of jobs; return the locked folders without a result, skipping those locked elsewhere."""
        taken = []
        for job in jobs:
            try:
                locks.enter_context(FolderLock(self.place(job)))
            except FolderInUse:
                print(f"{job.title}: running elsewhere", flush=True)
                continue
            if not self.holds(job):  # unless another process has just ended it
                taken.append(job.folder)
        return taken

    def _evaluate(self, jobs: Sequence[Job], writes: bool) -> None:
        """Score jobs in a single pass of their network, and save their results."""
        network = jobs[0].network
        benchmark = jobs[0].benchmark
        with out_of_memory_advice(ROOM):
            encoder = self._encoder_of(network)
            extractor = on_device(network.extractor(encoder, benchmark))
        name = Network.of(encoder, network.row)
        protocols = [job.protocol for job in jobs]
        if self.pages and len(jobs) == 1:
            benchmark.run(extractor, name, protocols, self.place(jobs[0]), shared=True)
            return
        results = benchmark.evaluate_protocols(extractor, protocols, name, shared=True)
        if writes:
            for job, result in zip(jobs, results, strict=True):
                result.save(self.place(job))


def passes_of(jobs: Sequence[Job], at_once: int = AT_ONCE) -> list[list[Job]]:
    """Group jobs that see the same frames into passes, ordered by network.

    Args:
        jobs: the jobs.
        at_once: most jobs per pass; a smaller number takes less memory and encodes frames more often.
    """
    networks = list(dict.fromkeys(job.network.weights for job in jobs))
    ordered = sorted(jobs, key=lambda job: (networks.index(job.network.weights), *_matches(job)))
    alike: dict[tuple[object, ...], list[Job]] = {}
    for job in ordered:
        alike.setdefault(job.frames_key, []).append(job)
    passes = []
    for jobs_alike in alike.values():
        for first in range(0, len(jobs_alike), at_once):
            passes.append(jobs_alike[first : first + at_once])
    return passes


def _matches(job: Job) -> tuple[str, ...]:
    """Return a sort key by which protocols with shared matches are neighbours."""
    known = vars(job.protocol) if job.protocol else {}
    return tuple(str(known.get(field, "")) for field in ("radius", "context", "neighbourhood", "name"))


def _title(jobs: Sequence[Job]) -> str:
    """Return the title of the first job, and the number of the others."""
    if len(jobs) == 1:
        return jobs[0].title
    return f"{jobs[0].title} and {len(jobs) - 1} more protocols"


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
