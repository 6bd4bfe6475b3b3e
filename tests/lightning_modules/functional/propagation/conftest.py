"""The search for matches: by torch alone, or by both ways."""

import pytest

from lightning_modules.functional.propagation import references


@pytest.fixture
def torch_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search by torch alone, as on machines without a compiler."""
    monkeypatch.setattr(references, "can_screen", lambda features: False)


@pytest.fixture(params=["compiled", "torch"])
def each_search(request: pytest.FixtureRequest) -> None:
    """Run the test twice: by the compiled search where this machine has it, and by torch."""
    if request.param == "torch":
        request.getfixturevalue("torch_search")
