"""Studies as data: their commands, and one line for what is wrong with a file."""

from pathlib import Path

import pytest
import yaml

from callbacks.tools.study_plan import read_study

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "studies"
CONTENT = {
    "title": "a trial",
    "train": "--config demo.yaml",
    "seed": "--seed_everything {seed}",
    "seeds": [0, 3],
    "score": "J&F-Mean",
    "evaluate": {"davis": "--config benchmarks/davis.yaml", "240p": "--config benchmarks/davis_240p.yaml"},
    "rows": [
        {"name": "base", "published": {"davis": 65.0}},
        {"name": "four frames", "flags": "--data.frames 4"},
        {"name": "soft", "of": "base", "evaluate": {"davis": "--trainer.callbacks.changes '{topk: 5}'"}},
        {"name": "colour", "model": "--model FrozenEncoder --model.spec raw_colour", "seeds": [0]},
    ],
}


def written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(CONTENT | changes, sort_keys=False))
    return path


def test_a_row_trains_once_and_is_evaluated_by_every_evaluation(tmp_path: Path) -> None:
    study = read_study(written(tmp_path))
    train, davis, small = study.steps(study.row("four frames"), 3, Path("out"), train=["--data.source", "x y"])
    folder = "out/four-frames/seed-3"
    assert train.line == (
        "vidcorr fit --config demo.yaml --data.frames 4 --seed_everything 3 --data.source 'x y' "
        f"--trainer.default_root_dir {folder} --ckpt_path last"
    )
    assert davis.arguments[:3] == ("validate", "--ckpt_path", "last")
    assert (davis.benchmark, small.benchmark) == ("four-frames-davis", "four-frames-240p")
    assert {str(step.folder) for step in (train, davis, small)} == {folder}


def test_a_row_of_another_evaluates_its_checkpoints(tmp_path: Path) -> None:
    study = read_study(written(tmp_path))
    train, davis, small = study.steps(study.row("soft"), 0, Path("out"))
    assert train == study.steps(study.row("base"), 0, Path("out"))[0]
    assert str(davis.folder) == "out/base/seed-0"
    assert "{topk: 5}" in davis.arguments
    assert "{topk: 5}" not in small.arguments
    assert davis.benchmark == "soft-davis"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sedes": [0]}, "sedes: there is no such key"),
        ({"base": "other"}, "there is no row 'other'; the rows are base, four frames"),
        ({"rows": [{"name": "a"}, {"name": "A"}]}, "would have the same results, a-davis; rename a row"),
        ({"rows": [{"name": "a", "of": "b"}]}, "there is no row 'b'"),
        ({"rows": [{"name": "a", "flag": "x"}]}, "rows.0.flag: there is no such key"),
        ({"rows": [{"name": "a", "published": {"vip": 1}}]}, "there is no evaluation 'vip'"),
        ({"rows": [{"name": "a"}], "train": None}, "trains nothing"),
        ({"seeds": []}, "seeds: Tuple should have at least 1 item"),
        ({"seeds": [0, True]}, "seeds.1: Input should be a valid integer"),
        ({"rows": {"a": {}}}, "rows: Input should be a valid tuple"),
        ({"rows": [{"name": "a", "evaluate": "--x 1"}]}, "rows.0.evaluate: Input should be a valid dictionary"),
        ({"rows": [{"name": "a", "published": {"davis": "65"}}]}, "rows.0.published.davis: Input"),
        ({"train": "--x '"}, "train: No closing quotation"),
        ({"rows": [{"name": "a", "model": "--model X", "flags": "--x 1"}]}, "takes no `train` and no `flags`"),
        ({"rows": [{"name": "a"}, {"name": "b", "of": "a"}, {"name": "c", "of": "b"}]}, "which trains nothing itself"),
        (
            {"evaluate": {"x 1": "--a", "x-1": "--b"}, "rows": [{"name": "a"}]},
            "two evaluations would have the same results, a-x-1; rename",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=r"study\.yaml") as raised:
        read_study(written(tmp_path, **changes))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_small_scale_replaces_training_seeds_and_evaluations(tmp_path: Path) -> None:
    rows = [{"name": "base"}, {"name": "negatives", "train": "--config moco.yaml", "small": "--config moco_small.yaml"}]
    small = {"train": "--config small.yaml", "seeds": [0, 1, 2], "evaluate": {"davis": "--config own.yaml"}}
    path = written(tmp_path, rows=[rows[0] | {"flags": "--data.frames 4"}, rows[1]], small=small)
    study = read_study(path, small=True)
    assert (study.title, study.seeds, list(study.evaluations)) == ("a trial, at a small scale", (0, 1, 2), ["davis"])
    base, negatives = study.rows
    assert (base.train, base.flags) == (("--config", "small.yaml"), ("--data.frames", "4"))
    assert negatives.train == ("--config", "moco_small.yaml")
    full = read_study(path)
    assert [row.train for row in full.rows] == [("--config", "demo.yaml"), ("--config", "moco.yaml")]


def test_the_small_scale_of_a_row_replaces_its_training_and_its_evaluations(tmp_path: Path) -> None:
    soft = {"davis": "--trainer.callbacks.protocol soft"}
    rows = [
        {"name": "own", "train": "x", "evaluate": soft, "small": {"train": "y", "evaluate": {}}},
        {"name": "other", "evaluate": soft, "small": {"evaluate": {"davis": "--trainer.callbacks.protocol hard"}}},
        {"name": "kept", "train": "x", "evaluate": soft, "small": "y"},
    ]
    path = written(tmp_path, rows=rows, small={"train": "z"})
    own, other, kept = read_study(path, small=True).rows
    assert [row.train for row in (own, other, kept)] == [("y",), ("z",), ("y",)]
    davis = ("--trainer.callbacks.protocol",)
    assert [row.evaluate for row in (own, other, kept)] == [
        {},
        {"davis": (*davis, "hard")},
        {"davis": (*davis, "soft")},
    ]
    assert all(row.evaluate == {"davis": (*davis, "soft")} for row in read_study(path).rows)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "has no small scale"),
        ({"small": {"seeds": [7]}}, "row 'base' trains nothing"),
        (
            {"small": {"train": "x"}, "rows": [{"name": "a", "train": "y", "small": {"evaluate": {"davis": "--z 1"}}}]},
            "row 'a' has its own `train`; give it `small`",
        ),
        (
            {"small": {"train": "x"}, "rows": [{"name": "a", "small": {"seed": [1]}}]},
            "rows.0.seed: there is no such key",
        ),
    ],
)
def test_a_mistake_at_the_small_scale_is_one_line(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=r"study\.yaml") as raised:
        read_study(written(tmp_path, **changes), small=True)
    assert said in str(raised.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_are_read_at_each_scale(path: Path) -> None:
    studies = [read_study(path)]
    if studies[0].small:
        studies.append(read_study(path, small=True))
        assert [row.name for row in studies[0].rows] == [row.name for row in studies[1].rows]
    for study in studies:
        for row in study.rows:
            for seed in study.seeds_of(row):
                assert study.steps(row, seed, Path("out"))
