"""Studies as data: their commands, the table of their results, and one line for what is wrong with a file."""

import csv
import shutil
from pathlib import Path

import pytest
import yaml

from cli import main
from tests.helpers.refusal import refused
from tests.helpers.runs import write_results
from vidcorr.errors import UsageError
from vidcorr.experiments.study import read_study, study_table
from vidcorr.results.rendering import render
from vidcorr.results.result import Protocol, Stage

CONTENT = {
    "title": "a trial",
    "train": "--config demo.yaml --model.start {seed}.ckpt",
    "seeds": [0, 3],
    "evaluate": {"davis": "--on davis=data/DAVIS", "240p": "--on davis_240p=data/DAVIS"},
    "scores": {"davis": "J&F-Mean", "240p": "J&F-Mean"},
    "rows": [
        {"name": "base", "published": {"davis": 65.0}},
        {"name": "four frames", "flags": "--data.frames 4"},
        {"name": "soft", "of": "base", "evaluate": {"davis": "--change topk=5"}},
        {"name": "colour", "model": "timm:x --pretrained", "evaluate": {"240p": None}},
    ],
}


def study_of(folder, **changes):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(CONTENT | changes, sort_keys=False))
    return read_study(str(path))


def test_a_line_trains_once_and_evaluates_every_row_of_its_checkpoint(tmp_path):
    words = [[" ".join(step.words) for step in line] for line in study_of(tmp_path).lines(Path("out"))]
    assert list(map(len, words)) == [5, 5, 3, 3, 1]  # base with soft, four frames, colour once
    train, davis, small, soft, _ = words[1]
    run = train.split()[train.split().index("--trainer.default_root_dir") + 1]
    assert run == "out/base/seed-3-249e51ef"  # a digest of the arguments, by which stored runs are found
    assert train == (
        f"fit --config demo.yaml --model.start 3.ckpt --seed_everything 3 --trainer.default_root_dir {run} "
        f"--trainer.logger TensorBoardLogger --trainer.logger.save_dir {run} --trainer.logger.version run "
        "--ckpt_path last"
    )
    checkpoint = f"{run}/lightning_logs/run/checkpoints/last.ckpt"
    assert davis == f"evaluate {checkpoint} --on davis=data/DAVIS --output {run}/davis-852b2000"
    assert small.startswith(f"evaluate {checkpoint} --on davis_240p=data/DAVIS --output {run}/240p-")
    place = f"out/soft/{Path(run).name}/davis-"
    assert soft.startswith(f"evaluate {checkpoint} --on davis=data/DAVIS --change topk=5 --output {place}")
    assert words[-1][0].startswith("evaluate timm:x --pretrained --on davis=data/DAVIS --output out/colour/seed-0-")


TWO_STEPS = {
    "then": "--config siamfc_r18.yaml --model.backbone {checkpoint}",
    "evaluate": {"otb": "--on otb=data/OTB"},
    "scores": {"otb": ["precision@20px", "success"]},
    "rows": [
        {"name": "base", "published": {"otb": {"precision@20px": 68.9, "success": 52.2}}},
        {"name": "slow", "of": "base", "then": "--model.backbone {checkpoint} --model.lr 1e-4"},
        {"name": "ours", "of": "base"},
        {"name": "supervised", "model": "torchvision:resnet18 --pretrained"},
        {"name": "again", "of": "supervised"},  # it trains, by the study's `then`
    ],
}


def test_a_second_training_starts_from_the_checkpoint_of_the_first(tmp_path):
    lines = study_of(tmp_path, **TWO_STEPS).lines(Path("out"))
    steps = [[(step.words[0], step.row) for step in line] for line in lines]
    base = [("fit", "base"), ("fit", "base"), ("evaluate", "base"), ("fit", "slow"), ("evaluate", "slow")]
    assert steps[:2] == [[*base, ("evaluate", "ours")]] * 2
    supervised = [("fit", "supervised"), ("evaluate", "supervised"), ("evaluate", "again")]
    assert steps[2:] == [supervised] * 2  # a seed each, since it trains
    first, second, otb, slow, otb_of_slow, otb_of_ours = lines[1]
    start = f"{first.output}/lightning_logs/run/checkpoints/last.ckpt"
    assert " ".join(second.words).startswith(
        f"fit --config siamfc_r18.yaml --model.backbone {start} --seed_everything 3 --trainer.default_root_dir "
    )
    assert " ".join(slow.words).startswith(f"fit --model.backbone {start} --model.lr 1e-4 --seed_everything 3 ")
    assert len({first.output, second.output, slow.output}) == 3
    for evaluation, training in ((otb, second), (otb_of_slow, slow), (otb_of_ours, second)):
        assert evaluation.words[1] == f"{training.output}/lightning_logs/run/checkpoints/last.ckpt"
        assert evaluation.needs == (first.output, training.output)
    frozen = " ".join(lines[2][0].words)
    assert "--model.backbone torchvision:resnet18 --seed_everything 0 --model.pretrained true" in frozen


MISTAKES = """
{scores: {vip: mIoU}} -> `scores` and `evaluate` have different evaluations
{sedes: [0]} -> sedes: Extra inputs are not permitted
{rows: [{name: a}, {name: a}]} -> two rows have the name 'a'
{rows: [{name: a, model: x, flags: y}]} -> only one of `train` (with `flags`), `model` and `of`
{rows: [{name: a, evaluate: {vip: x}}]} -> there is no evaluation 'vip'
{rows: [{name: a}, {name: b, of: a}, {name: c, of: b}]} -> 'b', which trains nothing
"""


@pytest.mark.parametrize("line", MISTAKES.strip().splitlines())
def test_a_mistake_is_one_line_that_names_the_file(tmp_path, line):
    """A change of a good study, and what is said of it."""
    changes, said = line.split(" -> ")
    assert said in refused(ValueError, r"study\.yaml", study_of, tmp_path, **yaml.safe_load(changes))


def test_a_key_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "study.yaml").write_text("title: a\ntitle: b\n")
    refused(UsageError, r"study\.yaml cannot be read: line 2: title is set", read_study, str(tmp_path / "study.yaml"))


def write_trial(folder, *rows, **changes):
    """Write a study of one evaluation over three seeds: three rows, and others."""
    rows = [{"name": "base", "published": {"davis": 65.0}}, {"name": "better"}, {"name": "missing"}, *rows]
    of_davis = {"evaluate": {"davis": "--on davis=data/DAVIS"}, "scores": {"davis": "J&F-Mean"}}
    study_of(folder, source="a paper, Table 1", seeds=[0, 1, 2], rows=rows, **of_davis, **changes)


def place_of(folder, row, evaluation, seed):
    """Return where the evaluation of a row leaves its results."""
    lines = read_study(str(folder / "study.yaml")).lines(folder)
    steps = [step for line in lines for step in line]
    (place,) = (step.output for step in steps if (step.row, step.seed, step.evaluation) == (row, seed, evaluation))
    return place


def leave_result(folder, row, seed, gain, digest="d1", **more):
    """Write what the evaluation of a row leaves: four videos, one of them with two objects."""
    place = place_of(folder, row, "davis", seed)
    values = {"a": [0.5, 0.6], "b": [0.7], "c": [0.4], "d": [0.3]}
    columns = {
        measure: {video: [value + gain + shift for value in found] for video, found in values.items()}
        for measure, shift in (("J-Mean", 0), ("F-Mean", 0.1))
    }
    write_results(place / "network-davis-key", {"J&F-Mean": 0.55 + gain}, digest=digest, videos=columns, **more)


@pytest.fixture
def output(tmp_path):
    write_trial(tmp_path)
    for seed in (0, 1, 2):
        leave_result(tmp_path, "base", seed, 0.02 * seed)
        leave_result(tmp_path, "better", seed, 0.1 + 0.02 * seed + 0.01 * (seed == 1))
    return tmp_path


def table_of(output):
    table = study_table(read_study(str(output / "study.yaml")), output)
    return table, render(table)


def test_scores_replace_those_of_the_study(output):
    study = read_study(str(output / "study.yaml"))
    refused(ValueError, "holds no result of the study", study_table, study, output / "other")
    assert [head for head in study_table(study, output, ["success"]).columns if "paper" not in head] == []
    for file in output.glob("*/**/results.json"):
        write_results(file.parent, {"J&F-Mean": 0.6, "J-Mean": 0.55})
    assert list(study_table(study, output, ["J-Mean"]).columns) == ["davis J-Mean"]


def test_the_command_prints_the_table_of_a_study(output, capsys):
    words = ["table", str(output), "--study", str(output / "study.yaml"), "--format"]
    main([*words, "csv"])
    assert capsys.readouterr().out == render(table_of(output)[0], "csv")
    main([*words, "md", "--no-intervals", "--base", "better", "--score", "J&F-Mean"])
    table = study_table(read_study(str(output / "study.yaml")), output, ["J&F-Mean"]).with_differences("better")
    assert capsys.readouterr().out == render(table, "md", intervals=False)


def test_each_row_has_its_seeds_their_range_and_its_difference(output):
    leave_result(output, "missing", 1, 0.05)
    table, text = table_of(output)
    base, better = table.rows["base"]["davis J&F-Mean"], table.rows["better"]["davis J&F-Mean"]
    assert base.scores == pytest.approx((0.55, 0.57, 0.59))
    assert (base.difference, base.deviation) == (None, pytest.approx(0.02))
    assert better.difference.mean == pytest.approx(0.31 / 3)
    # paired by seed, it varies by 10, 11 and 10 points: t = 31 with 2 degrees of freedom; unpaired t = 6.1
    assert better.difference.p == pytest.approx(0.00104, rel=0.01)
    assert text.startswith("## davis\n\n|  | J&F-Mean | J&F-Mean, paper |")
    (last,) = (row for row in csv.DictReader(render(table, "csv").splitlines()) if row["row"] == "missing")
    assert (last["column"], last["seeds"], float(last["scores"])) == ("davis J&F-Mean", "1", pytest.approx(0.6))


def test_a_row_may_have_a_base_of_its_own_and_numbers_of_what_is_not_evaluated(output):
    published = {"imagenet": {"Acc@1": 22.0}}
    write_trial(output, {"name": "other", "base": "better", "published": published})
    leave_result(output, "other", 0, 0.4)
    table, text = table_of(output)
    assert table.rows["other"]["davis J&F-Mean"].difference.mean == pytest.approx(0.4 - 0.02 - 0.31 / 3)
    assert table.rows["better"]["davis J&F-Mean"].difference.mean == pytest.approx(0.31 / 3)
    assert "Differences are from base, of other from better. They are paired" in text
    assert table.rows["other"]["imagenet Acc@1, paper"].mean == 0.22
    refused(ValueError, "there is no row 'none'", write_trial, output, {"name": "other", "base": "none"})


def test_two_results_of_a_row_and_seed_are_refused(output):
    """The pasted commands ran again after the data had changed."""
    leave_result(output, "base", 1, 0.3)
    (first,) = output.glob("base/seed-1-*/*/network-davis-key")
    shutil.copytree(first, first.with_name("network-davis-other"))
    refused(ValueError, "two results of 'base' for seed 1 in .*: remove one", table_of, output)


def leave_scores(folder, row, evaluation, seed, scores, benchmark="otb", stage=""):
    """Write a result of an evaluation."""
    place = place_of(folder, row, evaluation, seed)
    of_stage = Stage(layer=stage, protocol=Protocol(name="vfs", digest="d1", shared_name="vfs", shared="d1"))
    write_results(place / f"network{stage}", scores, benchmark=benchmark, stage=of_stage)


def test_each_column_names_its_score_beside_the_papers_number_of_the_same_score(tmp_path):
    study_of(tmp_path, **TWO_STEPS)
    for seed, success in ((0, 0.5), (3, 0.6)):
        leave_scores(tmp_path, "base", "otb", seed, {"success": success, "precision@20px": 0.7})
    table, _ = table_of(tmp_path)
    heads = ["otb precision@20px", "otb precision@20px, paper", "otb success", "otb success, paper"]
    assert list(table.columns) == heads
    row = table.rows["base"]
    assert [row[head].mean for head in heads] == pytest.approx([0.7, 0.689, 0.55, 0.522])
    study_of(tmp_path, **TWO_STEPS | {"scores": {"otb": ["accuracy"]}, "rows": [{"name": "base"}]})
    refused(ValueError, "has no score accuracy; it has success, precision@20px", table_of, tmp_path)


def test_the_best_stage_is_chosen_by_the_rule_of_the_row(tmp_path):
    rows = [{"name": "last"}, {"name": "best", "of": "last", "best_stage_by": "J&F-Mean"}]
    content = {"rows": rows, "seeds": [0, 1], "evaluate": {"davis": "--on davis=D"}}
    content["scores"] = {"davis": ["J&F-Mean", "J-Mean"]}
    study_of(tmp_path, **content)
    for seed in (0, 1):
        leave_scores(tmp_path, "last", "davis", seed, {"J&F-Mean": 0.4, "J-Mean": 0.6}, "davis")
        stages = {"res4.b1": (0.5, 0.3), "res4.b2": (0.4 + 0.15 * seed, 0.9)}  # means 0.5 and 0.475
        for stage, (both, region) in stages.items():
            leave_scores(tmp_path, "best", "davis", seed, {"J&F-Mean": both, "J-Mean": region}, "davis", stage)
    table, _ = table_of(tmp_path)
    assert list(table.rows) == ["last", "best (res4.b1)"]
    best = table.rows["best (res4.b1)"]
    assert (best["davis J&F-Mean"].mean, best["davis J-Mean"].mean) == (0.5, 0.3)
    shutil.rmtree(place_of(tmp_path, "best", "davis", 1) / "networkres4.b2")
    refused(ValueError, r"row 'best': some seeds lack stages of res4\.b1, res4\.b2", table_of, tmp_path)
    rows[1].pop("best_stage_by")
    study_of(tmp_path, **content)
    refused(ValueError, "two results of 'best' for seed 0 in .*, or give the row a best_stage_by", table_of, tmp_path)
