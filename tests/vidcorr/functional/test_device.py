"""Copies that nobody waits for until they are used."""

import pytest
import torch

from vidcorr.functional.device import PendingCopy, to_device


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_there_and_back_through_pinned_memory():
    tensor = torch.rand(1 << 20)
    there = to_device(tensor, torch.device("cuda"))
    arriving = PendingCopy(there * 2)
    assert arriving._tensor.is_pinned()
    assert torch.equal(arriving.wait(), tensor * 2)
