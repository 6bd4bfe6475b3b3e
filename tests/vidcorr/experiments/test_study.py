"""Studies as data: their commands, the table of their results, and one line for what is wrong with a file."""

import csv
import shutil
from pathlib import Path

import pytest
import yaml

from tests.helpers.refusal import refused
from tests.helpers.runs import write_results
from vidcorr.experiments.study import read_study
from vidcorr.experiments.study_table import study_table
from vidcorr.results.rendering import render
from vidcorr.results.result import Provenance

CONTENT = {
    "title": "a trial",
    "train": "--config demo.yaml",
    "seed": "--seed_everything {seed}",
    "seeds": [0, 3],
    "score": "J&F-Mean",
    "evaluate": {"davis": "--on davis=data/DAVIS", "240p": "--on davis_240p=data/DAVIS"},
    "rows": [
        {"name": "base", "published": {"davis": 65.0}},
        {"name": "four frames", "flags": "--data.frames 4"},
        {"name": "soft", "of": "base", "evaluate": {"davis": "--change topk=5"}},
        {"name": "colour", "model": "timm:x --pretrained", "seeds": [0]},
    ],
}


def written(tmp_path, **changes):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(CONTENT | changes, sort_keys=False))
    return path


def test_a_line_trains_once_and_evaluates_every_row_of_its_checkpoint(tmp_path):
    lines = read_study(written(tmp_path)).lines(Path("out"), seeds=[0, 3])
    words = [[" ".join(step.words) for step in line] for line in lines]
    assert list(map(len, words)) == [5, 5, 3, 3, 2]  # base with soft, four frames, colour by its own seed alone
    train, davis, small, soft, _ = words[1]
    run = train.split()[train.split().index("--trainer.default_root_dir") + 1]
    assert Path(run).parent == Path("out/base")
    assert Path(run).name.startswith("seed-3-")
    assert train == (
        f"fit --config demo.yaml --seed_everything 3 --trainer.default_root_dir {run} --trainer.logger "
        f"TensorBoardLogger --trainer.logger.save_dir {run} --trainer.logger.version run --ckpt_path last"
    )
    checkpoint = f"{run}/lightning_logs/run/checkpoints/last.ckpt"
    assert davis.startswith(f"evaluate {checkpoint} --on davis=data/DAVIS --output {run}/davis-")
    assert small.startswith(f"evaluate {checkpoint} --on davis_240p=data/DAVIS --output {run}/240p-")
    place = f"out/soft/{Path(run).name}/davis-"
    assert soft.startswith(f"evaluate {checkpoint} --on davis=data/DAVIS --change topk=5 --output {place}")
    assert words[-1][0].startswith(
        "evaluate timm:x --pretrained --seeds 0 --on davis=data/DAVIS --output out/colour/seed-0-"
    )


def test_other_arguments_have_another_folder(tmp_path):
    def places(**changes):
        (line,) = read_study(written(tmp_path, **changes)).lines(tmp_path, ["four frames"], [0])
        return [step.done and step.done.relative_to(tmp_path) for step in line]

    _, davis, small = places()
    _, trained, _ = places(train="--config demo.yaml --model.base_lr 1")
    assert (trained.parent != davis.parent, trained.name == davis.name) == (True, True)
    _, changed, same = places(evaluate={"davis": "--on davis=other", "240p": "--on davis_240p=data/DAVIS"})
    assert (changed.parent == davis.parent, changed != davis, same == small) == (True, True, True)


MISTAKES = """
{sedes: [0]} -> sedes: unknown key; did you mean seeds?
{rowz: [], rows: null} -> rowz: unknown key; did you mean rows?
{rows: [{name: a, trian: x}]} -> rows.0.trian: unknown key; did you mean train?
{evaluations: {}} -> evaluations: unknown key; did you mean evaluate?
{base: other} -> there is no row 'other'; the rows are base, four frames
{rows: [{name: a}, {name: a, flags: --x 1}]} -> two rows have the name 'a'
{rows: [{name: a, of: b}]} -> there is no row 'b'
{rows: [{name: a, published: {vip: 1}}]} -> there is no evaluation 'vip'
{rows: [{name: a}], train: null} -> trains nothing
{seeds: [0, true]} -> seeds.1: Input should be a valid integer
{rows: [{name: a, published: {davis: "65"}}]} -> rows.0.published.davis: Input
{train: "--x '"} -> train: No closing quotation
{rows: [{name: a, model: untrained, flags: --x 1}]} -> only one of `train` (with `flags`), `model` and `of`
{rows: [{name: a}, {name: b, of: a}, {name: c, of: b}]} -> which trains nothing: name a row
"""
AT_SMALL_SCALE = """
{} -> has no key `small`
{small: {seeds: [7]}} -> row 'base' trains nothing
{small: {train: x}, rows: [{name: a, train: y, small: {evaluate: {davis: --z 1}}}]} -> row 'a' has its own `train`; give
{small: {train: x}, rows: [{name: a, small: {seed: [1]}}]} -> rows.0.seed: unknown key; did you mean seeds?
"""


@pytest.mark.parametrize(("mistakes", "small"), [(MISTAKES, False), (AT_SMALL_SCALE, True)], ids=["full", "small"])
def test_a_mistake_is_one_line_that_names_the_file(tmp_path, mistakes, small):
    """Changes of a good study, and what is said of each."""
    for changes, said in (line.split(" -> ") for line in mistakes.strip().splitlines()):
        path = written(tmp_path, **yaml.safe_load(changes))
        assert said in refused(ValueError, r"study\.yaml", read_study, path, small=small)


def test_the_small_scale_replaces_what_it_names(tmp_path):
    rows = [
        {"name": "base", "flags": "--data.frames 4"},
        {"name": "own", "train": "x", "evaluate": {"davis": "--soft"}, "small": {"train": "y", "evaluate": {}}},
        {"name": "other", "evaluate": {"davis": "--soft"}, "small": {"evaluate": {"davis": "--hard"}}},
        {"name": "kept", "train": "x", "evaluate": {"davis": "--soft"}, "small": "y"},
    ]
    small = {"train": "z", "seeds": [0, 1, 2], "evaluate": {"davis": "--config own.yaml"}}
    path = written(tmp_path, rows=rows, small=small)
    full, study = read_study(path), read_study(path, small=True)
    assert (study.title, study.seeds, list(study.evaluations)) == ("a trial, at a small scale", (0, 1, 2), ["davis"])
    assert study.rows[0].flags == ("--data.frames", "4")
    assert [row.train for row in study.rows] == [("z",), ("y",), ("z",), ("y",)]
    assert [row.evaluate.get("davis") for row in study.rows] == [None, None, ("--hard",), ("--soft",)]
    assert [row.train for row in full.rows] == [("--config", "demo.yaml"), ("x",), ("--config", "demo.yaml"), ("x",)]


def write_trial(folder, *rows, **changes):
    """Write a study of one evaluation over three seeds: three rows, and others."""
    rows = [{"name": "base", "published": {"davis": 65.0}}, {"name": "better"}, {"name": "missing"}, *rows]
    evaluate = {"davis": "--on davis=data/DAVIS"}
    written(folder, source="a paper, Table 1", seeds=[0, 1, 2], evaluate=evaluate, rows=rows, **changes)


def leave_result(folder, row, seed, gain, digest="d1", **more):
    """Write what the evaluation of a row leaves: four videos, one of them with two objects."""
    place = read_study(folder / "study.yaml").lines(folder, [row], [seed])[0][-1].done / "network-davis-key"
    values = {"a": [0.5, 0.6], "b": [0.7], "c": [0.4], "d": [0.3]}
    columns = {
        measure: {video: [value + gain + shift for value in found] for video, found in values.items()}
        for measure, shift in (("J-Mean", 0), ("F-Mean", 0.1))
    }
    write_results(place, {"J&F-Mean": 0.55 + gain}, digest=digest, videos=columns, **more)


@pytest.fixture
def output(tmp_path):
    write_trial(tmp_path)
    for seed in (0, 1, 2):
        leave_result(tmp_path, "base", seed, 0.02 * seed)
        leave_result(tmp_path, "better", seed, 0.1 + 0.02 * seed + 0.01 * (seed == 1))
    return tmp_path


def table_of(output):
    table = study_table(read_study(output / "study.yaml"), output)
    return table, render(table)


def test_each_row_has_its_seeds_their_range_and_its_difference(output):
    leave_result(output, "missing", 1, 0.05)
    table, text = table_of(output)
    base, better = table.rows["base"]["davis"], table.rows["better"]["davis"]
    assert base.scores == pytest.approx((0.55, 0.57, 0.59))
    assert (base.difference, base.deviation) == (None, pytest.approx(0.02))
    assert better.difference.mean == pytest.approx(0.31 / 3)
    # paired by seed, it varies by 10, 11 and 10 points: t = 31 with 2 degrees of freedom; unpaired t = 6.1
    assert better.difference.p == pytest.approx(0.00104, rel=0.01)
    assert "| base | 57.0 ± 2.0 [" in text
    assert "; +10.3 [+8.9, +11.8], p 0.001 |  |" in text
    assert text.splitlines()[0].startswith("|  | davis | davis, paper |")
    assert "] | 65.0 |" in text
    assert "| missing | 60.0 [" in text
    assert "; +3.0 |  |" in text
    (last,) = (row for row in csv.DictReader(render(table, "csv").splitlines()) if row["row"] == "missing")
    assert (last["column"], last["seeds"], float(last["scores"])) == ("davis", "1", pytest.approx(0.6))


def test_a_model_that_is_not_trained_is_compared_with_every_seed(output):
    row = {"name": "raw colour", "model": "untrained", "seeds": [0]}
    write_trial(output, row, base="raw colour")
    leave_result(output, "raw colour", 0, 0.0)
    difference = table_of(output)[0].rows["base"]["davis"].difference
    assert difference.mean == pytest.approx(0.02)
    assert difference.p > 0


def test_rows_of_different_protocols_or_data_are_not_compared(output):
    for more in ({"digest": "d2"}, {"resolution": "1080p"}, {"sequences": 3}):
        leave_result(output, "missing", 0, 0.3, **more)
        assert table_of(output)[0].rows["missing"]["davis"].difference is None
        shutil.rmtree(output / "missing")


def test_seeds_that_are_on_disk_are_gathered(output):
    write_trial(output, {"name": "of it", "of": "base"})
    leave_result(output, "base", 12, 0.3)
    leave_result(output, "of it", 12, 0.2)
    rows = table_of(output)[0].rows
    seeds = [[one.seed for one in row["davis"].records] for row in rows.values() if "davis" in row]
    assert seeds == [[0, 1, 2, 12], [0, 1, 2], [12]]


def test_rows_of_several_machines_are_pointed_out(output):
    here = Provenance(machine={"processor": "EPYC", "gpus": []}, versions={"torch": "2.11"})
    leave_result(output, "missing", 0, 0.3, provenance=here)
    assert "different machines" not in table_of(output)[1]
    leave_result(output, "missing", 1, 0.3, provenance=Provenance(machine={"gpus": ["H200", "H200"]}))
    table, text = table_of(output)
    assert "Run on different machines: EPYC, torch 2.11; H200." in text
    assert "EPYC, torch 2.11; H200" in render(table, "csv")


def test_two_results_of_a_row_and_seed_are_refused(output):
    """A row whose flags have changed since the first run."""
    rows = [{"name": "base", "flags": "--data.frames 4"}, {"name": "better"}, {"name": "missing"}]
    written(output, seeds=[0, 1, 2], evaluate={"davis": "--on davis=data/DAVIS"}, rows=rows)
    leave_result(output, "base", 1, 0.3)
    refused(ValueError, "two results of 'base' for seed 1, .* arguments in the study have changed", table_of, output)


def test_a_folder_without_results_is_refused(tmp_path):
    write_trial(tmp_path)
    refused(ValueError, "no result of the study 'a trial'", table_of, tmp_path)
