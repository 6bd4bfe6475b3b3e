"""Checkpoints on the hub: named with their revision; what is not there is one line."""

import huggingface_hub
import pytest
import torch

from lightning_modules import FrozenEncoder
from tests.helpers.refusal import refused
from vidcorr.backbones import Network, build_encoder, build_feature_extractor
from vidcorr.backbones.checkpoints import local_file, write_checkpoint
from vidcorr.backbones.description import source_of
from vidcorr.benchmarks.network import NetworkSpec

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The repository `me/vfs` in the hub's cache; returns the path of its file `runs/last.ckpt`."""
    snapshot = tmp_path / "models--me--vfs/snapshots" / REVISION

    def download(api, repository, file):
        if repository != "me/vfs" or not (snapshot / file).is_file():
            raise OSError(f"no {file}\nin {repository}")
        return str(snapshot / file)

    monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", download)
    write_checkpoint(FrozenEncoder("raw_colour"), snapshot / "runs/last.ckpt")
    return snapshot / "runs/last.ckpt"


def test_a_checkpoint_on_the_hub_is_named_with_its_revision(cached):
    address = "hf://me/vfs/runs/last.ckpt"
    assert Network.of(build_encoder(address)).weights == f"weights of {address} at {REVISION[:12]}"
    images = torch.rand(1, 3, 64, 64)
    spec = NetworkSpec.read(f"{address}@colour/4")
    assert (spec.name, spec.stage, spec.stride) == (f"{address}@colour/4", "colour", 4)
    found = spec.build().feature_extractor(spec.stage, spec.stride)
    assert torch.equal(found(images), build_feature_extractor(cached, "colour", 4)(images))


def test_what_is_not_there_is_one_line(cached):
    for address in ("hf://me/vfs/c.ckpt", "hf://me"):
        assert "\n" not in refused(ValueError, f"{address}: ", local_file, address)


def test_a_file_elsewhere_has_its_own_name(tmp_path):
    assert source_of(tmp_path / "snapshots" / "a" / "last.ckpt") == "last.ckpt"
