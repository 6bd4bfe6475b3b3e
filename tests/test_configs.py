"""Every YAML file under configs/ builds what it names, and no two pieces set the same value.

Those of benchmarks are read in tests/callbacks/test_benchmark.py, those of studies in tests/vidcorr/experiments.
"""

from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from tests.helpers.parsed import Built

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
ON_ANY_MACHINE = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto"]
OTHER = ("studies", "benchmarks")
EVERY = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml") if path.parent.name not in OTHER)


@cache
def content(config):
    return yaml.safe_load((CONFIGS / config).read_text())


@pytest.mark.slow
@pytest.mark.parametrize("config", EVERY)
def test_every_config_builds_what_it_names(config, tmp_path):
    given = content(config)
    model = [] if "model" in given else ["--model=raw_colour"]
    if config == "cosettle.yaml":
        model = ["--model.backbone=vidcorr-r18"]  # the config's network has weights elsewhere
    place = f"--trainer.default_root_dir={tmp_path}"  # demo.yaml names a folder of the checkout
    built = Built(["fit", f"--config={CONFIGS / config}", *model, *ON_ANY_MACHINE, place])
    for part, made in (("model", built.model), ("data", built.datamodule)):
        if part in given:
            assert type(made).__name__ == given[part]["class_path"].rpartition(".")[2]
    callbacks = {type(callback).__name__ for callback in built.trainer.callbacks}
    assert {entry["class_path"] for entry in given.get("trainer", {}).get("callbacks+", [])} <= callbacks


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
    combine = [config for config in families[""] if "data" not in content(config)]  # the others have their own data
    for first, second in combinations([combine, *list(families.values())[1:]], 2):
        for one in first:
            for other in second:
                shared = set(leaves(content(one))) & set(leaves(content(other)))
                assert not shared, f"{one} and {other} both set {shared}: their order would matter"
