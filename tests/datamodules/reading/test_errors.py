"""Errors of data travel between processes as they are."""

import pytest
from torch._utils import ExceptionWrapper

from datamodules.reading.errors import DecodingError


def test_a_dataloader_raises_an_error_of_its_worker_again() -> None:
    """It makes the error anew from one text, which ends with the error's own line."""
    try:
        raise DecodingError("a/b.mp4", "is broken")
    except DecodingError:
        wrapped = ExceptionWrapper(where="in a worker")
    with pytest.raises(DecodingError, match=r"(?s)in a worker.*a/b\.mp4: is broken\n?$"):
        wrapped.reraise()
