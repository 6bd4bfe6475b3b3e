"""Evaluations of networks: jobs, the folder that stores their results, and `run_missing`, which runs what it lacks."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import torch
import torch.distributed as dist

from ...backbones import EncoderSpec
from ...benchmarks.base import Benchmark
from ...benchmarks.identity import identity_of
from ...benchmarks.network import GivenNetwork
from ...benchmarks.ranks import LostRank, Ranks
from ...errors import message_of, printable
from ...functional.device import fastest_precision, gpu_or_cpu
from ...results.records import print_fault
from ...results.result import RESULTS_FILE, Result
from ...videos.digests import text_digest
from ...videos.files import require_writable, slug, user_path
from ...videos.folder_lock import FolderInUse, folder_lock
from .own_code import digest_of_own_code

LONGEST = 60
"""Most characters of a network's name in a folder's name."""


@dataclass(frozen=True, eq=False)
class Job:
    """A network and a benchmark with its protocol.

    Attributes:
        network: the network and the choice of its features.
        benchmark: the benchmark with its data.
    """

    network: EncoderSpec | GivenNetwork
    benchmark: Benchmark

    @property
    def title(self) -> str:
        """Network, benchmark and protocol in words: "raw_colour on davis by vfs"."""
        protocol = self.benchmark.protocol
        by_protocol = f" by {protocol.name}" if protocol else ""
        return f"{self.network.name} on {self.benchmark.name}{by_protocol}"

    @functools.cached_property
    def key(self) -> str:
        """Digest of all that the result depends on: network with stage and stride, benchmark, data, protocol.

        The precision "auto" differs between devices, so the digest has the precision that it selects on this device.
        """
        protocol = self.benchmark.protocol
        digest = protocol.digest() if protocol else None
        content = {"network": self.network.identity(), "protocol": digest, **identity_of(self.benchmark)}
        if getattr(protocol, "backbone_precision", None) == "auto":
            content["precision"], _ = fastest_precision(gpu_or_cpu().type)
        return text_digest(json.dumps(content, sort_keys=True))

    @functools.cached_property
    def own_code(self) -> str | None:
        """Digest of the user's code and weights, "" or None (`digest_of_own_code`)."""
        return digest_of_own_code(self.network, self.benchmark)

    @property
    def folder(self) -> str:
        """Name of the folder of the result, `NETWORK-BENCHMARK-KEY`; a long network's name loses its beginning."""
        return f"{slug(self.network.name)[-LONGEST:]}-{slug(self.benchmark.name)}-{self.key}"


@contextmanager
def run_missing(jobs: Sequence[Job], output: str | Path) -> Iterator[dict[Job, Result]]:
    """Run the jobs whose results a folder lacks, and yield the results of all jobs; progress goes to standard error.

    Ranks of torchrun share the sequences of each job; only the first rank prints. All ranks get the results, and the
    process group lasts until the end of the `with` block.

    Args:
        jobs: networks and benchmarks; jobs with equal folders run once.
        output: folder of the results.

    Yields:
        Job → result, without failed jobs and jobs that another process runs.

    Raises:
        DataError: for wrong data; before any work.
        ValueError: if jobs failed, with their number and the first one's error; after the block.
        OSError: if the folder cannot be written.
    """
    store = Store(user_path(output))
    with process_group() as is_first:
        # the first rank's output goes to standard error; that of the others `process_group` has hidden
        with redirect_stdout(sys.stderr if is_first else sys.stdout):
            results = store.run(jobs)
        yield results
    if store.failures:
        job, error = next(iter(store.failures.items()))
        raise ValueError(f"{len(store.failures)} failed; the first: {job.title}: {error}")


@dataclass(eq=False)
class Store:
    """A folder with a folder for the result of each job; `run` runs the jobs whose results it lacks.

    A failed job is reported and the other jobs run. Ranks of torchrun share the sequences of a job. Other processes may
    use the same folder.

    Attributes:
        output: the folder; the first job makes it.
        failures: job → error message without line breaks.
        made: folder → result that this store has made. It is read back from its file, since `Result.load` refuses
            contradictions.
    """

    output: Path
    failures: dict[Job, str] = field(default_factory=dict)
    made: dict[str, Result] = field(default_factory=dict)

    def run(self, jobs: Sequence[Job]) -> dict[Job, Result]:
        """Run the jobs without a stored result; an error of a job goes to `failures`, and the next job runs.

        Args:
            jobs: jobs with equal folders run once.

        Returns:
            Job → result, new or stored, without failed jobs and jobs that another process runs.

        Raises:
            DataError: for wrong data; before any work.
            OSError: if the folder cannot be written.
            ValueError: for networks that differ between the ranks; before any work.
        """
        with Ranks() as ranks:
            with ranks.together():
                job_of_folder = {job.folder: job for job in jobs}  # `folder` reads the data, and refuses wrong data
                require_writable(self.output)
            if len(set(ranks.gather(tuple(job_of_folder)))) > 1:
                raise ValueError("the ranks hold different networks or benchmarks: seed every rank alike")
            for number, job in enumerate(job_of_folder.values(), start=1):
                self._run(job, ranks, f"[{number}/{len(job_of_folder)}]")
        results: dict[Job, Result] = {}
        for job in jobs:
            result = self.made.get(job.folder) or self.stored(job)
            if result is not None:
                results[job] = result
        return results

    def stored(self, job: Job) -> Result | None:
        """Return a job's result in the folder; None if the job has to run.

        It has to run if there is no results.json; if the file cannot be read, which is printed; or if the user's code
        of network, benchmark or protocol has changed.
        """
        file = self.output / job.folder / RESULTS_FILE
        if not file.is_file():
            return None
        try:
            result = Result.load(file)
        except (ValueError, OSError) as error:
            print_fault(f"Left out: {message_of(error)}")
            return None
        return result if job.own_code == result.provenance.own_code else None

    def _run(self, job: Job, ranks: Ranks, heading: str) -> None:
        """Run a job and note it in `made` or `failures`; do nothing if it is stored or another process runs it."""
        with ExitStack() as locks:
            is_ours = ranks.rank == 0 and self._claim(job, locks)
            if not ranks.gather(is_ours)[0]:  # the first rank decides, and the others wait for its answer
                return
            began = time.perf_counter()
            print(f"{heading} {job.title}", flush=True)
            # a `GivenNetwork` holds a network that the caller has built
            network = job.network.network if isinstance(job.network, GivenNetwork) else job.network
            own_code = job.own_code if ranks.rank == 0 else None
            try:
                with ranks.together():  # an error of one rank is raised on all
                    # shared=True: each rank scores a part of the sequences
                    job.benchmark.evaluate(network, self.output / job.folder, job.network.name, shared=True)
                    result = Result.load(self.output / job.folder)
                if own_code:
                    provenance = result.provenance.model_copy(update={"own_code": own_code})
                    result = result.model_copy(update={"provenance": provenance})
                    result.save(self.output / job.folder)
            except LostRank:  # without all ranks no other job can run
                raise
            except Exception as error:  # any type, because the other jobs still run
                text = printable(message_of(error))
                if not isinstance(error, ValueError | OSError):  # of another library
                    text = f"{type(error).__name__}: {text}"
                self.failures[job] = text
                print(f"{job.title} failed: {text}", flush=True)
            else:
                self.made[job.folder] = result
                print(f"{heading} {time.perf_counter() - began:.0f} s", flush=True)

    def _claim(self, job: Job, locks: ExitStack) -> bool:
        """Lock the folder of a job until `locks` closes; return True if the job has to run here.

        It does not run if another process holds the folder, or the folder has the result; either is printed.
        """
        try:
            locks.enter_context(folder_lock(self.output / job.folder))
        except FolderInUse:
            print(f"{job.title}: running elsewhere", flush=True)
            return False
        result = self.stored(job)
        if result is not None:
            print(f"{job.title}: reused, made on {result.provenance.date or 'an unknown date'}", flush=True)
        return result is None


@contextmanager
def process_group() -> Iterator[bool]:
    """Join the process group of torchrun, if any; ranks but the first print nothing until the end of the block."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    if torch.cuda.is_available():  # more ranks than GPUs share them
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("gloo")  # ranks exchange Python objects, which needs no GPU
    try:
        is_first = dist.get_rank() == 0
        with nullcontext() if is_first else redirect_stdout(StringIO()):
            yield is_first
    finally:
        dist.destroy_process_group()
