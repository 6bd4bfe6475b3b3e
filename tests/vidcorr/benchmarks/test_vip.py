"""The score by which VIP ranks an instance; test_numbers.py holds the run."""

import pytest
import torch

from vidcorr.benchmarks.vip import instance_scores


def test_the_score_of_an_instance_is_the_mean_of_its_label_inside_it():
    """Labels of two cells a side are up-sampled over 4 px, of which the frame shows 3; object 9 is not found."""
    labels = torch.tensor([[[0.0, 0], [0, 0]], [[1, 1], [0, 0]], [[0, 1], [0, 1]], [[1, 1], [1, 1]]])
    mask = torch.tensor([[5, 5, 7], [5, 0, 7], [0, 0, 7], [5, 0, 0]])
    found = instance_scores(labels, mask, [5, 7, 9], (4, 4))
    assert found == pytest.approx({5: (1 + 1 + 0.75 + 0) / 4, 7: 0.75})
