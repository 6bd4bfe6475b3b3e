"""Base of the methods: clips that are refused, held-out data, draws, the golden cosine schedule."""

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import BatchSizeFinder
from pytorch_lightning.tuner import Tuner
from pytorch_lightning.utilities import CombinedLoader
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler

import lightning_modules
from callbacks import LastCheckpoint, Stops
from lightning_modules import ContrastiveRandomWalk, FrozenEncoder, LinearProbe, SiamFC, VFSSimSiam
from lightning_modules.base import SampleMean
from lightning_modules.parts.distributed import keyed_generator
from lightning_modules.parts.plan import batch_norm_text
from lightning_modules.parts.schedules import cosine_factor
from tests.helpers.method_steps import RUNS, data
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, Clips, InMemory, loader, quiet_trainer, tiny_liir, tiny_moco
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


@pytest.mark.parametrize("sanity_steps", [0, 1])
@pytest.mark.parametrize("bytes_in", ["training", "validation"])
def test_bytes_of_either_loader_are_refused_although_the_other_is_right(bytes_in, sanity_steps):
    clips = [{"clip": torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "video_index": i} for i in range(4)]
    loaders = {"training": loader(4, 4, size=32), "validation": loader(4, 4, size=32)}
    loaders[bytes_in] = DataLoader(clips, batch_size=4)
    trainer = quiet_trainer(max_epochs=1, num_sanity_val_steps=sanity_steps)
    assert refused(ValueError, "clip is uint8", trainer.fit, VFSSimSiam(**TINY), *loaders.values())


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


@pytest.mark.slow
def test_a_network_that_was_trained_here_is_not_called_random():
    module = VFSSimSiam(backbone="torchvision:resnet18", projector_dim=8, predictor_dim=4)
    assert Network.of(module.feature_extractor("res4")).weights == "random weights"
    quiet_trainer(max_steps=1).fit(module, loader(4, 2, size=32))
    described = Network.of(module.feature_extractor("res4"))
    assert (described.weights, described.seed, described.loaded) == ("trained by VFSSimSiam", None, True)


@pytest.mark.slow
def test_lightnings_tuner_sets_the_batch_of_the_data_and_the_plan_states_the_scaled_rate(tmp_path, caplog):
    """`BatchSizeFinder` writes `batch_size` of whatever has it; `lr_find` suggests a rate, but `base_lr` is scaled."""
    caplog.set_level("INFO")
    module, guards = VFSSimSiam(**TINY), [LastCheckpoint(dirpath=tmp_path), Stops()]
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


@pytest.mark.slow
def test_a_batch_that_is_found_in_fit_does_not_train_at_the_rate_of_another(tmp_path):
    held = InMemory(8, 2, frames=2, size=32)
    finder = BatchSizeFinder(init_val=4, max_trials=1, steps_per_trial=1)
    trainer = quiet_trainer(max_steps=2, callbacks=[finder], default_root_dir=tmp_path, enable_checkpointing=True)
    line = r"found a global batch of 4, and the learning rate was scaled for 2: set batch_size=4"
    refused(ValueError, line, trainer.fit, VFSSimSiam(**TINY), datamodule=held)


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
    assert batch_norm_text(module, module.backbone, devices=1) == "frozen"
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


SEEN = {
    "VFSSimSiam": (lambda: VFSSimSiam(**TINY), {"clip": (2, 2, 3, 32, 32)}),
    "VFSMoCo": (tiny_moco, {"clip": (2, 2, 3, 32, 32)}),
    "Liir": (tiny_liir, {"clip": (2, 2, 3, 16, 16)}),
    "ContrastiveRandomWalk": (
        lambda: ContrastiveRandomWalk(TINY["backbone"], patch_size=16, patch_stride=16),
        {"clip": (2, 3, 3, 32, 32)},
    ),
    "SiamFC": (lambda: SiamFC(TINY["backbone"]), {"exemplar": (2, 3, 120, 120), "search": (2, 3, 239, 239)}),
    "LinearProbe": (lambda: LinearProbe(TINY["backbone"], 3), {"image": (2, 3, 64, 64)}),
}
METHODS = sorted(set(lightning_modules.__all__) - {"FrozenEncoder"})


def of_shapes(shapes):
    batch = {name: torch.rand(shape) for name, shape in shapes.items()}
    return batch | {"video_index": torch.arange(2), "label": torch.arange(2)}


@pytest.mark.parametrize("name", METHODS)
def test_the_first_batch_is_checked(name):
    make, shapes = SEEN[name]
    first = next(iter(shapes))
    wrong = {
        "bytes": (lambda x: (x * 255).byte(), rf"{first} is uint8: give float RGB in \[0, 1\]"),
        "to 255": (lambda x: x * 255, rf"{first} holds values from .* to 25.*: give float RGB .* in \[0, 1\]"),
        "normalised": (lambda x: (x - 0.45) / 0.22, rf"{first} holds values from -2"),
        "nan": (lambda x: x * torch.nan, rf"{first} holds values from nan"),
        "grey": (lambda x: x[..., :1, :, :], rf"{first} has shape .*: give float RGB \(B, "),
        "time last": (lambda x: x.flip(0).transpose(0, -3), rf"{first} has shape"),
        "numpy": (lambda x: x.numpy(), rf"{first} is a ndarray"),
        "one less axis": (lambda x: x[0], rf"{first} has shape"),
    }
    for change, message in wrong.values():
        batch = of_shapes(shapes)
        batch[first] = change(batch[first])
        assert refused(ValueError, message, make().step, batch)
    assert refused(ValueError, f"the batch has no {first}, only video_index", make().step, {"video_index": 0})
    assert refused(ValueError, "the batch is a list: give a dict with", make().step, [torch.rand(2)])
    module = make()
    outputs = module.step(of_shapes(shapes))
    assert outputs["loss"].isfinite()


@pytest.mark.parametrize("name", METHODS)
def test_images_of_any_float_type_train(name):
    make, shapes = SEEN[name]
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        batch = of_shapes(shapes)
        for image in shapes:
            batch[image] = batch[image].to(dtype).requires_grad_()
        assert make().step(batch)["loss"].isfinite(), dtype
    dense = of_shapes(shapes)
    first = next(iter(shapes))
    refused(ValueError, f"{first} is torch.sparse_coo", make().step, dense | {first: dense[first].to_sparse()})
    refused(ValueError, f"{first} is on the meta device", make().step, dense | {first: dense[first].to("meta")})


NUMBERED = {"VFSMoCo": "video_index", "Liir": "video_index", "LinearProbe": "label"}


@pytest.mark.parametrize("name", NUMBERED)
def test_the_numbers_of_the_samples_are_checked(name):
    make, shapes = SEEN[name]
    numbers = NUMBERED[name]
    for right in ([0, 1], np.array([0, 1]), torch.tensor([0, 1], dtype=torch.int32)):
        assert make().step(of_shapes(shapes) | {numbers: right})["loss"].isfinite()
    for wrong in (torch.rand(2), torch.arange(5), torch.zeros(2, 1, dtype=torch.long), [0.5, 1.5]):
        message = rf"{numbers} is torch\..* for 2 samples: give \(B,\) long"
        refused(ValueError, message, make().step, of_shapes(shapes) | {numbers: wrong})
    missing = of_shapes(shapes)
    del missing[numbers]
    refused(ValueError, rf"the batch needs {numbers}, \(B,\) long", make().step, missing)


def test_a_class_that_the_probe_lacks_is_refused():
    make, shapes = SEEN["LinearProbe"]
    message = "label holds classes from 0 to 99, but model.num_classes is 3"
    refused(ValueError, message, make().step, of_shapes(shapes) | {"label": torch.tensor([0, 99])})


def test_lists_are_refused_by_a_trainer_too():
    rows = DataLoader([(torch.rand(2, 3, 32, 32), i) for i in range(4)], batch_size=4)
    for module in (VFSSimSiam(**TINY), tiny_liir()):
        assert refused(
            ValueError, "the batch is a list: give a dict with clip", quiet_trainer(max_steps=1).fit, module, rows
        )


@pytest.mark.parametrize(("make", "frames"), [(lambda: VFSSimSiam(**TINY), 1), (tiny_moco, 1), (tiny_liir, 1)])
def test_clips_of_one_frame_are_refused(make, frames):
    batch = {"clip": torch.rand(2, frames, 3, 32, 32), "video_index": torch.arange(2)}
    assert refused(ValueError, r"a clip of 1 frames cannot be split|clips of 1 frame: Liir needs", make().step, batch)


class Streamed(IterableDataset):
    """Clips without a length."""

    def __iter__(self):
        yield from (Clips(64, 2, 32)[number] for number in range(64))


@pytest.mark.parametrize("kind", ["VFSSimSiam", "Liir"])
def test_loaders_of_other_kinds_train_or_say_what_is_missing(kind):
    make, fit = SEEN[kind][0], lambda module, loader, **options: quiet_trainer(**options).fit(module, loader)
    clips = Clips(8, 2, 32 if kind == "VFSSimSiam" else 16)
    by_batch = DataLoader(clips, batch_sampler=BatchSampler(SequentialSampler(clips), 4, drop_last=True))
    module = make()
    fit(module, by_batch, max_steps=2)
    assert module.samples_per_device() == 4
    pair = CombinedLoader({"a": DataLoader(clips, 4), "b": DataLoader(clips, 4)}, "min_size")
    assert refused(ValueError, f"{kind} trains on a single loader, not on 2", fit, make(), pair, max_steps=2)
    endless = DataLoader(Streamed(), batch_size=4)
    missing = "the loader has none: set trainer.max_steps" if kind == "VFSSimSiam" else "the loader has no length: set"
    assert refused(ValueError, missing, fit, make(), endless, max_epochs=1)


def test_an_endless_loader_trains_a_number_of_steps():
    module = VFSSimSiam(**TINY)
    quiet_trainer(max_steps=2).fit(module, DataLoader(Streamed(), batch_size=4))
    assert module.trainer.global_step == 2


@pytest.mark.parametrize("name", [*(name for name in METHODS if name != "Liir"), "FrozenEncoder"])
def test_a_module_in_place_of_a_name_is_refused(name):
    kind = getattr(lightning_modules, name)
    more = {"num_classes": 3} if name == "LinearProbe" else {}
    message = "backbone: expected a name, got a Conv2d: .* my_module:my_network"
    assert refused(ValueError, message, kind, nn.Conv2d(3, 4, 3), **more)


@pytest.mark.parametrize("make", [lambda: VFSSimSiam(**TINY), tiny_moco])
def test_a_backbone_frozen_after_construction_keeps_its_statistics(make):
    module = make().train()
    module.backbone.requires_grad_(False)
    copies = [{name: buffer.clone() for name, buffer in net.named_buffers()} for net in module.copies_of_backbone()]
    quiet_trainer(max_steps=2).fit(module, loader(8, 4, frames=2, size=32))
    for network, before in zip(module.copies_of_backbone(), copies, strict=True):
        assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    module.backbone.requires_grad_(True)
    quiet_trainer(max_steps=1).fit(module, loader(8, 4, frames=2, size=32))
    assert all(network.training for network in module.copies_of_backbone())
    assert any(not torch.equal(buffer, copies[0][name]) for name, buffer in module.backbone.named_buffers())


class TwoTerms(VFSSimSiam):
    """Returns terms of its loss, a number, keys of several values; or the loss alone."""

    alone = False

    def step(self, batch):
        loss = super().step(batch)["loss"]
        if self.alone:
            return loss
        return {"loss": loss + 1, "first": loss, "second": torch.ones(()), "rate": 0.5, "rows": torch.ones(3)}


def test_each_scalar_of_a_step_is_logged_and_a_bare_tensor_is_a_loss():
    trainer = quiet_trainer(max_steps=1, log_every_n_steps=1)
    trainer.fit(TwoTerms(**TINY), loader(4, 4, frames=2, size=32))
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert set(logged) == {"train/loss", "train/first", "train/second", "train/rate"}
    assert (logged["train/second"], logged["train/rate"]) == (1.0, 0.5)
    assert logged["train/loss"] == pytest.approx(logged["train/first"] + 1)
    alone = TwoTerms(**TINY)
    alone.alone = True
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(alone, loader(4, 4, frames=2, size=32), loader(4, 4, frames=2, size=32))
    assert {"train/loss", "val/loss"} <= set(trainer.callback_metrics)
