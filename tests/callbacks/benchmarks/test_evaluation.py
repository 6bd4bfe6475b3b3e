"""Evaluations of one run: their common part, and the keys of several stages."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from callbacks.benchmarks.evaluation import MAX_OVERLAYS, Evaluation, Outcome, RunContext, by_stage
from callbacks.benchmarks.ranks import Ranks
from callbacks.tracking.stopwatch import Stopwatch
from lightning_modules.functional import PropagationProtocol


class Counting(Evaluation):
    """Collects the sequences that it is given."""

    def __init__(self, tracker: Any = None) -> None:
        super().__init__(tracker, RunContext(Ranks()))
        self.seen: list[str] = []

    def follow(self, sequence: str) -> None:
        self.seen.append(sequence)

    def compute(self) -> Outcome:
        return Outcome({}, [])


def test_each_sequence_is_followed_in_its_turn() -> None:
    evaluation = Counting()
    evaluation.run(iter("abc"))
    assert evaluation.seen == ["a", "b", "c"]


def test_an_evaluation_that_follows_nothing_says_so() -> None:
    class Empty(Evaluation):
        def compute(self) -> Outcome:
            return Outcome({}, [])

    with pytest.raises(NotImplementedError, match="Empty defines neither follow nor run"):
        Empty(None, RunContext(Ranks())).run(["a"])


def test_results_name_the_protocol_of_each_map() -> None:
    protocols = [PropagationProtocol.named(name) for name in ("vfs", "crw")]
    watch = Stopwatch()
    watch.seconds["backbone"] = 1.234
    assert Counting().metadata() == {}
    metadata = Counting(SimpleNamespace(protocols=protocols[:1], watch=watch)).metadata()
    assert metadata["protocol"]["name"] == "vfs"
    assert metadata["seconds_of_rank_0"] == {"backbone": 1.23}
    metadata = Counting(SimpleNamespace(protocols=protocols, watch=watch)).metadata()
    assert [each["digest"] for each in metadata["protocol"]] == [each.digest() for each in protocols]


def test_names_of_stages_lead_keys_and_rows_where_there_are_several() -> None:
    found = [({"mIoU": 0.1}, [{"Sequence": "a"}]), ({"mIoU": 0.2}, [{"Sequence": "a"}])]
    joined = by_stage(["res3", "res4"], found)
    assert joined.scores == {"res3/mIoU": 0.1, "res4/mIoU": 0.2}
    assert joined.rows == [{"Stage": "res3", "Sequence": "a"}, {"Stage": "res4", "Sequence": "a"}]
    assert by_stage([""], found[:1]) == Outcome({"mIoU": 0.1}, [{"Sequence": "a"}])


def test_only_the_first_overlays_are_kept_for_the_logger() -> None:
    context = RunContext(Ranks())
    context.keep("none", None)
    for number in range(MAX_OVERLAYS + 3):
        context.keep(str(number), np.zeros((2, 2, 3), np.uint8))
    assert list(context.overlays) == [str(number) for number in range(MAX_OVERLAYS)]
