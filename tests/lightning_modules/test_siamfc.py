"""The tracking fine-tune: its loss, its start, its schedule, its extractor."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from lightning_modules import SiamFC
from lightning_modules.siamfc import SiameseExtractor
from tests.helpers.refusal import refused
from tests.helpers.training import quiet_trainer
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.functional import siamese_correlation
from vidcorr.functional.siamese import focal_loss, response_labels

NETWORK = "tests.helpers.encoders:TinyResNet"


def pairs(count):
    """A pattern over noise, in the middle of the exemplar and of the search image."""
    exemplars, searches = torch.rand(count, 3, 120, 120), torch.rand(count, 3, 239, 239)
    pattern = torch.rand(count, 3, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
    exemplars[:, :, 28:92, 28:92] = searches[:, :, 87:151, 87:151] = pattern
    items = [{"exemplar": z, "search": x} for z, x in zip(exemplars, searches, strict=True)]
    return DataLoader(items, batch_size=4)


def test_loss_is_that_of_the_response():
    module = SiamFC(NETWORK, response_scale=0.1, positive_radius=16).eval()
    (batch,) = pairs(2)
    with torch.no_grad():
        z = module.exemplar_conv(module.backbone(batch["exemplar"]))
        x = module.search_conv(module.backbone(batch["search"]))
        response = torch.stack([nn.functional.conv2d(x[n : n + 1], z[n : n + 1])[0] for n in range(2)]) * 0.1
        published = module.step(batch)
    assert response.shape == (2, 1, 16, 16)
    torch.testing.assert_close(published["response"], response, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(published["loss"], focal_loss(response, response_labels((16, 16), 2)))
    balanced = SiamFC(NETWORK, loss="balanced", response_scale=0.1)
    assert balanced.step(batch)["loss"] != published["loss"]


def test_an_identity_start_tracks_as_the_frozen_features_do():
    module = SiamFC(NETWORK, start="identity", response_scale=1.0).eval()
    (batch,) = pairs(2)
    with torch.no_grad():
        frozen = siamese_correlation(module.backbone(batch["exemplar"]), module.backbone(batch["search"]))
        torch.testing.assert_close(module(batch["exemplar"], batch["search"]), frozen)
        other = SiamFC(NETWORK, response_scale=1.0)(batch["exemplar"], batch["search"])
    assert (other - frozen).abs().max() > 1


def test_the_rate_falls_by_epochs_as_in_the_golden_file(golden):
    schedules = golden("lr_schedules")
    module, rates = SiamFC(NETWORK), []
    module.on_train_batch_start = lambda *_: rates.append(module.optimizers().param_groups[0]["lr"])  # type: ignore
    module.training_step = lambda *_: torch.zeros((), requires_grad=True)
    quiet_trainer(max_epochs=50).fit(module, DataLoader([0, 0]))
    np.testing.assert_allclose(rates, np.repeat(schedules["siamfc_exp_lr"], 2), rtol=0, atol=1e-9)
    assert module.optimizers().param_groups[0]["weight_decay"] == 0


def test_a_run_that_counts_steps_decays_by_steps():
    module, rates = SiamFC(NETWORK, lr=1e-2, last_lr=1e-5), []
    module.on_train_batch_start = lambda *_: rates.append(module.optimizers().param_groups[0]["lr"])  # type: ignore
    quiet_trainer(max_epochs=-1, max_steps=4).fit(module, pairs(8))
    np.testing.assert_allclose(rates, 1e-2 * 1e-3 ** (np.arange(4) / 4))


def test_its_extractor_shares_the_weights_and_has_exemplar():
    module = SiamFC(NETWORK)
    extractor = module.feature_extractor("res5", dilated=True)
    crops = torch.rand(2, 3, 120, 120)
    with torch.no_grad():
        module.exemplar_conv.weight.mul_(2)
        features = module.backbone(crops)
        torch.testing.assert_close(extractor.exemplar(crops), module.exemplar_conv(features))
        torch.testing.assert_close(extractor(crops), module.search_conv(features))
        folded = extractor.folded()
        torch.testing.assert_close(folded.exemplar(crops), extractor.exemplar(crops), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    assert extractor.stride == 8
    assert not extractor.training
    message = r"at \(stage, stride, dilated\) \('res5', 8, True\); for others take its encoder"
    refused(ValueError, message, module.feature_extractor, "res4")
    refused(TypeError, "layers", module.feature_extractor, layers=2)
    strided = SiamFC(NETWORK, dilated=False, stride=16).feature_extractor()
    assert (strided.stride, strided.dilated) == (16, False)
    of_a_user = SimpleNamespace(stride=4)
    bare = SiameseExtractor(of_a_user, None, None).folded()
    assert vars(bare).items() >= {"backbone": of_a_user, "stride": 4, "stage": None, "dilated": False}.items()


def test_one_convolution_may_serve_exemplars_and_search_regions(tmp_path):
    """The released form has one for each; the paper's appendix has one for both."""
    module = SiamFC(NETWORK, shared_convolution=True)
    assert sum(parameter.requires_grad for parameter in module.parameters()) == 2
    write_checkpoint(module, tmp_path / "siamfc.ckpt")
    view = SiamFC.load_from_checkpoint(tmp_path / "siamfc.ckpt").feature_extractor()
    crops = torch.rand(2, 3, 120, 120)
    with torch.no_grad():
        assert torch.equal(view.exemplar(crops), module.exemplar_conv(module.backbone(crops)))
        assert torch.equal(view.exemplar(crops), view(crops))
