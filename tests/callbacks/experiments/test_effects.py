"""The choice of a protocol on one half of the sequences, and its report on the other."""

import pytest

from callbacks.experiments.effects import Scored, choose, effects, grid_markdown
from lightning_modules.functional import PropagationProtocol


def test_the_choice_has_no_say_over_the_report() -> None:
    """The best protocol on the sequences for selection is taken even where another is better on the others."""

    def scored(name: str, values: list[float]) -> Scored:
        fields = {"radius": name, "stage": None, "stride": 8}
        return Scored(name, fields, "", sum(values) / 4, {f"v{k}": [value] for k, value in enumerate(values)})

    base = PropagationProtocol.named("vfs", "davis")
    rows = [scored("vfs", [0.5, 0.6, 0.5, 0.7]), scored("vfs+radius=6", [0.1, 0.7, 0.1, 0.8])]
    choice = choose(rows, base)
    assert choice is not None
    assert (choice.best.name, choice.selected, choice.reported) == ("vfs+radius=6", 0.75, 0.1)
    assert choice.gain is not None
    assert choice.gain.mean == pytest.approx(-0.4)
    (effect,) = effects(rows)
    assert effect.field == "radius"
    assert effect.means == pytest.approx({"vfs": 0.575, "vfs+radius=6": 0.425})


def test_values_stand_in_their_own_order() -> None:
    scores = {12: 0.1, None: 0.3, 3: 0.2, 6: 0.9}
    scored = [Scored(str(radius), {"radius": radius}, "", score, {}) for radius, score in scores.items()]
    (effect,) = effects(scored)
    assert list(effect.means) == ["3", "6", "12", "null"]


def test_a_pooled_score_has_no_interval_of_the_rows() -> None:
    fields = {"stage": None, "stride": 8}
    videos = {f"v{k}": [0.2 * k] for k in range(4)}
    mean, pooled = (Scored(name, fields, "", score, videos) for name, score in (("mean", 0.3), ("pooled", 0.5)))
    assert (mean.pooled, pooled.pooled) == (False, True)
    base = PropagationProtocol.named("vfs", "davis")
    of_mean, of_pooled = (grid_markdown([one], "mIoU", choose([one], base)) for one in (mean, pooled))
    table = "\n\n## Chosen"
    assert "30.0 | 10.0 … 50.0 |" in of_mean.split(table)[0]
    assert "50.0 |  |" in of_pooled.split(table)[0]
    assert "These are means over the sequences, unlike the score." in of_pooled
    assert "unlike" not in of_mean
