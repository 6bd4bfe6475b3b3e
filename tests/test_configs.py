"""Every YAML file under configs/ builds what it names, and the pieces add up to the same run in any order."""

from functools import cache
from itertools import combinations, permutations
from pathlib import Path

import pytest
import yaml

from tests.helpers.parsed import Built, Parsed
from vidcorr.benchmarks.base import Benchmark
from vidcorr.experiments.configured import read_on

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
ON_ANY_MACHINE = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto"]
BENCHMARKS = sorted(path.stem for path in (CONFIGS / "benchmarks").glob("*.yaml"))
OTHER = ("studies", "benchmarks")
EVERY = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml") if path.parent.name not in OTHER)
FIT = {"LearningRateMonitor", "LastCheckpoint", "Throughput", "Safeguards"}


def build(*configs, arguments=(), machine=ON_ANY_MACHINE):
    words = [word for config in configs for word in ("--config", str(CONFIGS / config))]
    return Built(["fit", *words, *machine, *arguments])


@cache
def content(config):
    return yaml.safe_load((CONFIGS / config).read_text())


def names(built):
    return {type(callback).__name__ for callback in built.trainer.callbacks}


FAST = (
    "demo.yaml",
    "liir.yaml",
    "siamfc_r18.yaml",
    "linear_probe_moco.yaml",
    "data/kinetics.yaml",
)
"""One config of each kind; the others are built in the slow tier."""


@pytest.mark.parametrize(
    "config", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in EVERY]
)
def test_builds(config):
    given = content(config)
    built = build(config, arguments=() if "model" in given else ("--model=FrozenEncoder", "--model.spec=raw_colour"))
    if "model" in given:
        assert type(built.model).__name__ == given["model"]["class_path"].rpartition(".")[2]
    if "data" in given:
        assert type(built.datamodule).__name__ == given["data"]["class_path"].rpartition(".")[2]
    assert {entry["class_path"] for entry in given.get("trainer", {}).get("callbacks+", [])} <= names(built)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_builds(name, tmp_path):
    (configured,) = read_on([f"{name}={tmp_path}"])
    benchmark = configured.build()
    assert isinstance(benchmark, Benchmark)
    assert type(benchmark).__name__ == content(f"benchmarks/{name}.yaml")["class_path"]
    assert configured.schedule["every_n_epochs"] == (5 if name == "davis_liir" else 10)


def test_each_appends_its_callbacks_and_leaves_normalisation_to_the_method():
    for config in EVERY:
        assert not {"callbacks", "sync_batchnorm"} & content(config).get("trainer", {}).keys(), config


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        elif not key.endswith("+"):
            yield f"{prefix}{key}"


def test_no_two_pieces_set_the_same_value():
    families = {"": [], "trainer": [], "data": []}
    for config in EVERY:
        families[Path(config).parent.as_posix().removeprefix(".")].append(config)
    combine = [config for config in families[""] if "data" not in content(config)]  # the others are complete runs
    for first, second in combinations([combine, *list(families.values())[1:]], 2):
        for one in first:
            for other in second:
                shared = set(leaves(content(one))) & set(leaves(content(other)))
                assert not shared, f"{one} and {other} both set {shared}: their order would matter"


@pytest.mark.parametrize(
    ("method", "trainer"),
    [("vfs_moco_r18.yaml", "trainer/gpus.yaml"), pytest.param("liir.yaml", "trainer/cpu.yaml", marks=pytest.mark.slow)],
)
def test_every_order_comes_to_the_same_run(method, trainer):
    pieces = [method, trainer, "monitor.yaml", "pictures.yaml"]
    seen = []
    for order in permutations(pieces):
        words = [*(f"--config={CONFIGS / piece}" for piece in order), "--trainer.max_steps=7"]
        config = Parsed(["fit", *words]).config["fit"]
        entries = sorted(config.trainer.callbacks, key=lambda entry: entry.class_path)
        seen.append((config.model, {**config.trainer.as_dict(), "callbacks": entries}))
    assert all(config == seen[0] for config in seen)
    assert [entry.class_path.rpartition(".")[2] for entry in entries] == ["CollapseMonitor", "TrainingPictures"]


def test_every_fit_has_what_a_resume_needs_once(tmp_path):
    built = build("vfs_simsiam_r18.yaml", "data/kinetics.yaml", arguments=["--on", f"davis={tmp_path}"])
    kinds = [type(callback).__name__ for callback in built.trainer.callbacks]
    assert names(built) >= FIT | {"BenchmarkCallback", "BestCheckpoint"}
    assert all(kinds.count(name) == 1 for name in FIT)
    own = build(
        "vfs_simsiam_r18.yaml", arguments=["--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks.every_n_steps=3"]
    )
    (last,) = [callback for callback in own.trainer.callbacks if type(callback).__name__ == "LastCheckpoint"]
    assert last.every_n_steps == 3
    bare = build("vfs_simsiam_r18.yaml", arguments=["--trainer.logger=false", "--trainer.enable_checkpointing=false"])
    assert not names(bare) & {"LearningRateMonitor", "LastCheckpoint"}


def test_every_config_says_what_it_is_and_asks_for_the_gpus_of_its_heading():
    for config in CONFIGS.rglob("*.yaml"):
        text = config.read_text()
        assert text.startswith("# "), config
        assert "GPU" not in text or "trainer/gpus.yaml" in text or config.parent.name == "trainer", config
