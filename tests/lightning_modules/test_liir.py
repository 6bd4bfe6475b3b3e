"""Liir: the step against the equations, each part alone, both phases in one run, resume, two ranks.

Also tests `parts/negative_bank.py`, `parts/phases.py`.
"""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch import nn
from torch.utils.data import DataLoader

from tests.helpers.faults import differences
from tests.helpers.method_steps import tiny
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.stored_affinity import compactness_loss, local_affinity, reconstruct
from tests.helpers.training import TINY, Clips, quiet_trainer, tiny_liir
from vidcorr.functional.colour import drop_channel, normalised_lab
from vidcorr.functional.local_reconstruction import reconstruction_loss
from vidcorr.functional.negatives import per_query_logsumexp, same_place_logsumexp, shared_logsumexp
from vidcorr.lightning_modules import Liir, VFSSimSiam
from vidcorr.lightning_modules.parts.phases import LiirSchedule

OFF = {"position": "none", "bank": {"frames": 0}, "prior": None}
AVERAGE = OFF | {"reference_encoder": "average"}


def clips(videos, frames=2):
    """A batch of noise in which neighbouring frames are alike."""
    clip = torch.rand(videos, 1, 3, 16, 16) + 0.1 * torch.rand(videos, frames, 3, 16, 16)
    return {"clip": clip.clamp(0, 1), "video_index": torch.arange(videos)}


def of_negatives(module, query, videos):
    """Return the log-sum-exp of each cell's negatives, whose sums tests/vidcorr/functional/test_negatives.py holds."""
    bank = module.bank
    unusable = (bank.video_ids < 0) | (bank.video_ids == videos[:, None])
    if bank.kind == "shared":
        return shared_logsumexp(query, bank.keys, unusable)
    if bank.kind == "same_place":
        return same_place_logsumexp(query, bank.keys.movedim(3, 1), 1, "exclude", unusable)
    seed = int(torch.randint(1 << 32, (), generator=module.generator()))
    return per_query_logsumexp(query, bank.keys.movedim(3, 1), 2, seed, unusable)


def by_equations(module, batch, dropped):
    """Eqs. 1 to 5, 7 and 8 with everything stored: what a step gives, one channel dropped."""
    lab = normalised_lab(batch["clip"])
    seen = drop_channel(lab, dropped)
    features = module.backbone(seen.flatten(0, 1)).unflatten(0, lab.shape[:2])
    query, references, radius = features[:, -1], features[:, :-1], module.radius
    if not module.reference_gradient:
        references = references.detach()
    if module.reference_encoder == "average":
        averaged = module.target_encoder(seen[:, :-1].flatten(0, 1))
        references = averaged.detach().unflatten(0, references.shape[:2])
    affinity = local_affinity(query, references, radius)
    outputs = {"compactness": query.new_zeros(())}
    if module.prior is not None:
        outputs["compactness"] = compactness_loss(affinity, radius, module.prior)
    if module.bank is not None:
        local = (query * references[:, 0]).sum(1) - affinity[:, (2 * radius + 1) ** 2 // 2].log()  # by the cell itself
        positive = torch.sigmoid(local - of_negatives(module, query, batch["video_index"]))
        affinity = affinity * positive[:, None]
        outputs["negative_mass"] = 1 - positive.mean()
    colours = lab[:, :, dropped, None]
    found = reconstruct(affinity, colours[:, :-1, :, ::4, ::4], radius)
    outputs["reconstruction"] = reconstruction_loss(found, colours[:, -1])
    outputs["loss"] = outputs["reconstruction"] + module.compactness_weight * outputs["compactness"]
    frames = torch.cat([references, query[:, None]], dim=1)
    return outputs | {"embeddings": frames.mean((3, 4)).flatten(0, 1)}


OPTIONS = [
    OFF | {"reference_gradient": False},
    AVERAGE | {"bank": {"frames": 6, "negatives": "same_place"}},
    OFF | {"bank": {"frames": 6, "negatives": "shared"}},
    {"compactness_weight": 2.0},  # a position map, a bank of negatives per query, the prior
]


@pytest.mark.parametrize("options", OPTIONS)
def test_step_is_that_of_the_equations(options):
    module, batch = tiny_liir(**options).eval(), clips(3, frames=3)
    if module.bank is not None:
        keys = 0.5 * torch.randn_like(module.bank.keys)  # near the features of the encoder
        module.bank.enqueue(keys, torch.tensor([0, 7, 1, 9]).repeat(len(keys))[: len(keys)])
    if module.target_encoder is not None:
        with torch.no_grad():
            module.target_encoder.affinity.weight.mul_(0.9)  # a lagging average
    dropped = int(torch.randint(1, 3, ()))
    plain = by_equations(module, batch, dropped)
    published = module.objective(batch, dropped)
    torch.testing.assert_close(published, plain, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(published["loss"], plain["loss"], rtol=1e-4, atol=1e-6)
    assert (plain["compactness"] > 0) == (module.prior is not None)
    expected = torch.autograd.grad(plain["loss"], list(module.backbone.parameters()))
    gradients = torch.autograd.grad(published["loss"], module.backbone.parameters())
    for found, wanted in zip(gradients, expected, strict=True):
        assert (found - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6


KEYS = [("shift", "average", "shared"), ("shuffle", "average", "per_query"), ("none", "learned", "per_query")]


@pytest.mark.parametrize(("modulation", "keys", "negatives"), KEYS)
def test_keys_of_the_bank(modulation, keys, negatives):
    """A key is a feature of the query by the key encoder, its position map displaced; nothing learns from it."""
    module = tiny_liir(bank={"modulation": modulation, "encoder": keys, "negatives": negatives})
    assert not module.bank.keys.any()
    assert (module.target_encoder is None) == (keys == "learned")
    encoder, batch = module.target_encoder or module.backbone, clips(2)
    if negatives == "shared":  # maps of any form
        batch["clip"] = torch.cat([batch["clip"], batch["clip"]], dim=4)
    nn.init.normal_(encoder.position.places)
    module.eval()
    published = module.objective(batch, 2, torch.Generator().manual_seed(3))
    ((held, videos),) = module.bank.held
    assert held.shape == ((4, 64) if negatives == "shared" else (2, 4, 4, 64))
    assert videos.tolist() == ([0, 0, 1, 1] if negatives == "shared" else [0, 1])
    still = encoder(drop_channel(normalised_lab(batch["clip"][:, -1]), 2)).flatten(2).mT
    distance = torch.cdist(held.view(2, -1, 64), still)
    if modulation == "none":
        assert (distance.diagonal(dim1=1, dim2=2) < 1e-4).all()  # cells keep their places
    else:
        assert not (distance.amin(2) < 1e-4).all()
    published["loss"].backward()
    assert all(parameter.grad is None for parameter in module.parameters() if not parameter.requires_grad)
    assert not held.requires_grad


def test_two_ranks_store_the_cells_that_one_would(monkeypatch):
    bank = tiny_liir(bank={"negatives": "shared"}).bank
    features = torch.rand(4, 64, 4, 4)
    whole = bank.keys_of(features, torch.Generator().manual_seed(5))
    assert whole.shape == (4, 2, 64)
    for place in ("negative_bank", "distributed"):
        monkeypatch.setattr(f"vidcorr.lightning_modules.parts.{place}.world_size_and_rank", lambda: (2, 1))
    assert torch.equal(bank.keys_of(features[2:], torch.Generator().manual_seed(5)), whole[2:])


UPDATES = [("learned", "average", False, 2), ("learned", "average", True, 1), ("average", "learned", False, 1)]


@pytest.mark.parametrize(("references", "keys", "shared", "updates"), UPDATES)
def test_statistics_move_once_a_frame_and_not_by_displaced_positions(references, keys, shared, updates):
    banks = [{"encoder": keys, "modulation": name} for name in ("shift", "none")]
    module, plain = (tiny_liir(reference_encoder=references, shared_statistics=shared, bank=bank) for bank in banks)
    batch = clips(4)
    for one in (module, plain):
        torch.nn.init.normal_(one.backbone.position.places, generator=torch.Generator().manual_seed(1))
        one.step(batch)
    norms = [one for one in module.modules() if isinstance(one, nn.BatchNorm2d)]
    assert max(int(norm.num_batches_tracked) for norm in norms) == updates
    assert module.backbone.bn1.num_batches_tracked == updates
    for (name, buffer), other in zip(module.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(buffer, other), name


def test_second_phases_start_from_one_first_phase(tmp_path):
    first = tiny_liir(position="1dape", reference_encoder="average")
    nn.init.normal_(first.backbone.position.places)
    path = write_checkpoint(first, tmp_path / "first.ckpt")
    for options in ({"bank": {"frames": 0}}, {}, {"reference_encoder": "average"}):
        module = Liir(position_size=8, radius=2, stages=3, start=str(path), **{"bank": {"frames": 6}} | options)
        assert (module.target_encoder is None) == ("bank" in options)
        for encoder in (module.backbone, module.target_encoder or module.backbone):
            assert differences(encoder.state_dict(), first.backbone.state_dict()) == []
        assert module.backbone.training
        assert module.arguments_again()["start"] is None
    message = "first.ckpt: its encoder is .*'position': '1dape'.* this run's is .*'none'"
    refused(ValueError, message, tiny_liir, position="none", start=str(path))
    write_checkpoint(tiny("VFSSimSiam"), path)
    refused(ValueError, "first.ckpt: its encoder is TinyResNet", tiny_liir, start=str(path))


def test_maps_of_the_bank_have_the_features_form():
    bank = tiny_liir(position_size=7, radius=7).bank
    assert (bank.keys.shape, bank.radius) == ((6, 4, 4, 64), 3)


@pytest.mark.parametrize("filled", [0, 4, 6, 9])
@pytest.mark.parametrize("negatives", ["per_query", "shared"])
@pytest.mark.sampled(3)
def test_a_checkpoint_holds_the_filled_rows_of_the_bank_alone_and_gives_back_all(negatives, filled, tmp_path):
    module, other = (tiny_liir(bank={"frames": 6, "points": 1, "negatives": negatives}) for _ in range(2))
    bank = module.bank
    for number in range(filled):
        bank.enqueue(torch.randn(1, *bank.keys.shape[1:]), torch.tensor([number]))
    torch.save(module.state_dict(), tmp_path / "state")
    saved = torch.load(tmp_path / "state")
    assert saved["bank.keys"].untyped_storage().nbytes() == min(filled, 6) * bank.keys[0].nbytes
    other.bank.keys.fill_(9)  # what a loaded module held before
    other.load_state_dict(saved)
    assert differences(dict(other.bank.named_buffers()), dict(bank.named_buffers())) == []


def test_training_drops_one_channel_a_batch():
    """Validation averages both, whatever the seed."""
    module, batch = tiny_liir(**OFF), clips(3)
    alone = {module.objective(batch, dropped)["loss"].item() for dropped in (1, 2)}
    assert {module.step(batch)["loss"].item() for _ in range(4)} == alone
    values = [tiny_liir(**OFF, seed=seed).eval().step(batch)["loss"] for seed in range(2)]
    parts = [tiny_liir(**OFF).eval().objective(batch, dropped)["loss"] for dropped in (1, 2)]
    assert (parts[0] - parts[1]).abs() > 1e-3
    for value in values:
        torch.testing.assert_close(value, (parts[0] + parts[1]) / 2)


@pytest.mark.slow
def test_a_trainer_fits_again_after_an_error():
    """An error within the first phase leaves the Trainer with the accumulation of this phase."""
    module, data = tiny_liir(schedule={"warmup_epochs": 1, "warmup_accumulation": 2}), DataLoader(Clips(4, 2, 16), 1)
    trainer = quiet_trainer(max_epochs=1)
    refused(ValueError, "the batch has image", trainer.fit, module, DataLoader([{"image": torch.rand(3, 16, 16)}]))
    assert trainer.accumulate_grad_batches == 2
    trainer.fit(VFSSimSiam(**TINY), DataLoader(Clips(4, 2, 16), 2))  # another method
    assert (trainer.global_step, trainer.accumulate_grad_batches) == (2, 1)
    trainer.accumulate_grad_batches = 2  # the user's own, of the same number
    refused(ValueError, "set model.schedule.warmup_accumulation", trainer.fit, module, data)
    quiet_trainer(max_epochs=1).fit(module, data)


@pytest.mark.parametrize("negatives", ["per_query", "same_place", "shared"])
@pytest.mark.sampled(3)
def test_frames_of_another_size_are_refused_in_the_first_step_not_after_the_first_phase(negatives):
    module = tiny_liir(bank={"negatives": negatives}, schedule={"warmup_epochs": 1}, position_size=6)
    fit = partial(quiet_trainer(max_epochs=2).fit, module, DataLoader(Clips(4, 2, 16), 2))
    if negatives == "shared":  # it stores cells
        fit()
    else:
        refused(ValueError, "16 × 16 px do not fit a bank of 3 × 3 cells: set data.size to 12, or model.posi", fit)


def test_golden_learning_rates(golden):
    """Each phase alone: a first one that does not end, and no first one."""
    numbers = golden("lr_schedules")
    for name, epochs in (("momen0", 10**6), ("momen1", 0)):
        schedule = LiirSchedule(warmup_epochs=epochs, warmup_accumulation=1, warmup_lr=1e-4)
        steps = numbers["liir_adjust_batches"].astype(int)
        found = [1e-4 * schedule.factor(step, batch_samples=12, epoch_batches=1) for step in steps.tolist()]
        assert found == pytest.approx(numbers[f"liir_adjust_lr_{name}"], abs=1e-12)


def _train_and_save(rank, folder, order=None):
    """Three steps, in an order of the samples on one rank; without an order, as one of two ranks."""

    def keep_statistics(trainer, module, *_):  # ranks must not differ from one process with all samples
        for part in module.modules():
            part.train(not isinstance(part, nn.BatchNorm2d))

    def note(trainer, module, outputs, batch, number):
        told = {"loss": outputs["loss"], "mass": outputs["negative_mass"], "videos": batch["video_index"].tolist()}
        told["gradients"] = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        told["bank"] = module.bank.state_dict()
        torch.save(told, Path(folder, f"{trainer.world_size}-{trainer.global_rank}-{trainer.global_step}.pt"))

    record = LambdaCallback(on_train_batch_start=keep_statistics, on_train_batch_end=note)
    ranks = {"devices": 2, "strategy": "ddp"} if order is None else {}
    loader = DataLoader(Clips(12, 2, 16), batch_size=2 if order is None else 4, sampler=order)
    torch.manual_seed(0)
    trainer = quiet_trainer(max_steps=3, callbacks=[record], **ranks)
    trainer.fit(tiny_liir(schedule={"lr": 1e-5, "warmup_lr": 1e-5}), loader)


@pytest.mark.slow
def test_two_ranks_are_one_rank_with_all_samples(tmp_path):
    def saved(name, step):
        return torch.load(tmp_path / f"{name}-{step}.pt", weights_only=True)

    on_ranks(2, tmp_path, _train_and_save, str(tmp_path))
    order = [video for step in (1, 2, 3) for rank in (0, 1) for video in saved(f"2-{rank}", step)["videos"]]
    _train_and_save(0, str(tmp_path), order)
    for step in (1, 2, 3):
        one, rank0, rank1 = (saved(name, step) for name in ("1-0", "2-0", "2-1"))
        torch.testing.assert_close(rank0["bank"], rank1["bank"], rtol=0, atol=0)
        torch.testing.assert_close(rank0["bank"], one["bank"], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close((rank0["loss"] + rank1["loss"]) / 2, one["loss"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(rank0["gradients"], rank1["gradients"], rtol=0, atol=0)
        for name, gradient in one["gradients"].items():
            assert (rank0["gradients"][name] - gradient).norm() <= 2e-3 * gradient.norm() + 1e-6, (step, name)
    assert one["mass"] > 0
    assert one["gradients"]


def test_the_bank_holds_the_features_own_type():
    """Half the memory in half precision, and no bit is lost."""
    module = tiny_liir()
    types = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    for precision, dtype in types.items():
        module.trainer = SimpleNamespace(precision=precision)
        module.bank.held.append((torch.zeros(1), torch.zeros(1)))  # of an interrupted run
        module.on_fit_start()
        assert (module.bank.keys.dtype, module.bank.held) == (dtype, [])


def test_the_first_phase_accumulates_and_has_no_prior_and_no_negatives():
    """Its references keep their gradient, whatever the second phase does."""
    options = {"reference_gradient": False, "schedule": {"warmup_epochs": 1, "warmup_accumulation": 3}}
    module, batch = tiny_liir(**options), clips(3)
    module.bank.enqueue(torch.rand_like(module.bank.keys), torch.arange(10, 16))
    refused(ValueError, "schedule.warmup_epochs 1: without a Trainer nothing counts epochs", module.step, batch)
    module.trainer = quiet_trainer()
    module.trainer.training = True
    for epoch, accumulated in ((0, 3), (1, 1)):
        module.trainer.fit_loop.epoch_progress.current.completed = epoch
        module.on_train_batch_start(batch, 0)
        assert module.trainer.accumulate_grad_batches == accumulated
        published = module.objective(batch, 1)
        assert (published["compactness"] > 0) == ("negative_mass" in published) == (epoch == 1)
        assert module.features(batch["clip"])[1].requires_grad == (epoch == 0)
    module.trainer.fit_loop.epoch_progress.current.completed = 0
    module.on_train_batch_start(batch, 0)
    module.on_fit_end()
    assert module.trainer.accumulate_grad_batches == 1


def test_the_plan_names_both_phases():
    def rows(**options):
        module = tiny_liir(**options)
        module.global_batch = lambda: 4
        return module.plan_rows()

    plan = rows(schedule={"warmup_epochs": 2})
    assert plan["phases"] == "2 epochs within videos, then all"
    assert (plan["global batch"], plan["learning rate"]) == ("8 clips, then 4 clips", "0.001, then 0.0001")
    assert plan["negatives"].endswith(" on each device, from epoch 2 on")
    assert plan["compactness"].endswith(", from epoch 2 on")
    plan = rows(**OFF)
    assert (plan["negatives"], plan["compactness"], "learning rate" in plan) == ("none", "none", False)
