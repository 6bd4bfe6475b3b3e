"""The root is flat, so its names must be ours alone."""

import importlib
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["callbacks", "datamodules", "lightning_modules", "cli"])
def test_the_name_is_ours(name):
    module = importlib.import_module(name)
    assert Path(module.__file__).is_relative_to(ROOT)
    assert set(packages_distributions().get(name, ["vidcorr"])) == {"vidcorr"}


def test_the_command_is_our_door():
    (command,) = entry_points(group="console_scripts", name="vidcorr")
    assert command.load() is importlib.import_module("cli").main


PUBLIC = {
    "lightning_modules": "VFSSimSiam VFSMoCo Liir SiamFC LinearProbe FrozenEncoder",
    "lightning_modules.functional": "PropagationProtocol propagate_labels simsiam_loss info_nce_loss local_affinity "
    "reconstruct reconstruct_with_negatives compact_affinity siamese_correlation rgb_to_lab",
    "lightning_modules.backbones": "build_feature_extractor",
    "datamodules": "VideoDataModule SyntheticVideoDataModule Got10kDataModule",
    "datamodules.loading.sampling": "distant_indices continuous_indices",
    "datamodules.datasets": "Davis YoutubeVos Jhmdb Vip Otb",
    "callbacks": "DavisBenchmark YoutubeVosBenchmark JhmdbBenchmark VipBenchmark OtbBenchmark CollapseMonitor",
    "callbacks.metrics": "region_similarity boundary_accuracy RegionBoundary PCK SemanticIoU InstanceAP "
    "TrackingSuccess",
    "cli": "main",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_is_there_and_documented(package):
    module = importlib.import_module(package)
    for name in PUBLIC[package].split():
        assert getattr(module, name).__doc__, f"{package}.{name}"
