"""The contrastive random walk: palindromes through time that should end where they began."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..transfer import to_device

DROPPED = -1e20
"""Cosine of a dropped edge, as in the public code: a row without any edge left becomes uniform, not NaN."""
EPSILON = 1e-20
"""Added to probabilities before the logarithm, as in the public code."""


def contrastive_random_walk_loss(
    nodes: Tensor, temperature: float = 0.07, dropped: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Compute the cycle consistency of random walks from frame 0 to a later frame and back.

    A step from one frame to the next takes the softmax of cosines / temperature; steps back have a softmax of their
    own. For k = 2 … T − 1 the walk goes k frames forward and k back; the term is the cross-entropy of its
    transition matrix against the identity, and the loss the mean of the T − 2 terms. The shortest palindrome (k = 1) is
    left out. Equal to the released code; Algorithm 1 of the paper has one walk of full length, and drops edges of the
    ways out and back independently.

    Paper: Jabri et al., Space-Time Correspondence as a Contrastive Random Walk (CRW), NeurIPS 2020.

    Args:
        nodes: `(B, C, T, N)` of unit length along C.
        temperature: τ.
        dropped: None, or two bool masks `(B, T − 1, N, N)` of dropped edges: of the steps from frame t (rows) to t + 1,
            and of those from frame t + 1 (rows) to t. An edge that is dropped on the way out is dropped on the way back
            too.

    Returns:
        Scalar in float32 or finer; 0 for T = 2.

    Raises:
        ValueError: if the shapes do not fit or the temperature is not above 0.

    Example:
        >>> still = torch.eye(3).view(1, 3, 1, 3).expand(-1, -1, 4, -1)
        >>> contrastive_random_walk_loss(still, temperature=0.05)
        tensor(0.)
    """
    _check(nodes, temperature, dropped)
    count = nodes.shape[3]
    nodes = nodes.to(torch.promote_types(nodes.dtype, torch.float32))
    with torch.autocast(nodes.device.type, enabled=False):
        cosines = torch.einsum("bctn,bctm->btnm", nodes[:, :, :-1], nodes[:, :, 1:])
        forward, backward = cosines, cosines.mT
        if dropped is not None:
            out, back = dropped
            forward, backward = forward.masked_fill(out, DROPPED), backward.masked_fill(back | out.mT, DROPPED)
        forward, backward = (forward / temperature).softmax(-1), (backward / temperature).softmax(-1)
        forward_walk, return_walk = forward[:, 0], backward[:, 0]  # B x N x N, of one step each
        own = torch.arange(count, device=nodes.device).repeat(len(nodes))
        terms = []
        for step in range(1, forward.shape[1]):
            forward_walk, return_walk = forward_walk @ forward[:, step], backward[:, step] @ return_walk
            terms.append(cross_entropy((forward_walk @ return_walk + EPSILON).log().flatten(0, 1), own))
    return torch.stack(terms).mean() if terms else nodes.sum() * 0


def drop_edges(nodes: Tensor, rate: float, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
    """Draw the masks of `contrastive_random_walk_loss`, independently for each edge and direction.

    Args:
        nodes: `(B, C, T, N)`.
        rate: probability in [0, 1) that an edge is dropped; 0 gives None.
        generator: on the CPU.
    """
    if not rate:
        return None
    batch, _, frames, count = nodes.shape
    draws = torch.rand(2, batch, frames - 1, count, count, generator=generator, dtype=torch.float32) < rate
    out, back = to_device(draws, nodes.device)
    return out, back


def _check(nodes: Tensor, temperature: float, dropped: tuple[Tensor, Tensor] | None) -> None:
    name = "contrastive_random_walk_loss"
    if nodes.ndim != 4 or nodes.shape[2] < 2 or not nodes.is_floating_point():
        raise ValueError(f"{name}: expected float nodes (B, C, T, N) with T >= 2, got {tuple(nodes.shape)}")
    if temperature <= 0:
        raise ValueError(f"{name}: temperature must be above 0, got {temperature}")
    wanted = (len(nodes), nodes.shape[2] - 1, nodes.shape[3], nodes.shape[3])
    for mask in dropped or ():
        if mask.shape != wanted or mask.dtype != torch.bool:
            raise ValueError(f"{name}: dropped must be two bool masks {wanted}, got {mask.dtype} {tuple(mask.shape)}")
