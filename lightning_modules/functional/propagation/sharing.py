"""Matches that several propagations over the same features have in common, so that a sweep searches for them once."""

import dataclasses
from collections.abc import Callable, Sequence

from torch import Tensor

from .protocol import PropagationProtocol

AFTER_MATCHING = ("label_", "decoding_", "keypoint_")
"""Beginnings of the names of fields that say what happens after features are matched."""
ALSO_AFTER = frozenset(
    {"name", "topk", "temperature", "normalise_labels", "normalise_by", "foreground_gain", "first_frame"}
)
FoundMatches = tuple[Tensor, Tensor]
"""Products and cells, as `LocalAttention.best_matches` returns them."""


class SharedMatches:
    """The best matches of the current frame, and the keys they were found in, for propagators of one group.

    The first propagator of the group that takes a frame searches, with the largest top-k of the group; the others
    choose theirs among these matches. Their labels stay their own. All propagators must take a frame before any takes
    the next.

    Args:
        protocols: protocols of the group, see `matching_groups`.
    """

    def __init__(self, protocols: Sequence[PropagationProtocol]) -> None:
        self.topk = max(protocol.topk or 0 for protocol in protocols)
        self.keys: dict[int, Tensor] = {}
        self._frame = -1
        self._found: dict[tuple[int, int], FoundMatches] = {}

    def find(self, frame: int, source: tuple[int, int], search: Callable[[int], FoundMatches]) -> FoundMatches:
        """Return the matches in one of the frame's sources.

        Args:
            frame: number of the query frame.
            source: start frame and number of the source.
            search: called by the first that asks, with the number of matches to find.
        """
        if frame != self._frame:
            self._frame, self._found = frame, {}
        if source not in self._found:
            self._found[source] = search(self.topk)
        return self._found[source]


def matching_groups(protocols: Sequence[PropagationProtocol]) -> list[list[int]]:
    """Group protocols that search for matches in the same cells of the same features.

    Within a group only top-k, temperature and the coding of labels differ. Protocols without a top-k, and those that
    keep ties, stand alone: they need every match.

    Args:
        protocols: any.

    Returns:
        Indices of each group, in order.
    """
    names = [field.name for field in dataclasses.fields(PropagationProtocol)]
    matched = [name for name in names if name not in ALSO_AFTER and not name.startswith(AFTER_MATCHING)]
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, protocol in enumerate(protocols):
        alone = protocol.topk is None or protocol.topk_ties == "kept"
        key = (index,) if alone else tuple(getattr(protocol, name) for name in matched)
        groups.setdefault(key, []).append(index)
    return list(groups.values())
