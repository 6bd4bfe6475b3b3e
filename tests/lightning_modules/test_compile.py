"""`compile`: the same training by compiled backbones, and nothing of it outside the run."""

from functools import partial

import pytest
import torch

from tests.helpers.method_steps import RUNS
from tests.helpers.training import loader, quiet_trainer
from vidcorr.backbones.checkpoints import write_checkpoint


def trained(method, **options):
    kind, arguments, _ = RUNS[method]
    torch.manual_seed(0)
    module = kind(**(arguments | {"base_lr": 1.0} if method == "moco" else arguments), **options)
    quiet_trainer(max_epochs=1).fit(module, loader(videos=8, batch_size=4, frames=2, size=32))
    return module


@pytest.fixture
def eager(monkeypatch):
    """Compiles without a compiler, and counts the graphs."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    yield graphs
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simsiam", "moco", "liir"])
def test_a_compiled_backbone_trains_as_it_did_and_is_compiled_nowhere_else(method, eager, tmp_path):
    plain = trained(method)
    assert not eager
    compiled = trained(method, compile=True)
    write_checkpoint(compiled, tmp_path / "compiled.ckpt")
    assert len(eager) == len(compiled.compiled_networks())
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict())
    for flag in (True, False):
        loaded = type(plain).load_from_checkpoint(tmp_path / "compiled.ckpt", compile=flag)
        assert torch.equal(next(loaded.parameters()), next(compiled.parameters()))

    extractor = compiled.feature_extractor("affinity" if method == "liir" else "res4")
    shared = {tensor.data_ptr() for tensor in compiled.parameters()}
    assert {tensor.data_ptr() for tensor in extractor.parameters()} <= shared
    with torch.inference_mode():
        for side in (32, 64):
            extractor(torch.rand(1, 3, side, side))
    assert len(eager) == len(compiled.compiled_networks())
