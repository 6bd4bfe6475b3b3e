"""Pictures while a module trains: what is drawn when, from which clip, and that training is the same with them."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from callbacks import TrainingPictures
from lightning_modules import VFSSimSiam
from tests.helpers.method_steps import frames_of, tiny
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, loader, trainer_in


@pytest.mark.slow
def test_training_is_the_same_with_pictures_and_without(tmp_path):
    weights = []
    for callbacks in ([], [TrainingPictures()]):
        pl.seed_everything(0)
        module = VFSSimSiam(**TINY)
        trainer = trainer_in(tmp_path, *callbacks, max_epochs=2, num_sanity_val_steps=2)
        trainer.fit(module, loader(8, 4, frames=2, size=32), loader(4, 4, frames=2, size=32))
        weights.append({**module.state_dict(), "random": torch.rand(1), "numpy": torch.tensor(np.random.rand())})  # noqa: NPY002
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["Liir", "VFSSimSiam"])
def test_every_method_is_drawn_every_n_epochs_and_at_the_end(method, tmp_path):
    pictures = TrainingPictures(every_n_epochs=2)
    clips = loader(4, 4, frames=frames_of(method), size=32)
    trainer_in(tmp_path, pictures, max_epochs=3, limit_train_batches=1).fit(tiny(method), clips)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "clips-step=000000.png",
        *(f"features-step=00000{step}.png" for step in (0, 2, 3)),
        *(f"matches-step=00000{step}.png" for step in (0, 2, 3)),
    ]


def test_a_method_without_clips_is_refused(tmp_path):
    fit = trainer_in(tmp_path, TrainingPictures()).fit
    for method in ("SiamFC", "LinearProbe"):
        refused(ValueError, f"TrainingPictures draws clips, and {method} has none", fit, tiny(method), loader(4, 4))


def test_changes_are_those_of_its_protocol():
    assert TrainingPictures(protocol="crw", changes={"radius": 3}).protocol.name == "crw+radius=3"
