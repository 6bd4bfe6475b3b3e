"""Products by a convolution are those of a matrix product."""

import pytest
import torch

from lightning_modules.functional.products import SMALLEST, dot_products, onednn_pays, onednn_serves, weighted_sums


@pytest.mark.parametrize(("n", "keys", "width"), [(1, 1, 1), (7, 33, 5), (64, 300, 128)])
def test_products_and_sums_equal_matrix_products(n: int, keys: int, width: int) -> None:
    left, right = torch.randn(n, width), torch.randn(keys, width)
    products = dot_products(left, right)
    assert products.shape == (n, keys)
    torch.testing.assert_close(products, left @ right.T, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weighted_sums(products, right), products @ right, rtol=1e-4, atol=1e-3)


def test_only_large_products_in_float32_on_a_cpu_go_this_way() -> None:
    enough = torch.zeros(SMALLEST + 1, 1)
    serves = torch.backends.mkldnn.is_available()
    assert onednn_serves(enough) == onednn_pays(enough, enough) == serves
    assert not onednn_pays(enough, enough[1:])
    for other in (enough.double(), enough.bfloat16(), enough.to("meta")):
        assert not onednn_serves(other)
