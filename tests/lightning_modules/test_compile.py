"""`compile`: the same training by compiled backbones, and nothing of it outside the run."""

import pytest
import torch

from lightning_modules import Liir, VFSMoCo, VFSSimSiam
from lightning_modules.base import CorrespondenceModule
from tests.helpers.training import loader, quiet_trainer

BACKBONE = "tests.helpers.encoders:TinyResNet"
METHODS = {
    "simsiam": (VFSSimSiam, {"backbone": BACKBONE, "projector_dim": 16, "predictor_dim": 8}),
    "moco": (VFSMoCo, {"backbone": BACKBONE, "projection_dim": 8, "queue_size": 32, "base_lr": 1.0}),
    "liir": (Liir, {"position_size": 8, "bank_frames": 6, "points_per_frame": 2, "radius": 2, "warmup_epochs": 0}),
}


def trained(method, path=None, **options):
    kind, arguments = METHODS[method]
    torch.manual_seed(0)
    module = kind(**(arguments | options))
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(module, loader(videos=8, batch_size=4, frames=2, size=16))
    if path is not None:
        trainer.save_checkpoint(path)
    return module


@pytest.fixture
def eager(monkeypatch):
    """Compiles without a compiler, and counts the graphs."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(CorrespondenceModule, "compile_options", {"backend": backend})
    yield graphs
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_backbone_trains_as_it_did_and_is_compiled_nowhere_else(method, eager, tmp_path):
    plain = trained(method)
    assert not eager
    compiled = trained(method, tmp_path / "compiled.ckpt", compile=True)
    assert len(eager) == len(compiled.compiled_networks())
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], tensor, msg=lambda text, name=name: f"{name}: {text}")
    for flag in (True, False):
        loaded = METHODS[method][0].load_from_checkpoint(tmp_path / "compiled.ckpt", compile=flag)
        assert torch.equal(next(loaded.parameters()), next(compiled.parameters()))

    extractor = compiled.feature_extractor("affinity" if method == "liir" else "res4")
    shared = {tensor.data_ptr() for tensor in compiled.parameters()}
    assert {tensor.data_ptr() for tensor in extractor.parameters()} <= shared
    with torch.inference_mode():
        for side in (32, 64):
            extractor(torch.rand(1, 3, side, side))
    assert len(eager) == len(compiled.compiled_networks())
