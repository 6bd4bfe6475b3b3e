"""Sampling of the frames of a clip, and the generators that every draw comes from."""

import hashlib

import torch
from torch import Tensor


def seeded_generator(*key: int) -> torch.Generator:
    """Return a CPU generator whose stream is a function of the key alone.

    The key is hashed, so that neighbouring keys such as (seed, epoch, 3) and (seed, epoch, 4) give unrelated streams.

    Args:
        key: integers, for example (seed, epoch, sample index, attempt).
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def distant_indices(num_frames: int, n: int, generator: torch.Generator) -> Tensor:
    """Draw one frame from each of n equal segments of the video.

    Segment i is [i L/n, (i + 1) L/n); the draw is uniform over the integers in it. Where the video is shorter than
    the clip some segments hold none: they give floor(i L/n), so frames repeat. Source: VFS, section 3.2 and Table 1.
    The original code cuts segments of floor((L + 1)/n) frames, which leave out the end of the video or wrap to frame 0.

    Args:
        num_frames: L, length of the video, at least 1.
        n: frames wanted, at least 1.
        generator: source of the draws.

    Returns:
        (n,) long, ascending, in [0, L).

    Raises:
        ValueError: if the video or the clip has no frames.

    Example:
        >>> distant_indices(8, 8, torch.Generator())
        tensor([0, 1, 2, 3, 4, 5, 6, 7])
    """
    _check(num_frames, n)
    edges = -(-torch.arange(n + 1) * num_frames // n)  # first integer at or after each segment's start
    first, count = edges[:-1], edges.diff()
    offset = (torch.rand(n, dtype=torch.float64, generator=generator) * count).long()
    return torch.where(count > 0, first + offset, first - 1)


def continuous_indices(num_frames: int, n: int, interval: int, generator: torch.Generator) -> Tensor:
    """Draw n frames at a fixed interval from a random start.

    Where the video is shorter than (n - 1) · interval + 1 frames the start is 0 and what lies beyond the end is the
    last frame. Interval 0 repeats one frame (VFS, Table 2 "same frame", Table 3 δ = 0).

    Args:
        num_frames: length of the video, at least 1.
        n: frames wanted, at least 1.
        interval: δ, frames from one pick to the next, at least 0.
        generator: source of the draw.

    Returns:
        (n,) long, ascending, in [0, num_frames).

    Raises:
        ValueError: if the video or the clip has no frames, or the interval is negative.

    Example:
        >>> continuous_indices(9, 3, 4, torch.Generator())
        tensor([0, 4, 8])
    """
    _check(num_frames, n)
    if interval < 0:
        raise ValueError(f"interval must be 0 or more frames, got {interval}")
    starts = max(num_frames - (n - 1) * interval, 1)
    start = torch.randint(starts, (), generator=generator)
    return (start + interval * torch.arange(n)).clamp_(max=num_frames - 1)


def _check(num_frames: int, n: int) -> None:
    if num_frames < 1 or n < 1:
        raise ValueError(f"need a video and a clip of at least 1 frame, got num_frames={num_frames}, n={n}")
