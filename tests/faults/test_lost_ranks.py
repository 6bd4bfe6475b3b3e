"""A rank that is killed or hangs in a benchmark, where `ddp` of Lightning has started the ranks as users start them."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.helpers.faults import start_script, words
from tests.helpers.words import SMALL

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

KINDS = "tests.helpers.benchmark_ranks"


def living(group):
    """Return the processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def test_a_rank_lost_in_a_benchmark_ends_the_run_in_one_line(davis_root, video_folder, tmp_path):
    benchmark = {"class_path": f"{KINDS}.KilledOnLast", "init_args": {"root": str(davis_root), "changes": SMALL}}
    callback = {"class_path": "BenchmarkCallback", "init_args": {"benchmark": benchmark}}
    line = words("VFSSimSiam", video_folder, tmp_path, callbacks=(callback,))
    with (tmp_path / "said.txt").open("w") as said:
        process = start_script([*line, "--trainer.strategy=ddp", "--trainer.devices=2"], said)
    try:
        assert process.wait(300) != 0
        until = time.monotonic() + 10
        while living(process.pid) and time.monotonic() < until:
            time.sleep(0.2)
        assert living(process.pid) == []
    finally:
        for pid in living(process.pid):
            os.kill(pid, signal.SIGKILL)
    said = (tmp_path / "said.txt").read_text()
    assert "Traceback" not in said
    assert "the training continues" not in said
    told = [line for line in said.splitlines() if line.startswith("vidcorr: ")]
    if not told:  # Lightning looks at its ranks every 5 s, and may be the first to see it
        assert "[rank: 1] Child process with PID" in said
    else:
        assert len(told) == 1
        assert told[0].startswith("vidcorr: rank 0 of 2: another rank has ended")
