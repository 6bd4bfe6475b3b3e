"""Charts over all sequences of a benchmark run, and the file that holds them for the report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from datamodules.reading.files import write_atomically

from ..pictures.film import Curve, plain_curves


@dataclass(frozen=True)
class Chart:
    """Curves or bars over one axis.

    Attributes:
        title: above it.
        x: what runs along; for bars, what they are.
        y: the measure, a fraction that is printed in per cent.
        curves: name → curve; for bars x is the index of the label.
        labels: labels of the bars.
        kind: "lines" or "bars".
        span: least and largest value of the axis; None fits it to the values.
    """

    title: str
    x: str
    y: str
    curves: Mapping[str, Curve]
    labels: Sequence[str] = ()
    kind: Literal["lines", "bars"] = "lines"
    span: tuple[float, float] | None = (0.0, 1.0)


def write_material(
    folder: Path,
    sequences: Sequence[str],
    ranked_by: Sequence[str] = (),
    shows: str = "",
    charts: Sequence[Chart] = (),
    text_columns: Sequence[str] = (),
) -> None:
    """Write report.json: what the page needs in addition to results.json, per_sequence.csv and the films.

    Args:
        folder: folder of the run.
        sequences: names of those that were evaluated.
        ranked_by: columns of a row whose mean says how well a sequence went.
        shows: what is drawn over the frames of films.
        charts: over all sequences.
        text_columns: columns of per_sequence.csv that hold no fractions.
    """
    plain = [asdict(chart) | {"curves": plain_curves(chart.curves)} for chart in charts]
    content = {"sequences": list(sequences), "ranked_by": list(ranked_by), "shows": shows, "charts": plain}
    content["text_columns"] = list(text_columns)
    write_atomically(folder / "report.json", json.dumps(content) + "\n")
