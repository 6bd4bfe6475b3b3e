"""A checkpoint that tests of its export read, and tests without gradients."""

import pytest
import torch


@pytest.fixture(scope="session")
def vfs(tmp_path_factory):
    """A checkpoint of VFSSimSiam whose every statistic counts."""
    from lightning_modules import VFSSimSiam
    from lightning_modules.checkpoints import write_checkpoint
    from tests.helpers.foreign import enliven

    torch.manual_seed(0)
    module = VFSSimSiam(projector_dim=16, predictor_dim=8)
    enliven(module.backbone)
    path = tmp_path_factory.mktemp("vfs") / "vfs.ckpt"
    write_checkpoint(module, path)
    return path


@pytest.fixture
def no_gradients():
    """Compute without gradients for the length of a test."""
    with torch.no_grad():
        yield
