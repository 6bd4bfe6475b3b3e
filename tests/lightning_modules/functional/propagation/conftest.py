"""The search for matches by torch alone."""

import pytest

from lightning_modules.functional.propagation import references


@pytest.fixture
def torch_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search by torch alone, as on machines without a compiler."""
    monkeypatch.setattr(references, "can_screen", lambda features: False)
