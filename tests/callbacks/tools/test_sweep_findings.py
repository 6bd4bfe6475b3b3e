"""The choice of a protocol on one half of the sequences, and its report on the other."""

from pathlib import Path

import pytest

from callbacks.results.records import Column, Record
from callbacks.results.stored import Run, StoredReport
from callbacks.tools.sweep_findings import choice_markdown, choose, effects, grid_markdown
from lightning_modules.functional import PropagationProtocol

COLUMN = Column("davis", "vfs", "d1", "", 4, "", "J&F-Mean")
RUN = Run(Path("run"), {"benchmark": "davis", "scores": {}, "stage": None, "stride": 8}, [], StoredReport())


def record(name, values, score=None, **fields):
    """Return a record of single-object sequences; its score is their mean unless another is given."""
    digest = PropagationProtocol.named("vfs", "davis").digest() if name == "vfs" else name
    protocol = {"name": name, "digest": digest, **fields}
    videos = {f"v{number}": [value] for number, value in enumerate(values)}
    mean = sum(values) / len(values) if score is None else score
    return Record("net", False, "J&F-Mean", COLUMN, mean, videos, None, "", RUN, protocol)


def test_the_choice_has_no_say_over_the_report():
    """The best protocol on the sequences for selection is taken even where another is better on the others."""
    base = PropagationProtocol.named("vfs", "davis")
    rows = [record("vfs", [0.5, 0.6, 0.5, 0.7], radius=12), record("vfs+radius=6", [0.1, 0.7, 0.1, 0.8], radius=6)]
    choice = choose(rows, base)
    assert choice is not None
    assert (choice.best, choice.selected, choice.reported) == (rows[1], 0.75, 0.1)
    assert choice.gain is not None
    assert choice.gain.mean == pytest.approx(-0.4)
    (effect,) = effects(rows)
    assert effect.field == "radius"
    assert effect.means == pytest.approx({"6": 0.425, "12": 0.575})


def test_values_stand_in_their_own_order():
    scores = {12: 0.1, None: 0.3, 3: 0.2, 6: 0.9}
    (effect,) = effects([record(str(radius), [score], radius=radius) for radius, score in scores.items()])
    assert list(effect.means) == ["3", "6", "12", "null"]


def test_a_pooled_score_has_no_interval_of_the_rows():
    values = [0.2 * number for number in range(4)]
    mean, pooled = record("mean", values), record("pooled", values, 0.5)
    assert (mean.is_mean, pooled.is_mean) == (True, False)
    of_mean, of_pooled = (grid_markdown([one], "mIoU") for one in (mean, pooled))
    assert "30.0 | -11.1 … 71.1 |" in of_mean
    assert "50.0 |  |" in of_pooled
    choices = [choose([one], PropagationProtocol.named("vfs", "davis")) for one in (mean, pooled)]
    said = [choice_markdown(choice) for choice in choices if choice]
    assert ["These are means over the sequences, unlike the score." in text for text in said] == [False, True]
