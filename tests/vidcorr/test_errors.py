"""Exit statuses and messages of errors."""

from argparse import ArgumentError

import pytest

from vidcorr import signals
from vidcorr.errors import exit_status

LOST = (
    "DataLoader worker (pid 7) is killed by signal: Killed.",
    "DataLoader worker (pid(s) 7, 8) exited unexpectedly",
    "DataLoader timed out after 30 seconds",
)
WORKER = "vidcorr: a worker of the loader"
RESUME = "resume it by: vidcorr resume"
ANOTHER = f"vidcorr: another process of this run has ended, see its message; {RESUME}"
DIST_ERROR = type("DistBackendError", (type("DistError", (RuntimeError,), {}),), {})
"""Stands in for torch.distributed's."""
OWN = type("Own", (Exception,), {"__module__": "vidcorr.callbacks.part.file"})
NO_SCORE = "Early stopping conditioned on metric `davis/J&F-Mean` which is not available."
ONE_VALUE = "Expected more than 1 value per channel when training, got input size torch.Size([1, 512, 1, 1])"
IN_EACH_EPOCH = "it runs in each epoch: --on davis=FOLDER --every 1"
IN_WORKER = (
    "Caught {0} in worker process 0.\nOriginal Traceback:\n  File 'a', line 1\n    raise error\n    ^^^\n{0}: no pair"
)


ENDINGS = [
    (ArgumentError(None, "expected one argument"), 2),
    (FileNotFoundError(2, "No such file", "a.mp4"), "vidcorr: [Errno 2] No such file: 'a.mp4'"),
    (signals.Stopped(15), 143),
    (DIST_ERROR("no port"), ANOTHER),
    (RuntimeError("Connection closed by peer"), ANOTHER),
    (OWN("Connection closed by peer"), "vidcorr: Connection closed by peer"),
    (RuntimeError(NO_SCORE), f"vidcorr: {NO_SCORE}; a benchmark logs its scores if {IN_EACH_EPOCH}"),
    (ValueError(ONE_VALUE), f"vidcorr: {ONE_VALUE}; set a larger --data.batch_size or --data.size"),
    (ConnectionResetError(104, "Connection reset by peer"), "vidcorr: [Errno 104] Connection reset by peer"),
    (ValueError(IN_WORKER.format("DataError")), "vidcorr: no pair"),
    (ValueError(IN_WORKER.format("ValueError") + " of\n  a.mp4\nand b.mp4"), "vidcorr: no pair of a.mp4 and b.mp4"),
    (OWN(IN_WORKER.format("Own")), "vidcorr: no pair"),
    (TypeError(IN_WORKER.format("TypeError")), f"{WORKER} raised TypeError: no pair (--debug shows where)"),
    *((RuntimeError(text), f"{WORKER} is lost, for example by memory: {text}; {RESUME}") for text in LOST),
    (ValueError("x.pth: \x1b[31mred\x07 名\udcff"), r"vidcorr: x.pth: \x1b[31mred\x07 名\udcff"),
]


@pytest.mark.parametrize(("error", "status"), ENDINGS, ids=lambda value: type(value).__name__)
def test_an_error_ends_with(error, status):
    assert exit_status(error) == status


def test_a_rank_but_the_first_names_itself(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, said in (("0", "vidcorr: a"), ("1", "vidcorr: rank 1 of 2: a")):
        monkeypatch.setenv("RANK", rank)
        assert exit_status(ValueError("a")) == said
