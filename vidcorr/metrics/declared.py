"""Declarations of scores, which tables, intervals, checkpoints and pages read."""

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal


@dataclass(frozen=True)
class Score:
    """A score of a benchmark.

    Attributes:
        name: name of the score.
        direction: the better values: "more", "less", or "neither" for a score without a best, such as a decay.
        low: lower bound, in the score's unit; None without one.
        high: upper bound.
        unit: unit of the values, as "px"; empty for a fraction, which tables show in per cent.
    """

    # read as fields of a JSON
    __pydantic_config__: ClassVar[dict[str, Any]] = {"strict": False, "extra": "forbid"}
    name: str
    direction: Literal["more", "less", "neither"] = "more"
    low: float | None = 0.0
    high: float | None = 1.0
    unit: str = ""

    @property
    def factor(self) -> int:
        """Factor of printed values: 100 for a fraction, which is printed in per cent; 1 for a score with a unit."""
        return 1 if self.unit else 100

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound, infinite without one."""
        low = -inf if self.low is None else self.low
        return low, inf if self.high is None else self.high


def fractions(*names: str) -> tuple[Score, ...]:
    """Declare scores that are fractions in [0, 1], of which more is better."""
    return tuple(map(Score, names))
