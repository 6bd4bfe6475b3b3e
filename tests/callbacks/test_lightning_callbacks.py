"""Each public callback of Lightning trains two steps beside ours, or is refused in one line before the first step."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks as of_lightning
from pytorch_lightning.callbacks import EMAWeightAveraging

from callbacks import LastCheckpoint, Stops
from callbacks.stops import REFUSED
from cli import main
from tests.helpers.training import loader, quiet_trainer, tiny_liir, tiny_moco
from tests.helpers.words import TINY, clips, flags, refusal

ARGUMENTS = {
    "EarlyStopping": {"monitor": "train/loss"},
    "GradientAccumulationScheduler": {"scheduling": {"0": 1}},
    "ModelPruning": {"pruning_fn": "l1_unstructured"},
    "OnExceptionCheckpoint": {"dirpath": "on_exception"},
    "StochasticWeightAveraging": {"swa_lrs": 0.01},
    "ThroughputMonitor": {"batch_size_fn": f"{__name__}.size_of"},
}
"""Callback → arguments that it cannot do without; by default it takes none."""


KINDS = [name for name in of_lightning.__all__ if name != "BaseFinetuning"]
"""All but an abstract one, and one whose argument no config can hold: `trainer.max_time` adds it."""


def size_of(batch):
    """Return the number of clips of a batch."""
    return len(batch["clip"])


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_callback_of_lightning_trains_or_is_refused_before_the_first_step(
    name, video_folder, tmp_path, monkeypatch, caplog, capsys
):
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    words = [*TINY, *clips(video_folder, repeat=2), "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    words += ["--trainer.default_root_dir=mine", "--trainer.log_every_n_steps=1"]
    if "ProgressBar" not in name:
        words += ["--trainer.enable_progress_bar=false"]
    words += flags("trainer.callbacks+", name, **ARGUMENTS.get(name, {}))
    if getattr(of_lightning, name) in REFUSED:
        assert refusal("fit", *words).startswith(f"vidcorr: {name}: ")
        assert "global batch" not in caplog.text  # a row of the plan, which comes before the first step
        return
    main(["fit", *words])
    (path,) = (tmp_path / "mine").glob("lightning_logs/version_0/checkpoints/last.ckpt")
    assert torch.load(path, weights_only=True)["global_step"] == 2
    assert (tmp_path / "mine/lightning_logs/version_0/config.yaml").is_file()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "use_buffers"), [(tiny_moco, False), pytest.param(tiny_liir, True, marks=pytest.mark.slow)]
)
def test_an_average_of_weights_leaves_the_queue_alone(make, use_buffers, tmp_path):
    def queue_after(*callbacks: pl.Callback):
        torch.manual_seed(0)
        module = make()
        trainer = quiet_trainer(
            callbacks=[*callbacks, LastCheckpoint(dirpath=tmp_path / str(len(callbacks))), Stops()],
            max_steps=3,
            enable_checkpointing=True,
            default_root_dir=tmp_path,
        )
        trainer.fit(module, loader(8, 2, frames=2, size=16))
        names = [name for name in module.state_dict() if name.startswith(("queue.", "bank."))]
        assert any(name.endswith(".pointer") for name in names)
        saved = torch.load(tmp_path / str(len(callbacks)) / "last.ckpt", weights_only=True)["state_dict"]
        return {name: (module.state_dict()[name].clone(), saved[name]) for name in names}

    averaged = queue_after(EMAWeightAveraging(decay=0.9, use_buffers=use_buffers))
    for name, values in queue_after().items():
        for value, of_averaged in zip(values, averaged[name], strict=True):
            assert torch.equal(value, of_averaged), name
