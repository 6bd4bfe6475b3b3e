"""Public callbacks of Lightning train beside ours, or are refused in one line before the first step."""

from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import callbacks as of_lightning

from callbacks import Stops
from callbacks.stops import REFUSED
from cli import main
from tests.helpers.refusal import refused
from tests.helpers.words import TINY, clips, flags

ARGUMENTS = {
    "EarlyStopping": {"monitor": "train/loss"},
    "OnExceptionCheckpoint": {"dirpath": "on_exception"},
    "ThroughputMonitor": {"batch_size_fn": "builtins.len"},
}
"""Callback → arguments that it cannot do without; by default it takes none."""
ABSTRACT = ("BaseFinetuning", "ProgressBar", "TQDMProgressBar")
"""An abstract one, and progress bars: a Trainer takes one, Rich's."""


@pytest.mark.slow
def test_callbacks_of_lightning_train_together(video_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [*TINY, *clips(video_folder, repeat=2), "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    words += ["--trainer.default_root_dir=mine", "--trainer.log_every_n_steps=1"]
    for name in of_lightning.__all__:
        if name not in ABSTRACT and not issubclass(getattr(of_lightning, name), REFUSED):
            words += flags("trainer.callbacks+", name, **ARGUMENTS.get(name, {}))
    main(["fit", *words])
    (path,) = (tmp_path / "mine").glob("lightning_logs/version_0/checkpoints/last.ckpt")
    assert torch.load(path, weights_only=True)["global_step"] == 2
    assert (tmp_path / "mine/lightning_logs/version_0/config.yaml").is_file()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", REFUSED)
def test_what_changes_the_plan_is_refused(kind):
    trainer = SimpleNamespace(callbacks=[kind.__new__(kind)])
    refused(ValueError, f"^{kind.__name__}: ", Stops().setup, trainer, None, "fit")
