"""`vidcorr table --history`: the scores of all evaluations within trainings as CSV."""

import csv

from cli import main
from tests.helpers.runs import write_results
from tests.helpers.words import refusal
from vidcorr.results.result import Evaluated


def past(*values):
    """Return the history of two blocks after 0, 10, … epochs."""
    history = []
    for number, (first, second) in enumerate(values):
        scores = {"res4.b1/J&F-Mean": first, "res4.b2/J&F-Mean": second, "res4.b1/J-Mean": 0.1}
        history.append(Evaluated(epoch=10 * number, step=100 * number, scores=scores))
    return history


def test_a_row_per_training_evaluation_stage_and_score(tmp_path, capsys):
    history = past((0.1, 0.2), (0.3, float("nan")))
    for number in (1, 2):  # the evaluations of a training lie side by side
        place = tmp_path / f"run/{number}"
        write_results(place, history[number - 1].scores, digest="d1", history=history[:number], network_seed=3)
    write_results(tmp_path / "frozen/davis", {"J&F-Mean": 0.5})
    main(["table", f"Ours={tmp_path}", "--history", "--score", "J&F-Mean"])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    found = [(row["stage"], row["epoch"], row["step"], row["value"]) for row in rows]
    assert found == [
        ("res4.b1", "0", "0", "0.1"),
        ("res4.b2", "0", "0", "0.2"),
        ("res4.b1", "10", "100", "0.3"),
        ("res4.b2", "10", "100", "nan"),
    ]
    assert {(row["row"], row["seed"], row["benchmark"], row["digest"], row["score"]) for row in rows} == {
        ("Ours", "3", "davis", "d1", "J&F-Mean")
    }
    assert {row["folder"] for row in rows} == {str(tmp_path / "run/2")}
    main(["table", str(tmp_path), "--history"])
    assert len(capsys.readouterr().out.splitlines()) == 1 + 6


def test_mistakes(tmp_path):
    write_results(tmp_path / "frozen", {"J&F-Mean": 0.5})
    assert "no result belongs to a training" in refusal("table", tmp_path, "--history")
    assert "takes folders and --score only" in refusal("table", tmp_path, "--history", "--published")
