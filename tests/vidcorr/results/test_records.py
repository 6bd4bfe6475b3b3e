"""A damaged result, or one without a score, is named in one line."""

from tests.helpers.refusal import refused
from tests.helpers.runs import write_results
from tests.helpers.words import refusal
from vidcorr import Result
from vidcorr.results.records import score_of


def test_a_damaged_result_is_named_by_every_word(tmp_path):
    run = write_results(tmp_path / "run" / "davis", {"J&F-Mean": 0.5})
    (run / "results.json").write_text("[]")
    said = [
        refusal("table", run, "--published"),
    ]
    assert all("davis/results.json: is not a results.json of a benchmark" in line for line in said)


def test_a_missing_score_is_named(tmp_path):
    run = write_results(tmp_path / "run", {"J-Mean": 0.4}, sequences=2)
    refused(ValueError, "run: has no score 'PCK'; it has J-Mean", score_of, Result.load(run), "PCK", run)
