"""A damaged result ends every word in one line; stages have their own protocols."""

from tests.helpers.refusal import refused
from tests.helpers.runs import write_results
from tests.helpers.words import refusal
from vidcorr import Result
from vidcorr.experiments.table import gather_results
from vidcorr.results.records import score_of
from vidcorr.results.result import Protocol, Stage


def test_a_damaged_result_is_named_by_every_word(tmp_path):
    run = write_results(tmp_path / "run" / "davis", {"J&F-Mean": 0.5})
    (run / "results.json").write_text("[]")
    said = [
        refusal("table", run, "--published"),
    ]
    assert all("davis/results.json: is not a results.json of a benchmark" in line for line in said)


def test_each_stage_stands_under_its_own_protocol_and_a_missing_score_is_named(tmp_path):
    stages = {
        f"res{number}": Stage(layer=f"res{number}", stride=8, protocol=Protocol(name="vfs", digest=f"d{number}"))
        for number in (3, 4)
    }
    run = write_results(tmp_path / "run", {"res3/J-Mean": 0.4, "res4/J-Mean": 0.5}, sequences=2, stages=stages)
    rows = gather_results([run]).rows
    assert {name: {head: cell.scores for head, cell in row.items()} for name, row in rows.items()} == {
        "ResNet-18, res3": {"davis J-Mean (vfs d3, 2 sequences)": (0.4,)},
        "ResNet-18, res4": {"davis J-Mean (vfs d4, 2 sequences)": (0.5,)},
    }
    refused(ValueError, "run: has no score 'PCK'; it has J-Mean", score_of, Result.load(run), "PCK", run)
