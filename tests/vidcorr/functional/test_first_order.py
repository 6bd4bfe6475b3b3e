"""Second derivatives: exact where torch records every operation, refused in custom functions."""

import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr.functional import info_nce_loss, reconstruct_locally, reconstruct_with_negatives
from vidcorr.functional.compactness import CompactnessPrior
from vidcorr.functional.logsumexp import dot_logsumexp
from vidcorr.functional.negatives import per_query_logsumexp, same_place_logsumexp, shared_logsumexp


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


QUERY, REFERENCES, VALUES, STORED = random(2, 3, 5, 6), random(2, 2, 3, 5, 6), random(2, 2, 2, 5, 6), random(4, 3, 5, 6)
CASES = {
    "_LogSumExp": {
        "info_nce_loss": (lambda x: info_nce_loss(x, random(2, 2, 4), random(5, 4)), random(2, 2, 4)),
        "a sum, whose gradient is constant": (lambda x: dot_logsumexp(x, random(5, 4)).sum(), random(2, 2, 4)),
        "shared": (lambda x: shared_logsumexp(x, random(5, 3)).sum(), QUERY),
        "per query": (lambda x: per_query_logsumexp(x, STORED, 2, 0).sum(), QUERY),
        "same place": (lambda x: same_place_logsumexp(x, STORED, 1).sum(), QUERY),
        "negatives": (lambda x: reconstruct_with_negatives(x, REFERENCES, VALUES, random(5, 3), 1).sum(), QUERY),
    },
    "_LocalReconstruction": {
        "query": (lambda x: reconstruct_locally(x, REFERENCES, VALUES, 1).values.sum(), QUERY),
        "references": (lambda x: reconstruct_locally(QUERY, x, VALUES, 1).logsumexp.sum(), REFERENCES),
        "values": (lambda x: reconstruct_locally(QUERY, REFERENCES, x, 1).values.square().sum(), VALUES),
        "compactness": (
            lambda x: reconstruct_locally(x, REFERENCES, VALUES, 1, prior=CompactnessPrior(threshold=0)).compactness,
            QUERY,
        ),
    },
}
"""Custom autograd function → scalars that use it, with their argument."""


@pytest.mark.parametrize("case", [case for cases in CASES.values() for case in cases.values()])
def test_a_second_derivative_is_refused_and_the_first_stays(case):
    scalar, argument = case
    x = argument.clone().requires_grad_()
    torch.manual_seed(1)
    (once,) = torch.autograd.grad(scalar(x), x)
    torch.manual_seed(1)
    (recorded,) = torch.autograd.grad(scalar(x), x, create_graph=True)
    assert torch.equal(once, recorded.detach())
    penalty = recorded.square().sum()
    refused(RuntimeError, "has no second derivative", torch.autograd.grad, penalty, x)
