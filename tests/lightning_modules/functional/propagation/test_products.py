"""Products of a tile of queries with the keys around it."""

from typing import Any

import pytest
import torch

from tests.helpers.propagation import one_hot, protocol, run, video


@pytest.mark.parametrize("fields", [{}, {"radius": 1.5}, {"radius": None}, {"topk": None}, {"context": 8}])
def test_batched_products_give_the_same(fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    of = protocol(**fields)
    features, labels = video(), one_hot(3)
    expected = run(features, labels, of)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    torch.testing.assert_close(run(features, labels, of), expected, atol=2e-6, rtol=0)
