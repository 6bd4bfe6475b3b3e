"""The module around a frozen backbone; what its checkpoints hold: tests/vidcorr/backbones/test_without_lightning.py."""

import torch
from torch.utils.data import DataLoader

from tests.helpers.method_steps import tiny
from tests.helpers.saved import write_checkpoint
from tests.helpers.training import quiet_trainer
from tests.helpers.words import NETWORK
from vidcorr.backbones import load
from vidcorr.lightning_modules import FrozenEncoder


def test_a_stated_input_is_that_of_a_checkpoint_too(tmp_path):
    path = write_checkpoint(tiny("VFSSimSiam"), tmp_path / "vfs.ckpt")
    for spec in (str(path), "tests.helpers.encoders:Wrapped"):
        module = FrozenEncoder(spec, mean=(0.1, 0.2, 0.3), std=(0.1, 0.2, 0.3))
        write_checkpoint(module, tmp_path / "stated.ckpt")
        assert load(tmp_path / "stated.ckpt").input.mean == module.feature_extractor().input.mean == (0.1, 0.2, 0.3)


def test_a_trainer_takes_clips_images_and_tensors_and_gives_their_features():
    module, images = FrozenEncoder(NETWORK), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = module.feature_extractor()(images)
    for batch, features in (
        ({"image": images}, expected),
        ({"clip": images[None]}, expected[None]),
        (images, expected),
    ):
        (found,) = quiet_trainer().predict(module, DataLoader([batch], batch_size=None))
        assert torch.equal(found, features)
        assert quiet_trainer().test(module, [DataLoader([batch], None)] * 2, verbose=False) == [{}, {}]
