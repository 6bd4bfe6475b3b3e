"""A rank that is killed or hangs in a benchmark, where `ddp` of Lightning has started the ranks as users start them."""

import pytest

from tests.helpers.faults import run_script, words
from tests.helpers.words import SMALL

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

KINDS = "tests.helpers.benchmark_ranks"


def test_a_rank_lost_in_a_benchmark_ends_the_run_in_one_line(davis_root, video_folder, tmp_path):
    benchmark = {"class_path": f"{KINDS}.KilledOnLast", "init_args": {"root": str(davis_root), "changes": SMALL}}
    callback = {"class_path": "BenchmarkCallback", "init_args": {"benchmark": benchmark}}
    line = words("VFSSimSiam", video_folder, tmp_path, callbacks=(callback,))
    said = run_script([*line, "--trainer.strategy=ddp", "--trainer.devices=2"])
    assert "Traceback" not in said
    assert "the training continues" not in said
    told = [line for line in said.splitlines() if line.startswith("vidcorr: ")]
    if not told:  # Lightning looks at its ranks every 5 s, and may be the first to see it
        assert "[rank: 1] Child process with PID" in said
    else:
        assert len(told) == 1
        assert told[0].startswith("vidcorr: rank 0 of 2: another rank has ended")
