"""Correlation against a loop, labels and losses against the golden file."""

import itertools

import numpy as np
import pytest
import torch

from vidcorr.functional import siamese_correlation
from vidcorr.functional.siamese import balanced_loss, focal_loss, response_labels


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_correlation_is_that_of_a_loop(learns, memory):
    """Two runs of three search maps, one for each exemplar."""
    exemplar, search = torch.randn(3, 5, 4, 6), torch.randn(6, 5, 9, 6).to(memory_format=memory).requires_grad_(learns)
    expected = torch.zeros(6, 1, 6, 1)
    for n, y, x in itertools.product(range(6), range(6), range(1)):
        expected[n, 0, y, x] = (exemplar[n % 3] * search[n, :, y : y + 4, x : x + 6]).sum().detach()
    torch.testing.assert_close(siamese_correlation(exemplar, search), expected)


@pytest.mark.parametrize("size", [15, 17, 18])
def test_golden_labels_and_losses(golden, size):
    expected = golden("siamfc_loss")
    r_pos, _, stride = expected["params"]
    labels = response_labels((size, size), r_pos / stride)
    assert np.array_equal(labels, expected[f"labels_{size}"][0, 0])
    for name, loss in {"balanced": balanced_loss, "focal": focal_loss}.items():
        logits = torch.from_numpy(expected[f"resp_{size}"]).requires_grad_()
        value = loss(logits, labels)
        value.backward()
        assert value.item() == pytest.approx(expected[f"{name}_{size}"].item(), abs=1e-5)
        np.testing.assert_allclose(logits.grad, expected[f"{name}_{size}_grad"], rtol=0, atol=1e-6)
