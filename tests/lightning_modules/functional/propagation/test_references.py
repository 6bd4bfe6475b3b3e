"""References of a frame, and where their features and labels are kept."""

from collections.abc import Iterator

from torch import Tensor

from lightning_modules.functional import (
    propagate_labels,
)
from tests.helpers.propagation import one_hot, protocol, video


def test_frames_are_read_one_at_a_time() -> None:
    taken = []

    def frames() -> Iterator[Tensor]:
        for number, frame in enumerate(video()):
            taken.append(number)
            yield frame

    labels = propagate_labels(frames(), one_hot(2), protocol())
    assert taken == []
    for number in range(3):
        next(labels)
        assert taken == list(range(number + 1))
