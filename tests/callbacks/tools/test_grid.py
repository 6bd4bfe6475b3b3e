"""Grids of protocols, and the choice of one on some sequences that is reported on the others."""

from itertools import product
from pathlib import Path

import pytest

from callbacks.results.records import Column, Record
from callbacks.results.stored import Run, StoredReport
from callbacks.tools.grid import batches, named_grid, read_grid
from callbacks.tools.sweep_findings import choice_markdown, choose, effects, grid_markdown
from lightning_modules.functional import PropagationProtocol
from tests.helpers.refusal import refused

THIRTY = ",".join(map(str, range(1, 31)))
VFS = PropagationProtocol.named("vfs", "davis")


def test_combinations_are_named_by_what_differs_and_those_that_cannot_be_are_told(capsys):
    names = {protocol.name for protocol in read_grid(VFS, ["radius=0,6,12", "neighbourhood=circle,square"])}
    square = "vfs+neighbourhood=square"
    assert names == {"vfs", "vfs+radius=6", square, f"{square}+radius=6", f"{square}+radius=0"}
    assert "left out: 1 combinations that no protocol can have; protocol 'vfs+radius" in capsys.readouterr().err


def test_values_are_read_as_yaml():
    grid = read_grid(VFS, ["topk=5,null", "references=null,[0, -1]"])
    assert {(each.topk, each.references) for each in grid} == set(product((5, None), (None, (0, -1))))


@pytest.mark.parametrize(
    ("varied", "said"),
    [
        ("radus=6", "no field 'radus'; did you mean radius"),
        ("radius=6 radius=7", "write each field once"),
        ("radius", "write each field once"),
        ("radius=[6", "cannot be read as YAML"),
        ("feature_stride=4,8", "features have the strides of --strides"),
        ("radius=-1", "no combination of the grid is a protocol"),
        (f"radius={THIRTY} context={THIRTY}", "900 protocols"),
    ],
)
def test_a_mistake_is_one_line(varied, said):
    assert refused(ValueError, said, read_grid, VFS, varied.split())


def test_a_batch_sees_frames_alike():
    grid = read_grid(VFS, ["input_size=null,240", "topk=5,10,15"])
    found = batches(grid, at_once=2)
    assert sorted(map(len, found)) == [1, 1, 2, 2]  # three protocols of each size, by twos
    assert all(len({protocol.input_size for protocol in batch}) == 1 for batch in found)
    assert {protocol for batch in found for protocol in batch} == set(grid)


def test_all_named_protocols_of_a_benchmark():
    assert len(named_grid(["all"], "davis")) == 17
    assert {protocol.name for protocol in named_grid(["all"], "vip")} >= {"vfs", "cropmae", "spa-then-temp"}
    refused(ValueError, "unknown protocol 'fvs'", named_grid, ["fvs"], "davis")
    refused(ValueError, "'rsp' defines no values for 'vip'", named_grid, ["rsp"], "vip")


COLUMN = Column("davis", "vfs", "d1", "", 4, "", "J&F-Mean")
RUN = Run(Path("run"), {"benchmark": "davis", "scores": {}, "stage": None, "stride": 8}, [], StoredReport())


def record(name, values, score=None, **fields):
    """Return a record of single-object sequences; its score is their mean unless another is given."""
    protocol = {"name": name, "digest": VFS.digest() if name == "vfs" else name, **fields}
    videos = {f"v{number}": [value] for number, value in enumerate(values)}
    mean = sum(values) / len(values) if score is None else score
    return Record("net", False, COLUMN, mean, videos, None, "", RUN, protocol)


def test_the_choice_has_no_say_over_the_report():
    """The best protocol on the sequences for selection is taken even where another is better on the others."""
    rows = [record("vfs", [0.5, 0.6, 0.5, 0.7], radius=12), record("vfs+radius=6", [0.1, 0.7, 0.1, 0.8], radius=6)]
    choice = choose(rows, VFS)
    said = "75.0 where it was chosen, 10.0 (10.0 … 10.0) on the others; over the base protocol -40.0"
    assert choice.best == rows[1]
    assert said in choice_markdown(choice)
    expected = {"6": [pytest.approx(0.425)], "12": [pytest.approx(0.575)]}
    assert effects(rows, ["radius"]) == {"radius": expected}


def test_values_stand_in_their_own_order():
    scores = {12: 0.1, None: 0.3, 3: 0.2, 6: 0.9}
    found = effects([record(str(radius), [score], radius=radius) for radius, score in scores.items()], ["radius"])
    assert list(found["radius"]) == ["3", "6", "12", "null"]


def test_a_pooled_score_has_no_interval_of_the_rows():
    values = [0.2 * number for number in range(4)]
    mean, pooled = record("mean", values), record("pooled", values, 0.5)
    assert (mean.is_mean, pooled.is_mean) == (True, False)
    of_mean, of_pooled = (grid_markdown([one], "mIoU", {}) for one in (mean, pooled))
    assert "30.0 | -11.1 … 71.1 |" in of_mean
    assert "50.0 |  |" in of_pooled
    said = [choice_markdown(choose([one], VFS)) for one in (mean, pooled)]
    assert ["These are means over the sequences, unlike the score." in text for text in said] == [False, True]
