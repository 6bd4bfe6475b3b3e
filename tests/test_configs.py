"""Every YAML file under configs/ builds what it names, alone or composed as its header says."""

from pathlib import Path

import pytest
import yaml

from callbacks import BestCheckpoint, DavisBenchmark
from callbacks.command_line.runs import VidcorrCLI

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
ON_ANY_MACHINE = [
    "--trainer.accelerator=cpu",
    "--trainer.devices=1",
    "--trainer.strategy=auto",
    "--trainer.sync_batchnorm=false",
]


def build(*configs, arguments=()):
    words = [word for config in configs for word in ("--config", str(CONFIGS / config))]
    return VidcorrCLI([*words, *ON_ANY_MACHINE, *arguments], run=False)


@pytest.mark.parametrize("config", sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml")))
def test_builds(config):
    content = yaml.safe_load((CONFIGS / config).read_text())
    model = () if "model" in content else ("--model=FrozenEncoder", "--model.spec=raw_colour")
    built = build(config, arguments=model)
    if "model" in content:
        assert type(built.model).__name__ == content["model"]["class_path"].rpartition(".")[2]
    if "data" in content:
        assert type(built.datamodule).__name__ == content["data"]["class_path"].rpartition(".")[2]
    trainer = content.get("trainer", {})
    wanted = {entry["class_path"] for key in ("callbacks", "callbacks+") for entry in trainer.get(key) or []}
    assert wanted <= {type(callback).__name__ for callback in built.trainer.callbacks}


def test_pieces_compose_and_callbacks_add_up():
    built = build("vfs_simsiam_r18.yaml", "trainer/gpus.yaml", "data/kinetics.yaml", "benchmarks/davis.yaml")
    kinds = [type(callback) for callback in built.trainer.callbacks]
    assert {DavisBenchmark, BestCheckpoint} <= set(kinds)
    assert "LearningRateMonitor" in {kind.__name__ for kind in kinds}
    assert built.trainer.max_epochs == 100
    assert built.datamodule.batch_size * 8 == 256


def test_every_config_says_what_it_is():
    for path in CONFIGS.rglob("*.yaml"):
        assert path.read_text().startswith("# "), f"{path} opens without saying what it is"
