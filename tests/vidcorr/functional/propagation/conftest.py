"""The search for matches: by torch, or by compiled code."""

import sys

import pytest
import torch

from vidcorr.functional.propagation import memory
from vidcorr.functional.propagation.memory import SWITCH


@pytest.fixture
def compiled():
    """Fail without the compiled code where this processor has one: a test that is skipped would hold nothing."""
    if memory._compiled() is not None:
        return
    if sys.platform == "linux" and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        pytest.fail("the search is not compiled: run `python setup.py build_ext --inplace`")
    pytest.skip("no search is compiled for this processor")


@pytest.fixture(params=["torch", "compiled"])
def each_search(request, monkeypatch):
    """Run the test twice: by torch, and by compiled code."""
    if request.param == "compiled":
        request.getfixturevalue("compiled")
    monkeypatch.setenv(SWITCH, str(int(request.param == "compiled")))
