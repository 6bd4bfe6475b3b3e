"""Evaluation of frozen networks: jobs, the runner of those without a result, and the table of the results."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from itertools import product
from pathlib import Path

import torch
import torch.distributed as dist

from ..backbones import NamedNetwork
from ..benchmarks.base import Benchmark
from ..benchmarks.identity import identity_of
from ..benchmarks.network import GivenNetwork, NetworkLike, with_unique_rows
from ..benchmarks.ranks import LostRank, Ranks
from ..errors import message_of, printable
from ..functional.device import fastest_precision, gpu_or_cpu
from ..results.folder_lock import FolderInUse, FolderLock
from ..results.records import Record, records_of
from ..results.rendering import Table, printed
from ..results.result import Result, has_result, require_writable
from ..results.tables import tabulate
from ..videos.digests import text_digest
from ..videos.files import slug

LONGEST = 60
"""Most characters of a network's name in a folder's name."""


@dataclass(frozen=True, eq=False)
class Job:
    """A network and a benchmark with its protocol.

    Attributes:
        network: the network and the choice of its features.
        benchmark: the benchmark with its data.
    """

    network: NamedNetwork | GivenNetwork
    benchmark: Benchmark

    @property
    def title(self) -> str:
        """Network, benchmark and protocol in words."""
        protocol = self.benchmark.protocol
        by_protocol = f" by {protocol.name}" if protocol else ""
        return f"{self.network.name} on {self.benchmark.name}{by_protocol}"

    @functools.cached_property
    def key(self) -> str:
        """Digest of network, view, benchmark, data and protocol, with a precision that the device decides."""
        protocol = self.benchmark.protocol
        digest = protocol.digest() if protocol else None
        content = {"network": self.network.identity(), "protocol": digest, **identity_of(self.benchmark)}
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
    """Score networks on benchmarks, and print the table; results in the output folder are reused.

    Args:
        networks: modules, feature extractors, paths of checkpoints, or names as `vidcorr evaluate` takes them.
        benchmarks: benchmarks for all networks, with their protocols.
        output: folder of the results; `vidcorr table` shows all results in it.
        base: network to compare the others with, or empty.

    Returns:
        The table, with a row per network.

    Raises:
        DataError: for wrong data; before any work.
        ValueError: if a job failed, after all other jobs.
        OSError: if the folder cannot be written.
    """
    rows = with_unique_rows(networks)
    unread = [replace(benchmark) for benchmark in benchmarks]  # data that one has read may be older than the files
    return run_jobs([Job(row, benchmark) for row, benchmark in product(rows, unread)], output, base)


def run_jobs(jobs: Sequence[Job], output: str | Path, base: str = "") -> Table:
    """Run jobs as `evaluate` does; return and print the table of their results.

    Args:
        jobs: networks and benchmarks.
        output: folder of the results.
        base: name of the row for differences; empty: none.

    Raises:
        ValueError: that names the failed jobs, after all others.
    """
    with process_group():  # ranks other than the first print nothing
        runner = Runner(output)
        results = runner.run(jobs)
        table = table_of({runner.place(job): result for job, result in results.items()}, base)
        if table.rows:
            print(f"\n{printed(table)}", flush=True)
    runner.raise_failures()
    return table


def table_of(results: Mapping[Path, Result], base: str = "") -> Table:
    """Return the table of the main scores of results, with differences from the first row of a base network.

    Args:
        results: folder → result.
        base: name of the base network; without a result of it the table has no differences.
    """
    records: list[Record] = []
    for place, result in results.items():
        records += records_of(result, result.main_scores(), place=place)
    table = tabulate(records)
    for name, row in table.rows.items():  # a network with several strides in a column has several rows
        if any(record.name == base for cell in row.values() for record in cell.records):
            return table.with_differences(name)
    return table


class Runner:
    """Runs jobs whose results a folder lacks; the folder has a folder per job.

    A failed job is reported and the other jobs run. Ranks of torchrun share the sequences of a job. Other processes may
    use the same folder.

    Args:
        output: the folder; the first job makes it.

    Attributes:
        failures: job → error message without line breaks.
    """

    def __init__(self, output: str | Path) -> None:
        self.output = Path(output)
        self.failures: dict[Job, str] = {}
        self._made: set[str] = set()  # folders of the results that this runner has made

    def place(self, job: Job) -> Path:
        """Return the folder of a job's result."""
        return self.output / job.folder

    def run(self, jobs: Sequence[Job]) -> dict[Job, Result]:
        """Run the jobs without a result; return the results of all jobs but failed ones and jobs run elsewhere.

        Args:
            jobs: jobs with equal folders run once.

        Raises:
            DataError: for wrong data; before any work.
            OSError: if the folder cannot be written.
            ValueError: for networks that differ between the ranks; before any work.
        """
        with Ranks() as ranks:
            with ranks.together():
                job_of_folder = {job.folder: job for job in jobs}
                require_writable(self.output)
            if len(set(ranks.gather(tuple(job_of_folder)))) > 1:
                raise ValueError("the ranks hold different networks or benchmarks: seed every rank alike")
            done_here = [folder for folder, job in job_of_folder.items() if self.reuses(job)]
            done = ranks.gather(done_here)[0]  # the first rank decides for all
            for folder in done:
                date = Result.load(self.output / folder).provenance.date
                print(f"{job_of_folder[folder].title}: reused, made on {date or 'an unknown date'}", flush=True)
            missing = [job for folder, job in job_of_folder.items() if folder not in done]
            for number, job in enumerate(missing, start=1):
                self._run(job, ranks, f"[{number}/{len(missing)}]")
        # a result of the user's code counts only if this runner has made it
        return {job: Result.load(self.place(job)) for job in jobs if job.folder in self._made or self.reuses(job)}

    def reuses(self, job: Job) -> bool:
        """Return whether the folder holds a job's result; none counts of the user's code, which may have changed."""
        return has_result(self.place(job)) and job.is_reusable

    def raise_failures(self) -> None:
        """Raise an error if jobs have failed; `run` has printed the message of each.

        Raises:
            ValueError: with the number of failed jobs, and the message of the first.
        """
        if self.failures:
            job, error = next(iter(self.failures.items()))
            raise ValueError(f"{len(self.failures)} failed; the first: {job.title}: {error}")

    def _run(self, job: Job, ranks: Ranks, heading: str) -> None:
        """Run a job, unless another process has locked or just done it; note it in `_made`, or in `failures`."""
        with ExitStack() as locks:
            is_ours = ranks.rank == 0 and self._claim(job, locks)
            if not ranks.gather(is_ours)[0]:
                return
            began = time.perf_counter()
            print(f"{heading} {job.title}", flush=True)
            network = job.network.network if isinstance(job.network, GivenNetwork) else job.network
            try:
                with ranks.together():
                    job.benchmark.evaluate(network, self.place(job), job.network.name, shared=True)
            except Exception as error:  # any type, because the other jobs still run
                if isinstance(error, LostRank):
                    raise
                text = printable(message_of(error))
                if not isinstance(error, ValueError | OSError):  # of another library
                    text = f"{type(error).__name__}: {text}"
                self.failures[job] = text
                print(f"{job.title} failed: {text}", flush=True)
            else:
                self._made.add(job.folder)
                print(f"{heading} {time.perf_counter() - began:.0f} s", flush=True)

    def _claim(self, job: Job, locks: ExitStack) -> bool:
        """Try to lock the folder of a job, until `locks` closes.

        Returns:
            True if the job is to run here; False if another process runs it or has just done it.
        """
        try:
            locks.enter_context(FolderLock(self.place(job)))
        except FolderInUse:
            print(f"{job.title}: running elsewhere", flush=True)
            return False
        return not self.reuses(job)


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group of torchrun, if any; ranks other than 0 print nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("gloo")
    try:
        with redirect_stdout(StringIO()) if dist.get_rank() else nullcontext():
            yield
    finally:
        dist.destroy_process_group()
