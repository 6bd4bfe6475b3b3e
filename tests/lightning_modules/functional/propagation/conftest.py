"""Both ways of searching for matches."""

import pytest

from lightning_modules.functional.propagation import references


@pytest.fixture
def torch_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search by torch alone, as on machines without a compiler."""
    monkeypatch.setattr(references, "can_screen", lambda features: False)


@pytest.fixture(params=["compiled", "torch"])
def either_search(request: pytest.FixtureRequest) -> None:
    """Search in compiled code where it is to be had, and by torch alone."""
    if request.param == "torch":
        request.getfixturevalue("torch_search")
