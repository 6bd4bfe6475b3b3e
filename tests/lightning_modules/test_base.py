"""Base of the methods: clips that are refused, held-out data, draws, the golden cosine schedule."""

import pytest
import torch
from pytorch_lightning.tuner import Tuner
from torch.utils.data import DataLoader

from callbacks import LastCheckpoint, Safeguards
from lightning_modules import FrozenEncoder, VFSSimSiam
from lightning_modules.base import SampleMean, _batch_norm, keyed_generator
from lightning_modules.schedules import cosine_factor
from tests.helpers.method_steps import RUNS, data
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, InMemory, loader, quiet_trainer, tiny_liir
from vidcorr.backbones import Network


def test_odd_clip_is_refused():
    assert refused(ValueError, "clip of 3 frames", VFSSimSiam(**TINY).step, {"clip": torch.rand(2, 3, 3, 32, 32)})


def test_validation_skips_the_empty_batch_and_logs_the_loss_of_a_real_one():
    module = VFSSimSiam(**TINY)
    trainer = quiet_trainer()
    assert trainer.validate(module, DataLoader([{}], batch_size=None), verbose=False) == [{}]
    (scores,) = trainer.validate(module, loader(4, 4, size=32), verbose=False)
    assert 0 <= scores["val/loss"] <= 4


def test_bytes_of_a_loader_of_ones_own_are_refused():
    clips = [{"clip": torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "video_index": i} for i in range(4)]
    for module in (VFSSimSiam(**TINY), tiny_liir()):  # Liir has a hook of its own
        message, data = r"clip is uint8: give float RGB in \[0, 1\]", DataLoader(clips, batch_size=4)
        assert refused(ValueError, message, quiet_trainer(max_steps=1).fit, module, data)


def test_batches_count_by_their_samples_whatever_the_mode():
    mean = SampleMean()
    with torch.inference_mode():
        mean.update(torch.tensor(1.0), 4)
        mean.update(torch.tensor(4.0), 2)
        assert mean.compute() == 2
        mean.reset()
    mean.update(torch.tensor(3.0), 1)
    mean.update(torch.tensor(5.0), 3)
    assert mean.compute() == 4.5
    assert not mean.state_dict()


def test_a_key_has_one_stream_of_its_own():
    keys = [(0,), (1,), (0, 0, 3), (0, 0, 4), (0, 3, 0)]
    first, again = ([torch.rand(4, generator=keyed_generator(*key)) for key in keys] for _ in range(2))
    assert all(map(torch.equal, first, again))
    assert len({tuple(draws.tolist()) for draws in first}) == len(keys)
    negative = [keyed_generator(seed, 0).initial_seed() for seed in (-1, -2)]
    assert negative[0] != negative[1]  # although hash(-1) == hash(-2)
    assert keyed_generator(0, 1, 2).initial_seed() == 2187946392326065592  # published runs drew by these


def test_a_network_that_was_trained_here_is_not_called_random():
    module = VFSSimSiam(backbone="torchvision:resnet18", projector_dim=8, predictor_dim=4)
    assert Network.of(module.feature_extractor("res4")).weights == "random weights"
    quiet_trainer(max_steps=1).fit(module, loader(4, 2, size=32))
    described = Network.of(module.feature_extractor("res4"))
    assert (described.weights, described.seed, described.loaded) == ("trained by VFSSimSiam", None, True)


def test_lightnings_tuner_sets_the_batch_of_the_data_and_the_plan_states_the_scaled_rate(tmp_path, caplog):
    """`BatchSizeFinder` writes `batch_size` of whatever has it; `lr_find` suggests a rate, but `base_lr` is scaled."""
    caplog.set_level("INFO")
    module, guards = VFSSimSiam(**TINY), [LastCheckpoint(dirpath=tmp_path), Safeguards()]
    held = InMemory(8, 2, frames=2, size=32)
    trainer = quiet_trainer(max_steps=2, callbacks=guards, default_root_dir=tmp_path, enable_checkpointing=True)
    tuner = Tuner(trainer)
    tuner.scale_batch_size(module, datamodule=held, max_trials=1, steps_per_trial=1, init_val=4)
    assert held.batch_size == 4
    found = tuner.lr_find(module, datamodule=held, num_training=16, attr_name="base_lr")
    assert module.hparams["base_lr"] == found.suggestion()
    trainer.fit(module, datamodule=held)
    rate = module.hparams["base_lr"]
    assert f"{rate * 4 / 256:.6g} at the start, base_lr {rate:.6g} × 4 / 256" in caplog.text


def test_golden_cosine(golden):
    numbers = golden("lr_schedules")
    for case in ("c0", "c2"):
        expected = numbers[f"{case}_lr"]
        found = [numbers[f"{case}_params"][0] * cosine_factor(step, len(expected)) for step in range(len(expected))]
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("run", "learning"), [("siamfc", {"exemplar_conv", "search_conv"}), ("probe-moco", {"classifier"})]
)
def test_what_is_frozen_stays_with_its_statistics(run, learning):
    kind, arguments, _ = RUNS[run]
    module = kind(**arguments).train()
    assert not any(part.training for part in module.backbone.modules())
    assert _batch_norm(module, devices=1) == "frozen"
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert any("running_mean" in name for name in before)
    quiet_trainer(max_steps=3).fit(module, data(run))
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"{layer}.{name}" for layer in learning for name in ("weight", "bias")}
    assert all(parameter.grad is None for parameter in module.backbone.parameters())


def test_trainer_predict_gives_features():
    batches = loader(4, 2, size=32)
    found = quiet_trainer().predict(FrozenEncoder("raw_colour"), batches)
    assert [tuple(batch["features"].shape) for batch in found] == [(2, 4, 3, 4, 4)] * 2
