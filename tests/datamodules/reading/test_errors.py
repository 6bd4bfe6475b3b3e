"""Errors of data travel between processes as they are."""

import pickle
from pathlib import Path

from datamodules.reading.errors import DataError, DecodingError


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(DecodingError(Path("a/b.mp4"), "is broken")))
    assert isinstance(error, DataError)
    assert (str(error), error.path, error.reason) == ("a/b.mp4: is broken", "a/b.mp4", "is broken")
