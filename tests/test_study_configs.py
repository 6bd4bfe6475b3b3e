"""The recipes of VFS's study: each is built from its files, and each axis of Tables 2 to 6 is a flag."""

from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LightningCLI

import cli  # noqa: F401  (so that classes are known by their names)

pytestmark = pytest.mark.filterwarnings("ignore:LightningCLI's args parameter")
CONFIGS = Path(__file__).parents[1] / "configs"


def build(*files: str, flags: tuple[str, ...] = (), trainer: str = "trainer/gpus.yaml") -> Any:
    """What the files and flags stand for, on a CPU."""
    words = [f"--config={CONFIGS / file}" for file in (trainer, *files)]
    words += ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto", "--trainer.logger=false"]
    return LightningCLI(
        LightningModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        save_config_callback=None,
        seed_everything_default=False,
        run=False,
        args=[*words, *flags],
    )


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(
    ("name", "frames", "repeat"),
    [("vfs_simsiam_r18", 8, 2), ("vfs_simsiam_r50", 2, 5), ("vfs_moco_r18", 8, 2), ("vfs_moco_r50", 2, 5)],
)
def test_recipes(name: str, frames: int, repeat: int, colour: bool) -> None:
    flags = (f"--data.frames={frames}", f"--data.repeat={repeat}", f"--data.colour={colour}")
    built = build(f"{name}.yaml", "data/kinetics.yaml", "monitor.yaml", flags=flags)
    assert type(built.model).__name__ == ("VFSMoCo" if "moco" in name else "VFSSimSiam")
    assert built.model.hparams["backbone"] == f"torchvision:resnet{name[-2:]}"
    assert built.trainer.max_epochs == 100
    assert built.datamodule.batch_size * 8 == 256
    assert (built.datamodule.colour is not None) == colour
    assert built.datamodule.repeat == repeat
    assert "CollapseMonitor" in {type(callback).__name__ for callback in built.trainer.callbacks}
    if "moco" in name:
        assert not built.config["trainer"]["sync_batchnorm"]
        assert built.model.queue.nearest_sizes(256 * frames // 2) == []


@pytest.mark.parametrize("interval", [0, 2, 4, 8, 16, 32])
def test_axes_of_sampling_and_augmentation_are_flags(interval: int) -> None:
    flags = ("--data.sampling=continuous", f"--data.interval={interval}", "--data.frames=2", "--data.spatial=false")
    built = build("vfs_simsiam_r18.yaml", "data/kinetics.yaml", flags=flags)
    first, second = built.datamodule.sampling(300, None)
    assert second - first == interval


@pytest.mark.parametrize("name", ["moco", "simsiam"])
def test_linear_protocols(name: str) -> None:
    built = build(f"linear_probe_{name}.yaml")
    assert built.datamodule.batch_size * 8 == {"moco": 256, "simsiam": 4096}[name]
    assert built.trainer.max_epochs == {"moco": 100, "simsiam": 90}[name]
    assert built.model.base_lr == {"moco": 30, "simsiam": 0.1}[name]
    assert built.model.classifier.in_features == 512


def test_probe_of_the_clips_and_curves_of_the_blocks() -> None:
    assert build("linear_probe_clips.yaml").model.classifier.out_features == 21
    for depth, blocks in ((18, 4), (50, 9)):
        files = (f"vfs_simsiam_r{depth}.yaml", "data/kinetics.yaml", f"benchmarks/davis_blocks_r{depth}.yaml")
        built = build(*files)
        (benchmark,) = [c for c in built.trainer.callbacks if type(c).__name__ == "DavisBenchmark"]
        assert len(benchmark.stage) == blocks
        assert len(built.model.feature_extractor(benchmark.stage).stages) == blocks
