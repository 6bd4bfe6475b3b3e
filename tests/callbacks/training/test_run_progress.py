"""One bar for an entire training: steps, not batches, and nothing left behind."""

import pytest
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from callbacks import RunProgress
from lightning_modules import FrozenEncoder, VFSSimSiam
from tests.helpers.tiny import TINY, loader


def test_lines_count_optimiser_steps_and_name_the_loss(tmp_path, capsys):
    progress = RunProgress(every=1e-6)
    settings = {"accelerator": "cpu", "logger": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(
        default_root_dir=tmp_path, max_epochs=2, accumulate_grad_batches=2, callbacks=[progress], **settings
    )
    trainer.fit(VFSSimSiam(**TINY), loader(videos=16))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("training: ")]
    assert [line.split(" steps")[0] for line in lines] == [f"training: {step}/4" for step in range(1, 5)]
    assert all("loss " in line for line in lines)
    assert progress._report is None


def test_a_stand_in_batch_shows_nothing_and_real_ones_are_counted(tmp_path, capsys):
    progress = RunProgress(every=1e-6)
    trainer = pl.Trainer(default_root_dir=tmp_path, accelerator="cpu", logger=False, callbacks=[progress])
    trainer.validate(FrozenEncoder("raw_colour"), verbose=False)
    assert "validating" not in capsys.readouterr().err
    trainer.validate(FrozenEncoder("raw_colour"), DataLoader([{}, {}, {}], batch_size=None), verbose=False)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("validating: ")]
    assert [line.split(" batches")[0] for line in lines] == [f"validating: {number}/3" for number in (1, 2, 3)]


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="every is 0 seconds"):
        RunProgress(every=0)
