"""The tracking fine-tune: its loss, its start, its schedule, its extractor."""

from unittest.mock import Mock

import numpy as np
import torch
from torch import nn

from tests.helpers.golden_steps import rates_of
from tests.helpers.method_steps import tiny_batch
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from vidcorr.functional import siamese_correlation
from vidcorr.functional.siamese import focal_loss, response_labels
from vidcorr.lightning_modules import SiamFC

NETWORK = "tests.helpers.encoders:TinyResNet"


def test_loss_is_that_of_the_response():
    module, batch = SiamFC(NETWORK, response_scale=0.1, positive_radius=16).eval(), tiny_batch("SiamFC")
    z = module.exemplar_conv(module.backbone(batch["exemplar"]))
    x = module.search_conv(module.backbone(batch["search"]))
    response = torch.stack([nn.functional.conv2d(x[n : n + 1], z[n : n + 1])[0] for n in range(2)]) * 0.1
    published = module.step(batch)
    assert response.shape == (2, 1, 16, 16)
    torch.testing.assert_close(published["response"], response, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(published["loss"], focal_loss(response, response_labels((16, 16), 2)))
    assert SiamFC(NETWORK, loss="balanced", response_scale=0.1).step(batch)["loss"] != published["loss"]


def test_an_identity_start_tracks_as_the_frozen_features_do():
    module, batch = SiamFC(NETWORK, start="identity", response_scale=1.0).eval(), tiny_batch("SiamFC")
    frozen = siamese_correlation(module.backbone(batch["exemplar"]), module.backbone(batch["search"]))
    torch.testing.assert_close(module(batch["exemplar"], batch["search"]), frozen)
    other = SiamFC(NETWORK, response_scale=1.0)(batch["exemplar"], batch["search"])
    assert (other - frozen).abs().max() > 1


def test_the_rate_falls_by_epochs_as_in_the_golden_file(golden):
    """By steps if the run counts steps."""
    of_epoch = golden("lr_schedules")["siamfc_exp_lr"]
    by_epochs, by_steps = np.repeat(of_epoch, 2), 1e-2 * 1e-3 ** (np.arange(4) / 4)
    for max_steps, rates, options in ((-1, by_epochs, {}), (4, by_steps, {"lr": 1e-2, "last_lr": 1e-5})):
        module = SiamFC(NETWORK, **options)
        module.trainer = Mock(max_steps=max_steps, num_training_batches=2, accumulate_grad_batches=1)
        module.total_steps = lambda rates=rates: len(rates)
        np.testing.assert_allclose(rates_of(module, len(rates)), rates, rtol=0, atol=1e-9)
        assert module.configure_optimizers()["optimizer"].param_groups[0]["weight_decay"] == 0


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
    assert (extractor.stride, extractor.training) == (8, False)
    refused(ValueError, "has stage res5, not res4: give its network", module.feature_extractor, "res4")
    refused(TypeError, "layers", module.feature_extractor, layers=2)
    strided = SiamFC(NETWORK, dilated=False, stride=16).feature_extractor()
    assert (strided.stride, strided.dilated) == (16, False)


def test_one_convolution_may_serve_exemplars_and_search_regions(tmp_path):
    """The released form has one for each; the paper's appendix has one for both."""
    module = SiamFC(NETWORK, shared_convolution=True)
    assert sum(parameter.requires_grad for parameter in module.parameters()) == 2
    write_checkpoint(module, tmp_path / "siamfc.ckpt")
    view = SiamFC.load_from_checkpoint(tmp_path / "siamfc.ckpt").feature_extractor()
    crops = torch.rand(2, 3, 120, 120)
    assert torch.equal(view.exemplar(crops), module.exemplar_conv(module.backbone(crops)))
    assert torch.equal(view.exemplar(crops), view(crops))


def test_a_protocols_view_reaches_the_backbone_of_the_extractor():
    torch.manual_seed(0)
    view = SiamFC("timm:test_vit", stage="block6", dilated=False).feature_extractor()
    images = torch.rand(1, 3, 64, 64)
    alone = view.inner
    without_norm = view.changed(final_norm=False)
    assert torch.equal(without_norm(images), view.head(alone.changed(final_norm=False)(images)))
    assert not torch.equal(without_norm(images), view(images))
    assert (without_norm.final_norm, view.final_norm, view.ignores) == (False, True, alone.ignores)
