"""Grids of protocols, and the choice of one on some sequences that is reported on the others."""

import math
from itertools import product

import pytest

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from vidcorr.benchmarks.network import NetworkSpec
from vidcorr.errors import UsageError
from vidcorr.experiments.evaluate import Job
from vidcorr.experiments.grid import named_grid, read_grid
from vidcorr.experiments.sweep import choice_markdown, effects_of, grid_markdown
from vidcorr.functional import PropagationProtocol
from vidcorr.results.records import Record
from vidcorr.results.result import Protocol, Row, Stage

VFS = PropagationProtocol.named("vfs", "davis")


def test_combinations_are_named_by_what_differs_and_those_that_cannot_be_are_told(capsys):
    names = {protocol.name for protocol in read_grid(VFS, ["radius=0,6,12", "neighbourhood=circle,square"])}
    square = "vfs+neighbourhood=square"
    assert names == {"vfs", "vfs+radius=6", square, f"{square}+radius=6", f"{square}+radius=0"}
    assert "left out: 1 combinations that are no valid protocol: protocol 'vfs+radius" in capsys.readouterr().err


def test_values_are_read_as_yaml():
    grid = read_grid(VFS, ["topk=5,null", "references=null,[0, -1]", "temperature=5e-2"])
    found = {(protocol.topk, protocol.references, protocol.temperature) for protocol in grid}
    assert found == set(product((5, None), (None, (0, -1)), (0.05,)))


@pytest.mark.parametrize(
    ("varied", "said"),
    [
        ("radus=6", "no field 'radus'; did you mean radius"),
        ("radius=6 radius=7", "write every field once"),
        ("radius", "write every field once"),
        ("radius=[6", "cannot be read as YAML"),
        ("feature_stride=4,8", "vary the features' stride by --stride"),
        ("radius=-1", "no combination of the grid is a valid protocol"),
    ],
)
def test_a_mistake_is_one_line(varied, said):
    assert refused((UsageError, ValueError), said, read_grid, VFS, varied.split())


def test_all_named_protocols_of_a_benchmark():
    assert len(named_grid(["all"], "davis")) == 20
    assert {protocol.name for protocol in named_grid(["all"], "vip")} >= {"vfs", "cropmae", "spa-then-temp"}
    assert refused(ValueError, "unknown protocol 'fvs'", named_grid, ["fvs"], "davis")
    assert refused(ValueError, "'rsp' defines no values for 'vip'", named_grid, ["rsp"], "vip")


def scored(protocol, values, score=None):
    """Return a job with its record, of single-object sequences; the score is their mean unless another is given."""
    scores = {"mIoU": sum(values) / len(values) if score is None else score}
    without = {} if score is None else {"mIoU": {f"v{number}": score for number in range(len(values))}}
    rows = [Row(video=f"v{number}", values={"mIoU": value}) for number, value in enumerate(values)]
    result = davis_result(
        scores, without=without, rows=rows, stages={"": Stage(stride=8, protocol=Protocol.of(protocol))}
    )
    return {Job(NetworkSpec("net", "raw_colour"), None, protocol): Record(result, "mIoU")}


def test_the_choice_has_no_say_over_the_report():
    """The best protocol on the sequences for selection is taken even where another is better on the others."""
    six = VFS.with_changes(radius=6)
    rows = scored(VFS, [0.5, 0.6, 0.5, 0.7]) | scored(six, [0.1, 0.7, 0.1, 0.8])
    text = choice_markdown(rows, VFS)
    assert text.splitlines()[2] == "vfs+radius=6, stage None, stride 8:"
    assert "75.0 where it was chosen, 10.0" in text
    assert "on the others; over the base protocol -40.0" in text
    expected = {"6": [pytest.approx(0.425)], "12": [pytest.approx(0.575)]}
    assert effects_of(rows, ["radius"]) == {"radius": expected}


def test_an_undefined_score_is_never_chosen():
    rows = scored(VFS, [0.5, math.nan, 0.5, math.nan]) | scored(VFS.with_changes(radius=6), [0.1, 0.7, 0.1, 0.8])
    assert "vfs+radius=6, stage None, stride 8:\n75.0 where it was chosen" in choice_markdown(rows, VFS)


def test_values_stand_in_their_own_order():
    scores = {12: 0.1, None: 0.3, 3: 0.2, 6: 0.9}
    rows = {}
    for radius, score in scores.items():
        rows |= scored(VFS.with_changes(radius=radius), [score])
    assert list(effects_of(rows, ["radius"])["radius"]) == ["3", "6", "12", "null"]


def test_a_pooled_score_has_its_own_interval_and_the_choice_says_that_it_takes_means():
    values = [0.2 * number for number in range(4)]
    mean, pooled = scored(VFS, values), scored(VFS, values, 0.5)
    of_mean, of_pooled = (grid_markdown(one, "mIoU", {}) for one in (mean, pooled))
    assert "| 30.0 | " in of_mean
    assert " … " in of_mean
    assert "| 50.0 | 50.0 … 50.0 |" in of_pooled  # no sequence moves it
    said = [choice_markdown(one, VFS) for one in (mean, pooled)]
    assert ["These are means over the sequences, unlike the score." in text for text in said] == [False, True]
