"""A module that no test may import: a file names it, and code that a file names must not run."""

from torch import nn


def sing() -> nn.Module:
    """Make a network, as a hostile callable would pretend to."""
    return nn.Identity()


class Song(nn.Module):
    """A class of a user's own that a hostile file names."""
