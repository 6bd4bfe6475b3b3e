"""The search for matches: by torch, or by compiled code."""

import pytest

from lightning_modules.functional.native import SWITCH


@pytest.fixture
def compiled_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search by compiled code, where this machine can."""
    monkeypatch.setenv(SWITCH, "1")


@pytest.fixture(params=["torch", "compiled"])
def each_search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test twice: by torch, and by compiled code where this machine can."""
    monkeypatch.setenv(SWITCH, str(int(request.param == "compiled")))
