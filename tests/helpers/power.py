"""Calculate how many seeds a study of Liir's parts needs, as docs/results.md quotes it.

    python -m tests.helpers.power

The differences come from docs/results/liir_rows.csv (references and keys averaged): J&F of a row less J&F of the
baseline that continued from the same checkpoint of phase 1, for seeds 0, 1 and 2. A study tests the mean of paired
differences by a two-sided t-test at 5 %.
"""

import numpy as np
from scipy import stats

DIFFERENCES = {
    "liir": [[1.9, -1.2, -7.0], [-2.3, -0.8, -0.2], [3.2, -0.8, 0.0], [2.8, -3.8, -0.2]],
    "vfs": [[0.8, -0.2, -1.2], [0.0, 0.0, 0.4], [1.9, 0.2, -1.0], [1.0, -0.5, -0.8]],
}
"""Protocol → rows: negatives, compactness, position, all parts."""
MINUTES_OF_PHASE_1, MINUTES_OF_ROW, ROWS = 7, 3 + 2 + 2, 8
"""One core of an idle Xeon: phase 1 of a seed; phase 2 and two scores of a row of studies/liir_negatives.yaml."""


def pooled_spread(rows: list[list[float]]) -> tuple[float, int]:
    """Return the standard deviation of a seed's difference, pooled over rows, and its degrees of freedom."""
    freedom = sum(len(row) - 1 for row in rows)
    return float(np.sqrt(sum((len(row) - 1) * np.var(row, ddof=1) for row in rows) / freedom)), freedom


def power(effect: float, spread: float, seeds: int) -> float:
    """Return the probability that a two-sided t-test at 5 % over paired seeds shows an effect with its sign."""
    limit = stats.t.ppf(0.975, seeds - 1)
    return float(stats.nct.sf(limit, seeds - 1, effect / spread * np.sqrt(seeds)))


def seeds_for(effect: float, spread: float, wanted: float = 0.8) -> int:
    """Return the fewest seeds that reach a power."""
    return next(seeds for seeds in range(2, 10_000) if power(effect, spread, seeds) >= wanted)


def main() -> None:
    print("protocol | spread (80 % upper limit) | power for +2 and +3.4 with 3 seeds | seeds for +2 | core hours")
    for name, rows in DIFFERENCES.items():
        spread, freedom = pooled_spread(rows)
        upper = spread * np.sqrt(freedom / stats.chi2.ppf(0.2, freedom))
        few = [f"{100 * power(effect, spread, 3):.0f} %" for effect in (2.0, 3.4)]
        seeds = [seeds_for(2.0, value) for value in (spread, upper)]
        hours = [count * (MINUTES_OF_PHASE_1 + ROWS * MINUTES_OF_ROW) / 60 for count in seeds]
        print(f"{name} | {spread:.1f} ({upper:.1f}) | {', '.join(few)} | {seeds} | {hours[0]:.0f} to {hours[1]:.0f}")


if __name__ == "__main__":
    main()
