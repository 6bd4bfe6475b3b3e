"""A damaged result ends every word in one line; stages have their own protocols; seeds of a command have one recipe."""

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import refusal
from vidcorr import Result
from vidcorr.experiments.table import gather_results
from vidcorr.results.records import records_of, score_of
from vidcorr.results.result import Protocol, Provenance, Stage


def test_a_damaged_result_is_named_by_every_word(tmp_path):
    run, good = (write_results(tmp_path / name / "davis", {"J&F-Mean": 0.5}) for name in ("run", "good"))
    (run / "results.json").write_text("[]")
    said = [
        refusal("report", run),
        refusal("report", good, "--beside", run),
        refusal("figure", run, "--output", tmp_path / "figure.png"),
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


def test_commands_that_differ_in_seeds_and_places_have_one_recipe():
    def recipe(*words):
        result = davis_result({"J": 1.0}, provenance=Provenance(command=("vidcorr", *words)))
        return records_of(result)[0].recipe

    first = recipe("fit", "--seed_everything", "0", "--data.frames", "2", "--trainer.default_root_dir=a")
    assert first == recipe("fit", "--seed_everything=1", "--data.frames", "2", "--trainer.default_root_dir", "b")
    assert first.split("\0") == ["", "fit", "--data.frames", "2"]
    assert first != recipe("fit", "--data.frames", "4")
