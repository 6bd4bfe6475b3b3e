"""Liir: the step against the equations, each part alone, both phases in one run, resume, two ranks."""

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import LambdaCallback
from torch import nn
from torch.utils.data import DataLoader

from lightning_modules import Liir
from lightning_modules.functional import compact_affinity, local_affinity, reconstruct, rgb_to_lab
from lightning_modules.schedules import LIIR_STEPS, LIIR_WARMUP_STEPS, step_factor
from tests.helpers.refusal import refused
from tests.helpers.training import Clips, quiet_trainer, tiny_liir

OFF = {"position": "none", "bank_frames": 0, "mixture_components": None}


def clips(videos, frames=2):
    """A batch of noise in which neighbouring frames are alike."""
    clip = torch.rand(videos, 1, 3, 16, 16) + 0.1 * torch.rand(videos, frames, 3, 16, 16)
    return {"clip": clip.clamp(0, 1), "video_index": torch.arange(videos)}


def filled(module, videos):
    """Points of these videos in the bank, near the features of the encoder."""
    points = 0.5 * torch.randn(len(module.bank), module.bank.keys.shape[1])
    module.bank.enqueue(points, torch.tensor(videos).repeat(len(points))[: len(points)])
    return module


def by_equations(module, batch, dropped):
    """Eqs. 1 to 5, 7 and 8 with everything stored: both losses, one channel dropped."""
    lab = rgb_to_lab(batch["clip"])
    lab = torch.stack([(lab[:, :, 0] - 50) / 50, lab[:, :, 1] / 127, lab[:, :, 2] / 127], dim=2)
    seen = 1.5 * lab
    seen[:, :, dropped] = 0
    features = module.backbone(seen.flatten(0, 1)).unflatten(0, lab.shape[:2])
    query, references, radius = features[:, -1], features[:, :-1], module.hparams["radius"]
    if module.bank is not None and module.hparams["key_encoder"] != "average_for_bank":
        frames = seen[:, :-1].flatten(0, 1)
        if module.hparams["key_encoder"] == "last_convolution":
            frames = module.backbone(frames, project=False)
        references = module.target_encoder.average(frames).detach().unflatten(0, references.shape[:2])
    affinity = local_affinity(query, references, radius)
    compactness = query.new_zeros(())
    if module.prior is not None:
        compact = compact_affinity(affinity, radius, module.prior.components, module.prior.threshold)
        compactness = F.smooth_l1_loss(20 * affinity, 20 * compact)
    if module.bank is not None:
        side = 2 * radius + 1
        cells = F.unfold(references.flatten(0, 1), side, padding=radius)
        products = cells.view(*references.shape[:3], side**2, *query.shape[2:]).mul(query[:, None, :, None]).sum(2)
        inside = F.unfold(torch.ones_like(query[:, :1]), side, padding=radius).view(products[:, :1].shape)
        local = (products.exp() * inside).sum((1, 2))
        keys = module.bank.keys
        usable = (module.bank.video_ids >= 0) & (module.bank.video_ids != batch["video_index"][:, None])
        others = torch.einsum("bchw,nc->bnhw", query, keys).exp() * usable[:, :, None, None]
        affinity = affinity * (local / (local + others.sum(1)))[:, None]
    colours = lab[:, :, dropped, None]
    found = reconstruct(affinity, colours[:, :-1, :, ::4, ::4], radius)
    found = F.interpolate(found, scale_factor=4, mode="bilinear")
    return F.smooth_l1_loss(20 * found, 20 * colours[:, -1]), compactness


@pytest.mark.parametrize(
    "options",
    [
        OFF,
        OFF | {"position": "1dape"},
        OFF | {"bank_frames": 6},
        OFF | {"bank_frames": 6, "key_encoder": "last_convolution"},
        OFF | {"bank_frames": 6, "key_encoder": "average_for_bank"},
        OFF | {"mixture_components": 2},
        {},
    ],
)
def test_step_is_that_of_the_equations(options):
    module, batch = tiny_liir(**options).eval(), clips(3, frames=3)
    if module.bank is not None:
        filled(module, [0, 7, 1, 9])
        with torch.no_grad():
            for parameter in module.target_encoder.parameters():
                parameter.mul_(0.9)  # a lagging average
    dropped = int(torch.randint(1, 3, ()))
    reconstruction, compactness = by_equations(module, batch, dropped)
    published = module.objective(batch, dropped)
    torch.testing.assert_close(published["reconstruction"], reconstruction.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(published["compactness"], compactness.detach(), rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(published["loss"], reconstruction + compactness, rtol=1e-4, atol=1e-6)
    assert (compactness > 0) == (module.prior is not None)
    assert ("negative_mass" in published) == (module.bank is not None)
    expected = torch.autograd.grad(reconstruction + compactness, list(module.backbone.parameters()))
    gradients = torch.autograd.grad(published["loss"], module.backbone.parameters())
    for found, wanted in zip(gradients, expected, strict=True):
        assert (found - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6


@pytest.mark.parametrize(
    ("modulation", "kind"),
    [("shift", "average"), ("shuffle", "last_convolution"), ("none", "last_convolution"), ("none", "average_for_bank")],
)
def test_points_of_the_bank(modulation, kind):
    """Each point is the key encoder's feature at a place of the query, its map moved; nothing learns from it."""
    module, batch = tiny_liir(modulation=modulation, key_encoder=kind), clips(2)
    average, last = module.target_encoder.average, kind == "last_convolution"
    assert len(list(average.parameters())) == (2 if last else len(list(module.backbone.parameters())))
    with torch.no_grad():
        (module.backbone if last else average).position.places.normal_()
    module.eval()
    published = module.objective(batch, 2, torch.Generator().manual_seed(3))
    assert published["keys"].shape == (2, 2, 64)
    seen = rgb_to_lab(batch["clip"][:, -1]).div(torch.tensor([50.0, 127, 127]).view(3, 1, 1)) * 1.5
    seen[:, 0] -= 1.5
    seen[:, 2] = 0
    with torch.no_grad():
        still = average(module.backbone(seen, project=False) if last else seen).flatten(2)
    distance = torch.cdist(published["keys"], still.mT).amin(2)
    assert (distance < 1e-4).all() == (modulation == "none")
    published["loss"].backward()
    assert all(parameter.grad is None for parameter in module.target_encoder.parameters())
    assert not published["keys"].requires_grad


def test_validation_averages_both_dropped_channels_whatever_the_seed():
    batch = clips(3)
    values = [tiny_liir(**OFF, seed=seed).eval().step(batch)["loss"] for seed in range(4)]
    parts = [tiny_liir(**OFF).eval().objective(batch, dropped)["loss"] for dropped in (1, 2)]
    assert (parts[0] - parts[1]).abs() > 1e-3
    for value in values:
        torch.testing.assert_close(value, (parts[0] + parts[1]) / 2)


def test_training_drops_one_channel_a_batch():
    module, batch = tiny_liir(**OFF), clips(3)
    alone = {module.objective(batch, dropped)["loss"].item() for dropped in (1, 2)}
    found = set()
    for place in range(8):
        module._batch_position = (0, place)
        found.add(module.step(batch)["loss"].item())
    assert found == alone


def test_golden_learning_rates(golden):
    numbers = golden("lr_schedules")
    for name, steps, total in (("momen0", LIIR_WARMUP_STEPS, 1_000_000), ("momen1", LIIR_STEPS, 300_000)):
        expected = numbers[f"liir_adjust_lr_{name}"]
        found = [1e-4 * step_factor(12 * int(batch) / total, steps) for batch in numbers["liir_adjust_batches"]]
        assert found == pytest.approx(expected, abs=1e-12)


def test_both_phases_in_one_run():
    """8 clips an epoch by 2: two batches a step in the first of two epochs, then one."""
    module = tiny_liir(warmup_epochs=1, warmup_decay_samples=10, decay_samples=10)
    published, places, rates = [], [], []

    def after_batch(trainer, module, outputs, *args):
        published.append({name: float(value) for name, value in outputs.items() if value.ndim == 0})
        places.append((trainer.global_step, trainer.lr_scheduler_configs[0].scheduler.last_epoch))
        rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    trainer = quiet_trainer(max_epochs=2, callbacks=[LambdaCallback(on_train_batch_end=after_batch)])
    trainer.fit(module, DataLoader(Clips(8, 2, 16), batch_size=2))
    assert places == list(zip([0, 1, 1, 2, 3, 4, 5, 6], [0, 4, 4, 8, 10, 12, 14, 16], strict=True))  # steps, samples
    second = [1e-4 * step_factor(samples / 10, LIIR_STEPS) for samples in (0, 2, 4, 6, 8)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, *second])  # each is that of the step to come
    assert [one["compactness"] > 0 for one in published] == [False] * 4 + [True] * 4
    assert ["negative_mass" in one for one in published] == [False] * 4 + [True] * 4
    assert published[-1]["negative_mass"] > 0
    assert sorted(module.bank.video_ids.tolist()) == [video for video in range(2, 8) for _ in range(2)]


@pytest.mark.slow
def test_two_ranks_are_one_rank_with_all_samples(tmp_path):
    data = Clips(12, 2, 16)

    def train(loader, **options):
        told = {}

        def before_batch(trainer, module, batch, number):
            told["videos"] = batch["video_index"].tolist()
            for part in module.modules():  # ranks must not differ from one process with all samples
                if isinstance(part, nn.BatchNorm2d):
                    part.eval()

        def before_step(trainer, module, optimizer):
            told["gradients"] = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}

        def after_batch(trainer, module, outputs, *args):
            told.update(loss=outputs["loss"], mass=outputs["negative_mass"], bank=module.bank.state_dict())
            torch.save(told, tmp_path / f"{trainer.world_size}-{trainer.global_rank}-{trainer.global_step}.pt")

        hooks = {"on_train_batch_start": before_batch, "on_train_batch_end": after_batch}
        record = LambdaCallback(**hooks, on_before_optimizer_step=before_step)
        quiet_trainer(max_steps=3, callbacks=[record], **options).fit(tiny_liir(lr=1e-5, warmup_lr=1e-5), loader)

    def saved(name, step):
        return torch.load(tmp_path / f"{name}-{step}.pt", weights_only=True)

    train(DataLoader(data, batch_size=2), devices=2, strategy="ddp_fork")
    order = [video for step in (1, 2, 3) for rank in (0, 1) for video in saved(f"2-{rank}", step)["videos"]]
    train(DataLoader(data, batch_size=4, sampler=order))
    for step in (1, 2, 3):
        one, rank0, rank1 = (saved(name, step) for name in ("1-0", "2-0", "2-1"))
        torch.testing.assert_close(rank0["bank"], rank1["bank"], rtol=0, atol=0)
        torch.testing.assert_close(rank0["bank"], one["bank"], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close((rank0["loss"] + rank1["loss"]) / 2, one["loss"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(rank0["gradients"], rank1["gradients"], rtol=0, atol=0)
        for name, gradient in one["gradients"].items():
            assert (rank0["gradients"][name] - gradient).norm() <= 2e-3 * gradient.norm() + 1e-6, (step, name)
    assert one["mass"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"border": "wrap"}, "border must be .exclude. or .zero., got .wrap."),
        ({"key_encoder": "bank"}, "key_encoder must be .average. or .last_convolution. or .average_for_bank., got"),
        ({"mixture_components": 10, "radius": 1}, "mixture_components 10 do not fit a window of radius 1"),
    ],
)
def test_bad_choices_are_refused_before_the_epochs_that_do_without_them(options, message):
    assert refused(ValueError, message, Liir, **options)
