"""Promises of every method of `lightning_modules.__all__`; a new method is tested here as soon as it is listed.

`tests/helpers/method_steps.py` makes a method small by its signature, and its batches by its `images`.

Also tests `parts/heads.py`, `parts/saving.py`, `parts/schedules.py`.
"""

from collections import UserDict
from copy import deepcopy
from inspect import signature
from unittest.mock import Mock

import pytest
import torch
from pytorch_lightning.callbacks import BackboneFinetuning, BatchSizeFinder, LearningRateFinder
from pytorch_lightning.core.saving import load_hparams_from_yaml, save_hparams_to_yaml
from pytorch_lightning.tuner import Tuner
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection, SumMetric

from tests.helpers.faults import differences
from tests.helpers.method_steps import METHODS, InMemory, Samples, arguments_of, batches_of, tiny, tiny_batch
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.training import quiet_trainer, trainer_in
from vidcorr import lightning_modules
from vidcorr.backbones import build_feature_extractor
from vidcorr.callbacks import LastCheckpoint

pytestmark = [pytest.mark.parametrize("name", METHODS), pytest.mark.sampled(3, 3)]
BATCHES = 3
"""Batches of an epoch."""


def test_a_longer_run_follows_its_own_schedule_and_hooks_without_super_add_to_ours(name, tmp_path):
    class Own(getattr(lightning_modules, name)):
        found = 0

        def on_save_checkpoint(self, checkpoint):
            checkpoint["own"] = 1

        def on_load_checkpoint(self, checkpoint):
            self.found = checkpoint["own"]

    def fit(folder, epochs, path=None):
        module, rates = Own(**arguments_of(name)), []
        module.training_step = lambda *_: torch.zeros((), requires_grad=True)
        module.on_before_zero_grad = lambda optimizer: rates.append([group["lr"] for group in optimizer.param_groups])
        trainer = trainer_in(tmp_path, LastCheckpoint(dirpath=tmp_path / folder), max_epochs=epochs)
        trainer.fit(module, datamodule=InMemory(name), ckpt_path=path, weights_only=True)
        return rates, module.found

    whole, _ = fit("whole", 3)
    fit("parts", 1)
    content = torch.load(tmp_path / "parts/last.ckpt", weights_only=True)
    assert content["own"] == 1
    assert content["vidcorr"]["class_path"].endswith("Own")
    rest, found = fit("parts", 3, tmp_path / "parts/last.ckpt")
    assert (len(rest), found) == (2 * BATCHES, 1)
    assert rest == whole[BATCHES:]


@pytest.mark.sampled(1)
def test_what_learns_takes_a_gradient_and_nothing_else_does(name):
    """All that learns is in the optimiser, once; nothing else moves but averages, and statistics of what learns."""
    module = tiny(name)
    backbone = deepcopy(module.backbone.state_dict())
    parameters = dict(module.named_parameters())
    before = deepcopy(parameters)
    learned = {key for key, parameter in parameters.items() if parameter.requires_grad}
    weights = {key for key in learned if parameters[key].ndim > 1}  # a bias before a BatchNorm has no gradient
    gradients = {}
    module.on_train_batch_end = lambda *_: gradients.update({key: parameters[key].grad for key in parameters})
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(module, datamodule=InMemory(name))
    optimised = [parameter for group in trainer.optimizers[0].param_groups for parameter in group["params"]]
    assert {key for key, gradient in gradients.items() if gradient is not None} == learned
    assert set() < weights <= {key for key in learned if gradients[key].any()}
    assert sorted(map(id, optimised)) == sorted(id(parameters[key]) for key in learned)
    moved = {key for key, parameter in parameters.items() if not torch.equal(parameter, before[key])}
    assert weights <= {key for key in moved if not key.startswith("target_encoder.")} <= learned
    if not module.backbone_learns:
        assert differences(module.backbone.state_dict(), backbone) == []


def test_a_step_in_bfloat16_has_nearly_the_loss_of_float32(name):
    batch = tiny_batch(name, samples=8)
    exact = float(tiny(name).step(batch)["loss"].detach())
    with torch.autocast("cpu", torch.bfloat16):
        loss = tiny(name).step(batch)["loss"]
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(exact, rel=0.05)


@pytest.mark.sampled(1)
def test_the_first_batch_is_checked(name):
    module = tiny(name)
    batch = tiny_batch(name)
    wrong = {
        "got torch.int32": lambda x: (x * 255).int(),
        "got values from -2": lambda x: (x - 0.45) / 0.22,
        "got values from nan": lambda x: x * torch.nan,
        r"got shape \(2, .*": lambda x: x[..., :1, :, :],
        r"got shape \(.*": lambda x: x[0],
    }
    for image in module.images:
        for message, change in wrong.items():
            wrong_batch = batch | {image: change(batch[image])}
            refused(ValueError, f"{image} must be .* {message}", module.training_step, wrong_batch, 0)
            refused(ValueError, f"{image} must be .* {message}", module.validation_step, wrong_batch, 0)
        as_bytes = (batch[image] * 255).byte()
        for step in (module.training_step, module.validation_step):  # of any loader
            assert step(batch | {image: as_bytes}, 1)["loss"].isfinite()
    used = Mock(wraps=dict(batch), spec=dict)
    used.__getitem__ = lambda _, key: read.add(key) or batch[key]
    read = set()
    type(module).step.__wrapped__(tiny(name), used)
    assert read == {*module.images, *module.further_keys}  # all that a step reads is named
    for key in read:
        without = {other: values for other, values in batch.items() if other != key}
        line = rf"^{name} needs a batch with .*\b{key}\b.*; the batch has [\w, ]+$"
        for step in (module.training_step, module.validation_step):
            refused(ValueError, line, step, without, 0)
    refused(ValueError, "the batch has no keys: it is a list", module.training_step, [torch.rand(2)], 0)


@pytest.mark.sampled(1)
def test_a_checkpoint_is_enough_for_its_features_and_for_itself(name, tmp_path):
    module = tiny(name).eval()
    path = write_checkpoint(module, tmp_path / "own.ckpt")
    loaded = getattr(lightning_modules, name).load_from_checkpoint(path)
    assert differences(loaded.state_dict(), module.state_dict()) == []
    assert loaded.hparams.keys() == module.hparams.keys()
    if name == "LinearProbe":  # its encoder is evaluated by its own checkpoint
        refused(ValueError, "benchmarks evaluate the encoder itself", module.feature_extractor)
        return
    module.described = module.described.model_copy(update={"weights": "others"})
    assert module.feature_extractor().described == module.described
    images = torch.rand(1, 3, 64, 96)
    assert torch.equal(build_feature_extractor(path)(images), module.feature_extractor()(images))


@pytest.mark.sampled(1)
def test_no_seed_is_that_of_the_run_and_0_is_a_seed(name, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    if "seed" in tiny(name).hparams:
        checkpoint = {"state_dict": {}}
        tiny(name).on_save_checkpoint(checkpoint)
        assert tiny(name).seed == checkpoint["hyper_parameters"]["seed"] == 5
        own = tiny(name, seed=0)
        own.seed = None  # as an argument of a user's that is not given
        assert own.seed == 0
        monkeypatch.delenv("PL_GLOBAL_SEED")
        assert tiny(name).seed == 0


class HeldOut(InMemory):
    """Samples of noise to train on, and two to validate on."""

    def __init__(self, name):
        super().__init__(name)
        self.held_out = Samples(name, 2)


def test_trainings_and_validations_follow_each_other_and_leave_the_metrics_of_a_user_alone(name):
    """A metric, and a collection of metrics, that a subclass updates in training over validations of three kinds."""
    module, data = tiny(name), HeldOut(name)
    module.seen = SumMetric()
    module.collected = MetricCollection({"seen": SumMetric()})
    training_step = module.training_step

    def counting_step(batch, batch_idx):
        module.seen.update(module.samples_in(batch))
        module.collected.update(module.samples_in(batch))
        return training_step(batch, batch_idx)

    module.training_step = counting_step
    trainings = 2
    for _ in range(trainings):
        trainer = quiet_trainer(max_epochs=1, val_check_interval=1)
        trainer.validate(module, data, verbose=False)
        trainer.fit(module, data)  # with a validation before the first step, too
        assert trainer.validate(module, data, verbose=False) == trainer.test(module, data, verbose=False)
    assert module.seen.compute() == module.collected.compute()["seen"] == 2 * BATCHES * trainings


@pytest.mark.parametrize("kind", ["ready", "dict", "list", "images"])
def test_the_samples_of_a_batch_are_counted(kind, name):
    """Of batches that a data set makes itself, and of the batches that several loaders give together."""
    samples = Samples(name, 4).batch
    given = {
        "ready": lambda: DataLoader([tiny_batch(name)] * BATCHES, batch_size=None),
        "dict": lambda: {"first": batches_of(name), "second": batches_of(name)},
        "list": lambda: [batches_of(name), batches_of(name)],
        "images": lambda: {key: DataLoader(values, 2) for key, values in samples.items()},
    }
    module = tiny(name)
    seen = []
    step = module.step
    module.step = lambda batch: seen.append(len(batch[next(iter(module.images))])) or step(batch)
    quiet_trainer(max_steps=2, limit_train_batches=2).fit(module, given[kind]())
    expected = 4 if kind in ("dict", "list") else 2
    assert seen == [expected] * 2
    assert module.global_batch() == expected


@pytest.mark.sampled(1)
def test_a_fraction_in_per_cent_is_refused(name):
    fractions = {"encoder_momentum": 5.0, "edge_dropout": 5.0, "warmup": 5.0, "mask_ratio": 5.0, "patch_area": (4, 5)}
    for argument in fractions.keys() & signature(getattr(lightning_modules, name)).parameters.keys():
        refused(ValueError, f"^{argument} must be in .0, 1., got 5", tiny, name, **{argument: fractions[argument]})


def test_several_loaders_of_held_out_data_are_logged_apart(name):
    module = tiny(name)
    first, second = batches_of(name), DataLoader([Samples(name, 6)[0, number] for number in (4, 5)], 2)
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, batches_of(name), [first, second])
    alone = [trainer.validate(module, loader, verbose=False)[0]["val/loss"] for loader in (first, second)]
    together = trainer.validate(module, [first, second], verbose=False)
    assert [values[f"val/loss/dataloader_idx_{number}"] for number, values in enumerate(together)] == alone


def test_a_prediction_is_of_the_features_of_a_batch(name):
    (features, _) = quiet_trainer().predict(tiny(name), batches_of(name))
    assert len(features) == 2
    batch = tiny_batch(name)
    if "clip" in batch:
        module = tiny(name).eval()
        images = batch["clip"]
        found = module.predict_step({"clip": (images * 255).byte()})
        expected = module.feature_extractor()((images[:, 1] * 255).byte() / 255)
        assert torch.equal(found[:, 1], expected)


def test_a_checkpoint_takes_other_arguments_and_lacks_weights_if_the_user_says_so(name, tmp_path):
    module = tiny(name)
    path = write_checkpoint(module, tmp_path / "own.ckpt")
    content = torch.load(path, weights_only=True)
    lacking, *_ = (key for key in content["state_dict"] if not key.startswith("backbone"))
    del content["state_dict"][lacking]
    torch.save(content, path)
    kind = getattr(lightning_modules, name)
    refused(ValueError, "Missing key", kind.load_from_checkpoint, path)
    changed = next(key for key in ("base_lr", "lr", "encoder_momentum") if key in module.hparams)
    loaded = kind.load_from_checkpoint(path, strict=False, **{changed: 0.25})
    assert loaded.hparams[changed] == 0.25
    assert lacking in loaded.state_dict()


def test_its_arguments_are_plain_in_a_loggers_file_and_of_containers_in_a_checkpoint(name, tmp_path):
    """Of defaults that are dataclasses, and of omegaconf's containers, which are no dict and no list."""
    kind = getattr(lightning_modules, name)
    given = {key: UserDict(value) if type(value) is dict else value for key, value in arguments_of(name).items()}
    module = kind(**given)
    for arguments in (module.hparams, tiny(name).hparams):
        save_hparams_to_yaml(tmp_path / "hparams.yaml", arguments)
        assert load_hparams_from_yaml(tmp_path / "hparams.yaml", use_omegaconf=False) == arguments
    write_checkpoint(module, tmp_path / "own.ckpt")
    assert kind.load_from_checkpoint(tmp_path / "own.ckpt").hparams.keys() == module.hparams.keys()


@pytest.mark.sampled(5, 3)
def test_a_tuner_before_fit_sets_the_rate_and_the_batch(name):
    """`lr` is the rate as it stands; the schedule is of the found batch. As callbacks they come too late."""
    module, data = tiny(name), InMemory(name)
    tuner = Tuner(quiet_trainer(max_epochs=1))
    found = tuner.lr_find(module, datamodule=data, num_training=3, early_stop_threshold=None).suggestion()
    if found is None:  # too few points
        module.lr = found = 0.25
    assert module.lr == found
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(module, datamodule=data)
    if name != "Liir":  # its schedule states the rates of two phases
        assert trainer.optimizers[0].param_groups[0]["initial_lr"] == found
    for finder in (LearningRateFinder(num_training_steps=3), BatchSizeFinder(max_trials=1, steps_per_trial=1)):
        fit = quiet_trainer(max_epochs=1, callbacks=[finder]).fit
        refused(ValueError, r"after the learning rates are made; call .* before fit", fit, tiny(name), InMemory(name))


def test_a_backbone_that_is_unfrozen_later_follows_the_schedule(name):
    module = tiny(name)
    if not module.backbone_learns:
        return
    rates = []
    module.on_train_batch_end = lambda *_: rates.append([group["lr"] for group in module.optimizers().param_groups])
    finetuning = BackboneFinetuning(unfreeze_backbone_at_epoch=1, lambda_func=lambda epoch: 1.0)
    quiet_trainer(max_epochs=3, callbacks=[finetuning]).fit(module, datamodule=InMemory(name))
    assert module.backbone_learns
    assert len(rates) == 3 * BATCHES
    if name not in ("Liir", "ContrastiveRandomWalk"):  # their optimisers have a frozen backbone's weights too
        assert [len(rate) for rate in rates] >= [*[1] * BATCHES, *[2] * 2 * BATCHES]


@pytest.mark.slow
@pytest.mark.sampled(3, "exhaustive")
def test_a_compiled_method_is_trained_and_tested(name):
    module = tiny(name)
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=1)
    compiled = torch.compile(module, backend="eager")
    trainer.fit(compiled, datamodule=InMemory(name))
    assert trainer.global_step > 0
    trainer.test(compiled, HeldOut(name), verbose=False)
    assert "val/loss" in trainer.callback_metrics


def test_a_test_takes_a_validation_step_of_one_argument(name):
    class Own(getattr(lightning_modules, name)):
        def validation_step(self, batch):
            return super().validation_step(batch, 0)

    (tested,) = quiet_trainer().test(Own(**arguments_of(name)), HeldOut(name), verbose=False)
    assert tested["val/loss"] > -10
