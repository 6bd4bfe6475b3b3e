"""Ranks that Lightning forked: a signal reaches them, and their end the run."""

from functools import partial

import pytest

from tests.helpers.faults import last, run, strike, words


@pytest.mark.parametrize("group", [False, True], ids=["one rank", "all, and the process that waits"])
def test_preemption_of_forked_ranks(group, video_folder, tmp_path):
    more = ["--trainer.strategy=ddp_fork", "--trainer.devices=2"]
    blow = strike("SIGTERM", 3, rank=1, group=group)
    command = partial(words, "VFSMoCo", video_folder, tmp_path, *more, samples_per_epoch=20)
    ended = run(command(callbacks=(blow,)), tmp_path)
    assert ended.status == 143, ended.said
    assert ended.said.count("stopped by SIGTERM") == 1
    assert "stopped by SIGTERM after step 4\n" in ended.said
    assert last(tmp_path)["global_step"] == 4
