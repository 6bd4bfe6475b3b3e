"""Studies as data: their commands, the table of their results, and one line for what is wrong with a file."""

import json
import re
from pathlib import Path

import pytest

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result, write_results
from vidcorr.cli import main
from vidcorr.experiments.reports.study_report import CHECKPOINT, read_study, study_table
from vidcorr.results.rendering import render
from vidcorr.results.result import Network, ProtocolFacts, Result, Setup


@pytest.fixture
def study_of(tmp_path, recorded):
    """Write a study of the record, with changes, and read it."""

    def study(kind, **changes):
        (tmp_path / "study.yaml").write_text(json.dumps(recorded["studies"][kind] | changes))
        return read_study(str(tmp_path / "study.yaml"))

    return study


@pytest.fixture
def leave(tmp_path):
    """Write a result of the evaluation of a row."""

    def result(row, evaluation, seed, scores, stage="", **more):
        lines = read_study(str(tmp_path / "study.yaml")).lines(tmp_path)
        steps = [step for line in lines for step in line]
        (place,) = (step.output for step in steps if (step.row, step.evaluation, step.seed) == (row, evaluation, seed))
        return write_results(place / f"network{stage}", scores, stage=Setup(layer=stage), **more)

    return result


@pytest.fixture
def trial(study_of, leave):
    """A study with results of four videos, one of them with two objects."""
    study = study_of("table")
    gains = {"base": (0, 0.02, 0.04), "better": (0.1, 0.13, 0.14), "missing": (0.05,), "other": (0.4,)}
    for row, of_row in gains.items():
        for seed, gain in enumerate(of_row):
            values = {"a": [0.5, 0.6], "b": [0.7], "c": [0.4], "d": [0.3]}
            columns = {
                measure: {video: [value + gain + shift for value in found] for video, found in values.items()}
                for measure, shift in (("J-Mean", 0), ("F-Mean", 0.1))
            }
            leave(row, "davis", seed, {"J&F-Mean": 0.55 + gain}, videos=columns)
    return study


def test_a_line_trains_once_and_evaluates_every_row_of_its_checkpoint(study_of, recorded):
    """A second training starts from the checkpoint of the first."""
    found = {}
    for kind in ("trial", "two steps"):
        lines = study_of(kind).lines(Path("out"))
        found[kind] = [[[" ".join(step.words)] for step in line] for line in lines]
    assert found == recorded["lines"]
    rows = [{"name": "base", "then": "--config=b.yaml"}, {"name": "again", "of": "base"}]
    (line, *_) = study_of("trial", rows=rows).lines(Path("out"))
    evaluated = {step.words[1] for step in line if step.evaluation}
    assert evaluated == {str(line[1].output / CHECKPOINT)}  # of the second training, also by `again`


def test_a_mistake_is_one_line_that_names_the_file(study_of, recorded):
    """Changes of a good study, and what is said of it."""
    for changes, said in recorded["mistakes"]:
        assert said in refused(ValueError, r"study\.yaml", study_of, "trial", **changes)


def test_scores_replace_those_of_the_study(trial, tmp_path):
    refused(ValueError, "holds no result of the study", study_table, trial, tmp_path / "other")
    for file in tmp_path.glob("*/**/results.json"):
        write_results(file.parent, {"J&F-Mean": 0.6, "J-Mean": 0.55})
    (column,) = study_table(trial, tmp_path, ["J-Mean"]).columns
    assert column.head == "davis J-Mean (0 sequences)"


def test_the_command_prints_the_table_of_a_study(trial, tmp_path, capsys):
    words = ["table", str(tmp_path), "--study", str(tmp_path / "study.yaml"), "--format"]
    main([*words, "csv"])
    assert capsys.readouterr().out == render(study_table(trial, tmp_path), "csv")
    main([*words, "md", "--no-intervals", "--base", "better", "--score", "J&F-Mean"])
    table = study_table(trial, tmp_path, ["J&F-Mean"]).with_differences("better")
    assert capsys.readouterr().out == render(table, "md", intervals=False)


def test_a_row_has_its_seeds_their_range_and_difference_beside_papers(trial, study_of, leave, tmp_path, recorded):
    """A row may have a base of its own and numbers of what is not evaluated; a column names its score.

    Paired by seed, the difference of better varies by 10, 11 and 10 points: t = 31 with 2 degrees of freedom.
    """
    found = {"table": render(study_table(trial, tmp_path)).splitlines()}
    study = study_of("two steps")
    for seed, success in ((0, 0.5), (3, 0.6)):
        leave("base", "otb", seed, {"success": success, "precision@20px": 0.7}, benchmark="otb")
    found["two steps"] = render(study_table(study, tmp_path)).splitlines()
    assert found == recorded["tables"]
    study = study_of("two steps", scores={"otb": ["accuracy"]}, rows=[{"name": "base"}])
    refused(ValueError, "has no score accuracy; it has success, precision@20px", study_table, study, tmp_path)


def test_a_seed_by_another_protocol_or_on_other_data_is_named_and_left_out(study_of, leave, tmp_path):
    """A file that cannot be read is named; a copy counts once; a row without a result is a row."""
    study = study_of("table")
    for seed, digest in enumerate(("vfs", "vfs", "dino")):
        facts = {"name": digest, "shared_name": digest, "shared": digest}
        stage = Setup(protocol=ProtocolFacts(**facts))
        place = leave("base", "davis", seed, {"J&F-Mean": 0.5 + seed / 10})
        davis_result({"J&F-Mean": 0.5 + seed / 10}, stage=stage, digests={"v": "d"}).save(place)
        other = leave("better", "davis", seed, {"J&F-Mean": 0.6})
        davis_result({"J&F-Mean": 0.6}, digests={"v": str(seed % 2)}).save(other)
    copied = leave("other", "davis", 0, {"J&F-Mean": 0.7}, network_seed=0)
    copy = leave("other", "davis", 1, {"J&F-Mean": 0.7}, network_seed=0)
    (leave("other", "davis", 2, {"J&F-Mean": 0.7}) / "results.json").write_text("{")
    found = study_table(study, tmp_path)
    said = " ".join(found.notes)
    of_base = {column.by: cell.scores for column, cell in found.rows["base"].items() if cell.records}
    assert of_base == {"vfs": (0.5, 0.6)}
    for row, seed, kind in (("base", 2, "by dino"), ("better", 1, "on other data")):
        assert f"{row} has 2 of 3 seeds on davis" in said
        assert re.search(rf"{row}: seed {seed} is {kind} and left out: {tmp_path}/{row}/seed-{seed}-", said)
    assert f"other: {copy} is a copy of {copied} and counts once" in said
    assert "other has 1 of 3 seeds on davis" in said
    assert said.count("is not a results.json of a benchmark, or damaged") == 1
    assert "missing has 0 of 3 seeds on davis" in said
    assert "| missing |" in render(found)


def test_a_seed_on_fewer_sequences_at_another_step_or_stage_is_named_and_left_out(study_of, leave, tmp_path):
    """Also folders of a row that was renamed, and scores that no result has."""
    study = study_of("table")
    eight = {"J-Mean": {f"v{n}": [0.5] for n in range(8)}}
    for seed in range(3):
        network = Network(name="A", digest=f"w{seed}", seed=seed, step=100 if seed == 1 else 200)
        videos = {"J-Mean": dict(list(eight["J-Mean"].items())[: 2 if seed == 2 else 8])}
        leave("base", "davis", seed, {"J&F-Mean": 0.5}, videos=videos)
        leave("better", "davis", seed, {"J&F-Mean": 0.5}, videos=eight)
        file = leave("other", "davis", seed, {"J&F-Mean": 0.5}) / "results.json"
        result = Result.load(file).model_copy(update={"network": network})
        result.save(file.parent)
        stage = {"stage": Setup(layer="res5" if seed == 2 else "res4")}
        Result.load(file).model_copy(update=stage | {"network": Network(name="A", digest=f"w{seed}")}).save(
            leave("missing", "davis", seed, {"J&F-Mean": 0.5})
        )
    said = " ".join(study_table(study, tmp_path).notes)
    assert re.search(rf"base: seed 2 has 2 of 8 sequences and left out: {tmp_path}/base/seed-2-", said)
    assert re.search(rf"other: {tmp_path}/other/seed-1\S+ is at step 100, not 200, and is left out", said)
    assert re.search(rf"missing: {tmp_path}/missing/seed-2\S+ is at res5, not res4, and is left out", said)
    assert "of other rows or arguments" not in said
    rows = [row.model_dump(exclude_defaults=True) for row in study.rows]
    rows[1]["name"] = rows[3]["base"] = "best"
    said = " ".join(study_table(study_of("table", rows=rows), tmp_path).notes)
    assert re.search("Left out, of other rows or arguments than the study's: better/seed-0-[^,]*, better/seed-1", said)
    refused(ValueError, "no result has j&f; did you mean J&F-Mean", study_table, study, tmp_path, ["j&f"])


def test_a_published_number_is_a_fraction(study_of, leave, tmp_path):
    study = study_of("table", rows=[{"name": "base", "published": {"davis": 65.0}}])
    leave("base", "davis", 0, {"J&F-Mean": 0.5})
    said = "row 'base': published J&F-Mean 65 is above 1: write the fraction, 0.65 for 65 per cent"
    refused(ValueError, said, study_table, study, tmp_path)
