"""Smooth functions of the frame number: where something is, how it is turned, how large it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Wave:
    """A smooth oscillation of the frame number: amplitude · sin(2π t / period + phase)."""

    amplitude: float
    period: float
    phase: float

    def __call__(self, t: float) -> float:
        return self.amplitude * float(np.sin(2 * np.pi * t / self.period + self.phase))

    @classmethod
    def draw(cls, rng: np.random.Generator, amplitude: float, shortest: float = 25, longest: float = 60) -> Wave:
        """Draw a wave of up to `amplitude`, at least half of it; periods in frames."""
        return cls(amplitude * rng.uniform(0.5, 1), rng.uniform(shortest, longest), rng.uniform(0, 2 * np.pi))


@dataclass(frozen=True)
class Motion:
    """Path of a sprite: it drifts, bounces off the walls of a box, sways, turns, grows and shrinks.

    Args:
        start: (x, y) at frame 0 before swaying, pixels.
        velocity: (x, y) pixels per frame.
        box: (left, top, right, bottom) that the drift stays in.
        sway: waves along x and y, pixels.
        turn: wave of the angle, radians.
        growth: wave of the logarithm of the scale.
    """

    start: tuple[float, float]
    velocity: tuple[float, float]
    box: tuple[float, float, float, float]
    sway: tuple[Wave, Wave]
    turn: Wave
    growth: Wave

    def centre(self, t: float) -> tuple[float, float]:
        x = _bounce(self.start[0] + self.velocity[0] * t, self.box[0], self.box[2])
        y = _bounce(self.start[1] + self.velocity[1] * t, self.box[1], self.box[3])
        return x + self.sway[0](t), y + self.sway[1](t)

    def matrix(self, t: float) -> NDArray[np.float64]:
        """Return the map (2, 3) from an offset from the sprite's centre to a frame pixel."""
        scale = np.exp(self.growth(t))
        cosine, sine = scale * np.cos(self.turn(t)), scale * np.sin(self.turn(t))
        x, y = self.centre(t)
        return np.array([[cosine, -sine, x], [sine, cosine, y]])


def _bounce(value: float, low: float, high: float) -> float:
    """Reflect a value at both ends of an interval until it lies inside."""
    span = high - low
    return low + span - abs((value - low) % (2 * span) - span)
