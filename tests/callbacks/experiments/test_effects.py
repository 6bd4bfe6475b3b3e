"""The choice of a protocol on one half of the sequences, and its report on the other."""

import pytest

from callbacks.experiments.effects import Scored, choose, effects
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
