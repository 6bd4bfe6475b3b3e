"""Exit statuses and lines that an error ends a command with."""

import sys
from importlib import import_module
from io import StringIO

import pytest

from callbacks.command_line.endings import Terminated, report


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (ValueError("of a library"), "vidcorr: of a library (--debug shows where)"),
        (FileNotFoundError(2, "No such file", "a.mp4"), "vidcorr: [Errno 2] No such file: 'a.mp4'"),
        (
            RuntimeError("[../third_party/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1"),
            "vidcorr: another process of this run has ended, see its message; resume with --ckpt_path last",
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (AssertionError(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_ends_with(error, status):
    assert report(error) == status


def test_a_message_of_ours_needs_no_hint():
    with pytest.raises(ValueError, match="stride") as caught:
        import_module("lightning_modules.backbones.short_names").read_spec("raw_colour@x/none")
    assert (
        report(caught.value) == "vidcorr: raw_colour@x/none: the stride 'none' is not a number; write SPEC@STAGE/STRIDE"
    )


def test_a_parsers_pages_are_one_line():
    error = ValueError("Parser key 'trainer':\n  Problem with given class_path\n  …")
    error.__cause__ = ValueError("radius must be above 0, got -1")
    assert report(error) == "vidcorr: radius must be above 0, got -1 (--debug shows where)"


def test_of_a_value_of_several_types_the_constructors_own_reason_is_reported():
    reason = "protocol 'x': radius must be a finite number (at least 0) or None, got -2.0"
    error = ValueError(f"Does not validate\nErrors:\n  - Expected a <class 'str'>\n  - {reason}\nGiven value: 3")
    error.__cause__ = ValueError("Expected a <class 'str'>. Got value: Namespace(name='x')")
    assert report(error) == f"vidcorr: {reason}"


def test_an_error_of_a_loaders_worker_is_its_last_line():
    trace = 'Original Traceback (most recent call last):\n  File "a"\nDataError: no pair'
    text = f"Caught DataError in DataLoader worker process 0.\n{trace}"
    assert report(ValueError(text)) == "vidcorr: no pair (--debug shows where)"


class ClosedPipe(StringIO):
    """An output whose reader has gone."""

    def flush(self):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_closed_pipe_is_silent(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", ClosedPipe())
    assert report(BrokenPipeError()) == 141
    print("nobody reads this")
    assert capsys.readouterr().err == ""


def test_another_pipe_that_breaks_is_reported():
    assert report(BrokenPipeError(32, "Broken pipe")) == "vidcorr: [Errno 32] Broken pipe"


class ProcessRaisedException(Exception):
    """Stand-in for torch.multiprocessing's, which holds the traceback of a forked rank as text."""


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("datamodules.reading.guards.DataError: /data/x: no such folder", "vidcorr: /data/x: no such folder"),
        ("ValueError: stage must be one name", "vidcorr: stage must be one name"),
        ("KeyError: 'clip'", None),
    ],
)
def test_a_mistake_in_a_forked_rank_is_its_last_line(last, expected):
    error = ProcessRaisedException(f"-- Process 0 terminated\nTraceback (most recent call last):\n  File x\n{last}\n")
    assert report(error) == expected
