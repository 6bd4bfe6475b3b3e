"""Protocols of any kind: names, digests, changes, types; sources as data.

Also tests `protocols/ranges.py`.
"""

from typing import Annotated, Literal

import pytest

from tests.helpers.refusal import refused
from vidcorr.protocols import base, ranges

VALUES = {"first": {}, "second": {"side": 5, "window": (3.0, 4.0)}}
PAPER = base.Source(code="lab/code @ 0123abc: eval.py", values=VALUES)


class Rules(base.EvaluationProtocol):
    side: ranges.PositiveInt = 8
    factor: float = 0.5
    smooth: bool = False
    mode: Literal["a", "b"] | None = "a"
    window: tuple[float, float] | None = None
    frames: tuple[int, ...] = ()
    rate: Annotated[float, ranges.Range(ge=0, lt=1)] | None = None
    pair: tuple[ranges.PositiveInt, ranges.PositiveInt] = (1, 1)

    @classmethod
    def sources(cls):
        return {"paper": PAPER}

    def _conditions(self):
        yield base.Condition("smooth", not self.smooth or self.mode is not None, "False without a mode")


def test_a_name_says_what_was_changed_and_cannot_outlive_its_values():
    paper = Rules.named("paper", "second")
    assert (paper.side, paper.window, paper.name) == (5, (3.0, 4.0), "paper")
    changed = paper.with_changes(smooth=True, window=[1, 2])
    assert changed.with_changes(smooth=False, window=(3, 4)) == paper
    refused(ValueError, "Rules has no field 'sides'", paper.with_changes, sides=4)
    assert paper.model_copy(update={"side": 6}).name == "paper+side=6"
    with pytest.raises(ValueError, match="frozen"):
        paper.side = 6
    assert paper.with_changes(side=6, factor=2).with_changes(side=5) == paper.with_changes(factor=2)
    assert Rules(name="paper", smooth=True).name == "paper+smooth=true"
    assert paper.with_changes(window=[1, 2], side=6).changes == {"side": 6, "window": (1, 2)}


def test_values_of_another_type_or_out_of_range_and_unknown_names_are_refused():
    message = r"'paper' defines no values for 'my_videos' \(only for first, second\)"
    refused(ValueError, message, Rules.named, "paper", "my_videos")
    refused(ValueError, "Rules has no field 'sid'", Rules.named, "paper+sid=4", "first")
    refused(ValueError, "unknown protocol 'papers': expected your module:NAME or one of paper", Rules.named, "papers")
    refused(ValueError, "mode must be .*, got 'a=b'", Rules.named, "paper+mode=a=b", "first")
    refused(ValueError, "smooth must be .*, got '1'", Rules.named, "paper+smooth=1", "first")
    mistakes = {
        "smooth must be False without a mode, got True": {"smooth": True, "mode": None},
        r"pair must be greater than or equal to 1, got \(1, 0\)": {"pair": (1, 0)},
        "factor must be a finite number": {"factor": float("nan")},
        "side must be a valid integer, got '4'": {"side": "4"},
    }
    for words, fields in mistakes.items():
        assert refused(ValueError, words, Rules, **{"name": "x"} | fields)
