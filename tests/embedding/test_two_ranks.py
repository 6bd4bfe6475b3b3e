"""Two ranks with a bare loader train on disjoint samples, as one process that takes the mean of both gradients."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.embedding import two_ranks


@pytest.mark.slow
def test_ranks_share_the_videos_and_learn_from_all_of_them(video_folder, tmp_path):
    command = [sys.executable, two_ranks.__file__, str(video_folder), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))

    orders = []
    for epoch in range(2):
        shares = []
        for outcome in (first, second):
            seen = [batch["videos"] for batch in outcome["seen"] if batch["epoch"] == epoch]
            shares.append([video for videos in seen for video in videos])
        assert not set(shares[0]) & set(shares[1])
        assert sorted(shares[0] + shares[1]) == list(range(6))
        orders.append(shares)
    assert orders[0] != orders[1]

    torch.manual_seed(0)
    alone = nn.Conv2d(3, 4, 8, 8)
    optimizer = torch.optim.SGD(alone.parameters(), lr=0.1)
    untrained = alone.weight.detach().clone()
    for mine, other in zip(first["seen"], second["seen"], strict=True):
        losses = [two_ranks.loss_of(alone, batch["clip"]) for batch in (mine, other)]
        optimizer.zero_grad()
        (sum(losses) / 2).backward()
        optimizer.step()
    assert not torch.allclose(alone.weight, untrained)
    for name, weight in alone.state_dict().items():
        assert torch.equal(first["weights"][name], second["weights"][name]), name
        torch.testing.assert_close(first["weights"][name], weight)
