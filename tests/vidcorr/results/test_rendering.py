"""Tables of results as texts, in each format: rows of networks and seeds, columns, differences, and sentences below.

Also tests `results/tabulate.py`, `results/cells.py`, `results/notes.py`, `results/formats.py`, `results/records.py`.
"""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from vidcorr.backbones.files.saved_models import METADATA_KEY
from vidcorr.experiments.reports.model_card import card_of
from vidcorr.metrics.declared import Score, fractions
from vidcorr.results.cells import Cell, measured_cell, published_cell
from vidcorr.results.records import Column, named_results, records_of
from vidcorr.results.rendering import html_tables, render
from vidcorr.results.result import Evaluated, Network, ProtocolFacts, Row, Setup
from vidcorr.results.statistics import Difference
from vidcorr.results.tabulate import table_of_cells, tabulate

DECLARED = (*fractions("J&F-Mean"), Score("J-Decay", "neither", -1.0))
FIELDS = {
    "vfs": {"radius": 3, "name": "vfs", "topk": 5},
    "dino": {"radius": 12.5, "radius_unit": "pixel", "input_size": [480, 880], "topk": 5, "name": "dino"},
    "points": {"radius": 2, "tracking": "matching", "input_size": 256, "resized_data": None},
}


def records(name, shift=0.0, by="vfs", stride=8, row="", benchmark="davis", videos=5, network=(), place="", **more):
    """Return a result's records; J of video n is 0.4 + n / 10 and a shift that grows with n, F 0.125 more."""
    rows = []
    for n in range(videos):
        j = 0.4 + n / 10 + shift * (1 + n / 20)
        values = {"J-Mean": j, "F-Mean": j + 0.125, "J-Decay": n / 50}
        rows.append(Row(video=f"v{n}", object="1", values=values))
    means = {key: math.fsum(each.values[key] for each in rows) / videos for key in ("J-Mean", "F-Mean", "J-Decay")}
    protocol = ProtocolFacts(name=by, digest=f"{by}-d", fields=FIELDS[by], shared_name=by, shared=f"{by}-d")
    stage = more.pop("stage", {})
    named = more.pop("declared", None)
    declared = fractions(*named) if named else DECLARED
    fields = {"benchmark": benchmark, "declared": declared, "network": Network(name=name, **dict(network))}
    fields |= {"conditions": [f"{videos} sequences"], "rows": rows}
    fields["stage"] = Setup(**{"stride": stride, "protocol": protocol} | stage)
    scores = {"J&F-Mean": (means["J-Mean"] + means["F-Mean"]) / 2} | means
    result = davis_result(scores, **fields | more)
    return records_of(result, [score.name for score in declared], row, Path(place))


def steps():
    """A table of steps, each against the row above, in two columns."""
    column, alone = Column("davis", "J-Mean", conditions="limit=1"), Column("davis", "J-Mean, alone", published=True)
    cells = {
        ("vfs", column): published_cell(0.3),
        ("topk: 10 → 5", column): Cell((0.51239,), 0.51239, difference=Difference(0.2, 0.15, 0.26, 0.0123), digits=2),
        ("topk: 10 → 5", alone): replace(published_cell(0.25), difference=Difference(-0.05)),
        ("mine", column): Cell((math.nan,), difference=Difference(0.1, -0.1, 0.3, 0.5)),
    }
    table = table_of_cells(((name, column, cell) for (name, column), cell in cells.items()), ["first", "vfs"])
    return replace(table, base="the row above", own_bases={"mine": "vfs"}, notes=("A note",), caption="Step by step")


def forms(table):
    """Return all texts of a table by their form; long fractions, which differ by rounding, are shortened."""
    texts = {"repr": repr(table), "md": table._repr_markdown_()}
    for form in ("csv", "tex", "text"):
        texts[form] = render(table, form)
    texts["md without intervals"] = render(table, "md", intervals=False)
    texts["tex with intervals"] = render(table, "tex", intervals=True)
    shown = {}
    for form, text in texts.items():
        shorter = re.sub(r"\d+\.\d{7,}(e-\d+)?", lambda found: f"{float(found[0]):.6g}", text)
        shown[form] = shorter.split("\n")
    return shown


def test_a_table_reads_the_same_in_every_format(recorded):
    """Of steps; and of two protocols, trainings, fixed networks and odd names."""
    trainings = tabulate(record for more in recorded["trainings"] for record in records(**more))
    compared = trainings.with_differences("[B]").with_differences("theirs")
    assert {"trainings": forms(compared), "steps": forms(steps())} == recorded["rendered"]


def test_results_are_grouped_into_rows_and_columns(recorded):
    """Each promise: results, and the rows, kinds of rows and columns of their table."""
    found = {}
    for promise, (results, *_) in recorded["rows"].items():
        table = tabulate(record for more in results for record in records(**{"name": "A"} | more))
        columns = [column.about for column in table.columns]
        found[promise] = [results, list(table.rows), sorted({cell.trained for cell in table.cells}), columns]
    assert found == recorded["rows"]
    ours, other = records("A"), records("B", stage={"protocol": ProtocolFacts()})
    assert measured_cell(ours[:1]).compared(measured_cell(other[:1])) == (None, "is by vfs")


def test_results_are_those_below_a_folder_of_a_training_the_last(tmp_path):
    def save(place, *steps, **more):
        history = [Evaluated(epoch=1, step=step, scores={}) for step in steps]
        davis_result({"J-Mean": 0.5}, history=history, **more).save(tmp_path / place)

    for steps in ((4,), (4, 16), (4, 16, 8), (4, 12)):  # the last: of a run that was killed, and resumed before 16
        save(f"a=b/step={steps[-1]}", *steps)
    save("a=b/step=20", 4, 16, 8, 20, network=Network(name="A", recipe="longer"))  # the training was resumed
    save("a=b/vip", 4, benchmark="vip")
    save("a=b/alone")
    for place, score in (("two/a", 0.25), ("two/b", 0.75)):  # two trainings
        history = [Evaluated(epoch=1, step=step, scores={"J-Mean": score}) for step in (4, 8)[: 1 + (score > 0.5)]]
        davis_result({"J-Mean": 0.5}, history=history).save(tmp_path / place)
    save("start/a", 0)  # trainings from one start, of which one has made no step yet
    save("start/b", 0, 4, network=Network(name="B", recipe="other"))
    assert [len(named_results(tmp_path / place)[1]) for place in ("two", "start")] == [2, 2]
    save("a=b/other/alone", benchmark="vip")
    last = {tmp_path / "a=b" / name for name in ("step=20", "vip", "alone", "other/alone")}
    file = tmp_path / "two/a/results.json"
    assert named_results(f"x={file}") == named_results(f"x={file.parent}")
    texts = {tmp_path / "a=b": "", f"x={tmp_path}/a=b": "x", f"x={tmp_path}/*=b": "x"}
    for text, name in texts.items():
        expected = name, last
        name, results = named_results(text)
        assert (name, results.keys()) == expected
    save("empty/.ipynb_checkpoints/step=8")
    assert named_results(tmp_path / "empty") == ("", {})
    refused(ValueError, "no result in this folder", named_results, f"x={tmp_path / 'empty'}")
    refused(ValueError, "there is no such folder", named_results, tmp_path / "nowhere")


@pytest.mark.parametrize(("direction", "best"), [("more", "30.0"), ("less", "20.0"), ("neither", "")])
def test_the_best_of_a_column_is_as_the_benchmark_declares_and_first_in_a_page(direction, best):
    results = []
    for name, score in (("a", 0.3), ("b", 0.2)):
        network = Network(name=name)
        results.append(davis_result({"J-Mean": score}, network=network, declared=[Score("J-Mean", direction)]))
    table = tabulate(record for result in results for record in records_of(result, ["J-Mean"]))
    assert [table.best(column) for column in table.columns] == [best]
    (page,) = html_tables(table).values()
    assert re.findall("<td>([ab])<", page) == (["b", "a"] if direction == "less" else ["a", "b"])
    assert re.findall("<b>(.*?)</b>", page) == [best] * bool(best)


def test_a_score_with_a_unit_is_printed_in_it_everywhere(tmp_path):
    """3.2 px in a table and a model card; nothing says per cent, and no bound cuts it."""
    rows = [Row(video=f"v{n}", values={"EPE": 3.0 + n / 10}) for n in range(5)]
    result = davis_result({"EPE": 3.2}, declared=[Score("EPE", "less", high=None, unit="px")], rows=rows)
    assert str(result).endswith("EPE 3.2 [3.0, 3.4])")
    result.model_copy(update={"history": (Evaluated(epoch=1, step=2, scores={}),)}).save(tmp_path / "benchmarks/a")
    card = card_of({METADATA_KEY: {"class_path": "a.B"}, "global_step": 2, "epoch": 1}, tmp_path, "f", "")
    for text in [card] + [render(tabulate(records_of(result, ["EPE"])), form) for form in ("text", "html", "tex")]:
        assert "3.2" in text
        assert "320" not in text
        assert "er cent" not in text
