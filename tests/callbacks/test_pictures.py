"""Pictures while a module trains: what is drawn when, from which clip, and that training is the same with them."""

from copy import deepcopy
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from tests.helpers.faults import differences
from tests.helpers.logged import Logged
from tests.helpers.method_steps import tiny
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, loader, trainer_in
from vidcorr.callbacks import TrainingPictures
from vidcorr.lightning_modules import VFSSimSiam

SHEETS = ("clip_sheet", "feature_sheet", "heat_map_sheet")


def test_a_run_is_drawn_at_its_first_batch_every_n_epochs_and_at_the_end(tmp_path, monkeypatch):
    for sheet in SHEETS:
        monkeypatch.setattr(f"vidcorr.callbacks.pictures.{sheet}", lambda *_: np.zeros((2, 2, 3), np.uint8))
    pictures = TrainingPictures(every_n_epochs=2)
    for fit in ("first", "second"):  # of the same callback, in a notebook
        trainer = trainer_in(tmp_path / fit, pictures, max_epochs=3, limit_train_batches=2)
        trainer.fit(VFSSimSiam(**TINY), loader(8, 4, frames=2, size=32))
        later = [f"{kind}-step=00000{step}.png" for kind in ("features", "matches") for step in (0, 4, 6)]
        found = sorted(path.name for path in (tmp_path / fit / "pictures").iterdir())
        assert found == ["clips-step=000000.png", *later]


INDICES = [(None, ["frame 0"]), (torch.tensor([[7, 9], [8, 9]]), ["frame 7", "frame 9"])]


@pytest.mark.parametrize(("index", "names"), INDICES)
def test_the_first_clip_is_drawn_without_an_effect_on_training_and_one_frame_has_no_matches(index, names, monkeypatch):
    shown, drawn = [], {name: Mock(side_effect=lambda *_: torch.rand(1)) for name in SHEETS}
    monkeypatch.setattr(
        "vidcorr.callbacks.pictures.write_picture", lambda path, _: shown.append(path.name.partition("-")[0])
    )
    for name in SHEETS:
        monkeypatch.setattr(f"vidcorr.callbacks.pictures.{name}", drawn[name])
    batch = {"clip": torch.rand(2, len(names), 3, 32, 48)} | ({} if index is None else {"frame_index": index})
    trainer = SimpleNamespace(is_global_zero=True, global_step=0, loggers=[Logged()])
    module, pictures = tiny("VFSSimSiam"), TrainingPictures(protocol="crw+radius=3", stage="res3", stride=4)
    before = {**deepcopy(module.state_dict()), "random": torch.get_rng_state()}
    pictures.on_train_end(trainer, None)  # a run without a batch
    pictures.on_train_batch_start(trainer, module, batch, 0)
    pictures.on_train_batch_start(trainer, None, None, 1)
    assert differences({**module.state_dict(), "random": torch.get_rng_state()}, before) == []
    assert shown == ["clips", "features", "matches"][: 1 + len(names)]
    assert trainer.loggers[0].pictures == [0] * len(shown)
    clip, features, covered_size, last = drawn["feature_sheet"].call_args.args
    assert torch.equal(clip, batch["clip"][0])
    assert (features.shape[2:], covered_size, last) == ((8, 12), (32, 48), names)
    if len(names) > 1:
        _, middle, _, protocol, *_ = drawn["heat_map_sheet"].call_args.args
        assert (middle, protocol.name) == ((4, 6), "crw+radius=3")
    other = TrainingPictures()
    other.on_train_batch_start(SimpleNamespace(is_global_zero=False), None, batch, 0)  # another rank draws nothing


def test_a_method_without_clips_is_refused(tmp_path):
    fit = trainer_in(tmp_path, TrainingPictures()).fit
    for method in ("SiamFC", "LinearProbe"):
        refused(ValueError, f"TrainingPictures draws clips, and {method} has none", fit, tiny(method), loader(4, 4))
