"""Base of the methods: clips that are refused, held-out data, draws, the golden cosine schedule, the plan.

Also tests `parts/distributed.py`, `parts/saving.py`.
"""

from collections import Counter
from functools import partial
from itertools import product
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from tests.helpers.method_steps import InMemory, tiny
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.training import TINY, loader, quiet_trainer, tiny_liir, tiny_moco
from vidcorr.backbones import Network
from vidcorr.lightning_modules import VFSSimSiam, base
from vidcorr.lightning_modules.parts import distributed
from vidcorr.lightning_modules.parts.distributed import keyed_generator
from vidcorr.lightning_modules.parts.negative_bank import BankSettings
from vidcorr.lightning_modules.parts.phases import LiirSchedule
from vidcorr.lightning_modules.parts.schedules import cosine_factor


def test_validation_skips_the_empty_batch_and_a_nan_is_not_left_out():
    module = VFSSimSiam(**TINY)
    assert quiet_trainer().validate(module, verbose=False) == [{}]
    with torch.inference_mode():
        module.validation_loss.update(torch.tensor(torch.nan), 1)
    assert module.validation_loss.compute().isnan()


def test_a_key_has_one_stream_of_its_own():
    module = tiny("VFSMoCo", seed=4)
    module.trainer = trainer = quiet_trainer()
    trainer.training = True
    trainer.fit_loop.epoch_loop.batch_progress.current.ready = 4
    seeds = [module.train(training).generator(9).initial_seed() for training in (True, False)]
    assert seeds == [keyed_generator(4, 0, 3, 9).initial_seed(), keyed_generator(4, 9).initial_seed()]


def test_rows_of_all_ranks_are_joined_in_their_order_and_each_takes_its_own(monkeypatch):
    rows = torch.rand(5, 3, dtype=torch.bfloat16).mT

    def all_gather(parts, own):
        for rank, part in enumerate(parts):
            part.copy_((own.view(torch.bfloat16) + rank).view(torch.uint8))

    monkeypatch.setattr(distributed.dist, "all_gather", all_gather)
    monkeypatch.setattr(distributed, "world_size_and_rank", lambda: (2, 1))
    gathered = distributed.all_rows(rows)
    assert torch.equal(gathered, torch.cat([rows, rows + 1]))
    assert torch.equal(distributed.own_rows(gathered, 3), rows + 1)
    assert torch.equal(distributed.own_rows(rows, 3), rows)


def test_a_checkpoint_of_another_network_is_told_and_names_the_weights(tmp_path, recwarn):
    module = tiny("VFSSimSiam")
    path = write_checkpoint(module, tmp_path / "own.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    trainer = module.trainer = quiet_trainer()
    trainer.ckpt_path, trainer.state.fn = path, "fit"
    before = module.described
    for saved in (TINY["backbone"], "other.ckpt"):  # the same file may lie elsewhere
        checkpoint["hyper_parameters"]["backbone"] = saved
        module.on_load_checkpoint(checkpoint)
    assert (module.described, list(recwarn)) == (before, [])
    trainer.state.fn = "validate"
    checkpoint["hyper_parameters"]["backbone"] = "other"
    with pytest.warns(UserWarning, match=f"own.ckpt: is of other, this model of {TINY['backbone']}: set model.backb"):
        module.on_load_checkpoint(checkpoint)
    assert module.described == Network.of(module).with_weights_of(str(path), checkpoint) != before
    refused(ValueError, "own.ckpt", module.on_load_checkpoint, checkpoint | {"state_dict": {}})
    foreign = {"state_dict": checkpoint["state_dict"]}
    refused(ValueError, "own.ckpt: not a checkpoint of vidcorr", module.on_load_checkpoint, foreign)
    assert VFSSimSiam.load_from_checkpoint(path, map_location="meta").device.type == "meta"


class WithSuper(VFSSimSiam):
    """Its hook calls that of its bases, as most do."""

    described_times = 0

    def on_save_checkpoint(self, checkpoint):
        super().on_save_checkpoint(checkpoint)

    def encoder_in_checkpoint(self):
        self.described_times += 1


def test_a_hook_that_calls_super_runs_ours_once(tmp_path):
    module = WithSuper(**TINY)
    write_checkpoint(module, tmp_path / "a.ckpt")
    assert module.described_times == 1


CLIPS = [
    ("VFSSimSiam", (3, 32), "a clip of 3 frames has no two halves: set data.frames to an even number"),
    ("Liir", (1, 16), "clips of 1 frame: Liir needs a query and at least one reference"),
    ("ContrastiveRandomWalk", (2, 32), r"clips of 2 frame\(s\) with 4 node\(s\) per frame: CRW needs at least 3"),
    ("ContrastiveRandomWalk", (3, 16), r"clips of 3 frame\(s\) with 1 node\(s\) per frame: CRW needs .* and 2 nodes"),
    ("ContrastiveRandomWalk", (3, 12), "frames of 12 px hold no patch of 16 px: lower patch_size, or raise data.size"),
    ("SiameseMAE", (4, 32), r"clips of 4 frames do not hold 1 pair\(s\): set data.frames 2"),
    ("SiameseMAE", (2, 36), "pictures of 36 × 36 px: set data.size to a multiple of 8, a patch"),
    ("CoSettle", (1, 32), "clips of 1 frame hold no pair: set data.frames to 2"),
    ("CoSettle", (2, 8), "maps of 1 × 1 cells hold no 2 × 2 cells: raise data.size"),
]
"""Method, frames and side of its clips, what is said of them."""


@pytest.mark.parametrize(("name", "form", "line"), CLIPS)
def test_clips_that_are_too_short_or_too_small_are_refused(name, form, line):
    frames, side = form
    refused(ValueError, line, tiny(name).step, {"clip": torch.rand(2, frames, 3, side, side)})


def test_unknown_words_and_numbers_that_are_too_small_are_refused():
    words = {"SiamFC": ["loss", "start"], "Liir": ["position", "reference_encoder", "stages"]}
    words |= {"LinearProbe": ["protocol"], "ContrastiveRandomWalk": ["nodes"]}
    for name, arguments in words.items():
        for argument in arguments:
            refused(ValueError, argument, tiny, name, **{argument: "other"})
    for argument in ("negatives", "encoder", "modulation"):
        refused(ValueError, argument, BankSettings, **{argument: "other"})
    least = {BankSettings: {"frames": 0, "points": 1}, LiirSchedule: {"warmup_epochs": 0, "warmup_accumulation": 1}}
    for settings, bounds in least.items():
        for argument, bound in bounds.items():
            refused(ValueError, f"{argument} must be at least {bound}", settings, **{argument: bound - 1})


def test_the_cosine_schedule_is_the_golden_one(golden):
    numbers = golden("lr_schedules")
    for case in ("c0", "c2"):
        expected = numbers[f"{case}_lr"]
        found = [numbers[f"{case}_params"][0] * cosine_factor(step, len(expected)) for step in range(len(expected))]
        assert found == pytest.approx(expected, abs=1e-9)


def test_steps_and_samples_count_accumulated_batches():
    module = tiny("VFSSimSiam")
    module.samples_per_device = lambda: 4
    trainer = SimpleNamespace(fit_loop=Mock(), num_training_batches=5, accumulate_grad_batches=2, world_size=3)
    trainer.limit_train_batches = 1.0
    module.trainer = trainer
    assert (module.steps_per_epoch(), module.global_batch(), module.rate_of_batch(0.5)) == (3, 24, 0.5 * 24 / 256)
    trainer.num_training_batches = 1
    refused(ValueError, "accumulate_grad_batches 2: an epoch has fewer batches", module.global_batch)
    trainer.num_training_batches = float("inf")
    refused(ValueError, "set trainer.limit_train_batches", module.steps_per_epoch)
    for trainer.estimated_stepping_batches in (-1, float("inf")):  # of a loader without a length, of a time
        refused(ValueError, "needs the run's length: set trainer.max_steps", module.total_steps)


def test_a_second_training_counts_the_samples_of_its_own_loader(monkeypatch):
    """Though its loader lies in memory where that of the first training lay."""
    monkeypatch.setattr(base, "id", lambda _: 1, raising=False)
    module = tiny("VFSSimSiam")
    for size in (2, 4):
        quiet_trainer(max_steps=1, limit_val_batches=0).fit(module, loader(8, size, frames=2, size=32))
        assert module.global_batch() == size


def test_statistics_are_taken_over_several_gpus_that_train():
    forms = [("VFSSimSiam", *form) for form in product((1, 2), ("cpu", "cuda"), ("validate", "fit"))]
    for name, ranks, device, stage in [*forms, ("Liir", 2, "cuda", "fit"), ("VFSMoCo", 2, "cuda", "fit")]:
        module = tiny(name)
        strategy = SimpleNamespace(root_device=torch.device(device))
        module.trainer = SimpleNamespace(world_size=ranks, strategy=strategy, training=stage == "fit")
        module.configure_model()
        converted = any(isinstance(part, nn.SyncBatchNorm) for part in module.modules())
        assert converted == (name != "VFSMoCo" and (ranks, device, stage) == (2, "cuda", "fit"))


@pytest.mark.parametrize(("name", "ranks", "is_said"), [("Liir", 2, True), ("Liir", 1, False), ("VFSMoCo", 2, False)])
def test_the_plan_says_that_cpus_do_not_synchronise_statistics(name, ranks, is_said):
    module = tiny(name)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    module.trainer = Mock(world_size=ranks, strategy=strategy, max_steps=1, max_epochs=1, ckpt_path=None)
    module.samples_per_device = module.global_batch = lambda: 2
    module._learning_rates = str
    assert ("BatchNorm" in module._common_rows()) == is_said


@pytest.mark.parametrize("name", ["SiamFC", "LinearProbe", "CoSettle"])
def test_maps_of_a_frozen_encoder_are_its_views(name):
    method, images = tiny(name), torch.rand(2, 3, 64, 64)
    view = method.frozen_view() if name == "CoSettle" else method.backbone
    assert torch.equal(method.maps(images), view(images))


def test_a_backbone_frozen_after_construction_keeps_its_statistics():
    for module in (tiny_moco(), tiny_liir(bank={"encoder": "average"})):
        module.backbone.requires_grad_(False)
        module.trainer, module._print_plan = Mock(ckpt_path=None, callbacks=[]), Mock()
        for begin in (module.train, module.on_train_start):
            module.backbone.train()
            begin()
            assert not module.backbone.training
            assert not module.target_encoder.training


@pytest.mark.parametrize(("own", "steps", "limit"), [({}, 9, ", at most 9 steps"), ({"precision": "mine"}, -1, "")])
def test_the_plan_of_a_user(caplog, own, steps, limit):
    """Rows of a method replace those of the same name; texts of callbacks stand behind, or in rows of their own."""
    callbacks = [Mock(pl.Callback, plan_row=lambda name=name: (name, "by a callback")) for name in ("loss", "count")]
    trainer = quiet_trainer(max_epochs=1, max_steps=steps, accumulate_grad_batches=2, callbacks=callbacks)
    module = VFSSimSiam(**TINY, base_lr=0.05)
    module.plan_rows = lambda: {"loss": "cosine"} | own
    with caplog.at_level("INFO"):
        trainer.fit(module, loader(8, 2, frames=2, size=32))
    described = module.described
    assert (described.weights, described.seed, described.loaded) == ("trained by VFSSimSiam", None, True)
    plan = next(record.message for record in caplog.records if "global batch" in record.message)
    rows = dict(line.strip().split("  ", 1) for line in plan.splitlines())
    assert {name: text.strip() for name, text in rows.items()} == {
        "method": "VFSSimSiam",
        "backbone": "tests.helpers.encoders:TinyResNet, random weights, 0.00263 of 0.00371 M parameters",
        "map": "res5 is trained, res4 is scored where nobody names one",
        "global batch": "4 videos = 2 per device × 1 device(s) × 2 accumulated",
        "learning rate": "0.00078125 at the start, base_lr 0.05 × 4 / 256",
        "length": "1 epochs" + limit,
        "precision": "32-true",
        "loss": "cosine; by a callback",
        "count": "by a callback",
    } | own


class Counting(pl.Callback):
    """Counts the barriers and all_reduces of an epoch, and the losses of this rank."""

    def __init__(self):
        self.counts = Counter(barrier=0, all_reduce=0)
        self.losses = []
        for name in self.counts:
            setattr(dist, name, partial(self.counted, name, getattr(dist, name)))

    def counted(self, name, function, *args, **options):
        self.counts[name] += 1
        return function(*args, **options)

    def on_train_epoch_start(self, *_):
        self.counts = Counter(barrier=0, all_reduce=0)

    def on_train_batch_end(self, trainer, module, outputs, *_):
        self.losses.append(float(outputs["loss"]))

    def on_train_epoch_end(self, trainer, module):
        self.found = dict(self.counts), self.losses, float(trainer.callback_metrics["train/loss"])


def _counted(rank, name):
    counting = Counting()
    trainer = quiet_trainer(strategy="ddp", devices=2, max_epochs=1, log_every_n_steps=2, callbacks=[counting])
    trainer.fit(tiny(name), datamodule=InMemory(name, 20))
    return counting.found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VFSMoCo", "Liir"])
def test_two_ranks_reduce_what_they_log_together_in_logged_steps_and_the_last_without_a_barrier(name, tmp_path):
    (counts, first, mean), (_, second, mean_of_other) = on_ranks(2, tmp_path, _counted, name)
    assert len(first) == 5
    assert counts == {"barrier": 0, "all_reduce": 3}  # steps 2, 4 and 5
    assert mean == mean_of_other == pytest.approx((first[-1] + second[-1]) / 2, rel=1e-6)


def test_a_loss_that_is_monitored_is_joined_also_between_logged_steps_of_two_ranks(monkeypatch):
    joined = Mock(return_value={"train/loss": 0.5})
    monkeypatch.setattr(base, "means_over_ranks", joined)
    monkeypatch.setattr(base.loops, "logs_step_of", lambda *_: False)
    module = tiny("VFSMoCo")
    module.log = Mock()
    saver = ModelCheckpoint(monitor="train/loss")
    for callbacks, schedules, calls in (([], [], 0), ([saver], [], 1), ([], [saver], 2)):
        readers = {"callbacks": callbacks, "lr_scheduler_configs": schedules}
        module.trainer = SimpleNamespace(training=True, world_size=2, is_last_batch=False, **readers)
        module._log_scalars({"train/loss": torch.ones(())}, 0, 4)
        assert (joined.call_count, module.log.call_count) == (calls, calls)
    module.log.assert_called_with("train/loss", 0.5, prog_bar=True, batch_size=4)
