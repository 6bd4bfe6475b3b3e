"""`vidcorr export`: the file says what it is."""

import pytest
import torch
from safetensors import safe_open

from cli import main
from lightning_modules import VFSSimSiam
from lightning_modules.checkpoints import write_checkpoint
from tests.helpers.foreign import enliven


@pytest.fixture(scope="module")
def vfs(tmp_path_factory):
    """A checkpoint of VFSSimSiam whose every statistic counts."""
    torch.manual_seed(0)
    module = VFSSimSiam(projector_dim=16, predictor_dim=8)
    enliven(module.backbone)
    path = tmp_path_factory.mktemp("vfs") / "vfs.ckpt"
    write_checkpoint(module, path)
    return path


def test_the_file_says_what_it_is(vfs, tmp_path, capsys):
    main(["export", str(vfs), str(tmp_path / "out.safetensors")])
    load = capsys.readouterr().out.strip()
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        about = file.metadata()
    assert about["load"] == load
    assert about["method"] == "VFSSimSiam"
    assert about["architecture"] == "torchvision:resnet18"
    assert (about["mean"], about["std"]) == ("0.485, 0.456, 0.406", "0.229, 0.224, 0.225")
    assert set(about) == {"format", "method", "vidcorr", "architecture", "mean", "std", "load"}
    assert not list(tmp_path.glob("*.part"))
