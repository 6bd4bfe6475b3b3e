"""False positives and power of the comparison of two trainings, by simulation.

`python -m tests.helpers.false_positives` prints docs/results/false_positives.csv in ten minutes, after a table for each
kind of variance; `python -m tests.helpers.false_positives power` how often a difference is found, in seconds.
"""

import sys

import numpy as np

from vidcorr.results.statistics import Sample, difference

SEEDS = (3, 4, 5)
SEQUENCES = (4, 8, 20, 30, 60, 200)
KINDS = {
    "seeds": (1.0, 0.0, 0.0),
    "sequences": (0.0, 1.0, 0.0),
    "interaction": (0.0, 0.0, 1.0),
    "80 % seeds, 20 % sequences": (0.8, 0.2, 0.0),
    "half seeds, half sequences": (0.5, 0.5, 0.0),
    "20 % seeds, 80 % sequences": (0.2, 0.8, 0.0),
    "a third each": (1 / 3, 1 / 3, 1 / 3),
}
"""Name → shares of seeds, sequences and their interaction in the variance of a training's mean."""
DRAWS = 4000


def row(scores: np.ndarray) -> list[Sample]:
    """Return the samples of a training from its scores (seeds, sequences)."""
    sequences = scores.shape[1]
    names = list(map(str, range(sequences)))
    samples = []
    for seed, values in enumerate(scores):
        without = (values.sum() - values) / (sequences - 1)
        samples.append(Sample(float(values.mean()), dict(zip(names, without.tolist(), strict=True)), seed))
    return samples


def trainings(generator: np.random.Generator, seeds: int, sequences: int, kind: str) -> np.ndarray:
    """Return scores (2, seeds, sequences) of two identical trainings; the spread of their means is one point."""
    of_seeds, of_sequences, interaction = 0.01 * np.sqrt(KINDS[kind])
    scores = 0.6 + generator.normal(0, 0.2, sequences) + generator.normal(0, 0.02, (seeds, 1))  # common to both
    scores = scores + of_seeds * seeds**0.5 * generator.normal(size=(2, seeds, 1))
    scores = scores + of_sequences * sequences**0.5 * generator.normal(size=(2, 1, sequences))
    return scores + interaction * (seeds * sequences) ** 0.5 * generator.normal(size=(2, seeds, sequences))


def rate(seeds: int, sequences: int, kind: str, draws: int = DRAWS, gain: float = 0.0) -> float:
    """Return the share of comparisons with p below 0.05; the intervals of all others hold zero.

    Args:
        seeds: number of seeds that both trainings have.
        sequences: number of sequences.
        kind: a key of `KINDS`.
        draws: number of comparisons. The error of the rate is 0.35 points with 4,000.
        gain: true difference of the two trainings.
    """
    generator = np.random.default_rng([list(KINDS).index(kind), seeds, sequences])
    positives = 0
    for _ in range(draws):
        first, second = trainings(generator, seeds, sequences, kind)
        found = difference(row(first + gain), row(second), (True, True))
        outside = not found.low <= 0 <= found.high
        assert outside == (found.p < 0.05)
        positives += outside
    return positives / draws


def table(name: str, rates: np.ndarray) -> str:
    """Return a table in Markdown: a row per number of seeds, a column per number of sequences."""
    lines = [f"{name}\n", f"| seeds | {' | '.join(map(str, SEQUENCES))} |", "|---" * (len(SEQUENCES) + 1) + "|"]
    for seeds, values in zip(SEEDS, rates, strict=True):
        lines.append(f"| {seeds} | {' | '.join(f'{100 * value:.1f}' for value in values)} |")
    return "\n".join(lines) + "\n"


def print_power(gain: float = 0.03, seeds: int = 3, sequences: int = 8) -> None:
    """Print the share of comparisons that find a difference, for each kind of variance."""
    for kind in KINDS:
        found = rate(seeds, sequences, kind, gain=gain)
        print(f"{gain:.0%} with {seeds} seeds and {sequences} sequences, {kind}: {100 * found:.0f} %")


def main() -> None:
    """Print a table for each kind of variance, the largest rates where both vary, and means where one varies."""
    largest = np.zeros((len(SEEDS), len(SEQUENCES)))
    means = {}
    for kind, shares in KINDS.items():
        rates = np.array([[rate(seeds, sequences, kind) for sequences in SEQUENCES] for seeds in SEEDS])
        print(table(kind, rates), flush=True)
        if max(shares[:2]) == 1:
            means[kind] = f"{100 * rates.mean():.1f} % where {kind} alone vary"
        else:
            largest = np.maximum(largest, rates)
    print(table("largest where both vary", largest))
    print(", ".join(means.values()))


if __name__ == "__main__":
    print_power() if sys.argv[1:] == ["power"] else main()
