"""The search for matches: by torch, or by compiled code."""

import pytest

from vidcorr.functional.propagation.memory import SWITCH


@pytest.fixture(params=["torch", "compiled"])
def each_search(request, monkeypatch):
    """Run the test twice: by torch, and by compiled code where there is any."""
    monkeypatch.setenv(SWITCH, str(int(request.param == "compiled")))
