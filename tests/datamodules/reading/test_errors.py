"""Errors of data travel between processes as they are."""

import pickle
from pathlib import Path

import pytest
from torch._utils import ExceptionWrapper

from datamodules.reading.errors import DataError, DecodingError


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(DecodingError(Path("a/b.mp4"), "is broken")))
    assert isinstance(error, DataError)
    assert (str(error), error.path, error.reason) == ("a/b.mp4: is broken", "a/b.mp4", "is broken")


def test_a_dataloader_raises_an_error_of_its_worker_again() -> None:
    """It makes the error anew from one text, which ends with the error's own line."""
    try:
        raise DecodingError("a/b.mp4", "is broken")
    except DecodingError:
        wrapped = ExceptionWrapper(where="in a worker")
    with pytest.raises(DecodingError, match=r"(?s)in a worker.*a/b\.mp4: is broken\n?$"):
        wrapped.reraise()
