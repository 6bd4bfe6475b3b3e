"""The functions that have a compiled form: by torch, or by compiled code."""

import sys

import pytest
import torch

from vidcorr.functional import native


@pytest.fixture
def compiled():
    """Fail without the compiled code where this processor has one: a test that is skipped would hold nothing."""
    if native.compiled_variant() is not None:
        return
    if sys.platform == "linux" and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        pytest.fail("the C++ files are not compiled: run `python setup.py build_ext --inplace`")
    pytest.skip("none is compiled for this processor")


@pytest.fixture(params=["torch", "compiled"])
def each_search(request, monkeypatch):
    """Run the test twice: by torch, and by compiled code."""
    if request.param == "compiled":
        request.getfixturevalue("compiled")
    monkeypatch.setenv(native.SWITCH, str(int(request.param == "compiled")))


@pytest.fixture(params=["avx512_vnni", "avx512", "avx2", "other"])
def each_kernel(request, monkeypatch):
    """Run the test by each kind of compiled code that is built and runs here."""
    if request.param not in native.VARIANTS or not native.library_of(request.param).is_file():
        pytest.skip(f"{request.param} is not built, or this processor does not run it")
    monkeypatch.setattr(native, "VARIANTS", [request.param])
